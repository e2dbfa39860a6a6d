/* SPDX-License-Identifier: MIT */
/*
 * limbo by itself: what it admits, what it counts and answers, and that one which has ended serves
 * the next owner. Each test is a process of its own.
 */
#define _GNU_SOURCE
#include "region/access.h"
#include "region/claim.h"
#include "region/limbo.h"
#include "region/limbo_trap.h"
#include "region/pages.h"
#include "region/powers.h"
#include "region/quarantine.h"
#include "region/region.h"
#include "region/trap.h"
#include "support/keeps.h"
#include "support/regions.h"
#include "support/touch.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <moat/options.h>
#include <string.h>

enum { SIZE = 2 * GRANULE, COUNT = 16 };

static struct moat_limbo_report told;

static void note(void *owner, const struct moat_limbo_report *report) {
    (void)owner;
    told.trapped += report->trapped;
    told.stranded += report->stranded;
    told.refusals += report->refusals;
}

static struct moat_limbo_terms terms_of(uint32_t regions) {
    return (struct moat_limbo_terms){
        .regions = regions, .bytes = 1024 * (uint64_t)SIZE, .ms = 100000000, .told = note};
}

static struct moat_limbo *started(uint32_t regions) {
    const struct moat_limbo_terms terms = terms_of(regions);
    struct moat_limbo *limbo;
    cr_assert_eq(moat_limbo_start(&terms, &limbo), 0);
    return limbo;
}

static void begin(void) {
    stay_on_one_processor();
    cr_assert_eq(moat_region_start(), MOAT_OK);
    if (!moat_powers()->guard_markers)
        cr_skip("without guard markers no release is put off");
}

TestSuite(region_limbo, .init = begin);

static void grant(const struct moat_place *place, size_t size, uint32_t protection) {
    struct moat_access_report report = {0};
    cr_assert_eq(moat_access_grant(place->space, place->base, place->base + size,
                                   moat_page_state(protection), 0, MOAT_MEMORY_LATER, &report),
                 0);
}

static struct moat_place placed(const struct moat_place_wish *wish) {
    struct moat_place place;
    cr_assert_eq(moat_place_anywhere(wish, &place), MOAT_OK);
    return place;
}

static struct moat_place filled(void) {
    const struct moat_place_wish wish = {
        .size = SIZE, .markers = true, .backend = moat_backend_os()};
    struct moat_place place = placed(&wish);
    grant(&place, SIZE, MOAT_PAGE_READWRITE);
    memset((void *)place.base, 'x', SIZE);
    return place;
}

Test(region_limbo, admits_what_is_committed_from_end_to_end_where_there_are_markers) {
    struct moat_limbo *limbo = started(COUNT);
    struct moat_place_wish wish = {.size = SIZE, .markers = true, .backend = moat_backend_os()};

    struct moat_place place = filled();
    cr_assert(moat_limbo_admits(limbo, &place));
    cr_assert_not(moat_limbo_admits(NULL, &place));
    grant(&place, PAGE, MOAT_PAGE_READONLY);
    cr_assert_not(moat_limbo_admits(limbo, &place), "a page that is not writable");
    grant(&place, SIZE, MOAT_PAGE_READONLY);
    cr_assert_not(moat_limbo_admits(limbo, &place), "none is");
    place = placed(&wish);
    cr_assert_not(moat_limbo_admits(limbo, &place), "not committed");
    grant(&place, SIZE - PAGE, MOAT_PAGE_READWRITE);
    cr_assert_not(moat_limbo_admits(limbo, &place), "not to the end");
    wish.fork = MOAT_FORK_WIPE;
    place = placed(&wish);
    grant(&place, SIZE, MOAT_PAGE_READWRITE);
    cr_assert_not(moat_limbo_admits(limbo, &place), "children would lose its markers");
    wish.fork = MOAT_FORK_INHERIT;
    wish.alone = true;
    place = placed(&wish);
    grant(&place, SIZE, MOAT_PAGE_READWRITE);
    cr_assert_not(moat_limbo_admits(limbo, &place), "a mapping of its own");
    wish.alone = wish.markers = false;
    place = placed(&wish);
    grant(&place, SIZE, MOAT_PAGE_READWRITE);
    cr_assert_not(moat_limbo_admits(limbo, &place), "no markers");
    cr_assert(moat_limbo_end(limbo));
}

static struct moat_limbo_sums sums_of(const struct moat_limbo *limbo) {
    struct moat_limbo_sums sums;
    moat_limbo_count(limbo, &sums);
    return sums;
}

