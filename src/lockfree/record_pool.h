/* SPDX-License-Identifier: MIT */
/*
 * record_pool: which record indices are free? Numbers 1 to 2^24 - 1; the records are the caller's.
 *
 * Freed indices lie on a few stacks, one per shard, so that two threads do not fight for one line;
 * indices never used before are dealt out in order, up to a bound that the caller raises once the
 * storage behind them is there. An index is linked through a 32-bit word in or beside its record.
 *
 * Easy to get wrong: the link of a record may be read after the record was taken, by a thread about
 * to fail, so it must stay readable and must be written by nobody else while the pool lives.
 *
 * Limits     a head carries a 40-bit count against ABA: a thread stopped inside take while exactly
 * a
 *            multiple of 2^40 steps go through its shard is not told apart.
 * Progress   lock-free.
 *
 * Edges. R() marks the releasing end, A() the acquiring end.
 *
 *   recycle   who gives an index back -> who takes it next sees the record as it was left
 *   extend    the caller prepared storage, then raised the bound -> who takes a fresh index sees it
 */
#ifndef MOAT_LOCKFREE_RECORD_POOL_H
#define MOAT_LOCKFREE_RECORD_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "lockfree/atomic.h"
#include "lockfree/shard.h"

#define MOAT_RECORD_POOL_INDEX_MAX ((UINT32_C(1) << 24) - 1)

struct moat_record_pool {
    char *links;   /* of index 0, which exists only as an origin and is never touched */
    size_t stride; /* bytes between the links of neighbouring indices */
    _Alignas(64) _Atomic uint64_t dealt;     /* indices 1 to dealt were taken at least once */
    _Alignas(64) _Atomic uint64_t available; /* dealt never passes this */
    struct {
        _Alignas(64) _Atomic uint64_t head; /* count << 24 | index of the top, 0 if empty */
    } shard[MOAT_SHARD_COUNT];
};

/*
 * Start a pool without indices; call moat_record_pool_extend.
 *
 *   links    where the 32-bit link of index 0 would be; that of index i lies i * stride bytes
 *   further
 *   stride   a multiple of 4
 *
 * Threads   none but the caller
 */
void moat_record_pool_init(struct moat_record_pool *pool, void *links, size_t stride);

/* The links of indices 1 to available may be used from now on. A smaller bound changes nothing. */
void moat_record_pool_extend(struct moat_record_pool *pool, uint32_t available);

/*
 * A free index, or 0: extend, then try again. While other threads give and take, 0 may also mean
 * that every free index was on its way from hand to hand.
 */
uint32_t moat_record_pool_take(struct moat_record_pool *pool);

/* Give back an index that was taken. */
void moat_record_pool_give(struct moat_record_pool *pool, uint32_t index);

/* The bound of this moment, and the greatest index dealt out so far: for reports. */
uint32_t moat_record_pool_available(const struct moat_record_pool *pool);
uint32_t moat_record_pool_dealt(const struct moat_record_pool *pool);

#endif
