/* SPDX-License-Identifier: MIT */
/*
 * wraps: the replaced calls. Each is made, or fails as it was told to, with what that way has done.
 */
#define _GNU_SOURCE
#include "wraps.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096 };

/* Where C libraries differ in their declarations. */
#ifdef __GLIBC__
#define REQUEST  unsigned long
#define RESOURCE __rlimit_resource_t
#else
#define REQUEST  int
#define RESOURCE int
#endif

/* A call with a fixed list of arguments: its own declaration, and that of the real one. */
#define WRAP(type, name, ...)                                                                      \
    extern type __real_##name(__VA_ARGS__);                                                        \
    type __wrap_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__)

#define DECIDE(name, argument, size) steps_decide(#name, CALL_##name, (long)(argument), size)

/* What a call answers that failed, or lied. */
static int answer(const struct order *order) {
    if (order->way == WAY_LIE || order->way == WAY_NOTHING)
        return 0;
    errno = order->error;
    return -1;
}

/* The part of a range that is done all the same. */
static size_t part(const struct order *order, size_t size) {
    if (order->way == WAY_DONE)
        return size;
    return order->way == WAY_HALF ? size / 2 & ~(size_t)(PAGE - 1) : 0;
}

WRAP(int, munmap, void *start, size_t size) {
    struct order order = DECIDE(munmap, 0, size);
    return order.meant ? answer(&order) : __real_munmap(start, size);
}

WRAP(void *, mmap, void *start, size_t size, int protection, int flags, int file, off_t offset) {
    struct order order = DECIDE(mmap, flags, size);
    if (!order.meant)
        return __real_mmap(start, size, protection, flags, file, offset);
    if (order.way == WAY_HOLE && flags & MAP_FIXED)
        (void)__real_munmap(start, size);
    return answer(&order) ? MAP_FAILED : start;
}

WRAP(int, mprotect, void *start, size_t size, int protection) {
    struct order order = DECIDE(mprotect, protection, size);
    if (!order.meant)
        return __real_mprotect(start, size, protection);
    if (part(&order, size))
        (void)__real_mprotect(start, part(&order, size), protection);
    return answer(&order);
}

WRAP(int, madvise, void *start, size_t size, int advice) {
    struct order order = DECIDE(madvise, advice, size);
    if (!order.meant)
        return __real_madvise(start, size, advice);
    if (part(&order, size))
        (void)__real_madvise(start, part(&order, size), advice);
    return answer(&order);
}

WRAP(void *, mremap, void *start, size_t size, size_t new_size, int flags, ...) {
    struct order order = DECIDE(mremap, flags, size);
    va_list list;
    va_start(list, flags);
    void *target = va_arg(list, void *);
    va_end(list);
    if (!order.meant)
        return __real_mremap(start, size, new_size, flags, target);
    if (order.way == WAY_HOLE)
        (void)__real_munmap(target, new_size);
    return answer(&order) ? MAP_FAILED : target;
}

WRAP(int, mlock, const void *start, size_t size) {
    struct order order = DECIDE(mlock, 0, size);
    if (!order.meant)
        return __real_mlock(start, size);
    if (part(&order, size))
        (void)__real_mlock(start, part(&order, size));
    return answer(&order);
}

WRAP(int, munlock, const void *start, size_t size) {
    struct order order = DECIDE(munlock, 0, size);
    if (!order.meant)
        return __real_munlock(start, size);
    if (part(&order, size))
        (void)__real_munlock(start, part(&order, size));
    return answer(&order);
}

WRAP(int, open, const char *path, int flags, ...) {
    struct order order = DECIDE(open, flags, 0);
    if (order.meant)
        return answer(&order);
    va_list list;
    va_start(list, flags);
    unsigned mode = va_arg(list, unsigned);
    va_end(list);
    return __real_open(path, flags, mode);
}

/* Whatever close answers, the descriptor is gone on Linux. */
WRAP(int, close, int file) {
    struct order order = DECIDE(close, 0, 0);
    int result = __real_close(file);
    return order.meant ? answer(&order) : result;
}

/* The bytes that are asked for, one by one where the answer is to be short; -1: not at all. */
static ssize_t wanted(const struct order *order, size_t size) {
    if (!order->meant)
        return (ssize_t)size;
    return order->way == WAY_SHORT ? size > 0 : answer(order);
}

WRAP(ssize_t, read, int file, void *bytes, size_t size) {
    struct order order = DECIDE(read, 0, size);
    ssize_t asked = wanted(&order, size);
    return asked > 0 ? __real_read(file, bytes, (size_t)asked) : asked;
}

/* Those who read what has a size of its own, as an entry of a page, are given whole ones. */
WRAP(ssize_t, pread, int file, void *bytes, size_t size, off_t offset) {
    struct order order = DECIDE(pread, 0, size);
    ssize_t asked = wanted(&order, size);
    return asked > 0 ? __real_pread(file, bytes, (size_t)asked, offset) : asked;
}

WRAP(ssize_t, pwrite, int file, const void *bytes, size_t size, off_t offset) {
    struct order order = DECIDE(pwrite, 0, size);
    ssize_t asked = wanted(&order, size);
    return asked > 0 ? __real_pwrite(file, bytes, (size_t)asked, offset) : asked;
}

