/* SPDX-License-Identifier: MIT */
/*
 * retain: what is kept of places of the test's own, what the books say of it, and what the claims
 * of granules are after their memory was given back.
 */
#define _GNU_SOURCE
#include "region/access.h"
#include "region/claim.h"
#include "region/place.h"
#include "region/region.h"
#include "region/retain.h"
#include "region/sever.h"
#include "region/trap.h"
#include "support/keeps.h"
#include "support/regions.h"
#include "support/touch.h"

#include <moat/options.h>

#include <criterion/criterion.h>
#include <string.h>

enum { SIZE = GRANULE, AGING = 8, MANY = 600 };

static void begin(void) {
    stay_on_one_processor();
    cr_assert_eq(moat_region_start(), MOAT_OK);
    if (!memory_can_be_kept())
        cr_skip("no memory can be retained here");
}

TestSuite(region_retained, .init = begin);

static const struct moat_place_wish *wish_of(size_t size) {
    static struct moat_place_wish wish;
    wish = (struct moat_place_wish){.size = size, .markers = true, .backend = moat_backend_os()};
    return &wish;
}

static void commit(const struct moat_place *place, size_t offset, size_t size, uint32_t rights) {
    struct moat_access_report report = {0};
    uintptr_t start = place->base + offset;
    cr_assert_eq(moat_access_grant(place->space, start, start + size, moat_page_state(rights), 0,
                                   MOAT_MEMORY_LATER, &report),
                 0);
}

static void fill(const struct moat_place *place) {
    commit(place, 0, place->size, MOAT_PAGE_READWRITE);
    cr_assert(touch_all_bytes((void *)place->base, place->size, 0));
    memset((void *)place->base, 0xA5, place->size);
}

static struct moat_place filled(const struct moat_place_wish *wish) {
    struct moat_place place;
    cr_assert_eq(moat_place_anywhere(wish, &place), MOAT_OK);
    fill(&place);
    return place;
}

static size_t retain(const struct moat_place *place, uint64_t most) {
    return moat_retain_pages(place->space, place->base, place->base + place->size, most);
}

static struct moat_place retained(size_t size) {
    struct moat_place place = filled(wish_of(size));
    cr_assert_eq(retain(&place, UINT64_MAX), size);
    return place;
}

static struct moat_run run_of(const struct moat_place *place, size_t offset) {
    return moat_pages_run(place->space, place->base + offset, place->base + place->size);
}

static enum moat_claim claim_of(const struct moat_place *place) {
    size_t block = moat_space_block(place->space, place->base);
    uintptr_t offset = place->base - moat_space_block_start(place->space, block);
    return moat_claim_of(place->space, block, (unsigned)(offset / GRANULE));
}

static void stays(const struct moat_place *place, uint64_t most, const char *what) {
    cr_assert_eq(retain(place, most), (size_t)0, "%s", what);
    cr_assert_eq(moat_retained_bytes(), UINT64_C(0), "%s", what);
    cr_assert(page_is((void *)(place->base + place->size - PAGE), true, true), "%s", what);
}

Test(region_retained, only_what_may_be_kept_is) {
    const struct moat_place_wish others[] = {
        {.size = SIZE, .markers = true, .alone = true},
        {.size = SIZE},
        {.size = SIZE, .markers = true, .fork = MOAT_FORK_WIPE},
        {.size = SIZE, .markers = true, .fork = MOAT_FORK_DONTFORK},
        {.size = MOAT_RETAIN_SIZE_MAX, .markers = true},
    };
    for (unsigned i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct moat_place_wish wish = others[i];
        wish.backend = moat_backend_os();
        struct moat_place place = filled(&wish);
        stays(&place, UINT64_MAX, "another kind");
    }
    struct moat_place place = filled(wish_of(MOAT_RETAIN_SIZE_MAX - PAGE));
    stays(&place, 0, "nothing is wanted");
    stays(&place, place.size - 1, "less is wanted");
    commit(&place, 3 * PAGE, PAGE, MOAT_PAGE_READONLY);
    stays(&place, UINT64_MAX, "a page that is not to be written");
    commit(&place, 3 * PAGE, PAGE, MOAT_PAGE_READWRITE);
    cr_assert_eq(retain(&place, place.size), place.size);
    cr_assert_eq(moat_retained_bytes(), (uint64_t)place.size);
    cr_assert_eq(run_of(&place, 0).state, MOAT_PAGES_RETAINED);
    cr_assert_eq(run_of(&place, 0).end, place.base + place.size);
    for (uintptr_t at = place.base; at < place.base + place.size; at += PAGE)
        cr_assert(page_is((void *)at, false, false));
}

Test(region_retained, what_is_given_back_is_as_fresh_pages) {
    struct moat_place place = retained(2 * GRANULE + 5 * PAGE);
    size_t block = moat_space_block(place.space, place.base);

    cr_assert_neq(moat_severed_granules(place.space, block), 0u);
    moat_retain_drop(place.space, place.base, place.base + place.size);
    cr_assert_eq(moat_retained_bytes(), UINT64_C(0));
    cr_assert_eq(moat_severed_granules(place.space, block), 0u);
    cr_assert_eq(run_of(&place, 0).state, MOAT_CODE_READWRITE);
    cr_assert_eq(run_of(&place, 0).end, place.base + place.size);
    for (uintptr_t at = place.base; at < place.base + place.size; at += PAGE)
        cr_assert(page_is((void *)at, false, false));
    fill(&place);
}

