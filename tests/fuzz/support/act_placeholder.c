/* SPDX-License-Identifier: MIT */
/* act_placeholder: placeholders, and reserves within limits. */
#include "act.h"
#include "calls.h"
#include "input.h"
#include "resting.h"
#include "verify.h"
#include "world.h"

/* More than one region may come of a call. */
static bool have_room(void) {
    return world.model.region_count + 2 <= MODEL_REGIONS_MAX;
}

void act_placeholder(unsigned owner) {
    unsigned choice = input_take(1);
    uintptr_t address = choice & 1 ? world_address() : 0;
    size_t size = input_size();
    uint32_t flags = choice & 2 ? MOAT_RESERVE_TOP_DOWN : choice > 248 ? MOAT_RESERVE_COMMIT : 0;
    uintptr_t base = 0;
    size_t page_count = 0;
    void *got = &got;

    if (!have_room())
        return;
    verify_note("%u placeholder %#lx size %#zx flags %u", owner, (unsigned long)address, size,
                flags);
    enum moat_status should =
        model_reserve(&world.model, address, size, MOAT_PAGE_NOACCESS, flags, &base, &page_count);
    if (flags & MOAT_RESERVE_COMMIT)
        should = MOAT_INVALID_ARGUMENT;
    bool in_arena = world.in_arena && base >= world.windows[0].start && base < world.windows[0].end;
    if (!should && address && in_arena)
        should = MOAT_INVALID_ADDRESS;
    enum moat_status is = calls->placeholder(owner, (void *)address, size, flags, &got);
    if (is && got)
        verify_fail("a failed reserve left %p", got);
    if (should != MOAT_INVALID_ARGUMENT && world_denied(owner, is))
        return;
    if (world_may_be_apart(owner, address) && is == MOAT_INVALID_ADDRESS)
        return;
    if (address == 0 || world_in_window(base) || is != MOAT_INVALID_ADDRESS)
        world_expect(is, should);
    if (is)
        return;
    if ((address && (uintptr_t)got != base) || (uintptr_t)got % MODEL_GRANULE)
        verify_fail("reserved at %p", got);
    struct model_region *region =
        model_add(&world.model, owner, (uintptr_t)got, page_count, MOAT_PAGE_NOACCESS, 0);
    region->kind = MODEL_PLACEHOLDER;
    world_named(region->base, model_end(region) - region->base);
    world_check_range((uintptr_t)got, SIZE_MAX);
}

/* A range that is one region, or some more; or any. */
static void choose_range(uintptr_t *address, size_t *size) {
    unsigned choice = input_take(1);
    *address = world_address();
    const struct model_region *region = model_find(&world.model, *address);

    if (!region || choice < 16) {
        *size = world_size(*address);
        return;
    }
    if (choice < 100) { /* a part of it */
        *size = (input_take(1) % region->page_count + 1) * MODEL_PAGE;
        return;
    }
    *address = region->base;
    uintptr_t end = model_end(region);
    for (unsigned more = choice % 4; more > 0 && (region = model_find(&world.model, end)); more--)
        end = model_end(region);
    *size = end - *address - (choice & 4 ? input_take(1) : 0);
    *address += choice & 8 ? input_take(1) % 16 : 0;
    if (*size > end - *address)
        *size = end - *address;
}

void act_replace(unsigned owner) {
    uint32_t flags = input_take(1) & 1 ? MOAT_RESERVE_COMMIT : 0;
    uint32_t protection = input_protection();
    void *got = &got;
    uintptr_t address;
    size_t size;

    choose_range(&address, &size);
    verify_note("%u replace %#lx size %#zx protection %#x flags %u", owner, (unsigned long)address,
                size, protection, flags);
    enum moat_status is = calls->replace(owner, (void *)address, size, protection, flags, &got);
    if (world_denied(owner, is)) {
        world_check_range(address, SIZE_MAX);
        return;
    }
    enum moat_status should = model_replace(&world.model, owner, address, size, protection, flags);
    world_expect(is, should);
    if ((uintptr_t)got != (should ? 0 : model_round_down(address, MODEL_PAGE)))
        verify_fail("replaced at %p", got);
    world_check_range(address, SIZE_MAX);
}

void act_preserve(unsigned owner) {
    uintptr_t address;
    size_t size;

    choose_range(&address, &size);
    if (!have_room())
        return;
    verify_note("%u preserve %#lx size %#zx", owner, (unsigned long)address, size);
    enum moat_status should = model_preserve(&world.model, owner, address, size);
    world_expect(calls->preserve(owner, (void *)address, size), should);
    world_check_range(address, SIZE_MAX);
}

void act_coalesce(unsigned owner) {
    uintptr_t address;
    size_t size;

    choose_range(&address, &size);
    verify_note("%u coalesce %#lx size %#zx", owner, (unsigned long)address, size);
    enum moat_status should = model_coalesce(&world.model, owner, address, size);
    world_expect(calls->coalesce(owner, (void *)address, size), should);
    world_check_range(address, SIZE_MAX);
}

