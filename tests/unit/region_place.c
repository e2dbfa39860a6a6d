/* SPDX-License-Identifier: MIT */
/*
 * places: guards around what is placed automatically, exactness of what is not, and rest.
 *
 * Everything is placed through the region layer, with pages granted by hand, on both rungs.
 */
#define _GNU_SOURCE
#include "os/os.h"
#include "region/access.h"
#include "region/arena.h"
#include "region/place.h"
#include "region/powers.h"
#include "region/quarantine.h"
#include "region/region.h"
#include "region/trap.h"
#include "support/regions.h"
#include "support/touch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

static struct moat_place_wish wish_of(size_t size, int rung) {
    cr_assert_eq(moat_region_start(), MOAT_OK);
    return (struct moat_place_wish){
        .size = size,
        .markers = rung == 0 && moat_powers()->guard_markers,
        .backend = moat_backend_os(),
    };
}

static void grant(const struct moat_place *place) {
    struct moat_access_report report = {0};
    uint8_t state = moat_page_state(MOAT_PAGE_READWRITE);
    cr_assert_eq(moat_access_grant(place->space, place->base, place->base + place->size, state, 0,
                                   MOAT_MEMORY_LATER, &report),
                 0);
    cr_assert_eq(report.bytes_committed, place->size);
}

static struct moat_place placed(size_t size, int rung) {
    struct moat_place_wish wish = wish_of(size, rung);
    struct moat_place place;
    cr_assert_eq(moat_place_anywhere(&wish, &place), MOAT_OK, "%zu", size);
    cr_assert_eq(place.base % GRANULE, (uintptr_t)0);
    cr_assert_eq(place.size, size);
    return place;
}

/* One quarantine for each count, all the time. */
static struct moat_quarantine *quarantine_of(uint32_t rest) {
    static struct moat_quarantine *of[65];
    if (rest && !of[rest])
        of[rest] = moat_quarantine_take(rest, UINT64_MAX);
    return of[rest];
}

static void vacate(const struct moat_place *place, bool committed, uint32_t rest) {
    struct moat_trap_report report = {0};
    uintptr_t end = place->base + place->size;
    if (committed)
        cr_assert_eq(moat_trap_pages(place->space, place->base, end, 0, &report), 0);
    moat_trap_normalise(place->space, place->base, end);
    cr_assert_eq(moat_place_vacate(place, quarantine_of(rest)), 0);
}

/* Every page between the body and the end of its granule, and one page on either side. */
static void check_guards(const struct moat_place *place) {
    unsigned char *base = (unsigned char *)place->base;
    unsigned char *end = base + place->size;
    unsigned char *tail_end = (unsigned char *)moat_round_up((uintptr_t)end, GRANULE);

    cr_assert(page_is(base, true, true));
    cr_assert(page_is(end - PAGE, true, true));
    cr_assert(page_is(base - PAGE, false, false), "%p: before %zu bytes", (void *)base,
              place->size);
    cr_assert(page_is(end, false, false), "%p: behind %zu bytes", (void *)base, place->size);
    for (unsigned char *page = end; page < tail_end; page += PAGE)
        cr_assert_not(touch_reads(page), "%p: tail of %zu bytes", (void *)base, place->size);
}

/* Placed in numbers, so that they would lie side by side, and looked at when all are committed. */
static void guard_many(size_t size, int rung, size_t count) {
    struct moat_place *places = calloc(count, sizeof *places);
    for (size_t i = 0; i < count; i++) {
        places[i] = placed(size, rung);
        grant(&places[i]);
    }
    for (size_t i = 0; i < count; i++)
        check_guards(&places[i]);
    for (size_t i = 0; i < count; i++)
        vacate(&places[i], true, 0);
    free(places);
}

static void guard_sizes(int rung) {
    for (size_t pages = 1; pages <= 34; pages++)
        guard_many(pages * PAGE, rung, 70);
    for (size_t size = 4 * GRANULE; size <= (size_t)64 << 20; size *= 2) {
        size_t count = size < BLOCK ? 20 : 6;
        guard_many(size - GRANULE, rung, count);
        guard_many(size - PAGE, rung, count);
        guard_many(size, rung, count);
        guard_many(size + PAGE, rung, count);
        guard_many(size + GRANULE, rung, count);
    }
}

Test(region_place, every_size_has_a_trap_on_either_side_with_markers, .timeout = 600) {
    guard_sizes(0);
}

Test(region_place, every_size_has_a_trap_on_either_side_without, .timeout = 600) {
    guard_sizes(1);
}

