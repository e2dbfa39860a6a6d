/* SPDX-License-Identifier: MIT */
/*
 * tiny_futex: sleeping on the low half of a life word, without a kernel.
 *
 * The kernel queues a sleeper up and compares the word under a lock that who wakes takes as well.
 * One word of queued sleepers stands for both: a step on it before the compare, a step on it by who
 * wakes. A sleeper whose compare held and who was in nobody's queue sleeps for ever.
 */
#ifndef MOAT_TESTS_MODEL_PROGRAMS_TINY_FUTEX_H
#define MOAT_TESTS_MODEL_PROGRAMS_TINY_FUTEX_H

#include <assert.h>
#include <pthread.h>
#include <stddef.h>

#include "lockfree/region_life.c"

static _Atomic uint64_t queued;      /* a bit a sleeper */
static uint64_t asleep[2], woken[2]; /* by sleeper; by who wakes */

static void futex_wait(_Atomic uint64_t *life, unsigned sleeper, uint32_t seen) {
    moat_or_acq_rel(&queued, UINT64_C(1) << sleeper);
    asleep[sleeper] = (uint32_t)moat_load_relaxed(life) == seen;
}

/* For whoever was told that there are sleepers. */
static void futex_wake(unsigned waker) {
    woken[waker] |= moat_exchange_acq_rel(&queued, 0);
}

static void nobody_oversleeps(void) {
    for (unsigned i = 0; i < 2; i++)
        assert(!asleep[i] || ((woken[0] | woken[1]) >> i & 1) != 0);
}

static void run(void *(*const body[])(void *), unsigned count) {
    pthread_t thread[3];

    for (unsigned i = 0; i < count; i++)
        pthread_create(&thread[i], NULL, body[i], NULL);
    for (unsigned i = 0; i < count; i++)
        pthread_join(thread[i], NULL);
}

#endif
