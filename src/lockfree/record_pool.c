/* SPDX-License-Identifier: MIT */
/*
 * record_pool: stacks of freed indices (Treiber), each head counted against ABA.
 *
 * Easy to get wrong: between reading the top and swapping the head, the top may be taken, used and
 * given back with another link below it. The count in the head, changed by every step, makes the
 * swap fail then.
 */
#include "lockfree/record_pool.h"

#define INDEX_BITS 24
#define COUNT_ONE  (UINT64_C(1) << INDEX_BITS)

static uint32_t index_of(uint64_t head) {
    return (uint32_t)(head & MOAT_RECORD_POOL_INDEX_MAX);
}

/* The head after `head` when `index` lies on top. */
static uint64_t next_head(uint64_t head, uint32_t index) {
    return ((head & ~(COUNT_ONE - 1)) + COUNT_ONE) | index;
}

static _Atomic uint32_t *link_of(const struct moat_record_pool *pool, uint32_t index) {
    return (_Atomic uint32_t *)(void *)(pool->links + (size_t)index * pool->stride);
}

static uint32_t pop(const struct moat_record_pool *pool, _Atomic uint64_t *stack) {
    /* A(recycle) */
    uint64_t head = moat_load_acquire(stack);

    while (index_of(head) != 0) {
        /* relaxed: A(recycle) orders it after its giver; if it is later, the swap fails. */
        uint32_t below = moat_load32_relaxed(link_of(pool, index_of(head)));
        uint32_t index = index_of(head);

        /* R(recycle) A(recycle): releasing keeps the givers below in view of whoever pops next. */
        if (moat_cas_acq_rel(stack, &head, next_head(head, below)))
            return index;
    }
    return 0;
}

/* An index never used before, or 0 if the bound is reached. */
static uint32_t deal(struct moat_record_pool *pool) {
    /* A(extend) */
    uint64_t available = moat_load_acquire(&pool->available);
    /* relaxed: a number; the swap decides. */
    uint64_t dealt = moat_load_relaxed(&pool->dealt);

    while (dealt < available) {
        /* R(extend) A(extend) */
        if (moat_cas_acq_rel(&pool->dealt, &dealt, dealt + 1))
            return (uint32_t)dealt + 1;
    }
    return 0;
}

void moat_record_pool_init(struct moat_record_pool *pool, void *links, size_t stride) {
    *pool = (struct moat_record_pool){.links = links, .stride = stride};
}

void moat_record_pool_extend(struct moat_record_pool *pool, uint32_t available) {
    /* relaxed: the swap decides. */
    uint64_t seen = moat_load_relaxed(&pool->available);

    while (seen < available && available <= MOAT_RECORD_POOL_INDEX_MAX) {
        /* R(extend) A(extend): acquired, so that a smaller bound below stays covered. */
        if (moat_cas_acq_rel(&pool->available, &seen, available))
            return;
    }
}

uint32_t moat_record_pool_take(struct moat_record_pool *pool) {
    unsigned own = moat_shard_of_this_thread();
    uint32_t index = pop(pool, &pool->shard[own].head);

    if (index == 0)
        index = deal(pool);
    for (unsigned i = 1; i < MOAT_SHARD_COUNT && index == 0; i++)
        index = pop(pool, &pool->shard[(own + i) % MOAT_SHARD_COUNT].head);
    return index;
}

void moat_record_pool_give(struct moat_record_pool *pool, uint32_t index) {
    _Atomic uint64_t *stack = &pool->shard[moat_shard_of_this_thread()].head;
    /* A(recycle) */
    uint64_t head = moat_load_acquire(stack);

    do {
        /* relaxed: R(recycle) below publishes it. */
        moat_store32_relaxed(link_of(pool, index), index_of(head));
        /* R(recycle) A(recycle): acquiring keeps the givers below in view of whoever takes them. */
    } while (!moat_cas_acq_rel(stack, &head, next_head(head, index)));
}

uint32_t moat_record_pool_available(const struct moat_record_pool *pool) {
    /* relaxed: for reports. */
    return (uint32_t)moat_load_relaxed(&pool->available);
}

uint32_t moat_record_pool_dealt(const struct moat_record_pool *pool) {
    /* relaxed: for reports. */
    return (uint32_t)moat_load_relaxed(&pool->dealt);
}
