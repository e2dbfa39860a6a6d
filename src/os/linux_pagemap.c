/* SPDX-License-Identifier: MIT */
/*
 * linux_pagemap: what the kernel keeps for each page, read from /proc/self/pagemap.
 *
 * Frame numbers are hidden from most processes, but not whether a frame is mapped here and nowhere
 * else. The page of zeroes that the kernel lends to whoever reads what was never written is
 * everybody's.
 */
#define _GNU_SOURCE
#include "os/linux_internal.h"

#include <fcntl.h>
#include <unistd.h>

#define IS_PRESENT   ((uint64_t)1 << 63)
#define IS_SWAPPED   ((uint64_t)1 << 62)
#define IS_EXCLUSIVE ((uint64_t)1 << 56)

enum { ENTRIES = 512 };

static bool is_own(uint64_t entry) {
    return (entry & IS_PRESENT) ? (entry & IS_EXCLUSIVE) != 0 : (entry & IS_SWAPPED) != 0;
}

/* Reads of this file end where they are told to, at a multiple of an entry, or at none. */
static int read_entries(int file, uint64_t *entries, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t length = read(file, (unsigned char *)entries + done, size - done);
        if (length < 0 && errno == EINTR)
            continue;
        if (length <= 0)
            return length < 0 ? errno : EIO;
        done += (size_t)length;
    }
    return 0;
}

static int look(int file, const void *start, size_t size, bool *own) {
    uint64_t entries[ENTRIES];
    size_t left = size / moat_os_page();
    off_t first = (off_t)((uintptr_t)start / moat_os_page() * sizeof entries[0]);

    *own = true;
    if (lseek(file, first, SEEK_SET) != first)
        return errno;
    while (left > 0 && *own) {
        size_t count = left < ENTRIES ? left : ENTRIES;
        int error = read_entries(file, entries, count * sizeof entries[0]);
        if (error)
            return error;
        for (size_t i = 0; i < count; i++)
            *own &= is_own(entries[i]);
        left -= count;
    }
    return 0;
}

int moat_os_own_pages(const void *start, size_t size, bool *own) {
    int saved = errno;
    int file = open("/proc/thread-self/pagemap", O_RDONLY | O_CLOEXEC); /* as for the maps file */
    if (file < 0 && errno == ENOENT)
        file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return moat_linux_result(-1, saved);
    int error = look(file, start, size, own);
    close(file);
    errno = saved;
    return error;
}
