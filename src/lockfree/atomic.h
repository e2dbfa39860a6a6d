/* SPDX-License-Identifier: MIT */
/*
 * atomic: the only spelling of an atomic step in src/lockfree.
 *
 * Each name says its order, so no step is sequentially consistent by accident, and a site that
 * gives its edge can be checked against the name. A compare-and-swap is strong and acquires also
 * when it fails: the caller always acts on what it saw instead.
 *
 * MOAT_STEP is the seam of the model tests: a test that defines it before including a .c file gets
 * control before every single step, and so can stop a thread between any two of them. It learns
 * which word the step touches, and whether the step may change it.
 */
#ifndef MOAT_LOCKFREE_ATOMIC_H
#define MOAT_LOCKFREE_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#ifndef MOAT_STEP
#define MOAT_STEP(word, changes) ((void)0)
#endif

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics must not need a lock");
_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "32-bit atomics must not need a lock");

static inline uint64_t moat_load_relaxed(const _Atomic uint64_t *at) {
    MOAT_STEP(at, false);
    /* relaxed: the site of the call says why. */
    return atomic_load_explicit(at, memory_order_relaxed);
}

static inline uint64_t moat_load_acquire(const _Atomic uint64_t *at) {
    MOAT_STEP(at, false);
    /* A(the edge named at the site of the call) */
    return atomic_load_explicit(at, memory_order_acquire);
}

static inline void moat_store_relaxed(_Atomic uint64_t *at, uint64_t value) {
    MOAT_STEP(at, true);
    /* relaxed: the site of the call says why. */
    atomic_store_explicit(at, value, memory_order_relaxed);
}

static inline void moat_store_release(_Atomic uint64_t *at, uint64_t value) {
    MOAT_STEP(at, true);
    /* R(the edge named at the site of the call) */
    atomic_store_explicit(at, value, memory_order_release);
}

/* On failure *expected holds what was there, as with the function of <stdatomic.h>. */
static inline bool moat_cas_acq_rel(_Atomic uint64_t *at, uint64_t *expected, uint64_t desired) {
    MOAT_STEP(at, true);
    /* R(the edge named at the site) A(the edge named at the site, also on failure) */
    return atomic_compare_exchange_strong_explicit(at, expected, desired, memory_order_acq_rel,
                                                   memory_order_acquire);
}

/* The read-modify-write steps return what was there before. */
static inline uint64_t moat_add_acq_rel(_Atomic uint64_t *at, uint64_t value) {
    MOAT_STEP(at, true);
    /* R(the edge named at the site) A(the edge named at the site) */
    return atomic_fetch_add_explicit(at, value, memory_order_acq_rel);
}

static inline uint64_t moat_add_relaxed(_Atomic uint64_t *at, uint64_t value) {
    MOAT_STEP(at, true);
    /* relaxed: the site of the call says why. */
    return atomic_fetch_add_explicit(at, value, memory_order_relaxed);
}

static inline uint64_t moat_or_acq_rel(_Atomic uint64_t *at, uint64_t value) {
    MOAT_STEP(at, true);
    /* R(the edge named at the site) A(the edge named at the site) */
    return atomic_fetch_or_explicit(at, value, memory_order_acq_rel);
}

static inline uint64_t moat_and_acq_rel(_Atomic uint64_t *at, uint64_t value) {
    MOAT_STEP(at, true);
    /* R(the edge named at the site) A(the edge named at the site) */
    return atomic_fetch_and_explicit(at, value, memory_order_acq_rel);
}

static inline uint64_t moat_exchange_acq_rel(_Atomic uint64_t *at, uint64_t value) {
    MOAT_STEP(at, true);
    /* R(the edge named at the site) A(the edge named at the site) */
    return atomic_exchange_explicit(at, value, memory_order_acq_rel);
}

/* 32-bit words that only ever travel under the edge of another word: links and node numbers. */
static inline uint32_t moat_load32_relaxed(const _Atomic uint32_t *at) {
    MOAT_STEP(at, false);
    /* relaxed: the site of the call says why. */
    return atomic_load_explicit(at, memory_order_relaxed);
}

static inline void moat_store32_relaxed(_Atomic uint32_t *at, uint32_t value) {
    MOAT_STEP(at, true);
    /* relaxed: the site of the call says why. */
    atomic_store_explicit(at, value, memory_order_relaxed);
}

static inline uint32_t moat_load32_acquire(const _Atomic uint32_t *at) {
    MOAT_STEP(at, false);
    /* A(the edge named at the site of the call) */
    return atomic_load_explicit(at, memory_order_acquire);
}

static inline bool moat_cas32_acq_rel(_Atomic uint32_t *at, uint32_t *expected, uint32_t desired) {
    MOAT_STEP(at, true);
    /* R(the edge named at the site) A(the edge named at the site, also on failure) */
    return atomic_compare_exchange_strong_explicit(at, expected, desired, memory_order_acq_rel,
                                                   memory_order_acquire);
}

#endif
