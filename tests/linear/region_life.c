/* SPDX-License-Identifier: MIT */
/*
 * region_life: is every history of a life word one that a word changed step by step could have had,
 * to the last bit of each answer? Threads enter, close, lock and are born again, and give up half-
 * way: closes and locks whose stripes do not drain are rolled back, as they are at a deadline.
 *
 * Usage: linear_region_life [--seconds N] [--seed S]
 */
#include "lockfree/region_life.h"

#include "support/life_spec.h"
#include "support/run.h"

#include <stdio.h>

enum { THREADS = 4, CALLS = 3000, WORDS = 3, STRIPES = 4, PATIENCE = 3 };

#define CONFLICTS_MIN 3000

enum plant { NONE, LOCK_NOT_LOOKED_AT, WAKE_UP_LOST, GENERATION_NOT_COMPARED, DRAINED_TOO_SOON };

static const struct linear_plant plants[] = {
    {"an enter that does not look at the lock", LOCK_NOT_LOOKED_AT},
    {"a leave that does not tell of waiters", WAKE_UP_LOST},
    {"an enter that takes whatever life there is", GENERATION_NOT_COMPARED},
    {"a drain that does not wait", DRAINED_TOO_SOON},
};

struct thread {
    struct linear_log log;
    uint64_t random;
};

static _Atomic uint64_t words[WORDS];
static struct thread threads[THREADS];
static _Atomic unsigned rolled_back, lives;
static enum plant plant;

/* The call itself. Statuses of those that have none are what they return. */
static uint32_t perform(_Atomic uint64_t *life, enum life_kind kind, const uint32_t *argument,
                        uint32_t *seen) {
    uint32_t generation = argument[0];

    switch (kind) {
    case LIFE_GENERATION:
        return moat_life_generation(life);
    case LIFE_HELD:
        return moat_life_held(life);
    case LIFE_LOCKED:
        return moat_life_locked(life);
    case LIFE_ENTER:
        if (plant == GENERATION_NOT_COMPARED)
            generation = moat_life_generation(life);
        return moat_life_enter(life, generation, argument[1],
                               argument[2] || plant == LOCK_NOT_LOOKED_AT, seen);
    case LIFE_LEAVE:
        return moat_life_leave(life, argument[0]) && plant != WAKE_UP_LOST;
    case LIFE_CLOSE:
        return moat_life_close(life, generation, argument[1], seen);
    case LIFE_DRAINED:
        return plant == DRAINED_TOO_SOON ? MOAT_LIFE_OK : moat_life_drained(life, seen);
    case LIFE_REOPEN:
        return moat_life_reopen(life);
    case LIFE_DEATH:
        return moat_life_death(life);
    case LIFE_BIRTH:
        moat_life_birth(life, &generation);
        return generation;
    case LIFE_LOCK:
        return moat_life_lock(life, generation, seen);
    case LIFE_UNLOCK:
        return moat_life_unlock(life);
    default:
        return moat_life_nudge(life);
    }
}

static uint32_t call(struct thread *self, unsigned word, enum life_kind kind, uint32_t first,
                     uint32_t second, uint32_t third) {
    const uint32_t argument[LINEAR_ARGUMENTS] = {first, second, third};
    struct linear_call *call = linear_start(&self->log, kind, word, argument);
    uint32_t seen = 0, result;

    linear_pause(&self->random);
    result = perform(&words[word], kind, argument, &seen);
    linear_pause(&self->random);
    linear_end(call, result, seen);
    return result;
}

static void work(struct thread *self, unsigned word, uint32_t generation, bool holder) {
    uint32_t stripes = 1 + linear_below(&self->random, (1u << STRIPES) - 1);

    if (call(self, word, LIFE_ENTER, generation, stripes, holder) != MOAT_LIFE_OK)
        return;
    linear_pause(&self->random);
    call(self, word, LIFE_LEAVE, stripes, 0, 0);
}

/* Wait for the stripes, up to a deadline. */
static bool drain(struct thread *self, unsigned word) {
    for (unsigned tries = 0; tries < PATIENCE; tries++)
        if (call(self, word, LIFE_DRAINED, 0, 0, 0) == MOAT_LIFE_OK)
            return true;
    atomic_fetch_add(&rolled_back, 1);
    return false;
}

/* True: that life is over. */
static bool close_and_end(struct thread *self, unsigned word, uint32_t generation, bool holder) {
    uint32_t status = call(self, word, LIFE_CLOSE, generation, holder, 0);

    if (status != MOAT_LIFE_OK && status != MOAT_LIFE_BUSY)
        return false;
    if ((status == MOAT_LIFE_BUSY && !drain(self, word)) || linear_below(&self->random, 2)) {
        call(self, word, LIFE_REOPEN, 0, 0, 0);
        return false;
    }
    call(self, word, LIFE_DEATH, 0, 0, 0);
    linear_pause(&self->random);
    call(self, word, LIFE_BIRTH, 0, 0, 0);
    atomic_fetch_add(&lives, 1);
    return true;
}

static void lock_and_work(struct thread *self, unsigned word, uint32_t generation) {
    uint32_t status = call(self, word, LIFE_LOCK, generation, 0, 0);

    if (status != MOAT_LIFE_OK && status != MOAT_LIFE_BUSY)
        return;
    if (status == MOAT_LIFE_OK || drain(self, word)) {
        work(self, word, generation, true);
        if (linear_below(&self->random, 4) == 0 && close_and_end(self, word, generation, true))
            return; /* the lock has ended with the life */
    }
    call(self, word, LIFE_UNLOCK, 0, 0, 0);
}

static void run(unsigned number) {
    struct thread *self = &threads[number];
    uint32_t known[WORDS] = {0};

    while (self->log.count < CALLS) {
        unsigned word = linear_below(&self->random, WORDS), what = linear_below(&self->random, 16);

        /* At times an old generation is used, which has to be found out. */
        if (!known[word] || linear_below(&self->random, 4))
            known[word] = call(self, word, LIFE_GENERATION, 0, 0, 0);
        if (what < 8)
            work(self, word, known[word], false);
        else if (what < 11)
            close_and_end(self, word, known[word], false);
        else if (what < 14)
            lock_and_work(self, word, known[word]);
        else
            call(self, word, what == 14 ? LIFE_NUDGE : LIFE_HELD, 0, 0, 0);
        if (what == 0)
            call(self, word, LIFE_LOCKED, 0, 0, 0);
    }
}

static void play(int planted, uint64_t seed, bool quiet, struct linear_sum *sum) {
    struct linear_log logs[THREADS];
    uint32_t generation;

    plant = (enum plant)planted;
    for (unsigned i = 0; i < WORDS; i++) {
        atomic_store(&words[i], 0);
        moat_life_birth(&words[i], &generation);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        threads[i] = (struct thread){.random = linear_random(&seed)};
        linear_log_open(&threads[i].log, (uint16_t)i, CALLS + 32);
    }
    linear_threads(THREADS, seed, run);
    for (unsigned i = 0; i < THREADS; i++)
        logs[i] = threads[i].log;
    linear_judge(&life_spec, logs, THREADS, UINT64_C(1) << 32, quiet, sum);
    for (unsigned i = 0; i < THREADS; i++)
        linear_log_close(&threads[i].log);
}

int main(int argc, char **argv) {
    struct linear_run of = linear_arguments(argc, argv, 2);
    int result = linear_play("life word", &of, CONFLICTS_MIN, play, plants,
                             sizeof plants / sizeof plants[0]);

    printf("%u lives, %u closes and locks rolled back\n", lives, rolled_back);
    return result;
}
