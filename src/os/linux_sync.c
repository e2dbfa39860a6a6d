/* SPDX-License-Identifier: MIT */
/*
 * linux_sync: the clock, and sleeping on a word.
 *
 * Futexes take an absolute deadline here, so a sleeper that is woken for nothing sleeps on to the
 * same moment. The word may be gone by the time of a wake: the kernel then finds nobody there.
 */
#define _GNU_SOURCE
#include "os/linux_internal.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { NANOSECONDS = 1000000000 };

uint64_t moat_os_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NANOSECONDS + (uint64_t)now.tv_nsec;
}

uint64_t moat_os_clock_coarse(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * NANOSECONDS + (uint64_t)now.tv_nsec;
}

int moat_os_wait(const void *word, uint32_t value, uint64_t deadline) {
    int saved = errno;
    struct timespec until = {
        .tv_sec = (time_t)(deadline / NANOSECONDS),
        .tv_nsec = (long)(deadline % NANOSECONDS),
    };
    long outcome = syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, value, &until,
                           NULL, FUTEX_BITSET_MATCH_ANY);
    int error = moat_linux_result(outcome, saved);
    /* EAGAIN: the value differs. EINTR: a signal, spurious to the caller. */
    return error == EAGAIN || error == EINTR ? 0 : error;
}

void moat_os_nap(uint64_t duration) {
    static const uint32_t nothing;
    (void)moat_os_wait(&nothing, 0, moat_os_clock() + duration);
}

void moat_os_wake(const void *word) {
    int saved = errno;
    syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, NULL, NULL, 0);
    errno = saved;
}
