/* SPDX-License-Identifier: MIT */
/* claim: two-bit arithmetic on block words, and the CAS loops around it. */
#include "region/claim.h"

#include "base/check.h"
#include "region/chance.h"

#define LOW_BITS UINT64_C(0x5555555555555555)

/* 32 granules as one bit each, from the even bits of a word. */
static uint32_t gather(uint64_t word) {
    word &= LOW_BITS;
    word = (word | word >> 1) & UINT64_C(0x3333333333333333);
    word = (word | word >> 2) & UINT64_C(0x0F0F0F0F0F0F0F0F);
    word = (word | word >> 4) & UINT64_C(0x00FF00FF00FF00FF);
    word = (word | word >> 8) & UINT64_C(0x0000FFFF0000FFFF);
    return (uint32_t)(word | word >> 16);
}

static uint32_t taken_granules(uint64_t word) {
    return gather(word >> 1);
}

/* Both bits of every granule that is not FREE in `pattern`. */
static uint64_t cover(uint64_t pattern) {
    uint64_t low = (pattern | pattern >> 1) & LOW_BITS;
    return low | low << 1;
}

static bool collides(uint64_t word, uint64_t pattern, bool with_resting) {
    uint64_t standing = with_resting ? word | word >> 1 : word >> 1;
    return (standing & LOW_BITS & cover(pattern)) != 0;
}

uint64_t moat_claim_pattern(unsigned first, unsigned count, bool slack) {
    MOAT_ASSERT(count > 0 && first + count <= MOAT_GRANULES_PER_BLOCK);
    uint64_t ones =
        count >= MOAT_GRANULES_PER_BLOCK ? MOAT_CLAIM_ALL : (UINT64_C(1) << (2 * count)) - 1;
    if (slack)
        ones -= UINT64_C(1) << (2 * (count - 1));
    return ones << (2 * first);
}

uint64_t moat_claim_pattern_in(const struct moat_space *space, size_t block, uintptr_t base,
                               size_t size) {
    uintptr_t block_start = moat_space_block_start(space, block);
    uintptr_t end = base + size;
    uintptr_t first = base > block_start ? base : block_start;
    uintptr_t last = end < block_start + MOAT_BLOCK ? end : block_start + MOAT_BLOCK;
    unsigned granule = (unsigned)((first - block_start) >> MOAT_GRANULE_SHIFT);
    unsigned count = (unsigned)((moat_round_up(last, MOAT_GRANULE) - first) >> MOAT_GRANULE_SHIFT);

    return moat_claim_pattern(granule, count, !moat_is_aligned(last, MOAT_GRANULE));
}

/* Bit g is set where `count` set bits of `mask` begin. */
static uint32_t runs_of(uint32_t mask, unsigned count) {
    unsigned have = 1;
    while (have < count) {
        unsigned step = count - have < have ? count - have : have;
        mask &= mask >> step;
        have += step;
    }
    return mask;
}

/* Where a run of `count` granules may start in a block so that a guard stands on either side as far
 * as this block can tell: its own, or a free granule. */
static uint32_t candidates(uint64_t word, const struct moat_claim_wish *wish) {
    unsigned count = wish->before + wish->count + wish->after;
    uint32_t taken = taken_granules(word);
    uint32_t full = taken & gather(word);
    uint32_t starts = runs_of(~(taken | gather(word)), count);

    if (wish->before == 0)
        starts &= ~(full << 1);
    if (wish->slack || wish->after > 0)
        return starts;
    if (count >= MOAT_GRANULES_PER_BLOCK)
        return 0;
    starts &= ~(taken >> count);
    return starts & ((UINT32_C(1) << (MOAT_GRANULES_PER_BLOCK - count)) - 1);
}

/* Every `step`th granule of a block; no step is longer than half of it. */
static uint32_t steps_of(unsigned step) {
    static const uint32_t steps[] = {
        0,          0xFFFFFFFF, 0x55555555, 0x49249249, 0x11111111, 0x42108421,
        0x41041041, 0x10204081, 0x01010101, 0x08040201, 0x40100401, 0x00400801,
        0x01001001, 0x04002001, 0x10004001, 0x40008001, 0x00010001,
    };
    _Static_assert(sizeof(steps) / sizeof(steps[0]) == MOAT_GRANULES_PER_BLOCK / 2 + 1, "all");
    return steps[step];
}