/* A smaller region in the place of a larger one: the rest of its last granule is nobody's. */
Test(region_retained, whoever_comes_there_has_only_what_he_commits) {
    for (unsigned committed = 0; committed < 2; committed++) {
        struct moat_place place = retained(2 * GRANULE), smaller = place;
        smaller.size = GRANULE + 5 * PAGE;
        uint64_t before = moat_retained_bytes();
        moat_retain_clear(&smaller, committed);
        cr_assert_eq(run_of(&place, smaller.size).state, MOAT_CODE_READWRITE, "the rest");
        cr_assert_eq(run_of(&place, 0).state,
                     committed ? (int)MOAT_PAGES_RETAINED : (int)MOAT_CODE_READWRITE);
        cr_assert_eq(before - moat_retained_bytes(),
                     (uint64_t)(place.size - (committed ? smaller.size : 0)));
    }
}

/* Memory goes and the claims stay: what is free is free, what rests does so until it is woken. */
Test(region_retained, granules_are_what_they_were_when_memory_is_given_back) {
    for (unsigned wake = 0; wake < 2; wake++) {
        struct moat_place places[] = {retained(SIZE), retained(SIZE), retained(SIZE)};
        size_t block = moat_space_block(places[1].space, places[1].base);
        uint64_t pattern =
            moat_claim_pattern_in(places[1].space, block, places[1].base, places[1].size);

        cr_assert_eq(moat_place_vacate(&places[0], NULL), 0);
        moat_claim_free(places[1].space, block, pattern, MOAT_CLAIM_RESTING);
        cr_assert_eq(moat_retained_bytes(), UINT64_C(3) * SIZE);
        cr_assert_eq(moat_retain_empty_all(wake), (size_t)2 * SIZE, "the third is taken");
        cr_assert_eq(claim_of(&places[0]), MOAT_CLAIM_FREE);
        cr_assert_eq(claim_of(&places[1]), wake ? MOAT_CLAIM_FREE : MOAT_CLAIM_RESTING);
        cr_assert_eq(claim_of(&places[2]), MOAT_CLAIM_FULL);
        cr_assert_eq(run_of(&places[2], 0).state, MOAT_PAGES_RETAINED);
        moat_retain_drop(places[2].space, places[2].base, places[2].base + SIZE);
        cr_assert_eq(moat_retained_bytes(), UINT64_C(0));
        cr_assert_eq(moat_retain_empty_all(wake), (size_t)0);
    }
}

/* What the budget does not allow takes the place of something older, once in a while. */
Test(region_retained, what_is_old_goes_by_and_by) {
    struct moat_place old[4], young = filled(wish_of(2 * GRANULE));

    for (unsigned i = 0; i < 4; i++)
        old[i] = retained(SIZE);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(moat_place_vacate(&old[i], NULL), 0);
    for (unsigned i = 0; i < 2 * AGING; i++) {
        cr_assert_eq(retain(&young, 1), (size_t)0);
        cr_assert_eq(moat_retained_bytes(), (uint64_t)(3 - i / AGING) * SIZE, "refusal %u", i);
    }
    cr_assert_eq(run_of(&old[0], 0).state, MOAT_CODE_READWRITE, "the oldest");
    cr_assert_eq(run_of(&old[3], 0).state, MOAT_PAGES_RETAINED);
    cr_assert_eq(claim_of(&old[0]), MOAT_CLAIM_FREE);
}

/* A place that nobody is told of any more would keep its memory for good. */
Test(region_retained, what_is_forgotten_is_given_back) {
    static struct moat_place places[MANY];
    size_t kept = 0;

    for (unsigned i = 0; i < MANY; i++)
        places[i] = retained(SIZE);
    for (unsigned i = 0; i < MANY; i++)
        cr_assert_eq(moat_place_vacate(&places[i], NULL), 0);
    for (unsigned i = 0; i < MANY; i++)
        kept += moat_page_retained(run_of(&places[i], 0).state);
    cr_assert_eq(moat_retained_bytes(), (uint64_t)kept * SIZE);
    cr_assert(kept > 0 && kept < MANY, "%zu of %u", kept, (unsigned)MANY);
}

/* A child may be forked while somebody pays. */
Test(region_retained, a_child_counts_what_the_books_say) {
    struct moat_place place = retained(3 * GRANULE);

    cr_assert(moat_retain_draw(5 * GRANULE, UINT64_MAX));
    cr_assert(moat_sever_draw(7));
    cr_assert_eq(moat_retained_bytes(), UINT64_C(8) * GRANULE);
    moat_retain_mend();
    cr_assert_eq(moat_retained_bytes(), UINT64_C(3) * GRANULE);
    moat_retain_drop(place.space, place.base, place.base + place.size);
    cr_assert_eq(moat_retained_bytes(), UINT64_C(0));
}
