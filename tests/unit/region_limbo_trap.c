/* SPDX-License-Identifier: MIT */
/*
 * limbo_trap: places of one block that are made to trap together, among others that live, granules
 * that are free, that rest, and that kept memory of earlier rounds. A model says what each page and
 * each granule must be afterwards.
 */
#define _GNU_SOURCE
#include "region/access.h"
#include "region/claim.h"
#include "region/limbo_trap.h"
#include "region/region.h"
#include "region/retain_budget.h"
#include "region/sever.h"
#include "region/trap.h"
#include "support/keeps.h"
#include "support/regions.h"
#include "support/touch.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { GRANULES = BLOCK / GRANULE, PER_GRANULE = GRANULE / PAGE, ROUNDS = 150, CONTENT = 0xC3 };

struct one {
    struct moat_place place;
    bool goes;
    bool dense;
};

static struct model {
    struct moat_space *arena;
    size_t block;
    uint64_t seed;
    unsigned count;
    struct one ones[GRANULES];
    enum moat_claim claims[GRANULES];
    size_t retained, marked; /* places that ended so, in all rounds */
} model;

static uint32_t any(uint32_t below) {
    return next_random(&model.seed) % below;
}

static uintptr_t granule_at(unsigned granule) {
    return moat_space_block_start(model.arena, model.block) + granule * (uintptr_t)GRANULE;
}

static const struct moat_place_wish *wish_of(size_t size) {
    static struct moat_place_wish wish;
    wish = (struct moat_place_wish){.size = size, .markers = true, .backend = moat_backend_os()};
    return &wish;
}

/* A block that is open and has nothing in it. */
static void begin(void) {
    struct moat_place place;

    stay_on_one_processor();
    cr_assert_eq(moat_region_start(), MOAT_OK);
    if (!memory_can_be_kept())
        cr_skip("no memory can be retained here");
    cr_assert_eq(moat_place_anywhere(wish_of(GRANULE), &place), MOAT_OK);
    model = (struct model){.arena = place.space, .seed = 3};
    model.block = moat_space_block(place.space, place.base);
    cr_assert_eq(moat_place_vacate(&place, NULL), 0);
    cr_assert_not(moat_claim_any_taken(model.arena, model.block));
}

TestSuite(region_limbo_trap, .init = begin);

static void come(unsigned granule, size_t size) {
    struct one *one = &model.ones[model.count++];
    struct moat_access_report report = {0};
    uintptr_t conflict, base = granule_at(granule);

    *one = (struct one){.goes = any(3) > 0, .dense = any(2)};
    cr_assert_eq(moat_place_at(wish_of(size), base, &one->place, &conflict), MOAT_OK);
    cr_assert_eq(moat_access_grant(model.arena, base, base + size,
                                   moat_page_state(MOAT_PAGE_READWRITE), 0, MOAT_MEMORY_LATER,
                                   &report),
                 0);
    cr_assert(touch_all_bytes((void *)base, size, 0), "content is seen again");
    memset((void *)base, CONTENT, size);
}

static void rest(unsigned granule) {
    uint64_t pattern = moat_claim_pattern(granule, 1, false);
    cr_assert(moat_claim_exactly(model.arena, model.block, pattern, MOAT_CLAIM_WAKES));
    moat_claim_free(model.arena, model.block, pattern, MOAT_CLAIM_RESTING);
}

/* Places close to each other as a rule, and sometimes not. */
static void lay_out(void) {
    static const unsigned sizes[] = {16, 16, 16, 13, 1, 32, 40};

    model.count = 0;
    for (unsigned at = any(4); at < GRANULES;) {
        unsigned pages = sizes[any(7)] * PER_GRANULE / 16;
        pages = pages ? pages : 1;
        unsigned granules = (pages + PER_GRANULE - 1) / PER_GRANULE;
        if (at + granules > GRANULES)
            break;
        come(at, pages * (size_t)PAGE);
        at += granules;
        unsigned gap = any(8) ? any(3) : any(12);
        for (unsigned i = 0; i < gap && at < GRANULES; i++, at++)
            if (any(3) == 0)
                rest(at);
    }
    for (unsigned granule = 0; granule < GRANULES; granule++)
        model.claims[granule] = moat_claim_of(model.arena, model.block, granule);
}

static void each_page_traps(uintptr_t start, uintptr_t end) {
    for (uintptr_t at = start; at < end; at += PAGE)
        cr_assert(page_is((void *)at, false, false), "page %ju of the block",
                  (uintmax_t)(at - granule_at(0)) / PAGE);
}

