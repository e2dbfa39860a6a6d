/* SPDX-License-Identifier: MIT */
/*
 * Every interleaving, up to a bound, of threads that enter, lock, close, reopen and end a life and
 * sleep on its low word: stripes exclude each other, who locks or closes is alone, one closer ends
 * the life, nobody gets into a life that is not the one it knows, and nobody sleeps for ever, also
 * when a lock is never given back and the waits for it are called off.
 */
#include "support/explore.h"

#include "support/pairs.h"

#include "support/plants.h"

#include "lockfree/region_life.c"

static _Atomic uint64_t life;
static uint32_t first_life;
static unsigned inside[2]; /* threads that hold a stripe */
static unsigned alone;     /* threads that have closed or locked */
static _Atomic uint64_t called_off;
static unsigned deaths;
static unsigned rounds; /* entries that succeeded */

static void reset(void) {
    life = 0;
    memset(inside, 0, sizeof(inside));
    alone = deaths = rounds = 0;
    called_off = 0;
    moat_life_birth(&life, &first_life);
}

enum { WORK, CLOSE, END, REOPEN, LOCK, UNLOCK, NUDGE, MEND, LIFE_KINDS };
static const char *const life_kinds[] = {"work", "close",  "end",   "reopen",
                                         "lock", "unlock", "nudge", "mend"};

/* What a futex does: sleep only if the word is still the one seen, all in one step. */
static void sleep_on(uint32_t seen) {
    if ((uint32_t)moat_load_acquire(&life) == seen)
        explore_sleep();
}

static void wake_if(bool somebody) {
    if (somebody)
        explore_wake_all();
}

static void work(uint32_t generation, uint32_t stripes) {
    enum moat_life_status status;
    uint32_t seen;

    pairs_begin(WORK);
    while ((status = moat_life_enter(&life, generation, stripes, false, &seen)) != MOAT_LIFE_OK) {
        if (status == MOAT_LIFE_GONE || moat_load_acquire(&called_off) != 0)
            return;
        sleep_on(seen);
    }
    explore_touch(inside, WRITES);
    rounds++;
    for (unsigned i = 0; i < 2; i++) {
        if (stripes >> i & 1 && inside[i]++ != 0)
            explore_fail("two threads hold one stripe");
    }
    if (alone != 0)
        explore_fail("a thread entered while another was alone");
    if (moat_life_generation(&life) != generation)
        explore_fail("a thread entered another life");
    explore_touch(inside, WRITES);
    for (unsigned i = 0; i < 2; i++)
        inside[i] -= stripes >> i & 1;
    wake_if(moat_life_leave(&life, stripes));
    pairs_end();
}

static void be_alone(void) {
    explore_touch(inside, WRITES);
    if (alone++ != 0 || inside[0] + inside[1] != 0)
        explore_fail("who closed or locked is not alone");
}

static void drain(enum moat_life_status status, uint32_t seen) {
    while (status == MOAT_LIFE_BUSY) {
        sleep_on(seen);
        status = moat_life_drained(&life, &seen);
    }
}

/* Returns whether this thread locked. */
static bool lock_alone(uint32_t generation) {
    enum moat_life_status status;
    uint32_t seen;

    pairs_begin(LOCK);
    while ((status = moat_life_lock(&life, generation, &seen)) == MOAT_LIFE_CLOSING ||
           status == MOAT_LIFE_LOCKED)
        sleep_on(seen);
    if (status == MOAT_LIFE_GONE)
        return false;
    drain(status, seen);
    be_alone();
    return true;
}

/* Returns whether this thread closed: not when another one has it locked. */
static bool close_alone(uint32_t generation) {
    enum moat_life_status status;
    uint32_t seen;

    pairs_begin(CLOSE);
    while ((status = moat_life_close(&life, generation, false, &seen)) == MOAT_LIFE_CLOSING)
        sleep_on(seen);
    if (status == MOAT_LIFE_GONE || status == MOAT_LIFE_LOCKED)
        return false;
    drain(status, seen);
    be_alone();
    return true;
}

static void work_first(void) {
    work(first_life, 1);
}
static void work_both(void) {
    work(first_life, 3);
    work(first_life, 2);
}
static void work_all(void) {
    work(first_life, MOAT_LIFE_STRIPES_ALL);
}
static void end_life(void) {
    if (!close_alone(first_life))
        return;
    explore_touch(inside, WRITES);
    alone--;
    deaths++;
    pairs_begin(END);
    wake_if(moat_life_death(&life));
    pairs_end();
}
static void end_and_begin(void) {
    uint32_t generation;

    if (!close_alone(first_life))
        return;
    explore_touch(inside, WRITES);
    alone--;
    deaths++;
    pairs_begin(END);
    wake_if(moat_life_death(&life));
    pairs_end();
    moat_life_birth(&life, &generation);
    work(generation, 1);
}
static void give_up_then_end(void) {
    if (!close_alone(first_life))
        return;
    explore_touch(inside, WRITES);
    alone--;
    pairs_begin(REOPEN);
    wake_if(moat_life_reopen(&life));
    pairs_end();
    end_life();
}

