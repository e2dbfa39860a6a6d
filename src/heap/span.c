/* SPDX-License-Identifier: MIT */
/* span: words that decide, phases that steer, and stacks of headers. */
#include "heap/span.h"

#include "lockfree/atomic.h"

#define SLOTS      UINT64_C(0xFFFFFFFF)
#define CLOSED     (UINT64_C(1) << 32)
#define LIFE_SHIFT 33

#define NUMBER_BITS 39
#define NUMBER_MASK ((UINT64_C(1) << NUMBER_BITS) - 1)

/* The slots that word `number` really has. */
static uint64_t slots_of(const struct moat_span *span, uint32_t number) {
    uint32_t left = moat_classes[span->class].slots - number * MOAT_SPAN_SLOTS;
    return left >= MOAT_SPAN_SLOTS ? SLOTS : (UINT64_C(1) << left) - 1;
}

static uint64_t room_in(const struct moat_span *span, uint32_t number, uint64_t word) {
    return word & CLOSED ? 0 : ~word & slots_of(span, number);
}

static struct moat_span *span_of(uint64_t head) {
    return (struct moat_span *)(uintptr_t)((head & NUMBER_MASK) << MOAT_SPAN_ALIGNMENT_SHIFT);
}

void moat_span_push(struct moat_span_stack *stack, struct moat_span *span) {
    uint64_t number = (uint64_t)(uintptr_t)span >> MOAT_SPAN_ALIGNMENT_SHIFT;
    /* relaxed: the exchange below orders what matters. */
    uint64_t head = moat_load_relaxed(&stack->head);
    uint64_t next;
    do {
        /* relaxed: published by R(stock). */
        moat_store_relaxed(&span->next, head & NUMBER_MASK);
        next = ((head >> NUMBER_BITS) + 1) << NUMBER_BITS | number;
        /* R(stock) A(stock) */
    } while (!moat_cas_acq_rel(&stack->head, &head, next));
}

struct moat_span *moat_span_pop(struct moat_span_stack *stack) {
    /* A(stock) */
    uint64_t head = moat_load_acquire(&stack->head);
    while (head & NUMBER_MASK) {
        struct moat_span *span = span_of(head);
        /* relaxed: a header that was popped meanwhile links anywhere, but the count has moved. */
        uint64_t next = moat_load_relaxed(&span->next);
        next = (head & ~NUMBER_MASK) | next;
        /* R(stock) A(stock) */
        if (moat_cas_acq_rel(&stack->head, &head, next))
            return span;
    }
    return NULL;
}

void moat_span_begin(struct moat_span *span) {
    for (uint32_t number = 0; number < span->words; number++)
        /* relaxed: nobody has seen the header. */
        moat_store_relaxed(&span->word[number], CLOSED);
}

void moat_span_open(struct moat_span *span, uintptr_t base, size_t size) {
    /* R(place) */
    moat_store_release(&span->base, base);
    /* relaxed: published by R(open). */
    moat_store_relaxed(&span->size, size);
    /* relaxed: the header is the caller's, and shown by whatever shows it. */
    moat_store_relaxed(&span->phase, MOAT_SPAN_BUSY);
    for (uint32_t number = 0; number < span->words; number++) {
        /* relaxed: a closed word is changed by nobody else. */
        uint64_t life = moat_load_relaxed(&span->word[number]) >> LIFE_SHIFT;
        /* R(open) */
        moat_store_release(&span->word[number], (life + 1) << LIFE_SHIFT);
    }
}

bool moat_span_take(struct moat_span *span, uint32_t from, uint32_t *slot) {
    uint32_t number = from / MOAT_SPAN_SLOTS;
    uint64_t wanted = SLOTS << from % MOAT_SPAN_SLOTS;

    if (number >= span->words) {
        number = 0;
        wanted = SLOTS;
    }
    /* Once around, and the first word again for what lies before `from`. */
    for (uint32_t tries = 0; tries <= span->words; tries++) {
        /* relaxed: A(reuse) below orders. */
        uint64_t word = moat_load_relaxed(&span->word[number]);
        uint64_t room;
        while ((room = room_in(span, number, word) & wanted) != 0) {
            uint64_t bit = room & (0 - room);
            /* R(reuse) A(reuse) A(open) A(loose) */
            if (moat_cas_acq_rel(&span->word[number], &word, word | bit)) {
                *slot = number * MOAT_SPAN_SLOTS + (uint32_t)__builtin_ctzll(bit);
                return true;
            }
        }
        wanted = SLOTS;
        number = number + 1 < span->words ? number + 1 : 0;
    }
    return false;
}

