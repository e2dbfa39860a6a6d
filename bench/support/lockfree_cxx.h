/* SPDX-License-Identifier: MIT */
/*
 * lockfree_cxx: the headers of src/lockfree, read by a C++17 compiler.
 *
 * They are C11 and keep find in a header so that it is compiled into its callers; a benchmark that
 * called it through a function would measure that function. C++17 has no <stdatomic.h>, so the few
 * names that atomic.h uses are supplied here as the compiler's own operations, which is what they
 * are in C as well. The layout is the same: a lock-free _Atomic integer is that integer.
 *
 * Include it after all other headers of a file.
 */
#ifndef MOAT_BENCH_LOCKFREE_CXX_H
#define MOAT_BENCH_LOCKFREE_CXX_H

#include <cstddef>
#include <cstdint>

#define _Atomic
#define _Alignas alignas
#define _Static_assert static_assert

#define ATOMIC_LLONG_LOCK_FREE __GCC_ATOMIC_LLONG_LOCK_FREE
#define ATOMIC_INT_LOCK_FREE   __GCC_ATOMIC_INT_LOCK_FREE

#define memory_order_relaxed __ATOMIC_RELAXED
#define memory_order_acquire __ATOMIC_ACQUIRE
#define memory_order_release __ATOMIC_RELEASE
#define memory_order_acq_rel __ATOMIC_ACQ_REL
#define memory_order_seq_cst __ATOMIC_SEQ_CST

#define atomic_thread_fence(order)                  __atomic_thread_fence(order)
#define atomic_signal_fence(order)                  __atomic_signal_fence(order)
#define atomic_load_explicit(at, order)             __atomic_load_n(at, order)
#define atomic_store_explicit(at, value, order)     __atomic_store_n(at, value, order)
#define atomic_exchange_explicit(at, value, order)  __atomic_exchange_n(at, value, order)
#define atomic_fetch_add_explicit(at, value, order) __atomic_fetch_add(at, value, order)
#define atomic_fetch_sub_explicit(at, value, order) __atomic_fetch_sub(at, value, order)
#define atomic_fetch_or_explicit(at, value, order)  __atomic_fetch_or(at, value, order)
#define atomic_fetch_and_explicit(at, value, order) __atomic_fetch_and(at, value, order)
#define atomic_compare_exchange_strong_explicit(at, expected, desired, success, failure)           \
    __atomic_compare_exchange_n(at, expected, desired, false, success, failure)
#define atomic_compare_exchange_weak_explicit(at, expected, desired, success, failure)             \
    __atomic_compare_exchange_n(at, expected, desired, true, success, failure)

extern "C" {
#include "lockfree/region_index.h"
#include "lockfree/region_table.h"
}

#undef _Atomic
#undef _Alignas
#undef _Static_assert

#endif
