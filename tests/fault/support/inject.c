/* SPDX-License-Identifier: MIT */
/*
 * inject: the replaced calls, and the plans that say which of them fail.
 *
 * The real calls are weak, so that a program need not be linked with --wrap for all of them.
 */
#define _GNU_SOURCE
#include "inject.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct plan {
    atomic_int count;
    atomic_int nth; /* 0: never */
    atomic_int error;
    atomic_bool onwards;
    atomic_bool filtered;
    atomic_long argument;
};

static struct plan plans[INJECT_KIND_COUNT];

static void plan(enum inject_kind kind, int nth, int error, bool onwards) {
    struct plan *it = &plans[kind];
    atomic_store(&it->nth, 0);
    atomic_store(&it->count, 0);
    atomic_store(&it->error, error);
    atomic_store(&it->onwards, onwards);
    atomic_store(&it->nth, nth);
}

void inject_fail(enum inject_kind kind, int nth, int error) {
    plan(kind, nth, error, false);
}

void inject_fail_from(enum inject_kind kind, int nth, int error) {
    plan(kind, nth, error, true);
}

void inject_only(enum inject_kind kind, long argument) {
    atomic_store(&plans[kind].argument, argument);
    atomic_store(&plans[kind].filtered, true);
}

int inject_count(enum inject_kind kind) {
    return atomic_load(&plans[kind].count);
}

void inject_clear(void) {
    for (int kind = 0; kind < INJECT_KIND_COUNT; kind++) {
        plan((enum inject_kind)kind, 0, 0, false);
        atomic_store(&plans[kind].filtered, false);
    }
}

/* Whether this call fails, with errno set if it is to be. */
static bool fails(enum inject_kind kind, long argument) {
    struct plan *it = &plans[kind];
    if (atomic_load(&it->filtered) && atomic_load(&it->argument) != argument)
        return false;
    int count = atomic_fetch_add(&it->count, 1) + 1;
    int nth = atomic_load(&it->nth);
    if (nth == 0 || count < nth || (count > nth && !atomic_load(&it->onwards)))
        return false;
    if (atomic_load(&it->error) != 0)
        errno = atomic_load(&it->error);
    return true;
}

static int answer(enum inject_kind kind) {
    return atomic_load(&plans[kind].error) != 0 ? -1 : 0;
}

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
REAL void *__real_dlopen(const char *path, int flags);
REAL int __real_sigaction(int number, const struct sigaction *action, struct sigaction *before);
REAL int __real_munlock(const void *start, size_t size);
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
void *__wrap_dlopen(const char *path, int flags);
int __wrap_sigaction(int number, const struct sigaction *action, struct sigaction *before);
int __wrap_munlock(const void *start, size_t size);
int __wrap_ftruncate(int file, off_t size);
int __wrap_fcntl(int file, int command, ...);

void *__wrap_mmap(void *start, size_t size, int protection, int flags, int file, off_t offset) {
    if (fails(INJECT_MMAP, protection))
        return (void *)-1;
    return __real_mmap(start, size, protection, flags, file, offset);
}

int __wrap_munmap(void *start, size_t size) {
    return fails(INJECT_MUNMAP, 0) ? answer(INJECT_MUNMAP) : __real_munmap(start, size);
}

int __wrap_mprotect(void *start, size_t size, int protection) {
    return fails(INJECT_MPROTECT, protection) ? answer(INJECT_MPROTECT)
                                              : __real_mprotect(start, size, protection);
}

int __wrap_madvise(void *start, size_t size, int advice) {
    return fails(INJECT_MADVISE, advice) ? answer(INJECT_MADVISE)
                                         : __real_madvise(start, size, advice);
}

void *__wrap_mremap(void *start, size_t size, size_t new_size, int flags, ...) {
    if (fails(INJECT_MREMAP, flags))
        return (void *)-1;
    va_list list;
    va_start(list, flags);
    void *target = va_arg(list, void *);
    va_end(list);
    return __real_mremap(start, size, new_size, flags, target);
}

int __wrap_open(const char *path, int flags, ...) {
    if (fails(INJECT_OPEN, 0))
        return -1;
    va_list list;
    va_start(list, flags);
    unsigned mode = va_arg(list, unsigned);
    va_end(list);
    return __real_open(path, flags, mode);
}

ssize_t __wrap_read(int file, void *bytes, size_t size) {
    return fails(INJECT_READ, 0) ? answer(INJECT_READ) : __real_read(file, bytes, size);
}

int __wrap_close(int file) {
    if (!fails(INJECT_CLOSE, 0))
        return __real_close(file);
    /* As Linux does it: whatever close answers, the descriptor is gone. */
    int error = errno;
    __real_close(file);
    errno = error;
    return answer(INJECT_CLOSE);
}

int __wrap_ioctl(int file, unsigned long request, ...) {
    if (fails(INJECT_IOCTL, (long)request))
        return answer(INJECT_IOCTL);
    va_list list;
    va_start(list, request);
    void *argument = va_arg(list, void *);
    va_end(list);
    return __real_ioctl(file, request, argument);
}

long __wrap_syscall(long number, ...) {
    if (fails(INJECT_SYSCALL, number))
        return answer(INJECT_SYSCALL);
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
    return fails(INJECT_MLOCK, 0) ? answer(INJECT_MLOCK) : __real_mlock(start, size);
}

void *__wrap_dlopen(const char *path, int flags) {
    return fails(INJECT_DLOPEN, 0) ? NULL : __real_dlopen(path, flags);
}

int __wrap_sigaction(int number, const struct sigaction *action, struct sigaction *before) {
    return fails(INJECT_SIGACTION, number) ? answer(INJECT_SIGACTION)
                                           : __real_sigaction(number, action, before);
}

int __wrap_munlock(const void *start, size_t size) {
    return fails(INJECT_MUNLOCK, 0) ? answer(INJECT_MUNLOCK) : __real_munlock(start, size);
}

int __wrap_ftruncate(int file, off_t size) {
    return fails(INJECT_FTRUNCATE, 0) ? answer(INJECT_FTRUNCATE) : __real_ftruncate(file, size);
}

int __wrap_fcntl(int file, int command, ...) {
    if (fails(INJECT_FCNTL, command))
        return answer(INJECT_FCNTL);
    va_list list;
    va_start(list, command);
    long argument = va_arg(list, long);
    va_end(list);
    return __real_fcntl(file, command, argument);
}