Test(region_place, sizes_at_random_have_traps_too, .timeout = 600) {
    enum { PLACES = 300 };
    static struct moat_place places[PLACES];
    static bool live[PLACES];
    for (int rung = 0; rung < RUNGS; rung++) {
        uint64_t seed = 3;
        for (unsigned step = 0; step < 6000; step++) {
            unsigned i = next_random(&seed) % PLACES;
            if (live[i]) {
                check_guards(&places[i]);
                vacate(&places[i], true, next_random(&seed) % 3);
            } else {
                unsigned shift = next_random(&seed) % 12;
                places[i] = placed((1 + next_random(&seed) % (1u << shift)) * PAGE, rung);
                grant(&places[i]);
                check_guards(&places[i]);
            }
            live[i] = !live[i];
        }
        for (unsigned i = 0; i < PLACES; i++)
            if (live[i]) {
                check_guards(&places[i]);
                vacate(&places[i], true, 0);
                live[i] = false;
            }
    }
}

Test(region_place, a_wish_too_large_for_arenas_stands_alone_with_margins) {
    for (int rung = 0; rung < RUNGS; rung++) {
        struct moat_place place = placed(MOAT_ARENA_REGION_MAX + PAGE, rung);
        cr_assert_not(place.space->arena);
        grant(&place);
        check_guards(&place);
        vacate(&place, true, 0);
    }
}

Test(region_place, more_than_there_is_is_refused) {
    struct moat_place_wish wish = wish_of(MOAT_OS_USER_END - PAGE, 0);
    struct moat_place place;
    cr_assert_eq(moat_place_anywhere(&wish, &place), MOAT_NO_MEMORY);
    wish.size = MOAT_OS_USER_END - 2 * GRANULE;
    cr_assert_eq(moat_place_anywhere(&wish, &place), MOAT_NO_MEMORY);
}

Test(region_place, vacated_places_trap) {
    static const size_t sizes[] = {PAGE, GRANULE, 5 * GRANULE + PAGE, BLOCK, 3 * BLOCK + PAGE};
    for (int rung = 0; rung < RUNGS; rung++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            struct moat_place place = placed(sizes[i], rung);
            grant(&place);
            vacate(&place, true, 4);
            for (size_t at = 0; at < sizes[i]; at += PAGE)
                cr_assert_not(touch_reads((void *)(place.base + at)), "size %zu", sizes[i]);
        }
}

/* The claim is about one processor, so this thread stays on it. */
static bool overlap(const struct moat_place *a, const struct moat_place *b) {
    uintptr_t a_end = moat_round_up(a->base + a->size, GRANULE);
    uintptr_t b_end = moat_round_up(b->base + b->size, GRANULE);
    return a->base < b_end && b->base < a_end;
}

static void rest_through(size_t size, int rung) {
    enum { REST = 24, ROUNDS = 200 };
    static struct moat_place past[ROUNDS];
    for (unsigned round = 0; round < ROUNDS; round++) {
        past[round] = placed(size, rung);
        for (unsigned i = round > REST ? round - REST : 0; i < round; i++)
            cr_assert_not(overlap(&past[i], &past[round]),
                          "%zu bytes, rung %d: placed again after %u releases", size, rung,
                          round - i);
        vacate(&past[round], false, REST);
    }
}