static void lock_and_unlock(void) {
    if (!lock_alone(first_life))
        return;
    explore_touch(inside, WRITES);
    alone--;
    pairs_begin(UNLOCK);
    wake_if(moat_life_unlock(&life));
    pairs_end();
}
static void lock_work_end(void) {
    uint32_t seen;

    if (!lock_alone(first_life))
        return;
    if (moat_life_enter(&life, first_life, 1, true, &seen) != MOAT_LIFE_OK)
        explore_fail("the holder of a lock does not get in");
    wake_if(moat_life_leave(&life, 1));
    if (moat_life_close(&life, first_life, true, &seen) != MOAT_LIFE_OK)
        explore_fail("the holder of a lock does not get to close");
    explore_touch(inside, WRITES);
    alone--;
    deaths++;
    pairs_begin(END);
    wake_if(moat_life_death(&life));
    pairs_end();
}
/* A close and a lock whose time is over while stripes are held: rolled back, they left nothing. */
static void close_times_out(void) {
    uint32_t seen;

    pairs_begin(CLOSE);
    enum moat_life_status status = moat_life_close(&life, first_life, false, &seen);

    if (status != MOAT_LIFE_BUSY && status != MOAT_LIFE_OK)
        return;
    pairs_begin(REOPEN);
    wake_if(moat_life_reopen(&life));
    pairs_end();
}
static void lock_times_out(void) {
    uint32_t seen;

    pairs_begin(LOCK);
    enum moat_life_status status = moat_life_lock(&life, first_life, &seen);

    if (status != MOAT_LIFE_BUSY && status != MOAT_LIFE_OK)
        return;
    pairs_begin(UNLOCK);
    wake_if(moat_life_unlock(&life));
    pairs_end();
}
static void nudge(void) {
    pairs_begin(NUDGE);
    wake_if(moat_life_nudge(&life));
    pairs_end();
}
static void lock_for_ever(void) {
    (void)lock_alone(first_life);
    explore_touch(inside, WRITES);
    alone--;
}
static void call_off(void) {
    moat_store_release(&called_off, 1);
    pairs_begin(NUDGE);
    wake_if(moat_life_nudge(&life));
    pairs_end();
}

/* What a forked child finds: one thread held a stripe and the lock, another one was closing. */
static void reset_with_dead(void) {
    uint32_t seen;

    reset();
    (void)moat_life_enter(&life, first_life, 1, false, &seen);
    (void)moat_life_lock(&life, first_life, &seen);
    (void)moat_life_close(&life, first_life, true, &seen);
}
static void mend(void) {
    uint32_t held = moat_life_held(&life);

    if (held != (MOAT_LIFE_CLOSING_BIT | MOAT_LIFE_LOCKED_BIT | 1))
        explore_fail("somebody got past what the dead hold");
    pairs_begin(MEND);
    wake_if(moat_life_mend(&life, held));
    pairs_end();
}
/* A lock of the dead would be refused, so this one waits for stripes and closing alone. */
static void close_after_dead(void) {
    uint32_t seen;

    pairs_begin(CLOSE);
    while (moat_life_close(&life, first_life, true, &seen) == MOAT_LIFE_CLOSING)
        sleep_on(seen);
    be_alone();
    explore_touch(inside, WRITES);
    alone--;
    deaths++;
    pairs_begin(END);
    wake_if(moat_life_death(&life));
    pairs_end();
}

static void check_quiet(void) {
}

static void check(void) {
    bool parked = false;

    for (unsigned i = 0; i < explorer.thread_count; i++)
        parked |= explore_is_parked(i);
    if (deaths > 1)
        explore_fail("one life ended twice");
    if (!parked && ((uint32_t)life & ~MOAT_LIFE_TICK_BITS) != 0)
        explore_fail("something is still held when all is quiet");
}

static void check_one_death(void) {
    check();
    if (deaths != 1)
        explore_fail("no closer ended the life");
}

static void check_all_rounds(void) {
    check();
    if (rounds != 4)
        explore_fail("a thread did not get in");
}

