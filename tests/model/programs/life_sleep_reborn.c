/* SPDX-License-Identifier: MIT */
/*
 * A life ends, the record begins another, and that is closed as well, by somebody who takes his
 * time, and keeps a third thread out. Whoever waited for the end of the first life does not wait
 * for him: either he is woken, or he does not fall asleep.
 *
 * Edges: close, birth; the tick of death and birth.
 */
#include "tiny_futex.h"

static _Atomic uint64_t life = UINT64_C(1) << 32 | MOAT_LIFE_CLOSING_BIT;

static void *end_and_begin(void *none) {
    uint32_t generation, seen;

    if (moat_life_death(&life))
        futex_wake(0);
    moat_life_birth(&life, &generation);
    moat_life_close(&life, generation, false, &seen);
    return none;
}

static void *wait_for_the_end(void *none) {
    uint32_t seen;

    if (moat_life_enter(&life, 1, 1, false, &seen) == MOAT_LIFE_CLOSING)
        futex_wait(&life, 0, seen);
    return none;
}

static void *enter_the_next(void *none) {
    uint32_t seen;

    moat_life_enter(&life, 3, 1, false, &seen);
    return none;
}

int main(void) {
    run((void *(*const[])(void *)){end_and_begin, wait_for_the_end, enter_the_next}, 3);
    nobody_oversleeps();
    return 0;
}