Test(region_place, a_released_place_rests_for_as_many_releases_as_asked, .timeout = 600) {
    static const size_t sizes[] = {PAGE,  GRANULE,      3 * GRANULE, BLOCK - PAGE,
                                   BLOCK, BLOCK + PAGE, 2 * BLOCK,   3 * BLOCK + GRANULE};
    stay_on_one_processor();
    for (int rung = 0; rung < RUNGS; rung++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
            rest_through(sizes[i], rung);
}

/* The control of the test above: without rest the same place does come back. */
Test(region_place, a_place_that_does_not_rest_is_used_again) {
    stay_on_one_processor();
    for (int rung = 0; rung < RUNGS; rung++) {
        struct moat_place first = placed(3 * GRANULE, rung);
        bool again = false;
        vacate(&first, false, 0);
        for (unsigned round = 0; round < 8 && !again; round++) {
            struct moat_place next = placed(3 * GRANULE, rung);
            again = overlap(&first, &next);
            vacate(&next, false, 0);
        }
        cr_assert(again);
    }
}

Test(region_place, a_caller_that_names_a_resting_place_gets_it_at_once) {
    static const size_t sizes[] = {PAGE, 3 * GRANULE, 2 * BLOCK + PAGE};
    for (int rung = 0; rung < RUNGS; rung++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            struct moat_place_wish wish = wish_of(sizes[i], rung);
            struct moat_place place = placed(sizes[i], rung), again;
            uintptr_t conflict = 0;
            vacate(&place, false, 64);
            cr_assert_eq(moat_place_at(&wish, place.base, &again, &conflict), MOAT_OK);
            cr_assert_eq(again.base, place.base);
            grant(&again);
            cr_assert(page_is((void *)again.base, true, true));
            vacate(&again, true, 0);
        }
}

Test(region_place, exactly_what_is_taken_is_refused_wherever_it_overlaps) {
    for (int rung = 0; rung < RUNGS; rung++) {
        struct moat_place place = placed(3 * GRANULE + PAGE, rung), other;
        struct moat_place_wish wish = wish_of(GRANULE, rung);
        uintptr_t conflict = 0;
        for (unsigned granule = 0; granule < 4; granule++)
            cr_assert_eq(moat_place_at(&wish, place.base + granule * GRANULE, &other, &conflict),
                         MOAT_INVALID_ADDRESS, "granule %u; the last is the tail", granule);
        wish.size = 8 * GRANULE;
        cr_assert_eq(moat_place_at(&wish, place.base - 2 * GRANULE, &other, &conflict),
                     MOAT_INVALID_ADDRESS);
        vacate(&place, false, 0);
    }
}

/* A guard yields: what touches a region without a page between them says so. */
Test(region_place, side_by_side_places_say_that_a_guard_yielded) {
    for (int rung = 0; rung < RUNGS; rung++) {
        struct moat_place room = placed(8 * GRANULE, rung), left, right, apart;
        struct moat_place_wish wish = wish_of(2 * GRANULE, rung);
        uintptr_t conflict;
        vacate(&room, false, 0);
        cr_assert_eq(moat_place_at(&wish, room.base, &left, &conflict), MOAT_OK);
        cr_assert_not(left.yielded);
        cr_assert_eq(moat_place_at(&wish, room.base + 2 * GRANULE, &right, &conflict), MOAT_OK);
        cr_assert(right.yielded);
        cr_assert_eq(moat_place_at(&wish, room.base + 5 * GRANULE, &apart, &conflict), MOAT_OK);
        cr_assert_not(apart.yielded);
        vacate(&left, false, 0);
        vacate(&right, false, 0);
        vacate(&apart, false, 0);
    }
}

Test(region_place, outside_arenas_the_kernel_decides) {
    for (int rung = 0; rung < RUNGS; rung++) {
        struct moat_place_wish wish = wish_of(3 * GRANULE + PAGE, rung);
        uintptr_t base = (uintptr_t)hole(16 * GRANULE, BLOCK) + 4 * GRANULE;
        struct moat_place place, other;
        uintptr_t conflict = 0;
        cr_assert_null(moat_arena_of(base));
        cr_assert_eq(moat_place_at(&wish, base, &place, &conflict), MOAT_OK);
        cr_assert_eq(place.base, base);
        grant(&place);
        cr_assert(page_is((void *)base, true, true));
        for (size_t at = place.size; at < 4 * GRANULE; at += PAGE)
            cr_assert_not(touch_reads((void *)(base + at)), "the tail traps");
        wish.size = GRANULE;
        cr_assert_eq(moat_place_at(&wish, base + 3 * GRANULE, &other, &conflict),
                     MOAT_INVALID_ADDRESS, "the tail is not to be had");
        cr_assert_eq(conflict, base + 3 * GRANULE);
        vacate(&place, true, 0);
        cr_assert_eq(moat_os_reserve_at((void *)base, 4 * GRANULE), 0, "given back whole");
        cr_assert_eq(moat_os_unreserve((void *)base, 4 * GRANULE), 0);
    }
}

Test(region_place, a_foreign_mapping_in_the_tail_is_in_the_way) {
    struct moat_place_wish wish = wish_of(PAGE, 0);
    unsigned char *base = hole(4 * GRANULE, GRANULE);
    struct moat_place place;
    uintptr_t conflict;
    unsigned char *foreign = mmap(base + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    cr_assert_eq(foreign, base + 2 * PAGE);
    *foreign = 'f';
    cr_assert_eq(moat_place_at(&wish, (uintptr_t)base, &place, &conflict), MOAT_INVALID_ADDRESS);
    cr_assert_eq(*foreign, 'f');
    cr_assert_eq(munmap(foreign, PAGE), 0);
    cr_assert_eq(moat_place_at(&wish, (uintptr_t)base, &place, &conflict), MOAT_OK, "the control");
    vacate(&place, false, 0);
}

Test(region_place, the_borders_of_an_arena_are_in_no_arena_and_not_to_be_had) {
    struct moat_place place = placed(PAGE, 0), other;
    struct moat_space *arena = place.space;
    struct moat_place_wish wish = wish_of(GRANULE, 0);
    uintptr_t conflict;
    cr_assert(arena->arena);
    cr_assert_eq(moat_arena_of(place.base), arena);
    cr_assert_eq(moat_arena_of(arena->usable_start), arena);
    cr_assert_eq(moat_arena_of(arena->usable_end - 1), arena);
    cr_assert_neq(moat_arena_of(arena->usable_end), arena);
    cr_assert_neq(moat_arena_of(arena->start), arena);
    cr_assert_eq(moat_place_at(&wish, arena->start, &other, &conflict), MOAT_INVALID_ADDRESS);
    cr_assert_eq(moat_place_at(&wish, arena->usable_end, &other, &conflict), MOAT_INVALID_ADDRESS);
    wish.size = 2 * GRANULE;
    cr_assert_eq(moat_place_at(&wish, arena->usable_end - GRANULE, &other, &conflict),
                 MOAT_INVALID_ADDRESS);
    cr_assert_eq(moat_place_at(&wish, arena->usable_start - GRANULE, &other, &conflict),
                 MOAT_INVALID_ADDRESS);
}
