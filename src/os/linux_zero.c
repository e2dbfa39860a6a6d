/* SPDX-License-Identifier: MIT */
/*
 * linux_zero: zeroes for pages that nobody may touch.
 *
 * The memory file of a process writes to private pages whatever their rights, so they need not be
 * opened for it: a thread with a stale pointer still traps meanwhile. Sandboxes may withhold it.
 */
#define _GNU_SOURCE
#include "os/linux_internal.h"

#include <fcntl.h>
#include <unistd.h>

static const unsigned char zeroes[4 * 4096];

static int write_zeroes(int memory, uintptr_t at, uintptr_t end) {
    while (at < end) {
        size_t size = end - at < sizeof zeroes ? end - at : sizeof zeroes;
        ssize_t written = pwrite(memory, zeroes, size, (off_t)at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? errno : EIO;
        at += (size_t)written;
    }
    return 0;
}

int moat_os_zero(void *start, size_t size) {
    int saved = errno;
    int memory = open("/proc/self/mem", O_WRONLY | O_CLOEXEC);
    if (memory < 0)
        return moat_linux_result(-1, saved);
    int error = write_zeroes(memory, (uintptr_t)start, (uintptr_t)start + size);
    close(memory);
    errno = saved;
    return error;
}
