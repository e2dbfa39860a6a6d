/* SPDX-License-Identifier: MIT */
/*
 * shim: preloaded, it counts the calls for memory that a library which replaces them would see, and
 * makes them as they are.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_ulong seen;

/* How many there were; for the program that is looked at, which finds it by its name. */
unsigned long shim_seen(void);

unsigned long shim_seen(void) {
    return atomic_load(&seen);
}

static long call(long number, long a, long b, long c, long d, long e, long f) {
    atomic_fetch_add(&seen, 1);
    return syscall(number, a, b, c, d, e, f);
}

void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset) {
    return (void *)call(SYS_mmap, (long)address, (long)size, protection, flags, file, offset);
}

void *mmap64(void *address, size_t size, int protection, int flags, int file, off64_t offset) {
    return (void *)call(SYS_mmap, (long)address, (long)size, protection, flags, file, offset);
}

int munmap(void *address, size_t size) {
    return (int)call(SYS_munmap, (long)address, (long)size, 0, 0, 0, 0);
}

int mprotect(void *address, size_t size, int protection) {
    return (int)call(SYS_mprotect, (long)address, (long)size, protection, 0, 0, 0);
}

int madvise(void *address, size_t size, int advice) {
    return (int)call(SYS_madvise, (long)address, (long)size, advice, 0, 0, 0);
}

void *mremap(void *address, size_t size, size_t wanted, int flags, ...) {
    void *place = NULL;
    va_list rest;

    va_start(rest, flags);
    if (flags & MREMAP_FIXED)
        place = va_arg(rest, void *);
    va_end(rest);
    return (void *)call(SYS_mremap, (long)address, (long)size, (long)wanted, flags, (long)place, 0);
}

int brk(void *end) {
    return call(SYS_brk, (long)end, 0, 0, 0, 0, 0) == (long)end ? 0 : -1;
}
