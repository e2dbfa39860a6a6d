/* SPDX-License-Identifier: MIT */
/*
 * Two stripes are held and given back one after the other, while one thread wants the first and
 * another wants all, to close: whoever falls asleep is woken.
 *
 * Edges: stripe; the waiters bit of enter, close, drained and leave.
 */
#include "tiny_futex.h"

static _Atomic uint64_t life = UINT64_C(1) << 32 | 3; /* stripes 0 and 1 are held */

static void *leave(void *none) {
    for (uint32_t stripe = 1; stripe <= 2; stripe++) {
        if (moat_life_leave(&life, stripe))
            futex_wake(0);
    }
    return none;
}

static void *enter(void *none) {
    uint32_t seen;
    enum moat_life_status status = moat_life_enter(&life, 1, 1, false, &seen);

    if (status == MOAT_LIFE_BUSY)
        futex_wait(&life, 0, seen);
    if (status == MOAT_LIFE_OK && moat_life_leave(&life, 1))
        futex_wake(1);
    return none;
}

static void *closer(void *none) {
    uint32_t seen;

    if (moat_life_close(&life, 1, false, &seen) == MOAT_LIFE_BUSY &&
        moat_life_drained(&life, &seen) == MOAT_LIFE_BUSY)
        futex_wait(&life, 1, seen);
    return none;
}

int main(void) {
    run((void *(*const[])(void *)){leave, enter, closer}, 3);
    nobody_oversleeps();
    return 0;
}