static const struct scenario scenarios[] = {
    {"stripes", reset, {work_first, work_both, work_all}, check_all_rounds, 4},
    {"work against an end", reset, {work_both, end_life}, check_one_death, 8},
    {"work against two ends", reset, {work_first, end_life, end_life}, check_one_death, 4},
    {"work against a new life", reset, {work_both, end_and_begin}, check_one_death, 6},
    {"an end given up", reset, {work_both, give_up_then_end, end_life}, check_one_death, 3},
    {"two ends and a new life", reset, {end_and_begin, end_life, work_first}, check_one_death, 4},
    {"two locks and work", reset, {lock_and_unlock, lock_and_unlock, work_both}, check, 3},
    {"a lock against an end", reset, {lock_and_unlock, give_up_then_end, work_first}, check, 3},
    {"a close that times out", reset, {work_both, close_times_out, end_life}, check_one_death, 4},
    {"two closes that time out", reset, {work_first, close_times_out, close_times_out}, check, 4},
    {"a lock that times out", reset, {work_both, lock_times_out, end_life}, check, 4},
    {"locks that time out", reset, {work_first, lock_times_out, lock_and_unlock}, check, 4},
    {"a lock and a close that time out",
     reset,
     {work_first, lock_times_out, close_times_out},
     check,
     4},
    {"a nudge beside a close", reset, {work_first, close_times_out, nudge}, check, 4},
    {"a nudge beside a lock", reset, {work_first, lock_times_out, nudge}, check, 4},
    {"a nudge beside an end", reset, {work_first, end_life, nudge}, check_one_death, 4},
    {"two nudges", reset, {nudge, nudge, work_first}, check, 4},
    {"the holder ends", reset, {lock_work_end, end_life, work_first}, check_one_death, 4},
    {"waits called off", reset, {lock_for_ever, work_both, call_off}, check_quiet, 6},
    {"what the dead held", reset_with_dead, {mend, work_both, work_first}, check, 4},
    {"an end of the dead", reset_with_dead, {mend, close_after_dead}, check_one_death, 6},
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

/* Neither the generation nor the tick, which an end changes too, is compared. */
static bool cas_any_life(_Atomic uint64_t *at, uint64_t *expected, uint64_t desired, bool *result) {
    const uint64_t low = UINT32_MAX & ~(uint64_t)MOAT_LIFE_TICK_BITS;
    uint64_t other = real_load(at) & ~low;

    *expected = other | (*expected & low);
    *result = real_cas(at, expected, other | (desired & low));
    return true;
}

/* Whoever leaves or reopens is not told of sleepers. */
static bool mask_no_wake(_Atomic uint64_t *at, uint64_t value, uint64_t *result) {
    if (value >> 32 != UINT32_MAX)
        return false;
    *result = real_and(at, value) & ~(uint64_t)MOAT_LIFE_WAITERS_BIT;
    return true;
}

/* The end of a life does not change its generation: what a pool without generations would do. */
static bool mask_same_generation(_Atomic uint64_t *at, uint64_t value, uint64_t *result) {
    if (value >> 32 == UINT32_MAX)
        return false;
    *result = real_exchange(at, value - (UINT64_C(2) << 32));
    return true;
}

/* The lock is not looked at. */
static bool cas_past_lock(_Atomic uint64_t *at, uint64_t *expected, uint64_t desired,
                          bool *result) {
    if (*expected & MOAT_LIFE_LOCKED_BIT || !(real_load(at) & MOAT_LIFE_LOCKED_BIT))
        return false;
    *expected |= MOAT_LIFE_LOCKED_BIT;
    *result = real_cas(at, expected, desired | MOAT_LIFE_LOCKED_BIT);
    return true;
}

/* Waits are called off without those who are just going to sleep. */
static bool cas_nudge_loses(_Atomic uint64_t *at, uint64_t *expected, uint64_t desired,
                            bool *result) {
    if (((*expected ^ desired) & MOAT_LIFE_TICK_BITS) == 0)
        return false;
    *expected = real_load(at);
    *result = true;
    return true;
}

static const struct {
    const char *name;
    bool (*cas)(_Atomic uint64_t *, uint64_t *, uint64_t, bool *);
    bool (*mask)(_Atomic uint64_t *, uint64_t, uint64_t *);
} plants[] = {
    {.name = "generation not compared", .cas = cas_any_life},
    {.name = "sleepers not woken", .mask = mask_no_wake},
    {.name = "generation comes again", .mask = mask_same_generation},
    {.name = "lock not looked at", .cas = cas_past_lock},
    {.name = "waiters bit outlives a nudge", .cas = cas_nudge_loses},
};

/* What one thread alone may do at a time, or only before others may: of a bit for each kind. */
static const unsigned never[LIFE_KINDS] = {
    [END] = 1u << END | 1u << REOPEN | 1u << UNLOCK,
    [REOPEN] = 1u << REOPEN,
    [UNLOCK] = 1u << UNLOCK | 1u << REOPEN,
    [MEND] = 1u << MEND | 1u << END | 1u << REOPEN | 1u << LOCK | 1u << UNLOCK | 1u << NUDGE,
};

/* Arguments: explore so many preemptions more; "all": without reduction. */
int main(int argc, char **argv) {
    unsigned more = explore_arguments(argc, argv);
    int bad = 0;

    bad += explore_every(scenarios, SCENARIOS, more, false);
    bad += pairs_report(life_kinds, LIFE_KINDS, never);
    for (unsigned i = 0; i < sizeof(plants) / sizeof(plants[0]); i++) {
        plant.cas = plants[i].cas;
        plant.mask = plants[i].mask;
        bad += explore_planted(scenarios, SCENARIOS, plants[i].name);
    }
    return bad != 0;
}
