/* SPDX-License-Identifier: MIT */
/*
 * Nobody oversleeps. Two threads are refused and go to sleep on the word that they got, while what
 * they wait for is given back: each that falls asleep is woken.
 *
 * The futex: who goes to sleep compares the word in one step with queueing up, and who wakes does
 * so after the step that reported sleepers. So a step on the word itself stands for the sleep.
 */
#include <assert.h>
#include <pthread.h>
#include <stddef.h>

#include "lockfree/region_life.c"

static _Atomic uint64_t life = UINT64_C(1) << 32 | 1; /* stripe 0 is held */
static bool asleep[2], woken[2];

static bool falls_asleep(uint32_t seen) {
    return (uint32_t)moat_add_acq_rel(&life, 0) == seen;
}

static void *enter(void *none) {
    uint32_t seen;

    if (moat_life_enter(&life, 1, 1, false, &seen) != MOAT_LIFE_OK)
        asleep[0] = falls_asleep(seen);
    else
        woken[0] = moat_life_leave(&life, 1);
    return none;
}

static void *closer(void *none) {
    uint32_t seen;
    enum moat_life_status status = moat_life_close(&life, 1, false, &seen);

    assert(status == MOAT_LIFE_OK || status == MOAT_LIFE_BUSY);
    if (status == MOAT_LIFE_BUSY && moat_life_drained(&life, &seen) == MOAT_LIFE_BUSY)
        asleep[1] = falls_asleep(seen);
    return none;
}

static void *leave(void *none) {
    woken[1] = moat_life_leave(&life, 1);
    return none;
}

int main(void) {
    pthread_t thread[3];

    pthread_create(&thread[0], NULL, enter, NULL);
    pthread_create(&thread[1], NULL, closer, NULL);
    pthread_create(&thread[2], NULL, leave, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    /* Who was refused by the closing bit sleeps until the close is decided. */
    assert(!asleep[1] || woken[0] || woken[1]);
    assert(!asleep[0] || woken[1] || moat_life_reopen(&life));
    return 0;
}