uint64_t moat_span_word(const struct moat_span *span, uint32_t slot) {
    /* A(open) who reads a word of a life finds the base of it, or of a later one. */
    return moat_load_acquire(&span->word[slot / MOAT_SPAN_SLOTS]);
}

uint64_t moat_span_life(uint64_t word) {
    return word >> LIFE_SHIFT;
}

bool moat_span_give(struct moat_span *span, uint32_t slot, uint64_t seen, uint32_t *left) {
    uint64_t bit = UINT64_C(1) << slot % MOAT_SPAN_SLOTS;
    uint64_t life = seen >> LIFE_SHIFT;

    while ((seen & bit) != 0 && seen >> LIFE_SHIFT == life) {
        *left = (uint32_t)(seen & ~bit);
        /* R(reuse) A(reuse) A(loose) */
        if (moat_cas_acq_rel(&span->word[slot / MOAT_SPAN_SLOTS], &seen, seen & ~bit))
            return true;
    }
    return false;
}

/* Whether a loose span is worth having again, by what is left in a word that was given a slot: four
 * free ones. With less it would be full at once, and finding it so costs a walk over its words. */
static bool worth_having(uint32_t left) {
    uint32_t room = ~left;
    for (unsigned taken = 0; taken < 3; taken++)
        room &= room - 1;
    return room != 0;
}

enum moat_span_chore moat_span_given(struct moat_span *span, uint32_t left) {
    enum moat_span_chore chore = MOAT_SPAN_NOTHING;
    /* A(hand) */
    uint64_t phase = moat_load_acquire(&span->phase);

    /* R(hand) A(hand) */
    if (phase == MOAT_SPAN_LOOSE && worth_having(left) &&
        moat_cas_acq_rel(&span->phase, &phase, MOAT_SPAN_READY))
        chore = MOAT_SPAN_PUSH;
    else if (phase == MOAT_SPAN_READY && left == 0 && moat_span_empty(span))
        chore = MOAT_SPAN_EMPTY;
    return chore;
}

bool moat_span_leave(struct moat_span *span) {
    bool room = false;
    uint64_t phase = MOAT_SPAN_LOOSE;

    /* R(hand) */
    moat_store_release(&span->phase, MOAT_SPAN_LOOSE);
    /* Who gives a slot after the touch of its word finds the span loose. Who gave it before is seen
     * here. So no room goes unnoticed by both. */
    for (uint32_t number = 0; number < span->words; number++)
        /* R(loose) A(reuse) */
        if (room_in(span, number, moat_or_acq_rel(&span->word[number], 0)) != 0)
            room = true;
    /* R(hand) A(hand) */
    return room && moat_cas_acq_rel(&span->phase, &phase, MOAT_SPAN_READY);
}

void moat_span_set_ready(struct moat_span *span) {
    /* R(hand) */
    moat_store_release(&span->phase, MOAT_SPAN_READY);
}

void moat_span_set_hollow(struct moat_span *span) {
    /* R(hand) */
    moat_store_release(&span->phase, MOAT_SPAN_HOLLOW);
}

enum moat_span_find moat_span_found(struct moat_span *span) {
    /* A(hand) */
    uint64_t phase = moat_load_acquire(&span->phase);
    for (;;) {
        uint64_t next = phase == MOAT_SPAN_CLOSING ? MOAT_SPAN_TAKEN : MOAT_SPAN_BUSY;
        if (phase == MOAT_SPAN_HOLLOW)
            return MOAT_SPAN_FOUND_HOLLOW;
        /* R(hand) A(hand) */
        if (!moat_cas_acq_rel(&span->phase, &phase, next))
            continue;
        if (phase == MOAT_SPAN_CLOSING)
            return MOAT_SPAN_FOUND_CLOSING;
        return phase == MOAT_SPAN_IDLE ? MOAT_SPAN_FOUND_IDLE : MOAT_SPAN_FOUND;
    }
}

bool moat_span_rest(struct moat_span *span) {
    uint64_t phase = MOAT_SPAN_READY;
    /* R(hand) A(hand) */
    return moat_cas_acq_rel(&span->phase, &phase, MOAT_SPAN_IDLE);
}

bool moat_span_empty(const struct moat_span *span) {
    for (uint32_t number = 0; number < span->words; number++)
        /* relaxed: a first look; closing decides. */
        if (moat_load_relaxed(&span->word[number]) & SLOTS)
            return false;
    return true;
}

