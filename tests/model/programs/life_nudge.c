/* SPDX-License-Identifier: MIT */
/*
 * Waits that are called off: the caller writes that they are, then nudges. Three threads wait in
 * three ways for a stripe that nobody gives back; each that falls asleep all the same is woken.
 *
 * Edges: nudge (-> enter, close, drained, lock).
 */
#include <assert.h>
#include <pthread.h>
#include <stddef.h>

#include "lockfree/region_life.c"

static _Atomic uint64_t life = UINT64_C(1) << 32 | 1; /* stripe 0 is held */
static _Atomic uint64_t called_off;
static bool asleep[2], woken;

/* See life_sleep.c. The flag is looked at as late as can be. */
static bool falls_asleep(uint32_t seen) {
    return atomic_load_explicit(&called_off, memory_order_relaxed) == 0 &&
           (uint32_t)moat_add_acq_rel(&life, 0) == seen;
}

static void *enter(void *none) {
    uint32_t seen;

    assert(moat_life_enter(&life, 1, 1, false, &seen) != MOAT_LIFE_OK);
    asleep[0] = falls_asleep(seen);
    return none;
}

static void *lock(void *none) {
    uint32_t seen;

    assert(moat_life_lock(&life, 1, &seen) == MOAT_LIFE_BUSY);
    if (moat_life_drained(&life, &seen) == MOAT_LIFE_BUSY)
        asleep[1] = falls_asleep(seen);
    return none;
}

static void *call_off(void *none) {
    atomic_store_explicit(&called_off, 1, memory_order_relaxed);
    woken = moat_life_nudge(&life);
    return none;
}

int main(void) {
    pthread_t thread[3];

    pthread_create(&thread[0], NULL, enter, NULL);
    pthread_create(&thread[1], NULL, lock, NULL);
    pthread_create(&thread[2], NULL, call_off, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    assert(!asleep[0] || woken);
    assert(!asleep[1] || woken);
    return 0;
}