WRAP(ssize_t, write, int file, const void *bytes, size_t size) {
    struct order order = DECIDE(write, 0, size);
    ssize_t asked = wanted(&order, size);
    return asked > 0 ? __real_write(file, bytes, (size_t)asked) : asked;
}

WRAP(off_t, lseek, int file, off_t offset, int from) {
    struct order order = DECIDE(lseek, 0, 0);
    return order.meant ? answer(&order) : __real_lseek(file, offset, from);
}

WRAP(int, fstat, int file, struct stat *facts) {
    struct order order = DECIDE(fstat, 0, 0);
    return order.meant ? answer(&order) : __real_fstat(file, facts);
}

WRAP(int, ftruncate, int file, off_t size) {
    struct order order = DECIDE(ftruncate, 0, 0);
    return order.meant ? answer(&order) : __real_ftruncate(file, size);
}

WRAP(int, fcntl, int file, int command, ...) {
    struct order order = DECIDE(fcntl, command, 0);
    if (order.meant)
        return answer(&order);
    va_list list;
    va_start(list, command);
    long argument = va_arg(list, long);
    va_end(list);
    return __real_fcntl(file, command, argument);
}

WRAP(int, ioctl, int file, REQUEST request, ...) {
    struct order order = DECIDE(ioctl, request, 2 * PAGE);
    va_list list;
    va_start(list, request);
    void *argument = va_arg(list, void *);
    va_end(list);
    if (!order.meant)
        return __real_ioctl(file, request, argument);
    if (order.way == WAY_HALF && (unsigned)request == UFFDIO_REGISTER) {
        struct uffdio_register half = *(struct uffdio_register *)argument;
        half.range.len = part(&order, half.range.len);
        if (half.range.len)
            (void)__real_ioctl(file, request, &half);
    }
    return answer(&order);
}

WRAP(long, syscall, long number, ...) {
    struct order order = DECIDE(syscall, number, 0);
    long arguments[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        arguments[i] = va_arg(list, long);
    va_end(list);
    if (order.meant && order.way != WAY_SHORT)
        return answer(&order);
    if (number == SYS_getrandom) {
        long size = order.meant ? 1 : arguments[1];
        steps_random((unsigned char *)arguments[0], (size_t)size);
        return size;
    }
    return __real_syscall(number, arguments[0], arguments[1], arguments[2], arguments[3],
                          arguments[4], arguments[5]);
}

WRAP(int, poll, struct pollfd *files, nfds_t count, int timeout) {
    struct order order = DECIDE(poll, 0, 0);
    return order.meant ? answer(&order) : __real_poll(files, count, timeout);
}

WRAP(int, eventfd, unsigned value, int flags) {
    struct order order = DECIDE(eventfd, 0, 0);
    return order.meant ? answer(&order) : __real_eventfd(value, flags);
}

WRAP(int, sysinfo, struct sysinfo *facts) {
    struct order order = DECIDE(sysinfo, 0, 0);
    return order.meant ? answer(&order) : __real_sysinfo(facts);
}

WRAP(long, sysconf, int name) {
    struct order order = DECIDE(sysconf, 0, 0);
    return order.meant ? answer(&order) : __real_sysconf(name);
}

WRAP(int, getrlimit, RESOURCE resource, struct rlimit *limit) {
    struct order order = DECIDE(getrlimit, 0, 0);
    return order.meant ? answer(&order) : __real_getrlimit(resource, limit);
}

WRAP(int, sigaction, int number, const struct sigaction *action, struct sigaction *before) {
    struct order order = DECIDE(sigaction, 0, 0);
    return order.meant ? answer(&order) : __real_sigaction(number, action, before);
}

WRAP(int, sigpending, sigset_t *set) {
    struct order order = DECIDE(sigpending, 0, 0);
    return order.meant ? answer(&order) : __real_sigpending(set);
}

WRAP(int, sigtimedwait, const sigset_t *set, siginfo_t *info, const struct timespec *time) {
    struct order order = DECIDE(sigtimedwait, 0, 0);
    return order.meant ? answer(&order) : __real_sigtimedwait(set, info, time);
}

/* Those of threads answer the errno. */
WRAP(int, pthread_sigmask, int how, const sigset_t *set, sigset_t *before) {
    struct order order = DECIDE(pthread_sigmask, 0, 0);
    return order.meant ? order.error : __real_pthread_sigmask(how, set, before);
}

WRAP(int, pthread_create, pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
     void *argument) {
    struct order order = DECIDE(pthread_create, 0, 0);
    return order.meant ? order.error : __real_pthread_create(thread, attributes, run, argument);
}

WRAP(int, pthread_setspecific, pthread_key_t key, const void *value) {
    struct order order = DECIDE(pthread_setspecific, 0, 0);
    return order.meant ? order.error : __real_pthread_setspecific(key, value);
}

WRAP(int, pthread_key_create, pthread_key_t *key, void (*destroy)(void *)) {
    struct order order = DECIDE(pthread_key_create, 0, 0);
    return order.meant ? order.error : __real_pthread_key_create(key, destroy);
}

WRAP(int, pthread_setname_np, pthread_t thread, const char *name) {
    struct order order = DECIDE(pthread_setname_np, 0, 0);
    return order.meant ? order.error : __real_pthread_setname_np(thread, name);
}