Test(region_limbo, a_flush_answers_with_the_bytes_that_were_accessible) {
    struct moat_limbo *limbo = started(COUNT), *other = started(COUNT);
    struct moat_place places[3];

    cr_assert_eq(moat_limbo_flush(NULL), 0u);
    cr_assert_eq(moat_limbo_flush(limbo), 0u);
    for (unsigned i = 0; i < 3; i++) {
        places[i] = filled();
        moat_limbo_put(i < 2 ? limbo : other, &places[i], false);
        cr_assert(touch_reads((void *)places[i].base));
    }
    cr_assert_eq(sums_of(limbo).regions, 2u);
    cr_assert_eq(sums_of(limbo).bytes, 2u * SIZE);
    cr_assert_eq(moat_limbo_flush_all(), (size_t)3 * SIZE);
    cr_assert_eq(told.trapped, (size_t)3 * SIZE);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_not(touch_reads((void *)places[i].base));
    cr_assert_eq(sums_of(limbo).regions + sums_of(limbo).bytes + sums_of(limbo).stuck, 0u);
    cr_assert(moat_limbo_end(other));
    cr_assert(moat_limbo_end(limbo));
    cr_assert(moat_limbo_end(NULL));
}

Test(region_limbo, more_than_a_batch_traps_at_once) {
    enum { MANY = 2 * MOAT_LIMBO_BATCH + 3 };
    struct moat_limbo *limbo = started(MANY + 1);
    struct moat_place places[MANY];

    for (unsigned i = 0; i < MANY; i++) {
        places[i] = filled();
        moat_limbo_put(limbo, &places[i], false);
    }
    cr_assert_eq(moat_limbo_flush(limbo), (size_t)MANY * SIZE);
    for (unsigned i = 0; i < MANY; i++)
        cr_assert_not(touch_reads((void *)places[i].base));
    cr_assert_eq(sums_of(limbo).regions, 0u);
    cr_assert_eq(sums_of(limbo).flushes, 1u);
    cr_assert(moat_limbo_end(limbo));
}

static unsigned threads(void) {
    unsigned count = 0;
    DIR *tasks = opendir("/proc/self/task");
    cr_assert_not_null(tasks);
    for (struct dirent *entry = readdir(tasks); entry; entry = readdir(tasks))
        count += entry->d_name[0] != '.';
    closedir(tasks);
    return count;
}

Test(region_limbo, one_that_has_ended_serves_the_next_and_has_no_thread) {
    unsigned before = threads();
    struct moat_limbo *first = started(COUNT);
    cr_assert_eq(threads(), before + 1);
    struct moat_place place = filled();
    moat_limbo_put(first, &place, false);
    cr_assert(moat_limbo_end(first));
    cr_assert_not(touch_reads((void *)place.base));
    cr_assert_eq(threads(), before);

    struct moat_limbo *other = started(2 * COUNT);
    cr_assert_neq((void *)other, (void *)first, "its parts are of another size");
    cr_assert_eq((void *)started(COUNT), (void *)first);
    cr_assert_neq((void *)started(COUNT), (void *)first, "it is in use");
    place = filled();
    cr_assert(moat_limbo_admits(first, &place));
    moat_limbo_put(first, &place, false);
    cr_assert_eq(moat_limbo_flush(first), (size_t)SIZE);
}

/* As in a child: nothing is put off, and what was is mended or done by its owner. */
Test(region_limbo, in_a_child_nothing_is_put_off) {
    struct moat_limbo *limbo = started(COUNT);
    struct moat_place places[] = {filled(), filled()};

    moat_limbo_put(limbo, &places[0], false);
    moat_limbo_in_child(false);
    cr_assert_eq(sums_of(limbo).regions, 1u);
    cr_assert_not(moat_limbo_admits(limbo, &places[1]));
    cr_assert(moat_limbo_settle(limbo, 0));
    cr_assert_eq(moat_limbo_flush(limbo), (size_t)SIZE);
    cr_assert(moat_limbo_end(limbo));
    cr_assert_eq((void *)started(COUNT), (void *)limbo);
    cr_assert(moat_limbo_admits(limbo, &places[1]), "whoever starts it in the child has a thread");
}

