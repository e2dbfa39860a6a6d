/* SPDX-License-Identifier: MIT */
/*
 * mend_claims: granules of arenas that are claimed and belong to no region.
 *
 * Regions are not looked up where the sums agree, which is nearly always. A granule is claimed
 * before a region stands there and for a while after, so there is never a region without a claim.
 */
#include "os/os.h"
#include "region/arena.h"
#include "region/claim.h"
#include "region/mend.h"

static unsigned bits_of(uint64_t word) {
    unsigned count = 0;
    for (; word; word &= word - 1)
        count++;
    return count;
}

static uint64_t count_taken(const struct moat_space *arena) {
    uint64_t count = 0;
    for (size_t block = 1; block + 1 < arena->block_count; block++)
        /* relaxed: nobody claims. */
        count += bits_of(atomic_load_explicit(&arena->claims[block], memory_order_relaxed) &
                         MOAT_CLAIM_BORDER);
    return count;
}

/* A walk over the regions of an arena beside one over its blocks. */
struct walk {
    struct moat_region_ref ref;
    bool any;
};

/* What live regions have of a block, as a claim pattern. */
static uint64_t owned(const struct moat_space *arena, size_t block, struct walk *walk) {
    uintptr_t start = moat_space_block_start(arena, block);
    uintptr_t end = start + MOAT_BLOCK;
    uint64_t pattern = 0;

    while (walk->any && walk->ref.base < end) {
        uintptr_t tail = walk->ref.base + walk->ref.size;
        if (tail > start)
            pattern |= moat_claim_pattern_in(arena, block, walk->ref.base, walk->ref.size);
        if (tail > end)
            break;
        walk->any = moat_region_after(walk->ref.base, &walk->ref);
    }
    return pattern;
}

/* Make granules trap and free them, one run of them after the other. False: some do not trap, and
 * stay claimed. */
static bool free_granules(struct moat_space *arena, size_t block, uint64_t stray) {
    uintptr_t start = moat_space_block_start(arena, block);
    bool all = true;

    for (unsigned first = 0, last; first < MOAT_GRANULES_PER_BLOCK; first = last) {
        for (last = first; last < MOAT_GRANULES_PER_BLOCK && (stray >> (2 * last) & 2); last++)
            ;
        if (last == first) {
            last++;
            continue;
        }
        if (moat_mend_drop(arena, start + ((uintptr_t)first << MOAT_GRANULE_SHIFT),
                           start + ((uintptr_t)last << MOAT_GRANULE_SHIFT)))
            all = false;
        else
            moat_claim_free(arena, block, moat_claim_pattern(first, last - first, false),
                            MOAT_CLAIM_FREE);
    }
    return all;
}

static void mend_arena(struct moat_space *arena, struct moat_fork_report *report) {
    struct walk walk;

    walk.any = moat_region_after(arena->start - 1, &walk.ref);
    for (size_t block = 1; block + 1 < arena->block_count; block++) {
        uint64_t mine = owned(arena, block, &walk);
        /* relaxed: nobody claims. */
        uint64_t word = atomic_load_explicit(&arena->claims[block], memory_order_relaxed);
        uint64_t stray = word & MOAT_CLAIM_BORDER & ~mine;
        if (stray == 0)
            continue;
        report->granules += bits_of(stray);
        if (!free_granules(arena, block, stray))
            report->refusals++;
    }
}

void moat_mend_claims(const struct moat_mend_sums *sums, struct moat_fork_report *report) {
    struct moat_space *arena;

    for (size_t nth = 0; moat_arena_nth(nth, &arena); nth++)
        if (moat_arenas_here(arena) && count_taken(arena) != sums->of[arena->kind][arena->number])
            mend_arena(arena, report);
}