static void check_one(const struct one *one, bool all_kept) {
    uintptr_t base = one->place.base, end = base + one->place.size;
    struct moat_run run = moat_pages_run(model.arena, base, end);
    uint32_t severed = moat_severed_granules(model.arena, model.block);
    uint32_t first = UINT32_C(1) << (base - granule_at(0)) / GRANULE;

    if (!one->goes) {
        cr_assert(touch_all_bytes((void *)base, one->place.size, CONTENT), "it lives");
        cr_assert(page_is((void *)(end - PAGE), true, true));
        memset((void *)base, CONTENT, one->place.size);
        return;
    }
    each_page_traps(base, end);
    cr_assert_eq(run.end, end, "its pages differ");
    bool kept = moat_page_retained(run.state);
    cr_assert(kept || run.state == MOAT_CODE_READWRITE, "%#x", run.state);
    cr_assert(!kept || one->dense, "it was not worth keeping");
    cr_assert(kept || !(all_kept && one->dense), "it was worth keeping");
    cr_assert(kept ? severed & first : !(severed & first), "a mapping of its own");
    *(kept ? &model.retained : &model.marked) += 1;
}

static size_t retained_here(void) {
    size_t bytes = 0;
    for (uintptr_t at = granule_at(0), end = granule_at(GRANULES); at < end;) {
        struct moat_run run = moat_pages_run(model.arena, at, end);
        bytes += moat_page_retained(run.state) ? run.end - run.start : 0;
        at = run.end;
    }
    return bytes;
}

static void check_block(bool all_kept) {
    uintptr_t end = granule_at(0);

    for (unsigned granule = 0; granule < GRANULES; granule++)
        cr_assert_eq(moat_claim_of(model.arena, model.block, granule), model.claims[granule],
                     "granule %u", granule);
    for (unsigned i = 0; i < model.count; i++) {
        each_page_traps(end, model.ones[i].place.base);
        check_one(&model.ones[i], all_kept);
        end = model.ones[i].place.base + model.ones[i].place.size;
    }
    each_page_traps(end, granule_at(GRANULES));
    cr_assert_eq(moat_retained_bytes(), (uint64_t)retained_here());
}

/* In no order; behind the last one stands one that lives and is not to be looked at. */
static size_t hand_over(struct moat_limbo_place places[GRANULES + 1], size_t *bytes) {
    size_t count = 0;

    *bytes = 0;
    for (unsigned i = 0; i < model.count; i++)
        if (model.ones[i].goes) {
            size_t at = any((uint32_t)count + 1);
            places[count++] = places[at];
            places[at] = (struct moat_limbo_place){
                .place = model.ones[i].place, .dense = model.ones[i].dense, .rested = UINT64_MAX};
            *bytes += model.ones[i].place.size;
        }
    for (unsigned i = 0; i < model.count; i++)
        if (!model.ones[i].goes)
            places[count] = (struct moat_limbo_place){.place = model.ones[i].place};
    return count;
}

static void clear(void) {
    struct moat_trap_report report = {0};

    for (unsigned i = 0; i < model.count; i++) {
        uintptr_t base = model.ones[i].place.base, end = base + model.ones[i].place.size;
        if (!model.ones[i].goes) {
            cr_assert_eq(moat_trap_pages(model.arena, base, end, 0, &report), 0);
            moat_trap_normalise(model.arena, base, end);
        }
        cr_assert_eq(moat_place_vacate(&model.ones[i].place, NULL), 0);
    }
}

static void play(uint64_t retain) {
    struct moat_limbo_place places[GRANULES + 1] = {0};
    const struct moat_limbo_terms terms = {.retain = retain};

    for (unsigned round = 0; round < ROUNDS; round++) {
        struct moat_limbo_report report = {0};
        size_t bytes;
        lay_out();
        size_t count = hand_over(places, &bytes);
        moat_limbo_trap(places, count, &terms, &report);
        cr_assert_eq(report.trapped, bytes);
        cr_assert_eq(report.unzeroed + report.stranded + report.refusals, (size_t)0);
        for (size_t i = 0; i < count; i++) {
            cr_assert(places[i].traps);
            cr_assert(i == 0 || places[i - 1].place.base < places[i].place.base, "in order");
        }
        check_block(retain == UINT64_MAX);
        clear();
    }
    printf("%zu places kept their memory, %zu did not\n", model.retained, model.marked);
    cr_assert_gt(model.marked, (size_t)ROUNDS);
    cr_assert(retain == 0 ? model.retained == 0 : model.retained > ROUNDS / 4);
}

Test(region_limbo_trap, neighbours_are_kept_or_emptied_and_what_is_between_stays) {
    play(UINT64_MAX);
}

Test(region_limbo_trap, what_may_not_be_kept_is_emptied) {
    play(0);
}

Test(region_limbo_trap, little_may_be_kept) {
    play((uint64_t)5 * GRANULE);
}
