/* SPDX-License-Identifier: MIT */
/*
 * A thread closes or has it locked, and gives up or unlocks, while two others are kept out by that:
 * whoever falls asleep is woken.
 *
 * Edges: close, lock; the waiters bit of enter, close, lock, reopen and unlock.
 */
#include "tiny_futex.h"

static _Atomic uint64_t life;
static bool (*let_in)(_Atomic uint64_t *);

static void *open(void *none) {
    if (let_in(&life))
        futex_wake(0);
    return none;
}

static void *enter_or_close(void *none) {
    uint32_t seen;
    enum moat_life_status status = moat_life_enter(&life, 1, 1, false, &seen);

    if (status == MOAT_LIFE_OK) {
        if (moat_life_leave(&life, 1))
            futex_wake(1);
    } else {
        futex_wait(&life, 0, seen);
    }
    return none;
}

static void *close_or_lock(void *none) {
    uint32_t seen;
    bool closing = let_in == moat_life_reopen;
    enum moat_life_status status =
        closing ? moat_life_close(&life, 1, false, &seen) : moat_life_lock(&life, 1, &seen);

    if (status == MOAT_LIFE_CLOSING || status == MOAT_LIFE_LOCKED)
        futex_wait(&life, 1, seen);
    else if (let_in(&life))
        futex_wake(1);
    return none;
}

#ifndef LET_IN
#define LET_IN moat_life_reopen
#define HELD   MOAT_LIFE_CLOSING_BIT
#endif

int main(void) {
    let_in = LET_IN;
    atomic_init(&life, UINT64_C(1) << 32 | HELD);
    run((void *(*const[])(void *)){open, enter_or_close, close_or_lock}, 3);
    nobody_oversleeps();
    return 0;
}
