/* SPDX-License-Identifier: MIT */
/*
 * Waits that are called off: the caller writes that they are, then nudges. Two threads wait, one of
 * them in three ways, for a stripe that nobody gives back: whoever falls asleep is woken.
 *
 * Edges: nudge (-> enter, close, drained, lock).
 */
#include "tiny_futex.h"

static _Atomic uint64_t life = UINT64_C(1) << 32 | 1; /* stripe 0 is held */
static _Atomic uint64_t called_off;

static void wait_unless_called_off(unsigned sleeper, uint32_t seen) {
    if (moat_load_relaxed(&called_off) == 0)
        futex_wait(&life, sleeper, seen);
}

static void *enter(void *none) {
    uint32_t seen;

    if (moat_life_enter(&life, 1, 1, false, &seen) != MOAT_LIFE_OK)
        wait_unless_called_off(0, seen);
    return none;
}

#ifndef TRY
#define TRY moat_life_lock(&life, 1, &seen)
#endif

static void *wait_for_all(void *none) {
    uint32_t seen;

    if (TRY == MOAT_LIFE_BUSY && moat_life_drained(&life, &seen) == MOAT_LIFE_BUSY)
        wait_unless_called_off(1, seen);
    return none;
}

static void *call_off(void *none) {
    moat_store_relaxed(&called_off, 1);
    if (moat_life_nudge(&life))
        futex_wake(0);
    return none;
}

int main(void) {
    run((void *(*const[])(void *)){enter, wait_for_all, call_off}, 3);
    nobody_oversleeps();
    return 0;
}
