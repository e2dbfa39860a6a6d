/* SPDX-License-Identifier: MIT */
/*
 * region_life: the transitions of the life word.
 *
 * Every step that depends on the generation compares it in the word that it swaps. The steps of a
 * thread that holds stripes or closes need not: such a word cannot change generation under it.
 */
#include "lockfree/region_life.h"

#define GENERATION_SHIFT 32

static uint32_t generation_of(uint64_t word) {
    return (uint32_t)(word >> GENERATION_SHIFT);
}

/* Is this the word of that life, and not of another life or of none? */
static bool is_life(uint64_t word, uint32_t generation) {
    return generation_of(word) == generation && (generation & 1) != 0;
}

/* The tick that comes after the one of this word. */
static uint64_t next_tick(uint64_t word) {
    return (word + MOAT_LIFE_TICK_ONE) & MOAT_LIFE_TICK_BITS;
}

uint32_t moat_life_generation(const _Atomic uint64_t *life) {
    /* A(birth) */
    return generation_of(moat_load_acquire(life));
}

void moat_life_birth(_Atomic uint64_t *life, uint32_t *generation) {
    /* relaxed: the record is the caller's alone; what ordered taking it orders this. */
    uint64_t word = moat_load_relaxed(life);

    *generation = generation_of(word) + 1;
    /* R(birth) */
    moat_store_release(life,
                       (uint64_t)*generation << GENERATION_SHIFT | (word & MOAT_LIFE_TICK_BITS));
}

/* The lock bit, unless it is this thread's own. */
static uint32_t lock_of_others(bool holder) {
    return holder ? 0 : MOAT_LIFE_LOCKED_BIT;
}

/* What keeps a thread out, the strongest reason first. */
static enum moat_life_status reason(uint64_t word, uint32_t lock) {
    if (word & MOAT_LIFE_CLOSING_BIT)
        return MOAT_LIFE_CLOSING;
    return word & lock ? MOAT_LIFE_LOCKED : MOAT_LIFE_BUSY;
}

enum moat_life_status moat_life_enter(_Atomic uint64_t *life, uint32_t generation, uint32_t stripes,
                                      bool holder, uint32_t *seen) {
    uint32_t lock = lock_of_others(holder);
    /* A(birth) */
    uint64_t word = moat_load_acquire(life);

    for (;;) {
        if (!is_life(word, generation))
            return MOAT_LIFE_GONE;

        bool blocked = (word & (stripes | MOAT_LIFE_CLOSING_BIT | lock)) != 0;
        uint64_t next = word | (blocked ? MOAT_LIFE_WAITERS_BIT : stripes);

        /* R(stripe) A(stripe) A(close) A(lock) A(nudge) A(birth) A(mend) */
        if (!moat_cas_acq_rel(life, &word, next))
            continue;
        if (!blocked)
            return MOAT_LIFE_OK;
        *seen = (uint32_t)next;
        return reason(word, lock);
    }
}

bool moat_life_leave(_Atomic uint64_t *life, uint32_t stripes) {
    /* R(stripe) A(stripe) */
    uint64_t word = moat_and_acq_rel(life, ~(uint64_t)(stripes | MOAT_LIFE_WAITERS_BIT));

    return (word & MOAT_LIFE_WAITERS_BIT) != 0;
}

enum moat_life_status moat_life_close(_Atomic uint64_t *life, uint32_t generation, bool holder,
                                      uint32_t *seen) {
    uint32_t lock = lock_of_others(holder);
    /* A(birth) */
    uint64_t word = moat_load_acquire(life);

    for (;;) {
        if (!is_life(word, generation))
            return MOAT_LIFE_GONE;

        bool closing = (word & MOAT_LIFE_CLOSING_BIT) != 0;
        bool busy = (word & MOAT_LIFE_STRIPES_ALL) != 0;
        uint64_t next = word | MOAT_LIFE_CLOSING_BIT;

        if (!closing && (word & lock) != 0)
            return MOAT_LIFE_LOCKED;
        if (closing || busy)
            next |= MOAT_LIFE_WAITERS_BIT;
        /* R(close) A(close) A(stripe) A(lock) A(nudge) A(birth) A(mend) */
        if (!moat_cas_acq_rel(life, &word, next))
            continue;
        *seen = (uint32_t)next;
        if (closing)
            return MOAT_LIFE_CLOSING;
        return busy ? MOAT_LIFE_BUSY : MOAT_LIFE_OK;
    }
}

