/* SPDX-License-Identifier: MIT */
/* act_pages: reserve, commit, reset, decommit, release, protect and query; and writing. */
#include "act.h"
#include "calls.h"
#include "input.h"
#include "resting.h"
#include "verify.h"
#include "verify_told.h"
#include "world.h"

/* --- Reserve --- */

/* Machines have large pages or not: they are had for a moment, or the refusal must be right. */
static void reserve_large(unsigned owner, uintptr_t address, size_t size, uint32_t protection,
                          uint32_t flags) {
    const uint32_t modifiers = MOAT_PAGE_GUARD | MOAT_PAGE_NOCACHE | MOAT_PAGE_WRITECOMBINE;
    uintptr_t start, end;
    void *got = &got;
    bool valid =
        model_protection_valid(protection) && (protection & modifiers) == 0 &&
        (flags & ~MOAT_RESERVE_TOP_DOWN) == (MOAT_RESERVE_LARGE_PAGES | MOAT_RESERVE_COMMIT) &&
        model_range(address ? address : MODEL_GRANULE, size, &start, &end);

    enum moat_status is = calls->reserve(owner, (void *)address, size, protection, flags, &got);
    /* Only where the machine has some is the size looked at, before the rights are. */
    if (is != MOAT_NO_PRIVILEGE && (address | size) % MODEL_LARGE_PAGE != 0)
        valid = false;
    if (valid && is != MOAT_NO_PRIVILEGE && !model_may_execute(&world.model, owner, protection)) {
        world.model.reports[owner]++;
        world_expect(is, MOAT_CODE_BLOCKED);
    }
    if (!valid)
        world_expect(is, MOAT_INVALID_ARGUMENT);
    if (is && got)
        verify_fail("a failed reserve left %p", got);
    bool denied = valid && world_denied(owner, is);
    if (is == MOAT_COMMIT_LIMIT && !denied)
        world.model.stats[owner].quota_refusals++;
    if (is)
        return;
    struct moat_page_info info;
    if (moat_query(got, &info) || info.size != size || info.state != MOAT_STATE_COMMITTED)
        verify_fail("a region of large pages is not committed");
    world_expect(calls->release(owner, got), MOAT_OK);
    world.model.stats[owner].reserves++;
    world.model.stats[owner].releases++;
}

/* A region that Moat has placed has free pages on both sides. */
static void check_place(uintptr_t address, uintptr_t base, uintptr_t should, size_t page_count) {
    struct model *model = &world.model;

    if ((address && base != should) || base % MODEL_GRANULE)
        verify_fail("reserved at %#lx", (unsigned long)base);
    if (model_find(model, base) || model_find_mapping(model, base) ||
        model_next(model, base) < base + page_count * MODEL_PAGE)
        verify_fail("reserved at %#lx, over another region", (unsigned long)base);
    if (!address &&
        (model_find(model, base - MODEL_PAGE) || model_find(model, base + page_count * MODEL_PAGE)))
        verify_fail("reserved at %#lx, without a guard", (unsigned long)base);
}

/* What is placed by Moat's choice keeps its guards, until somebody names an address in them. */
static void note_place(struct model_region *region, bool named) {
    const struct moat_options *options = moat_manager_options(world.managers[region->owner]);

    if (named) {
        world_named(region->base, model_end(region) - region->base);
        return;
    }
    resting_check(region->base, model_end(region) - region->base);
    if (options->backend == MOAT_BACKEND_MIMALLOC)
        return;
    region->guard_before = options->guard_before;
    region->guard_after = options->guard_after;
}

void act_reserve(unsigned owner) {
    unsigned choice = input_take(1);
    uintptr_t address = choice & 1 ? world_address() : 0;
    size_t size = input_size();
    uint32_t protection = input_protection();
    uint32_t flags = choice >> 1 & 7;
    uintptr_t base = 0;
    size_t page_count = 0;
    void *got = &got;

    if (choice >= 252)
        flags |= 0x10;
    verify_note("%u reserve %#lx size %#zx protection %#x flags %u", owner, (unsigned long)address,
                size, protection, flags);
    if (choice >= 240 && choice < 248) {
        reserve_large(owner, address, size, protection, flags | MOAT_RESERVE_LARGE_PAGES);
        return;
    }
    if (world.model.region_count == MODEL_REGIONS_MAX)
        return;
    enum moat_status should =
        model_reserve(&world.model, address, size, protection, flags, &base, &page_count);
    if (should != MOAT_INVALID_ARGUMENT && !model_may_execute(&world.model, owner, protection)) {
        should = MOAT_CODE_BLOCKED;
        world.model.reports[owner]++;
    }
    if (!should && (flags & MOAT_RESERVE_COMMIT) &&
        !model_quota_allows(&world.model, owner, page_count * MODEL_PAGE))
        should = MOAT_COMMIT_LIMIT;
    enum moat_status is = calls->reserve(owner, (void *)address, size, protection, flags, &got);
    if (is && got)
        verify_fail("a failed reserve left %p", got);
    if (should != MOAT_INVALID_ARGUMENT && world_denied(owner, is))
        return;
    if (is == MOAT_COMMIT_LIMIT)
        world.model.stats[owner].quota_refusals++;
    if (world_may_be_apart(owner, address) && is == MOAT_INVALID_ADDRESS)
        return;
    if (address == 0 || world_in_window(base) || is != MOAT_INVALID_ADDRESS)
        world_expect(is, should);
    if (is == MOAT_NO_MEMORY)
        resting_forget(); /* it was let go, and was not enough */
    if (is)
        return;
    check_place(address, (uintptr_t)got, base, page_count);
    struct model_region *region =
        model_add(&world.model, owner, (uintptr_t)got, page_count, protection, flags);
    note_place(region, address != 0);
    world_check_range((uintptr_t)got, SIZE_MAX);
}

