/* SPDX-License-Identifier: MIT */
/*
 * probe: process_vm_readv and process_vm_writev on this very process, which obey the access rights
 * of pages and stop at the first page that refuses. Writing puts back the byte that was read.
 */
#define _GNU_SOURCE
#include "probe.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PAGE = MOAT_PAGE_BYTES, BATCH = 256 };

typedef ssize_t transfer(pid_t process, const struct iovec *local, unsigned long local_count,
                         const struct iovec *remote, unsigned long remote_count,
                         unsigned long flags);

/* A sandbox that forbids the call would make every page look inaccessible: tests prove nothing. */
static void require_calls(void) {
    static _Atomic bool checked;
    char here = 1, there = 0;
    struct iovec from = {&here, 1}, to = {&there, 1};

    if (atomic_exchange(&checked, true))
        return;
    if (process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 1 && there == 1)
        return;
    fprintf(stderr, "probe: process_vm_readv is not allowed here, nothing can be checked\n");
    abort();
}

/* Move one byte of each page between `bytes` and the pages, until one refuses. */
static size_t move(transfer *call, uintptr_t start, size_t count, unsigned char *bytes) {
    struct iovec remote[BATCH];
    struct iovec local = {bytes, count};

    for (size_t i = 0; i < count; i++)
        remote[i] = (struct iovec){(void *)(start + i * PAGE), 1};
    ssize_t moved = call(getpid(), &local, 1, remote, count, 0);
    return moved > 0 ? (size_t)moved : 0;
}

static size_t leading(uintptr_t start, size_t count, bool write) {
    unsigned char bytes[BATCH];
    size_t done = 0;

    require_calls();
    while (done < count) {
        size_t batch = count - done < BATCH ? count - done : BATCH;
        size_t good = move(process_vm_readv, start + done * PAGE, batch, bytes);
        if (write && good > 0)
            good = move(process_vm_writev, start + done * PAGE, good, bytes);
        done += good;
        if (good < batch)
            break;
    }
    return done;
}

size_t probe_readable(uintptr_t start, size_t count) {
    return leading(start, count, false);
}

size_t probe_writable(uintptr_t start, size_t count) {
    return leading(start, count, true);
}

/* The pages that must refuse are asked one by one. */
static bool none(uintptr_t start, size_t count, bool write, uintptr_t *page) {
    for (size_t i = 0; i < count; i++) {
        *page = start + i * PAGE;
        if (leading(*page, 1, write) != 0)
            return false;
    }
    return true;
}

bool probe_expect(uintptr_t start, size_t count, bool readable, enum probe_write write,
                  uintptr_t *page) {
    if (!readable)
        return none(start, count, false, page);
    size_t good = leading(start, count, write == PROBE_ALLOWED);
    *page = start + good * PAGE;
    return good == count && (write != PROBE_REFUSED || none(start, count, true, page));
}