enum moat_life_status moat_life_drained(_Atomic uint64_t *life, uint32_t *seen) {
    /* A(stripe) */
    uint64_t word = moat_load_acquire(life);

    for (;;) {
        uint64_t next = word | MOAT_LIFE_WAITERS_BIT;

        if ((word & MOAT_LIFE_STRIPES_ALL) == 0)
            return MOAT_LIFE_OK;
        /* R(close) A(stripe) A(nudge) */
        if (moat_cas_acq_rel(life, &word, next)) {
            *seen = (uint32_t)next;
            return MOAT_LIFE_BUSY;
        }
    }
}

bool moat_life_reopen(_Atomic uint64_t *life) {
    const uint64_t bits = MOAT_LIFE_CLOSING_BIT | MOAT_LIFE_WAITERS_BIT;

    /* R(close) A(close) */
    return (moat_and_acq_rel(life, ~bits) & MOAT_LIFE_WAITERS_BIT) != 0;
}

bool moat_life_death(_Atomic uint64_t *life) {
    /* relaxed: the generation is this thread's own; others can only set the waiters bit, or nudge,
     * which is as good as the tick of this step. */
    uint64_t word = moat_load_relaxed(life);
    uint64_t next = (uint64_t)(generation_of(word) + 1) << GENERATION_SHIFT | next_tick(word);

    /* R(close) A(close) */
    return (moat_exchange_acq_rel(life, next) & MOAT_LIFE_WAITERS_BIT) != 0;
}

enum moat_life_status moat_life_lock(_Atomic uint64_t *life, uint32_t generation, uint32_t *seen) {
    const uint32_t taken = MOAT_LIFE_CLOSING_BIT | MOAT_LIFE_LOCKED_BIT;
    /* A(birth) */
    uint64_t word = moat_load_acquire(life);

    for (;;) {
        if (!is_life(word, generation))
            return MOAT_LIFE_GONE;

        bool blocked = (word & taken) != 0;
        bool busy = (word & MOAT_LIFE_STRIPES_ALL) != 0;
        uint64_t next = word | (blocked ? 0 : MOAT_LIFE_LOCKED_BIT);

        if (blocked || busy)
            next |= MOAT_LIFE_WAITERS_BIT;
        /* R(lock) A(lock) A(close) A(stripe) A(nudge) A(birth) A(mend) */
        if (!moat_cas_acq_rel(life, &word, next))
            continue;
        *seen = (uint32_t)next;
        if (blocked)
            return reason(word, MOAT_LIFE_LOCKED_BIT);
        return busy ? MOAT_LIFE_BUSY : MOAT_LIFE_OK;
    }
}

bool moat_life_unlock(_Atomic uint64_t *life) {
    const uint64_t bits = MOAT_LIFE_LOCKED_BIT | MOAT_LIFE_WAITERS_BIT;

    /* R(lock) A(lock) */
    return (moat_and_acq_rel(life, ~bits) & MOAT_LIFE_WAITERS_BIT) != 0;
}

bool moat_life_locked(const _Atomic uint64_t *life) {
    /* A(lock) */
    return (moat_load_acquire(life) & MOAT_LIFE_LOCKED_BIT) != 0;
}

bool moat_life_nudge(_Atomic uint64_t *life) {
    /* relaxed: the swap decides. */
    uint64_t word = moat_load_relaxed(life);
    uint64_t next;

    do {
        next = word & ~(uint64_t)(MOAT_LIFE_WAITERS_BIT | MOAT_LIFE_TICK_BITS);
        next |= next_tick(word);
        /* R(nudge) A(nudge) also where nobody waits: who sets the bit next must see why. */
    } while (!moat_cas_acq_rel(life, &word, next));
    return (word & MOAT_LIFE_WAITERS_BIT) != 0;
}

uint32_t moat_life_held(const _Atomic uint64_t *life) {
    /* A(stripe) A(close) A(lock) */
    return (uint32_t)moat_load_acquire(life) & ~(MOAT_LIFE_WAITERS_BIT | MOAT_LIFE_TICK_BITS);
}

bool moat_life_mend(_Atomic uint64_t *life, uint32_t bits) {
    /* R(mend) A(mend) */
    uint64_t word = moat_and_acq_rel(life, ~(uint64_t)(bits | MOAT_LIFE_WAITERS_BIT));

    return (word & MOAT_LIFE_WAITERS_BIT) != 0;
}
