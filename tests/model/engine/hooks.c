/* SPDX-License-Identifier: MIT */
/*
 * hooks: the functions that gcc and clang call for each memory access under -fsanitize=thread.
 *
 * The compilers number memory orders as __ATOMIC_RELAXED and its like, and so does <stdatomic.h>.
 */
#include "engine.h"

#include <string.h>

#define CALLER __builtin_return_address(0)

static void plain(enum access access, const volatile void *at, size_t size, const void *caller) {
    if (engine)
        races_check(access, (uintptr_t)at, size, caller);
}

#define PLAIN(name, size)                                                                          \
    void __tsan_read##name(void *at);                                                              \
    void __tsan_read##name(void *at) {                                                             \
        plain(PLAIN_READ, at, size, CALLER);                                                       \
    }                                                                                              \
    void __tsan_write##name(void *at);                                                             \
    void __tsan_write##name(void *at) {                                                            \
        plain(PLAIN_WRITE, at, size, CALLER);                                                      \
    }                                                                                              \
    void __tsan_unaligned_read##name(void *at);                                                    \
    void __tsan_unaligned_read##name(void *at) {                                                   \
        plain(PLAIN_READ, at, size, CALLER);                                                       \
    }                                                                                              \
    void __tsan_unaligned_write##name(void *at);                                                   \
    void __tsan_unaligned_write##name(void *at) {                                                  \
        plain(PLAIN_WRITE, at, size, CALLER);                                                      \
    }

PLAIN(1, 1)
PLAIN(2, 2)
PLAIN(4, 4)
PLAIN(8, 8)
PLAIN(16, 16)

void __tsan_read_range(void *at, size_t size);
void __tsan_read_range(void *at, size_t size) {
    plain(PLAIN_READ, at, size, CALLER);
}

void __tsan_write_range(void *at, size_t size);
void __tsan_write_range(void *at, size_t size) {
    plain(PLAIN_WRITE, at, size, CALLER);
}

void *__tsan_memset(void *at, int value, size_t size);
void *__tsan_memset(void *at, int value, size_t size) {
    plain(PLAIN_WRITE, at, size, CALLER);
    return memset(at, value, size);
}

void *__tsan_memcpy(void *to, const void *from, size_t size);
void *__tsan_memcpy(void *to, const void *from, size_t size) {
    plain(PLAIN_READ, from, size, CALLER);
    plain(PLAIN_WRITE, to, size, CALLER);
    return memcpy(to, from, size);
}

void *__tsan_memmove(void *to, const void *from, size_t size);
void *__tsan_memmove(void *to, const void *from, size_t size) {
    plain(PLAIN_READ, from, size, CALLER);
    plain(PLAIN_WRITE, to, size, CALLER);
    return memmove(to, from, size);
}

void __tsan_init(void);
void __tsan_init(void) {
}

void __tsan_func_entry(void *caller);
void __tsan_func_entry(void *caller) {
    (void)caller;
}

void __tsan_func_exit(void);
void __tsan_func_exit(void) {
}

void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_thread_fence(int order) {
    (void)order;
    engine_refuse("a fence: the engine knows orders of steps only");
}

void __tsan_atomic_signal_fence(int order);
void __tsan_atomic_signal_fence(int order) {
    (void)order;
}

static uint64_t atomic(enum step_type type, const volatile void *at, unsigned size,
                       uint64_t operand, int order, const void *caller) {
    struct step step = {.type = type,
                        .order = order,
                        .size = size,
                        .at = (uintptr_t)at,
                        .operand = operand,
                        .caller = caller};

    return threads_step(&step);
}

static uint64_t compare(const volatile void *at, unsigned size, uint64_t expected, uint64_t desired,
                        int order, int order_failed, const void *caller) {
    struct step step = {.type = COMPARE,
                        .order = order,
                        .order_failed = order_failed,
                        .size = size,
                        .at = (uintptr_t)at,
                        .operand = desired,
                        .expected = expected,
                        .caller = caller};

    return threads_step(&step);
}

#define UPDATE(bits, name, kind)                                                                   \
    uint##bits##_t __tsan_atomic##bits##_##name(volatile void *at, uint##bits##_t operand,         \
                                                int order);                                        \
    uint##bits##_t __tsan_atomic##bits##_##name(volatile void *at, uint##bits##_t operand,         \
                                                int order) {                                       \
        return (uint##bits##_t)atomic(kind, at, bits / 8, operand, order, CALLER);                 \
    }

/* A weak compare-and-swap never fails without a reason here, as in the checker beside us. */
#define COMPARES(bits, name)                                                                       \
    int __tsan_atomic##bits##_##name(volatile void *at, void *expected, uint##bits##_t desired,    \
                                     int order, int order_failed);                                 \
    int __tsan_atomic##bits##_##name(volatile void *at, void *expected, uint##bits##_t desired,    \
                                     int order, int order_failed) {                                \
        uint##bits##_t wanted, seen;                                                               \
                                                                                                   \
        memcpy(&wanted, expected, sizeof(wanted));                                                 \
        seen =                                                                                     \
            (uint##bits##_t)compare(at, bits / 8, wanted, desired, order, order_failed, CALLER);   \
        if (seen != wanted)                                                                        \
            memcpy(expected, &seen, sizeof(seen));                                                 \
        return seen == wanted;                                                                     \
    }

#define ATOMICS(bits)                                                                              \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile void *at, int order);                 \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile void *at, int order) {                \
        return (uint##bits##_t)atomic(LOAD, at, bits / 8, 0, order, CALLER);                       \
    }                                                                                              \
    void __tsan_atomic##bits##_store(volatile void *at, uint##bits##_t value, int order);          \
    void __tsan_atomic##bits##_store(volatile void *at, uint##bits##_t value, int order) {         \
        atomic(STORE, at, bits / 8, value, order, CALLER);                                         \
    }                                                                                              \
    UPDATE(bits, exchange, EXCHANGE)                                                               \
    UPDATE(bits, fetch_add, ADD)                                                                   \
    UPDATE(bits, fetch_sub, SUB)                                                                   \
    UPDATE(bits, fetch_or, OR)                                                                     \
    UPDATE(bits, fetch_and, AND)                                                                   \
    UPDATE(bits, fetch_xor, XOR)                                                                   \
    COMPARES(bits, compare_exchange_strong)                                                        \
    COMPARES(bits, compare_exchange_weak)                                                          \
    uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(                                     \
        volatile void *at, uint##bits##_t expected, uint##bits##_t desired, int order,             \
        int order_failed);                                                                         \
    uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(                                     \
        volatile void *at, uint##bits##_t expected, uint##bits##_t desired, int order,             \
        int order_failed) {                                                                        \
        return (uint##bits##_t)compare(at, bits / 8, expected, desired, order, order_failed,       \
                                       CALLER);                                                    \
    }

ATOMICS(8)
ATOMICS(16)
ATOMICS(32)
ATOMICS(64)
