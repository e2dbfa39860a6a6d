/* SPDX-License-Identifier: MIT */
/*
 * seam: where the library can be stopped. It is compiled for ThreadSanitizer, which makes a call of
 * each atomic step, and is linked with the calls below instead of that runtime: so its sources are
 * those that are installed. System calls, and waits of threads for each other, are wrapped.
 *
 * All steps are sequentially consistent here: weaker orders are for the model checkers.
 */
#define _GNU_SOURCE
#include "schedule.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>

#define SEQ __ATOMIC_SEQ_CST

#define FETCH(bits, name)                                                                          \
    uint##bits##_t __tsan_atomic##bits##_fetch_##name(volatile uint##bits##_t *at,                 \
                                                      uint##bits##_t value, int order);            \
    uint##bits##_t __tsan_atomic##bits##_fetch_##name(volatile uint##bits##_t *at,                 \
                                                      uint##bits##_t value, int order) {           \
        (void)order;                                                                               \
        schedule_step();                                                                           \
        return __atomic_fetch_##name(at, value, SEQ);                                              \
    }

#define SWAP(bits, kind)                                                                           \
    _Bool __tsan_atomic##bits##_compare_exchange_##kind(                                           \
        volatile uint##bits##_t *at, void *expected, uint##bits##_t desired, int order, int fail); \
    _Bool __tsan_atomic##bits##_compare_exchange_##kind(volatile uint##bits##_t *at,               \
                                                        void *expected, uint##bits##_t desired,    \
                                                        int order, int fail) {                     \
        (void)order;                                                                               \
        (void)fail;                                                                                \
        schedule_step();                                                                           \
        return __atomic_compare_exchange_n(at, (uint##bits##_t *)expected, desired, 0, SEQ, SEQ);  \
    }

#define STEPS(bits)                                                                                \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *at, int order);       \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *at, int order) {      \
        (void)order;                                                                               \
        schedule_look();                                                                           \
        return __atomic_load_n(at, SEQ);                                                           \
    }                                                                                              \
    void __tsan_atomic##bits##_store(volatile uint##bits##_t *at, uint##bits##_t value,            \
                                     int order);                                                   \
    void __tsan_atomic##bits##_store(volatile uint##bits##_t *at, uint##bits##_t value,            \
                                     int order) {                                                  \
        (void)order;                                                                               \
        schedule_step();                                                                           \
        __atomic_store_n(at, value, SEQ);                                                          \
    }                                                                                              \
    uint##bits##_t __tsan_atomic##bits##_exchange(volatile uint##bits##_t *at,                     \
                                                  uint##bits##_t value, int order);                \
    uint##bits##_t __tsan_atomic##bits##_exchange(volatile uint##bits##_t *at,                     \
                                                  uint##bits##_t value, int order) {               \
        (void)order;                                                                               \
        schedule_step();                                                                           \
        return __atomic_exchange_n(at, value, SEQ);                                                \
    }                                                                                              \
    FETCH(bits, add)                                                                               \
    FETCH(bits, sub)                                                                               \
    FETCH(bits, and)                                                                               \
    FETCH(bits, or)                                                                                \
    FETCH(bits, xor)                                                                               \
    SWAP(bits, strong)                                                                             \
    SWAP(bits, weak)

STEPS(8)
STEPS(16)
STEPS(32)
STEPS(64)

/* --- What is no step: fences, and accesses that are not atomic --- */

#define NOTHING(name, ...)                                                                         \
    void __tsan_##name(__VA_ARGS__);                                                               \
    void __tsan_##name(__VA_ARGS__) {                                                              \
    }
#define ACCESS(kind)                                                                               \
    NOTHING(kind##1, void *)                                                                       \
    NOTHING(kind##2, void *)                                                                       \
    NOTHING(kind##4, void *)                                                                       \
    NOTHING(kind##8, void *)                                                                       \
    NOTHING(kind##16, void *)

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
ACCESS(read)
ACCESS(write)
ACCESS(unaligned_read)
ACCESS(unaligned_write)
NOTHING(read_range, void *, size_t)
NOTHING(write_range, void *, size_t)
NOTHING(func_entry, void *)
NOTHING(func_exit, void *)
NOTHING(init, void)
NOTHING(atomic_thread_fence, int)
NOTHING(atomic_signal_fence, int)
#pragma GCC diagnostic pop

/* --- System calls --- */

void *__real_mmap(void *address, size_t size, int access, int flags, int file, off_t offset);
void *__wrap_mmap(void *address, size_t size, int access, int flags, int file, off_t offset);
int __real_munmap(void *address, size_t size);
int __wrap_munmap(void *address, size_t size);
int __real_mprotect(void *address, size_t size, int access);
int __wrap_mprotect(void *address, size_t size, int access);
int __real_madvise(void *address, size_t size, int advice);
int __wrap_madvise(void *address, size_t size, int advice);
int __real_moat_os_wait(const void *word, uint32_t value, uint64_t deadline);
int __wrap_moat_os_wait(const void *word, uint32_t value, uint64_t deadline);
void __real_moat_os_nap(uint64_t duration);
void __wrap_moat_os_nap(uint64_t duration);

void *__wrap_mmap(void *address, size_t size, int access, int flags, int file, off_t offset) {
    schedule_step();
    return __real_mmap(address, size, access, flags, file, offset);
}

int __wrap_munmap(void *address, size_t size) {
    schedule_step();
    return __real_munmap(address, size);
}

int __wrap_mprotect(void *address, size_t size, int access) {
    schedule_step();
    return __real_mprotect(address, size, access);
}

int __wrap_madvise(void *address, size_t size, int advice) {
    schedule_step();
    return __real_madvise(address, size, advice);
}

int __wrap_moat_os_wait(const void *word, uint32_t value, uint64_t deadline) {
    return schedule_yield() ? 0 : __real_moat_os_wait(word, value, deadline);
}

void __wrap_moat_os_nap(uint64_t duration) {
    if (!schedule_yield())
        __real_moat_os_nap(duration);
}
