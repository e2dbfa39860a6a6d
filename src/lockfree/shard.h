/* SPDX-License-Identifier: MIT */
/*
 * shard: which of a few copies of a hot word should this thread use?
 *
 * Two threads never share a stack, so the address of a local tells them apart well enough to keep
 * them off one cache line. Thread-local storage would do it too, but its first use in a shared
 * library may allocate, and these functions must run in a signal handler. A collision, or a thread
 * that changes shard as its stack deepens, costs time and never correctness.
 */
#ifndef MOAT_LOCKFREE_SHARD_H
#define MOAT_LOCKFREE_SHARD_H

#include <stdint.h>

#define MOAT_SHARD_LOG2  4
#define MOAT_SHARD_COUNT (1u << MOAT_SHARD_LOG2)

static inline unsigned moat_shard_of_this_thread(void) {
    char local;
    uint64_t stack = (uint64_t)(uintptr_t)&local >> 16;

    /* Fibonacci hashing: stacks lie at a regular stride, which this spreads evenly. */
    return (unsigned)((stack * 0x9e3779b97f4a7c15u) >> (64 - MOAT_SHARD_LOG2));
}

#endif
