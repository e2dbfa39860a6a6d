/* SPDX-License-Identifier: MIT */
/*
 * act_life: regions of one size that are committed, filled and released one after the other. What
 * is kept of the ones and handed to the others reads as zero, and is not to be had in between; but
 * where traps are put off, stale pointers write until all of them trap together, and nobody sees
 * what they wrote.
 */
#include "act.h"
#include "calls.h"
#include "input.h"
#include "resting.h"
#include "verify.h"
#include "world.h"

#include <moat/describe.h>

enum { LIVES_DEFERRED_MAX = 20, STALE = 0x5A };

/* What was released since traps were last certain. */
static uintptr_t stale[LIVES_DEFERRED_MAX + 4];
static size_t stale_count;

/* Whether the trap of the region that was last there was put off, so that a stale pointer reaches
 * it. Another one may lie around this address since. */
static bool is_put_off(uintptr_t base) {
    struct moat_description told;

    if (moat_describe_address((const void *)base, &told))
        verify_fail("%#lx cannot be described", (unsigned long)base);
    return told.kind == MOAT_ADDRESS_RELEASED && told.base == (const void *)base &&
           told.trap_pending;
}

/* Where a region lies already, there would be one less. */
static void check_put_off(unsigned owner) {
    struct moat_stats stats;
    uint64_t count = 0;

    for (size_t i = 0; i < stale_count; i++)
        count += is_put_off(stale[i]);
    if (moat_stats_read(world.managers[owner], &stats) || stats.deferred_regions != count)
        verify_fail("%llu regions are to trap, of which %llu lie where nothing else does",
                    (unsigned long long)stats.deferred_regions, (unsigned long long)count);
}

static void settle(unsigned owner, size_t size) {
    if (stale_count == 0)
        return;
    world_flush(owner);
    while (stale_count > 0) {
        uintptr_t base = stale[--stale_count];
        verify_pages(&world.model, base, base + size);
    }
}

static struct model_region *begin(unsigned owner, size_t size) {
    void *got = NULL;

    if (world.model.quota[owner])
        settle(owner, size); /* what was released counts until it traps */
    enum moat_status should =
        model_quota_allows(&world.model, owner, size) ? MOAT_OK : MOAT_COMMIT_LIMIT;
    verify_note("%u life of %#zx", owner, size);
    enum moat_status is =
        calls->reserve(owner, NULL, size, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT, &got);
    if (world_denied(owner, is))
        return NULL;
    world.model.stats[owner].quota_refusals += is == MOAT_COMMIT_LIMIT;
    world_expect(is, should);
    if (is)
        return NULL;
    if (stale_count > 0)
        check_put_off(owner);
    uintptr_t base = (uintptr_t)got;
    if (base % MODEL_GRANULE || model_find(&world.model, base) ||
        model_next(&world.model, base) < base + size)
        verify_fail("reserved at %p, over another region", got);
    resting_check(base, size);
    struct model_region *region = model_add(&world.model, owner, base, size / MODEL_PAGE,
                                            MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT);
    world_check_range(base, SIZE_MAX);
    return region;
}

/* All of it, or some pages. */
static void fill(struct model_region *region, unsigned step) {
    for (size_t i = 0; i < region->page_count; i += step) {
        region->pages[i].content = (uint8_t)(i + step);
        region->pages[i].partly = false;
        verify_fill(region->base + i * MODEL_PAGE, region->pages[i].content);
        model_wrote(&region->pages[i]);
    }
}

/* An address that has come up before had trapped meanwhile. */
static void note_stale(uintptr_t base) {
    for (size_t i = 0; i < stale_count; i++)
        if (stale[i] == base)
            return;
    stale[stale_count++] = base;
}

static void end(unsigned owner, uintptr_t base, size_t size) {
    const struct moat_options *options = moat_manager_options(world.managers[owner]);

    verify_note("%u end of %#lx", owner, (unsigned long)base);
    enum moat_status should = model_release(&world.model, owner, base);
    world_expect(calls->release(owner, (void *)base), should);
    if (options->backend != MOAT_BACKEND_OS)
        return;
    bool put_off = options->defer_regions > 1 && is_put_off(base);
    if (put_off) {
        verify_fill(base, STALE);
        note_stale(base);
    } else {
        verify_pages(&world.model, base, base + size);
    }
    if (options->defer_regions > 1)
        resting_forget(); /* they rest in the order in which they trapped, which nobody knows */
    else
        resting_add(owner, options, base, size);
}

void act_life(unsigned owner) {
    unsigned choice = input_take(1);
    size_t size = (size_t)MODEL_GRANULE << (choice & 7) % 6;
    unsigned step = choice & 8 ? 1 : (choice >> 4 & 3) * 5 + 1;
    unsigned lives = choice >> 5 & 3;

    if (choice & 0x80)
        size += input_take(1) % 20 * MODEL_PAGE;
    if (moat_manager_options(world.managers[owner])->defer_regions > 1)
        lives += input_take(1) % (LIVES_DEFERRED_MAX + 1);
    for (; world.model.region_count < MODEL_REGIONS_MAX; lives--) {
        struct model_region *region = begin(owner, size);
        if (!region)
            break;
        uintptr_t base = region->base;
        fill(region, step);
        if (lives == 0)
            break; /* the last one stays */
        end(owner, base, size);
    }
    settle(owner, size);
}