/* Close all words; or none, when one has a slot taken. */
static bool close_words(struct moat_span *span) {
    uint32_t number;
    for (number = 0; number < span->words; number++) {
        /* relaxed: A(reuse) below orders. */
        uint64_t word = moat_load_relaxed(&span->word[number]);
        bool closed = false;
        while ((word & SLOTS) == 0 && !closed)
            /* R(reuse) A(reuse) */
            closed = moat_cas_acq_rel(&span->word[number], &word, word | CLOSED);
        if (!closed)
            break;
    }
    if (number == span->words)
        return true;
    while (number-- > 0)
        /* R(reuse) A(reuse) */
        (void)moat_and_acq_rel(&span->word[number], ~CLOSED);
    return false;
}

/* Go on from closing; false: the header was popped meanwhile, and is nobody's but the caller's. */
static bool go_on(struct moat_span *span, enum moat_span_phase to) {
    uint64_t phase = MOAT_SPAN_CLOSING;
    /* R(hand) A(hand) */
    if (moat_cas_acq_rel(&span->phase, &phase, to))
        return true;
    /* R(hand) */
    moat_store_release(&span->phase, to);
    return false;
}

enum moat_span_close moat_span_close(struct moat_span *span, enum moat_span_phase from) {
    uint64_t phase = from;
    /* R(hand) A(hand) */
    if (!moat_cas_acq_rel(&span->phase, &phase, MOAT_SPAN_CLOSING))
        return MOAT_SPAN_OTHER;
    if (close_words(span))
        return MOAT_SPAN_CLOSED;
    return go_on(span, MOAT_SPAN_READY) ? MOAT_SPAN_IN_USE : MOAT_SPAN_LOST;
}

bool moat_span_closed(struct moat_span *span) {
    return !go_on(span, MOAT_SPAN_HOLLOW);
}

bool moat_span_close_only(struct moat_span *span, uint64_t seen) {
    uint64_t life = seen >> LIFE_SHIFT;
    while ((seen & 1) != 0 && seen >> LIFE_SHIFT == life)
        /* R(reuse) A(reuse) */
        if (moat_cas_acq_rel(&span->word[0], &seen, life << LIFE_SHIFT | CLOSED))
            return true;
    return false;
}

void moat_span_reopen_only(struct moat_span *span) {
    /* relaxed: a closed word is changed by nobody else. */
    uint64_t life = moat_load_relaxed(&span->word[0]) >> LIFE_SHIFT;
    /* R(reuse) */
    moat_store_release(&span->word[0], life << LIFE_SHIFT | 1);
}

void moat_span_mend_gone(struct moat_span *span) {
    for (uint32_t number = 0; number < span->words; number++) {
        /* relaxed: nobody else is here. */
        uint64_t word = moat_load_relaxed(&span->word[number]);
        /* R(reuse) */
        moat_store_release(&span->word[number], (word & ~SLOTS) | CLOSED);
    }
    /* R(place) */
    moat_store_release(&span->base, 0);
    moat_span_set_hollow(span);
}

/* One that was being opened has a region that no block of its words was ever in: its life is to
 * begin in all of them. One that was being closed goes on in the same life. */
void moat_span_mend(struct moat_span *span) {
    /* A(hand) */
    bool opening = moat_load_acquire(&span->phase) == MOAT_SPAN_BUSY;

    for (uint32_t number = 0; number < span->words; number++) {
        /* relaxed: nobody else is here. */
        uint64_t word = moat_load_relaxed(&span->word[number]);
        if (!(word & CLOSED))
            continue;
        uint64_t life = (word >> LIFE_SHIFT) + (opening ? 1 : 0);
        /* R(open) */
        moat_store_release(&span->word[number], life << LIFE_SHIFT);
    }
}

bool moat_span_is_closed(const struct moat_span *span) {
    /* relaxed: nobody else is here. */
    return (moat_load_relaxed(&span->word[0]) & CLOSED) != 0;
}

bool moat_span_is_full(const struct moat_span *span) {
    for (uint32_t number = 0; number < span->words; number++)
        /* relaxed: nobody else is here. */
        if (room_in(span, number, moat_load_relaxed(&span->word[number])) != 0)
            return false;
    return true;
}

void moat_span_set_loose(struct moat_span *span) {
    /* R(hand) */
    moat_store_release(&span->phase, MOAT_SPAN_LOOSE);
}

void moat_span_set_busy(struct moat_span *span) {
    /* R(hand) */
    moat_store_release(&span->phase, MOAT_SPAN_BUSY);
}

void moat_span_clear(struct moat_span_stack *stack) {
    /* relaxed: nobody else is here; the count goes on, so that who comes later is not fooled. */
    uint64_t head = moat_load_relaxed(&stack->head);
    /* R(stock) */
    moat_store_release(&stack->head, ((head >> NUMBER_BITS) + 1) << NUMBER_BITS);
}
