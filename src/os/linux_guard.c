/* SPDX-License-Identifier: MIT */
/*
 * linux_guard: guard markers, MADV_GUARD_INSTALL and MADV_GUARD_REMOVE (Linux 6.13).
 *
 * The header may be older than the kernel, so the numbers are here. The kernel restarts a call that
 * lost a race with page faults, and may ask for the same by EINTR or EAGAIN; the number of repeats
 * is bounded, so that a filter which always answers EAGAIN cannot hang the process.
 */
#define _GNU_SOURCE
#include "os/linux_internal.h"

#include <sys/mman.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE  103
#endif

enum { REPEAT_MAX = 64 };

static int advise(void *start, size_t size, int advice) {
    int saved = errno;
    int outcome = madvise(start, size, advice);
    for (int i = 0; outcome != 0 && (errno == EINTR || errno == EAGAIN) && i < REPEAT_MAX; i++)
        outcome = madvise(start, size, advice);
    return moat_linux_result(outcome, saved);
}

int moat_os_guard_install(void *start, size_t size) {
    return advise(start, size, MADV_GUARD_INSTALL);
}

int moat_os_guard_remove(void *start, size_t size) {
    return advise(start, size, MADV_GUARD_REMOVE);
}
