/* SPDX-License-Identifier: MIT */
/*
 * latency: how often an operation took how long, in buckets 3 % wide.
 *
 * A bucket is named by the five bits below the highest one and that bit's position, so a count is
 * two shifts and an increment; times below 32 ns have a bucket each.
 */
#ifndef MOAT_WORKER_LATENCY_H
#define MOAT_WORKER_LATENCY_H

#include <stdint.h>

enum { LATENCY_BITS = 5, LATENCY_BUCKETS = (64 - LATENCY_BITS + 1) << LATENCY_BITS };

struct latency {
    uint64_t longest; /* ns, exact */
    uint32_t counts[LATENCY_BUCKETS];
};

static inline unsigned latency_bucket(uint64_t nanoseconds) {
    unsigned shift;

    if (nanoseconds >> LATENCY_BITS == 0)
        return (unsigned)nanoseconds;
    shift = 63 - (unsigned)__builtin_clzll(nanoseconds) - LATENCY_BITS;
    return (shift << LATENCY_BITS) + (unsigned)(nanoseconds >> shift);
}

/* The middle of a bucket, in nanoseconds. */
static inline uint64_t latency_middle(unsigned bucket) {
    unsigned shift = bucket >> LATENCY_BITS;

    if (shift <= 1)
        return bucket;
    shift--;
    return ((uint64_t)(bucket - (shift << LATENCY_BITS)) << shift) + ((uint64_t)1 << shift) / 2;
}

static inline void latency_add(struct latency *latency, uint64_t nanoseconds) {
    latency->counts[latency_bucket(nanoseconds)]++;
    if (nanoseconds > latency->longest)
        latency->longest = nanoseconds;
}

#endif
