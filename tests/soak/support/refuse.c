/* SPDX-License-Identifier: MIT */
/*
 * refuse: the replaced calls. ENOMEM is what the kernel says of each of them for lack of memory or
 * of mappings; other errors would tell Moat that its books are wrong.
 *
 * Never refused: open, read, close and futexes, of which the first three are refused one by one by
 * tests/fault, and the last cannot fail for lack of memory.
 */
#define _GNU_SOURCE
#include "refuse.h"

#include "soak.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/types.h>

static _Atomic uint32_t rate;
static _Thread_local uint64_t *chance; /* NULL: refuse nothing */

void refuse_rate(uint32_t in_a_million) {
    atomic_store(&rate, in_a_million);
}

void refuse_begin(uint64_t *random) {
    chance = random;
}

enum moat_status refuse_end(enum moat_status status) {
    chance = NULL;
    return status;
}

uint64_t *refuse_hold(void) {
    uint64_t *held = chance;

    chance = NULL;
    return held;
}

void refuse_resume(uint64_t *held) {
    chance = held;
}

static bool refused(void) {
    uint32_t now = atomic_load_explicit(&rate, memory_order_relaxed);

    if (!chance || !now || soak_below(chance, 1000000) >= now)
        return false;
    atomic_fetch_add_explicit(&tally.refused_calls, 1, memory_order_relaxed);
    errno = ENOMEM;
    return true;
}

/* Weak: a call that nothing uses is not wrapped. */
#define REAL __attribute__((weak))

REAL void *__real_mmap(void *start, size_t size, int protection, int flags, int file, off_t offset);
REAL int __real_munmap(void *start, size_t size);
REAL int __real_mprotect(void *start, size_t size, int protection);
REAL int __real_madvise(void *start, size_t size, int advice);
REAL void *__real_mremap(void *start, size_t size, size_t new_size, int flags, ...);
REAL int __real_open(const char *path, int flags, ...);
REAL ssize_t __real_read(int file, void *bytes, size_t size);
REAL int __real_close(int file);
REAL int __real_ioctl(int file, unsigned long request, ...);
REAL long __real_syscall(long number, ...);
REAL int __real_mlock(const void *start, size_t size);
REAL int __real_ftruncate(int file, off_t size);
REAL int __real_fcntl(int file, int command, ...);

void *__wrap_mmap(void *start, size_t size, int protection, int flags, int file, off_t offset);
int __wrap_munmap(void *start, size_t size);
int __wrap_mprotect(void *start, size_t size, int protection);
int __wrap_madvise(void *start, size_t size, int advice);
void *__wrap_mremap(void *start, size_t size, size_t new_size, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
ssize_t __wrap_read(int file, void *bytes, size_t size);
int __wrap_close(int file);
int __wrap_ioctl(int file, unsigned long request, ...);
long __wrap_syscall(long number, ...);
int __wrap_mlock(const void *start, size_t size);
int __wrap_ftruncate(int file, off_t size);
int __wrap_fcntl(int file, int command, ...);

void *__wrap_mmap(void *start, size_t size, int protection, int flags, int file, off_t offset) {
    return refused() ? MAP_FAILED : __real_mmap(start, size, protection, flags, file, offset);
}

int __wrap_munmap(void *start, size_t size) {
    return refused() ? -1 : __real_munmap(start, size);
}

int __wrap_mprotect(void *start, size_t size, int protection) {
    return refused() ? -1 : __real_mprotect(start, size, protection);
}

int __wrap_madvise(void *start, size_t size, int advice) {
    return refused() ? -1 : __real_madvise(start, size, advice);
}

void *__wrap_mremap(void *start, size_t size, size_t new_size, int flags, ...) {
    va_list list;
    va_start(list, flags);
    void *target = va_arg(list, void *);
    va_end(list);
    return refused() ? MAP_FAILED : __real_mremap(start, size, new_size, flags, target);
}

int __wrap_open(const char *path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    unsigned mode = flags & O_CREAT ? va_arg(list, unsigned) : 0;
    va_end(list);
    return __real_open(path, flags, mode);
}

ssize_t __wrap_read(int file, void *bytes, size_t size) {
    return __real_read(file, bytes, size);
}

int __wrap_close(int file) {
    return __real_close(file);
}

int __wrap_ioctl(int file, unsigned long request, ...) {
    va_list list;
    va_start(list, request);
    void *argument = va_arg(list, void *);
    va_end(list);
    return refused() ? -1 : __real_ioctl(file, request, argument);
}

long __wrap_syscall(long number, ...) {
    long arguments[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        arguments[i] = va_arg(list, long);
    va_end(list);
    return __real_syscall(number, arguments[0], arguments[1], arguments[2], arguments[3],
                          arguments[4], arguments[5]);
}

int __wrap_mlock(const void *start, size_t size) {
    return refused() ? -1 : __real_mlock(start, size);
}

int __wrap_ftruncate(int file, off_t size) {
    return refused() ? -1 : __real_ftruncate(file, size);
}

int __wrap_fcntl(int file, int command, ...) {
    va_list list;
    va_start(list, command);
    long argument = va_arg(list, long);
    va_end(list);
    return __real_fcntl(file, command, argument);
}