/* --- Within limits --- */

static bool limits_valid(const struct moat_address_limits *limits) {
    if (limits->lowest % MODEL_GRANULE || limits->highest >= MODEL_USER_END ||
        (limits->highest &&
         ((limits->highest + 1) % MODEL_PAGE || limits->highest <= limits->lowest)))
        return false;
    return limits->alignment == 0 || (limits->alignment >= MODEL_GRANULE &&
                                      (limits->alignment & (limits->alignment - 1)) == 0);
}

/* Limits in a stretch where room is found, mostly. */
static void choose_limits(struct moat_address_limits *limits) {
    unsigned choice = input_take(1);
    uintptr_t start = world.limited.start + input_take(1) * MODEL_GRANULE;

    *limits = (struct moat_address_limits){
        .lowest = start,
        .highest = start + (input_take(1) + 1) * MODEL_GRANULE * (choice & 8 ? 8 : 1) - 1,
        .alignment = choice & 4 ? (size_t)MODEL_GRANULE << (choice >> 4 & 7) : 0,
    };
    if (choice < 16)
        limits->lowest += MODEL_PAGE;
    else if (choice < 32)
        limits->highest += 1 + input_take(1);
    else if (choice < 48)
        limits->alignment = input_take(2);
}

/* Room so wide that the regions that live, with their guards, cannot have used it up. */
static bool has_room(const struct moat_address_limits *limits, size_t size) {
    uintptr_t taken = 0, alignment = limits->alignment ? limits->alignment : MODEL_GRANULE;
    uintptr_t guards = model_round_up((uintptr_t)TERMS_GUARDS_MAX * MODEL_PAGE, MODEL_GRANULE);

    for (size_t i = 0; i < world.model.region_count; i++) {
        const struct model_region *region = &world.model.regions[i];
        if (region->base <= limits->highest + guards && model_end(region) + guards > limits->lowest)
            taken += region->page_count * MODEL_PAGE + 2 * (alignment + size + guards);
    }
    return taken + size + 2 * alignment <= limits->highest - limits->lowest;
}

void act_reserve_within(unsigned owner) {
    unsigned choice = input_take(1);
    size_t size = input_size();
    uint32_t protection = input_protection();
    uint32_t flags = choice & (MOAT_RESERVE_COMMIT | MOAT_RESERVE_TOP_DOWN);
    struct moat_address_limits limits;
    uintptr_t base = 0;
    size_t page_count = 0;
    void *got = &got;

    choose_limits(&limits);
    if (world.model.region_count == MODEL_REGIONS_MAX)
        return;
    verify_note("%u reserve within %#lx to %#lx by %#zx size %#zx protection %#x flags %u", owner,
                (unsigned long)limits.lowest, (unsigned long)limits.highest, limits.alignment, size,
                protection, flags);
    enum moat_status should =
        model_reserve(&world.model, 0, size, protection, flags, &base, &page_count);
    if (should == MOAT_INVALID_ARGUMENT || !limits_valid(&limits))
        should = MOAT_INVALID_ARGUMENT;
    else if (!model_may_execute(&world.model, owner, protection))
        should = MOAT_CODE_BLOCKED;
    else if (!should && (flags & MOAT_RESERVE_COMMIT) &&
             !model_quota_allows(&world.model, owner, page_count * MODEL_PAGE))
        should = MOAT_COMMIT_LIMIT;
    enum moat_status is = calls->reserve_within(owner, size, protection, flags, &limits, &got);
    if (is && got)
        verify_fail("a failed reserve left %p", got);
    world.model.reports[owner] += should == MOAT_CODE_BLOCKED;
    resting_forget(); /* where room is short, what rests is let go */
    if (should != MOAT_INVALID_ARGUMENT && world_denied(owner, is))
        return;
    bool may_be_full = should != MOAT_INVALID_ARGUMENT && is == MOAT_NO_MEMORY &&
                       !has_room(&limits, page_count * MODEL_PAGE);
    if (!may_be_full)
        world_expect(is, should);
    if (is == MOAT_COMMIT_LIMIT)
        world.model.stats[owner].quota_refusals++;
    if (is)
        return;
    base = (uintptr_t)got;
    if (base < limits.lowest || base + page_count * MODEL_PAGE - 1 > limits.highest ||
        base % (limits.alignment ? limits.alignment : MODEL_GRANULE))
        verify_fail("reserved at %p, outside of the limits", got);
    if (model_find(&world.model, base) ||
        model_next(&world.model, base) < base + page_count * MODEL_PAGE)
        verify_fail("reserved at %p, over another region", got);
    model_add(&world.model, owner, base, page_count, protection, flags);
    world_named(base, page_count * MODEL_PAGE);
    world_check_range(base, SIZE_MAX);
}