Test(region_limbo, in_a_child_it_forgets_what_it_is_told_to) {
    struct moat_limbo *limbo = started(COUNT);
    struct moat_place places[] = {filled(), filled(), filled()};

    for (unsigned i = 0; i < 2; i++)
        moat_limbo_put(limbo, &places[i], false);
    moat_limbo_in_child(true);
    cr_assert_eq(sums_of(limbo).regions + sums_of(limbo).bytes, 0u);
    cr_assert_eq(moat_limbo_flush(limbo), 0u);
    moat_limbo_put(limbo, &places[2], false);
    cr_assert_eq(sums_of(limbo).regions, 1u);
    cr_assert_eq(moat_limbo_flush(limbo), (size_t)SIZE);
    for (unsigned i = 0; i < 2; i++)
        cr_assert(touch_reads((void *)places[i].base), "somebody else sees to it");
}

static uint8_t state_of(const struct moat_place *place) {
    return moat_pages_run(place->space, place->base, place->base + PAGE).state;
}

Test(region_limbo, the_memory_is_kept_of_what_is_worth_it_and_of_nothing_else) {
    struct moat_limbo_terms terms = terms_of(COUNT);
    struct moat_place worth = filled(), other = filled();
    struct moat_limbo *limbo;

    if (!memory_can_be_kept())
        cr_skip("no memory can be retained here");
    terms.retain = (uint64_t)1 << 30;
    cr_assert_eq(moat_limbo_start(&terms, &limbo), 0);
    moat_limbo_put(limbo, &worth, true);
    (void)moat_limbo_flush(limbo);
    moat_limbo_put(limbo, &other, false);
    (void)moat_limbo_flush(limbo);
    cr_assert(moat_page_retained(state_of(&worth)));
    cr_assert_not(moat_page_retained(state_of(&other)));
    cr_assert_not(touch_reads((void *)worth.base) || touch_reads((void *)other.base));
    cr_assert(moat_limbo_end(limbo));
}

static struct moat_place filled_at(uintptr_t base) {
    const struct moat_place_wish wish = {
        .size = SIZE, .markers = true, .backend = moat_backend_os()};
    struct moat_place place;
    uintptr_t conflict;
    cr_assert_eq(moat_place_at(&wish, base, &place, &conflict), MOAT_OK);
    grant(&place, SIZE, MOAT_PAGE_READWRITE);
    return place;
}

Test(region_limbo, what_rests_behind_a_place_rests_on) {
    struct moat_quarantine *quarantine = moat_quarantine_take(8, UINT64_MAX);
    const struct moat_place_wish wish = {
        .size = 5 * SIZE, .markers = true, .backend = moat_backend_os()};
    struct moat_limbo *limbo = started(COUNT);
    struct moat_place room = placed(&wish);

    cr_assert_eq(moat_place_vacate(&room, NULL), 0);
    struct moat_place place = filled_at(room.base), other = filled_at(room.base + 2 * SIZE);
    size_t block = moat_space_block(other.space, other.base);
    uintptr_t offset = other.base - moat_space_block_start(other.space, block);
    unsigned granule = (unsigned)(offset >> MOAT_GRANULE_SHIFT);
    struct moat_trap_report report = {0};
    cr_assert_eq(moat_trap_pages(other.space, other.base, other.base + SIZE, 0, &report), 0);
    cr_assert_eq(moat_place_vacate(&other, quarantine), 0);
    cr_assert_eq(moat_claim_of(other.space, block, granule), MOAT_CLAIM_RESTING);
    moat_limbo_put(limbo, &place, false);
    cr_assert_eq(moat_limbo_flush(limbo), (size_t)SIZE);
    cr_assert_eq(moat_claim_of(other.space, block, granule), MOAT_CLAIM_RESTING);
    /* Whoever gives the quarantine back lets it go. */
    moat_quarantine_give(quarantine);
    cr_assert_eq(moat_claim_of(other.space, block, granule), MOAT_CLAIM_FREE);
    cr_assert(moat_limbo_end(limbo));
}

static bool is_free(const struct moat_place *place) {
    const struct moat_place_wish wish = {
        .size = SIZE, .markers = true, .backend = moat_backend_os()};
    struct moat_place place_again;
    uintptr_t conflict;
    if (moat_place_at(&wish, place->base, &place_again, &conflict))
        return false;
    cr_assert_eq(moat_place_vacate(&place_again, NULL), 0);
    return true;
}

Test(region_limbo, a_place_is_nobodys_until_it_traps) {
    struct moat_limbo *limbo = started(COUNT);
    struct moat_place place = filled();

    moat_limbo_put(limbo, &place, false);
    cr_assert_not(is_free(&place));
    (void)moat_limbo_flush(limbo);
    cr_assert(is_free(&place));
    cr_assert(moat_limbo_end(limbo));
}