/* Without asking for an instruction that older processors lack. */
static unsigned count_bits(uint32_t bits) {
    bits -= bits >> 1 & 0x55555555;
    bits = (bits & 0x33333333) + (bits >> 2 & 0x33333333);
    bits = (bits + (bits >> 4)) & 0x0F0F0F0F;
    return bits * 0x01010101 >> 24;
}

/* The nth set bit, from 0 on: halves that lie before it are passed over. */
static unsigned nth_bit(uint32_t bits, unsigned nth) {
    unsigned at = 0;

    for (unsigned half = 16; half > 0; half /= 2) {
        unsigned before = count_bits(bits & ((UINT32_C(1) << half) - 1));
        if (nth >= before) {
            nth -= before;
            bits >>= half;
            at += half;
        }
    }
    return at;
}

/* One of the places there are. Whole steps from the start of the block come first: regions of one
 * size then leave no gaps that are too small for another, whatever chance has it. */
static unsigned choose(uint32_t starts, const struct moat_claim_wish *wish) {
    unsigned step = wish->before + wish->count + wish->after + !(wish->slack || wish->after > 0);

    if (!wish->random)
        return (unsigned)__builtin_ctz(starts);
    if (2 * step <= MOAT_GRANULES_PER_BLOCK && (starts & steps_of(step)) != 0)
        starts &= steps_of(step);
    return nth_bit(starts, moat_chance_below(wish->chance, count_bits(starts)));
}

/* What to claim for a run that starts at a granule. */
static uint64_t pattern_at(unsigned start, const struct moat_claim_wish *wish) {
    unsigned first = start + wish->before;
    uint64_t pattern = moat_claim_pattern(first, wish->count, wish->slack);

    for (unsigned i = 0; i < wish->before; i++)
        pattern |= moat_claim_pattern(start + i, 1, true);
    for (unsigned i = 0; i < wish->after; i++)
        pattern |= moat_claim_pattern(first + wish->count + i, 1, true);
    return pattern;
}

/* Whether a part of a block can be used: without markers nothing needs to be opened. */
static bool is_ready(const struct moat_space *space, size_t block) {
    /* relaxed: written before the granules were freed, read after some were claimed: claim. */
    return !space->markers ||
           atomic_load_explicit(&space->opened[block], memory_order_relaxed) == MOAT_BLOCK_OPEN;
}

bool moat_claim_some(struct moat_space *space, size_t block, const struct moat_claim_wish *wish,
                     unsigned *first) {
    _Atomic uint64_t *claims = &space->claims[block];
    /* A(claim) */
    uint64_t word = atomic_load_explicit(claims, memory_order_acquire);
    uint32_t allowed = UINT32_MAX;

    for (;;) {
        uint32_t starts = is_ready(space, block) ? candidates(word, wish) & allowed : 0;
        if (starts == 0)
            return false;
        unsigned start = choose(starts, wish);
        uint64_t pattern = pattern_at(start, wish);
        /* R(claim) A(claim), sequentially consistent: a claim at the edge of a block looks at the
         * neighbouring word next, whose claimer looks at this one: one of them sees the other. */
        if (!atomic_compare_exchange_weak_explicit(claims, &word, word | pattern,
                                                   memory_order_seq_cst, memory_order_acquire))
            continue;
        bool behind_full =
            start == 0 && wish->before == 0 && block > 0 &&
            moat_claim_of(space, block - 1, MOAT_GRANULES_PER_BLOCK - 1) == MOAT_CLAIM_FULL;
        if (is_ready(space, block) && !behind_full) {
            *first = start + wish->before;
            return true;
        }
        moat_claim_free(space, block, pattern, MOAT_CLAIM_FREE);
        allowed &= ~UINT32_C(1);
        /* A(claim) */
        word = atomic_load_explicit(claims, memory_order_acquire);
    }
}

