/* SPDX-License-Identifier: MIT */
/*
 * vacate: places that are given back to an arena, and the guards that go with them.
 *
 * Guards that a region has besides the free granule or the tail that every region has are taken
 * with it, and rest as soon as the region can be found: whoever names their addresses then gets
 * them, and nobody else. So when a region goes, some of its guards may be somebody else's.
 */
#include "region/arena.h"
#include "region/claim.h"
#include "region/quarantine.h"
#include "region/region.h"
#include "region/retain.h"

/* Whether any region ever had more guards than what is free around it. */
static _Atomic bool guards_exist;

bool moat_arena_takes_guards(uintptr_t base, uintptr_t end) {
    struct moat_region_ref region;

    /* relaxed: a statistic hangs on it. */
    if (!atomic_load_explicit(&guards_exist, memory_order_relaxed))
        return false;
    return (moat_region_before(base, &region) && region.span_end > base) ||
           (moat_region_after(base, &region) && region.span_start < end);
}

/* What a region has besides its granules. */
struct surroundings {
    uintptr_t before; /* the guards before it start here */
    uintptr_t base;
    uintptr_t end; /* of its last granule */
    uintptr_t after;
};

static struct surroundings around(const struct moat_place *place) {
    uintptr_t end = place->base + moat_round_up(place->size, MOAT_GRANULE);
    return (struct surroundings){
        .before = place->base - place->before * MOAT_GRANULE,
        .base = place->base,
        .end = end,
        .after = end + place->after * MOAT_GRANULE,
    };
}

/* Guards lie in one block with their region. */
static void turn(struct moat_space *arena, uintptr_t start, uintptr_t end, enum moat_claim state) {
    if (start < end)
        moat_claim_give(arena, start, end, 1, state);
}

void moat_arena_stand_guards(const struct moat_place *place) {
    const struct surroundings at = around(place);

    if (at.before == at.base && at.end == at.after)
        return;
    /* relaxed: ordered by the claims, which who lets granules go looks at first. */
    atomic_store_explicit(&guards_exist, true, memory_order_relaxed);
    turn(place->space, at.before, at.base, MOAT_CLAIM_RESTING);
    turn(place->space, at.end, at.after, MOAT_CLAIM_RESTING);
}

/* Those granules of a pattern that are the guards of a live region. */
static uint64_t guards_in(const struct moat_space *arena, size_t block, uint64_t pattern) {
    uintptr_t start = moat_space_block_start(arena, block);
    struct moat_region_ref region;
    uint64_t guards = 0;

    for (unsigned granule = 0; granule < MOAT_GRANULES_PER_BLOCK; granule++) {
        uint64_t one = moat_claim_pattern(granule, 1, false);
        uintptr_t address = start + granule * MOAT_GRANULE;
        if (!(pattern & one))
            continue;
        if ((moat_region_before(address, &region) && region.span_end > address) ||
            (moat_region_after(address, &region) && region.span_start <= address))
            guards |= one;
    }
    return guards;
}

/* Let what rests of a pattern be free, except guards. They rest only while their region can be
 * found, so the claims are read first: should one of them have become a guard since, they differ.
 * (Unless they went through all the states between and are the same again, within this call.) */
static void wake(struct moat_space *arena, size_t block, uint64_t pattern) {
    uint64_t word = moat_claim_word(arena, block);
    uint64_t woken;

    do {
        woken = moat_claim_resting(word, pattern);
        if (woken == 0)
            return;
        /* relaxed: ordered by the claims. */
        if (atomic_load_explicit(&guards_exist, memory_order_relaxed))
            woken &= ~guards_in(arena, block, woken);
    } while (!moat_claim_wake(arena, block, &word, woken));
}

/* Guards lie in one block with their region, so in none that is freed whole. Freed granules rest
 * for a moment, because others may be placed in what is free. */
void moat_arena_free(struct moat_space *arena, uintptr_t base, uintptr_t end, size_t blocks) {
    size_t block = moat_space_block(arena, base);

    for (size_t last = block + blocks; block < last; block++) {
        uint64_t pattern = moat_claim_pattern_in(arena, block, base, end - base);
        bool whole = (pattern | MOAT_CLAIM_BORDER >> 1) == MOAT_CLAIM_ALL;
        /* relaxed: ordered by the claims. */
        bool guards = !whole && atomic_load_explicit(&guards_exist, memory_order_relaxed);
        moat_claim_free(arena, block, pattern, guards ? MOAT_CLAIM_RESTING : MOAT_CLAIM_FREE);
        if (guards)
            wake(arena, block, pattern);
    }
}

static void wake_range(struct moat_space *arena, uintptr_t start, uintptr_t end) {
    for (uintptr_t at = start; at < end;) {
        size_t block = moat_space_block(arena, at);
        uintptr_t stop = moat_space_block_start(arena, block + 1);
        wake(arena, block, moat_claim_pattern_in(arena, block, start, end - start));
        at = stop;
    }
}

void moat_arena_unrest(uintptr_t base, size_t size) {
    struct moat_space *arena = moat_arena_of(base);

    if (!arena) /* gone, with all that rested in it */
        return;
    /* Another arena may have come there since, of other bounds. */
    uintptr_t room = arena->usable_end - base;
    wake_range(arena, base, base + (size < room ? size : room));
    moat_arena_prefer(arena, moat_space_block(arena, base));
    moat_retain_offer(arena, base, size < room ? size : room);
}

void moat_arena_vacate(const struct moat_place *place, struct moat_quarantine *quarantine) {
    const struct surroundings at = around(place);
    struct moat_space *arena = place->space;
    bool rests = moat_quarantine_admits(quarantine, place->size);
    uintptr_t end = place->base + place->size;
    size_t first = moat_space_block(arena, place->base);
    size_t last = moat_space_block(arena, end - 1);

    if (place->unshown) {
        turn(arena, at.before, at.base, MOAT_CLAIM_FREE);
        turn(arena, at.end, at.after, MOAT_CLAIM_FREE);
    } else {
        /* Those that did not yield. */
        wake_range(arena, at.before, at.base);
        wake_range(arena, at.end, at.after);
    }
    if (!rests) {
        moat_arena_free(arena, place->base, end, last - first + 1);
        moat_retain_offer(arena, place->base, place->size);
        return;
    }
    moat_claim_give(arena, place->base, end, last - first + 1, MOAT_CLAIM_RESTING);
    moat_quarantine_rest(quarantine, place->base, place->size, false);
}
