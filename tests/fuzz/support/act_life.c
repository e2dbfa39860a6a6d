/* SPDX-License-Identifier: MIT */
/*
 * act_life: regions of one size that are committed, filled and released one after the other. What
 * is kept of the ones and handed to the others reads as zero, and is not to be had in between.
 */
#include "act.h"
#include "calls.h"
#include "input.h"
#include "resting.h"
#include "verify.h"
#include "world.h"

static struct model_region *begin(unsigned owner, size_t size) {
    void *got = NULL;
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
        verify_fill(region->base + i * MODEL_PAGE, region->pages[i].content);
        model_wrote(&region->pages[i]);
    }
}

static void end(unsigned owner, uintptr_t base, size_t size) {
    bool ours = moat_manager_options(world.managers[owner])->backend == MOAT_BACKEND_OS;

    verify_note("%u end of %#lx", owner, (unsigned long)base);
    enum moat_status should = model_release(&world.model, owner, base);
    world_expect(calls->release(owner, (void *)base), should);
    if (!ours)
        return;
    verify_pages(&world.model, base, base + size);
    resting_add(owner, moat_manager_options(world.managers[owner]), base, size);
}

void act_life(unsigned owner) {
    unsigned choice = input_take(1);
    size_t size = (size_t)MODEL_GRANULE << (choice & 7) % 6;
    unsigned step = choice & 8 ? 1 : (choice >> 4 & 3) * 5 + 1;

    if (choice & 0x80)
        size += input_take(1) % 20 * MODEL_PAGE;
    for (unsigned lives = choice >> 5 & 3; world.model.region_count < MODEL_REGIONS_MAX; lives--) {
        struct model_region *region = begin(owner, size);
        if (!region)
            return;
        uintptr_t base = region->base;
        fill(region, step);
        if (lives == 0)
            return; /* the last one stays */
        end(owner, base, size);
    }
}