bool moat_claim_exactly(struct moat_space *space, size_t block, uint64_t pattern, unsigned how) {
    _Atomic uint64_t *claims = &space->claims[block];
    /* A(claim) */
    uint64_t word = atomic_load_explicit(claims, memory_order_acquire);
    uint64_t next;

    do {
        if (collides(word, pattern, !(how & MOAT_CLAIM_WAKES)))
            return false;
        if (how & MOAT_CLAIM_WHOLE && collides(word, MOAT_CLAIM_ALL, false))
            return false;
        next = how & MOAT_CLAIM_WHOLE ? MOAT_CLAIM_ALL : ((word & ~cover(pattern)) | pattern);
        /* R(claim) A(claim), sequentially consistent, as in moat_claim_some. */
    } while (!atomic_compare_exchange_weak_explicit(claims, &word, next, memory_order_seq_cst,
                                                    memory_order_acquire));
    return true;
}

bool moat_claim_block(struct moat_space *space, size_t block) {
    uint64_t word = 0;
    /* R(claim) A(claim), sequentially consistent, as in moat_claim_some. */
    return atomic_compare_exchange_strong_explicit(&space->claims[block], &word, MOAT_CLAIM_ALL,
                                                   memory_order_seq_cst, memory_order_relaxed);
}

void moat_claim_settle(struct moat_space *space, size_t block, uint64_t word) {
    /* R(claim) */
    atomic_store_explicit(&space->claims[block], word, memory_order_release);
}

void moat_claim_free(struct moat_space *space, size_t block, uint64_t pattern,
                     enum moat_claim state) {
    _Atomic uint64_t *claims = &space->claims[block];
    uint64_t mask = cover(pattern);
    uint64_t rest = state == MOAT_CLAIM_RESTING ? mask & LOW_BITS : 0;
    /* relaxed: the CAS below orders what matters. */
    uint64_t word = atomic_load_explicit(claims, memory_order_relaxed);

    /* R(claim) */
    while (!atomic_compare_exchange_weak_explicit(claims, &word, (word & ~mask) | rest,
                                                  memory_order_release, memory_order_relaxed))
        ;
}

void moat_claim_give(struct moat_space *space, uintptr_t base, uintptr_t end, size_t blocks,
                     enum moat_claim state) {
    size_t block = moat_space_block(space, base);
    for (size_t last = block + blocks; block < last; block++)
        moat_claim_free(space, block, moat_claim_pattern_in(space, block, base, end - base), state);
}

uint64_t moat_claim_word(const struct moat_space *space, size_t block) {
    /* A(claim) */
    return atomic_load_explicit(&space->claims[block], memory_order_acquire);
}

uint64_t moat_claim_resting(uint64_t word, uint64_t pattern) {
    uint64_t resting = word & ~(word >> 1) & LOW_BITS & cover(pattern);
    return resting | resting << 1;
}

bool moat_claim_wake(struct moat_space *space, size_t block, uint64_t *word, uint64_t pattern) {
    /* R(claim) A(claim) passes on what was released by whoever left them resting. */
    return atomic_compare_exchange_strong_explicit(&space->claims[block], word, *word & ~pattern,
                                                   memory_order_acq_rel, memory_order_acquire);
}

enum moat_claim moat_claim_of(const struct moat_space *space, size_t block, unsigned granule) {
    /* R(claim) A(claim), sequentially consistent: the second half of a claimer's look. */
    uint64_t word = atomic_load_explicit(&space->claims[block], memory_order_seq_cst);
    return (enum moat_claim)(word >> (2 * granule) & 3);
}

bool moat_claim_meets(const struct moat_space *space, size_t block, uint64_t pattern) {
    /* relaxed: a look before a claim. */
    uint64_t word = atomic_load_explicit(&space->claims[block], memory_order_relaxed);
    return collides(word, pattern, false);
}

bool moat_claim_any_taken(const struct moat_space *space, size_t block) {
    /* relaxed: a hint of where to look. */
    uint64_t word = atomic_load_explicit(&space->claims[block], memory_order_relaxed);
    return taken_granules(word) != 0;
}