/* --- Pages of a region --- */

static void commit_or_reset(unsigned owner, bool commit) {
    uintptr_t address = world_address();
    size_t size = world_size(address);
    uint32_t protection = input_protection();
    void *start = NULL;

    verify_note("%u %s %#lx size %#zx protection %#x", owner, commit ? "commit" : "reset",
                (unsigned long)address, size, protection);
    enum moat_status is =
        (commit ? calls->commit : calls->reset)(owner, (void *)address, size, protection, &start);
    if (commit && world_denied(owner, is)) {
        world_check_range(address, size);
        return;
    }
    enum moat_status should =
        (commit ? model_commit : model_reset)(&world.model, owner, address, size, protection);
    world_expect(is, should);
    if (!is && (uintptr_t)start != model_round_down(address, MODEL_PAGE))
        verify_fail("the start is %p", start);
    if (!is && !commit) {
        world.reset_address = address;
        world.reset_size = size;
        if (input_take(1) & 1)
            act_drop_content(owner);
    }
    world_check_range(address, size);
}

void act_commit(unsigned owner) {
    commit_or_reset(owner, true);
}

void act_reset(unsigned owner) {
    commit_or_reset(owner, false);
}

void act_decommit(unsigned owner) {
    uintptr_t address = world_address();
    size_t size = world_size(address);

    verify_note("%u decommit %#lx size %#zx", owner, (unsigned long)address, size);
    enum moat_status should = model_decommit(&world.model, owner, address, size);
    world_expect(calls->decommit(owner, (void *)address, size), should);
    if (!should) {
        const struct model_region *region = model_find(&world.model, address);
        uintptr_t start = model_round_down(address, MODEL_PAGE);
        uintptr_t end = size ? model_round_up(address + size, MODEL_PAGE) : model_end(region);
        verify_told_decommitted(start + input_take(3) % (end - start), start, end);
    }
    world_check_range(address, size ? size : SIZE_MAX);
}

void act_release(unsigned owner) {
    uintptr_t address = world_address();
    struct model_region *region = model_find(&world.model, address);
    struct model_region was = region ? *region : (struct model_region){0};

    if (region && (input_take(1) & 3) != 0)
        address = region->base + input_take(2) % MODEL_PAGE;
    verify_note("%u release %#lx", owner, (unsigned long)address);
    enum moat_status should = model_release(&world.model, owner, address);
    world_expect(calls->release(owner, (void *)address), should);
    world_flush(owner);
    /* What mimalloc supplied is its own again; elsewhere every page traps. */
    bool given_away = moat_manager_options(world.managers[owner])->backend == MOAT_BACKEND_MIMALLOC;
    if (should || given_away)
        return;
    verify_pages(&world.model, was.base, model_end(&was));
    uintptr_t end = model_end(&was);
    verify_told_released(&world.model, was.base + input_take(3) % (end - was.base), was.base, end);
    resting_add(owner, moat_manager_options(world.managers[owner]), was.base, end - was.base);
}

void act_protect(unsigned owner) {
    unsigned choice = input_take(1);
    unsigned caller = choice < 30 ? MODEL_OWNERS : owner;
    uintptr_t address = world_address();
    size_t size = world_size(address);
    uint32_t protection = input_protection();
    uint32_t old = 0, old_should = 0;

    verify_note("%u protect %#lx size %#zx protection %#x", owner, (unsigned long)address, size,
                protection);
    enum moat_status is =
        calls->protect(caller, (void *)address, size, protection, choice > 250 ? NULL : &old);
    const struct model_region *region = model_find(&world.model, address);
    if (region && world_denied(region->owner, is)) {
        world_check_range(address, size);
        return;
    }
    enum moat_status should =
        model_protect(&world.model, caller, calls->protects_any ? MODEL_OWNERS : caller, address,
                      size, protection, choice > 250 ? NULL : &old_should);
    world_expect(is, should);
    if (!is && old != old_should)
        verify_fail("the old protection is %#x, not %#x", old, old_should);
    world_check_range(address, size);
}

/* --- Others --- */

void act_query(unsigned owner) {
    struct moat_page_info info;
    uintptr_t address = world_address();
    enum moat_status is = moat_query((const void *)address, &info);

    (void)owner;
    world_expect(is, address < MODEL_USER_END ? MOAT_OK : MOAT_INVALID_ARGUMENT);
    if (!is && ((uintptr_t)info.base != model_round_down(address, MODEL_PAGE) || info.size == 0))
        verify_fail("query of %#lx: base %p", (unsigned long)address, info.base);
}

void act_fill(unsigned owner) {
    uintptr_t address = model_round_down(world_address(), MODEL_PAGE);
    unsigned count = input_take(1) % 32 + 1;
    uint8_t content = (uint8_t)input_take(1);
    struct model_region *region = model_find(&world.model, address);

    (void)owner;
    verify_note("fill %#lx count %u with %u", (unsigned long)address, count, content);
    for (size_t i = region ? (address - region->base) / MODEL_PAGE : 0;
         region && i < region->page_count && count > 0; i++, count--) {
        if (!model_writable(&region->pages[i]))
            continue;
        verify_fill(region->base + i * MODEL_PAGE, content);
        region->pages[i].content = content;
        region->pages[i].partly = false;
        model_wrote(&region->pages[i]);
    }
}
