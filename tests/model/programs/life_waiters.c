/* SPDX-License-Identifier: MIT */
/*
 * Each step that reports sleepers reports them once: the next one finds none, and wakes nobody.
 */
#include "tiny_futex.h"

#define ALIVE (UINT64_C(1) << 32)

static _Atomic uint64_t life;

static void *leave_and_mend(void *none) {
    moat_store_relaxed(&life, ALIVE | MOAT_LIFE_WAITERS_BIT | 3);
    assert(moat_life_leave(&life, 1) && !moat_life_leave(&life, 2));
    moat_store_relaxed(&life, ALIVE | MOAT_LIFE_WAITERS_BIT | 3);
    assert(moat_life_mend(&life, 1) && !moat_life_mend(&life, 2));
    moat_store_relaxed(&life, ALIVE | MOAT_LIFE_WAITERS_BIT | 3);
    assert(moat_life_nudge(&life) && !moat_life_nudge(&life));
    return none;
}

static void *reopen_and_unlock(void *none) {
    moat_store_relaxed(&life, ALIVE | MOAT_LIFE_WAITERS_BIT | MOAT_LIFE_CLOSING_BIT);
    assert(moat_life_reopen(&life) && !moat_life_nudge(&life));
    moat_store_relaxed(&life, ALIVE | MOAT_LIFE_WAITERS_BIT | MOAT_LIFE_LOCKED_BIT);
    assert(moat_life_unlock(&life) && !moat_life_nudge(&life));
    return none;
}

int main(void) {
    leave_and_mend(NULL);
    reopen_and_unlock(NULL);
    return 0;
}
