/* SPDX-License-Identifier: MIT */
/*
 * records: finding regions, working on them by stripes, and who may close them, with deadlines.
 *
 * The places are made up: nothing here touches the pages of a region.
 */
#include "os/os.h"
#include "region/books.h"
#include "region/held.h"
#include "region/region.h"
#include "region/registry.h"
#include "support/records.h"
#include "support/regions.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void start(void) {
    cr_assert_eq(moat_region_start(), MOAT_OK);
}

TestSuite(region_record, .init = start, .timeout = 600);

Test(region_record, a_region_is_found_by_its_base_and_by_any_address_in_it) {
    struct moat_region_ref ref, found;
    ref = published(somewhere, 5 * GRANULE + PAGE);
    cr_assert(moat_region_find_base(somewhere + PAGE - 1, &found));
    cr_assert_not(moat_region_find_base(somewhere + PAGE, &found));
    cr_assert_not(moat_region_find_base(somewhere - 1, &found));
    for (uintptr_t at = somewhere; at < somewhere + 5 * GRANULE + PAGE; at += PAGE - 1) {
        cr_assert(moat_region_find(at, &found), "%#lx", (unsigned long)at);
        cr_assert_eq(found.base, somewhere);
    }
    cr_assert_not(moat_region_find(somewhere - 1, &found));
    cr_assert_not(moat_region_find(somewhere + 5 * GRANULE + PAGE, &found));
    cr_assert_eq(found.handle, ref.handle);
    retire(&ref);
    cr_assert_not(moat_region_find(somewhere, &found));
    cr_assert_not(moat_region_lives(&ref));
}

/* No address outside user space is taken for one inside, whatever its low bits say. */
Test(region_record, no_address_aliases) {
    struct moat_region_ref ref = published(somewhere, GRANULE), found;
    for (unsigned bit = 46; bit < 64; bit++) {
        uintptr_t other = somewhere ^ ((uintptr_t)1 << bit);
        cr_assert_not(moat_region_find_base(other, &found), "bit %u", bit);
        cr_assert_not(moat_region_find(other, &found), "bit %u", bit);
    }
    cr_assert_not(moat_region_find(UINTPTR_MAX, &found));
    retire(&ref);
}

Test(region_record, the_next_region_is_the_nearest_above) {
    struct moat_region_ref low = published(somewhere, GRANULE);
    struct moat_region_ref high = published(somewhere + 40 * GRANULE, GRANULE);
    uintptr_t end = somewhere + 100 * GRANULE;
    cr_assert_eq(moat_region_next(somewhere - 1, end), somewhere);
    cr_assert_eq(moat_region_next(somewhere, end), high.base);
    cr_assert_eq(moat_region_next(somewhere, somewhere + 3 * GRANULE), somewhere + 3 * GRANULE);
    cr_assert_eq(moat_region_next(high.base, end), end);
    retire(&low);
    retire(&high);
    cr_assert_eq(moat_region_next(somewhere - 1, end), end);
}

Test(region_record, disjoint_stripes_do_not_meet_and_equal_ones_do) {
    struct moat_region_ref ref = published(somewhere, 8 * (size_t)BLOCK);
    struct moat_patience none = patience(0);
    uint32_t first, second, third;
    cr_assert_eq(moat_region_enter(&ref, somewhere, somewhere + BLOCK, &none, &first), MOAT_OK);
    cr_assert_eq(moat_region_enter(&ref, somewhere + BLOCK, somewhere + 3 * BLOCK, &none, &second),
                 MOAT_OK);
    cr_assert_eq(
        moat_region_enter(&ref, somewhere + BLOCK - PAGE, somewhere + BLOCK, &none, &third),
        MOAT_TIMEOUT);
    cr_assert_eq(moat_region_close(&ref, &none), MOAT_TIMEOUT, "somebody is in it");
    moat_region_leave(&ref, first);
    cr_assert_eq(moat_region_enter(&ref, somewhere, somewhere + PAGE, &none, &first), MOAT_OK,
                 "a close that was rolled back leaves it open");
    moat_region_leave(&ref, first);
    moat_region_leave(&ref, second);
    retire(&ref);
    cr_assert_eq(moat_region_enter(&ref, somewhere, somewhere + PAGE, &none, &first),
                 MOAT_NOT_OURS);
    cr_assert_eq(moat_region_close(&ref, &none), MOAT_NOT_OURS);
}

Test(region_record, a_wait_lasts_as_long_as_patience_and_not_much_longer) {
    struct moat_region_ref ref = published(somewhere, GRANULE);
    struct moat_patience none = patience(0), some = patience(50);
    uint32_t held, other;
    cr_assert_eq(moat_region_enter(&ref, somewhere, somewhere + PAGE, &none, &held), MOAT_OK);
    uint64_t before = moat_os_clock();
    cr_assert_eq(moat_region_enter(&ref, somewhere, somewhere + PAGE, &some, &other), MOAT_TIMEOUT);
    uint64_t waited = moat_os_clock() - before;
    cr_assert_geq(waited, 50 * MS);
    cr_assert_lt(waited, 60000 * MS);
    some = patience(50);
    before = moat_os_clock();
    cr_assert_eq(moat_region_close(&ref, &some), MOAT_TIMEOUT);
    cr_assert_geq(moat_os_clock() - before, 50 * MS);
    moat_region_leave(&ref, held);
    retire(&ref);
}

static struct moat_region_ref shared;
static uint32_t shared_stripes;
static _Atomic enum moat_status outcome;

static void *leave_soon(void *unused) {
    pause_ms(30);
    moat_region_leave(&shared, shared_stripes);
    return unused;
}

Test(region_record, who_waits_is_woken_when_the_stripe_is_left) {
    struct moat_patience none = patience(0), long_time = patience(400000);
    pthread_t thread;
    uint32_t stripes;
    shared = published(somewhere, GRANULE);
    for (int closing = 0; closing < 2; closing++) {
        cr_assert_eq(
            moat_region_enter(&shared, somewhere, somewhere + PAGE, &none, &shared_stripes),
            MOAT_OK);
        cr_assert_eq(pthread_create(&thread, NULL, leave_soon, NULL), 0);
        uint64_t before = moat_os_clock();
        if (closing)
            cr_assert_eq(moat_region_close(&shared, &long_time), MOAT_OK);
        else
            cr_assert_eq(
                moat_region_enter(&shared, somewhere, somewhere + PAGE, &long_time, &stripes),
                MOAT_OK);
        cr_assert_lt(moat_os_clock() - before, 200000 * MS, "woken, not timed out");
        pthread_join(thread, NULL);
        if (!closing)
            moat_region_leave(&shared, stripes);
    }
    moat_region_retire(&shared);
}

static void *try_to_close(void *unused) {
    struct moat_patience long_time = patience(400000);
    outcome = moat_region_close(&shared, &long_time);
    return unused;
}

static void *try_to_enter(void *unused) {
    struct moat_patience long_time = patience(400000);
    uint32_t stripes;
    outcome = moat_region_enter(&shared, somewhere, somewhere + PAGE, &long_time, &stripes);
    if (outcome == MOAT_OK)
        moat_region_leave(&shared, stripes);
    return unused;
}

/* Losers of a release wait for how it ends: gone if it succeeds, theirs if it is rolled back. */
Test(region_record, who_loses_to_a_close_waits_for_its_outcome) {
    for (int round = 0; round < 4; round++) {
        bool enters = round % 2, succeeds = round / 2;
        struct moat_patience none = patience(0);
        pthread_t thread;
        shared = published(somewhere, GRANULE);
        outcome = MOAT_STATUS_COUNT;
        cr_assert_eq(moat_region_close(&shared, &none), MOAT_OK);
        cr_assert_eq(pthread_create(&thread, NULL, enters ? try_to_enter : try_to_close, NULL), 0);
        pause_ms(30);
        cr_assert_eq(outcome, MOAT_STATUS_COUNT, "it waits");
        if (succeeds)
            moat_region_retire(&shared);
        else
            moat_region_reopen(&shared);
        pthread_join(thread, NULL);
        cr_assert_eq(outcome, succeeds ? MOAT_NOT_OURS : MOAT_OK, "round %d", round);
        if (!succeeds && enters)
            retire(&shared);
        else if (!succeeds)
            moat_region_retire(&shared);
    }
}

/* A reference that was kept too long: the record lives another life by then. */
Test(region_record, a_stale_reference_is_told_so) {
    struct moat_region_ref old = published(somewhere, GRANULE);
    struct moat_patience none = patience(0);
    uint32_t stripes;
    retire(&old);
    for (unsigned i = 0; i < 100; i++) {
        struct moat_region_ref next = published(somewhere, GRANULE);
        cr_assert_not(moat_region_lives(&old));
        cr_assert_eq(moat_region_close(&old, &none), MOAT_NOT_OURS);
        cr_assert_eq(moat_region_enter(&old, somewhere, somewhere + PAGE, &none, &stripes),
                     MOAT_NOT_OURS);
        cr_assert(moat_region_lives(&next));
        retire(&next);
    }
}

/* Far more than the registry begins with: records, nodes and table all grow on the way. */
Test(region_record, the_registry_grows_and_shrinks_without_losing_anybody) {
    enum { COUNT = 200000 };
    uintptr_t *bases = malloc(COUNT * sizeof *bases);
    struct moat_region_ref ref;
    for (unsigned i = 0; i < COUNT; i++) {
        bases[i] = somewhere + (uintptr_t)i * 3 * GRANULE + (uintptr_t)(i / 1000) * 64 * BLOCK;
        (void)published(bases[i], 2 * GRANULE);
    }
    cr_assert_geq(moat_region_count_ever(), (uint32_t)COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        cr_assert(moat_region_find_base(bases[i], &ref), "%u", i);
        cr_assert(moat_region_find(bases[i] + GRANULE + 17, &ref), "%u", i);
        cr_assert_eq(ref.base, bases[i]);
        cr_assert_not(moat_region_find(bases[i] + 2 * GRANULE, &ref), "%u", i);
    }
    for (unsigned i = 0; i < COUNT; i += 2) {
        cr_assert(moat_region_find_base(bases[i], &ref));
        retire(&ref);
    }
    for (unsigned i = 0; i < COUNT; i++)
        cr_assert_eq(moat_region_find(bases[i] + PAGE, &ref), i % 2 == 1, "%u", i);
    uint32_t ever = moat_region_count_ever();
    for (unsigned i = 0; i < COUNT; i += 2)
        (void)published(bases[i], GRANULE);
    /* A thread whose stack moves may start a new record before it looks for those of others, but
     * never adds to what is there for it. */
    cr_assert_leq(moat_region_count_ever(), ever + 4096, "records are used again");
    free(bases);
}

/* Books */

struct piece {
    _Atomic uint64_t link;
    unsigned char bytes[];
};

Test(region_record, books_are_zeroed_aligned_and_come_back) {
    static const size_t sizes[] = {64, 256, 257, 4096, 100000, 262144, 1 << 20, 5 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct piece *first = moat_books_take(sizes[i]);
        cr_assert_not_null(first);
        cr_assert_eq((uintptr_t)first % 64, (uintptr_t)0);
        memset(first->bytes, 0xEE, sizes[i] - sizeof *first);
        moat_books_give(first, sizes[i]);
        struct piece *again = moat_books_take(sizes[i]);
        cr_assert_eq(again, first, "the last one given comes first");
        cr_assert_eq(atomic_load(&again->link), UINT64_C(0));
        for (size_t at = 0; at < sizes[i] - sizeof *again; at++)
            cr_assert_eq(again->bytes[at], 0, "%zu bytes, byte %zu", sizes[i], at);
        moat_books_give(again, sizes[i]);
    }
    cr_assert_null(moat_books_take((size_t)1 << 60));
}

Test(region_record, books_know_their_own_and_stand_between_traps) {
    uintptr_t from, to;
    void *piece = moat_books_take((size_t)1 << 20);
    cr_assert(moat_books_contain((uintptr_t)piece, &from, &to));
    cr_assert_leq(from, (uintptr_t)piece);
    cr_assert_geq(to, (uintptr_t)piece + (1 << 20));
    cr_assert(page_is((void *)from, false, false), "a margin before");
    cr_assert(page_is((void *)(to - PAGE), false, false), "and one behind");
    cr_assert_not(moat_books_contain((uintptr_t)&from, &from, &to));
    cr_assert(moat_books_contain((uintptr_t)moat_registry()->records, &from, &to));
}

static void *take_and_give(void *argument) {
    uint64_t seed = (uintptr_t)argument;
    for (unsigned step = 0; step < 50000; step++) {
        size_t size = 64 + next_random(&seed) % 2000;
        struct piece *piece = moat_books_take(size);
        if (!piece || piece->bytes[0] != 0 || piece->bytes[size - 9] != 0)
            return argument;
        memset(piece->bytes, (int)(uintptr_t)argument, size - sizeof *piece);
        if (piece->bytes[size - 9] != (unsigned char)(uintptr_t)argument)
            return argument;
        moat_books_give(piece, size);
    }
    return NULL;
}

Test(region_record, books_are_never_given_to_two_at_once) {
    pthread_t threads[4];
    void *failed;
    for (uintptr_t i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, take_and_give, (void *)(i + 1)), 0);
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(threads[i], &failed);
        cr_assert_null(failed);
    }
}

Test(region_record, what_a_thread_holds_is_left_in_any_order) {
    static const struct moat_region *const regions[3] = {
        (const struct moat_region *)0x1000,
        (const struct moat_region *)0x2000,
        (const struct moat_region *)0x3000,
    };
    for (unsigned first = 0; first < 3; first++) {
        for (unsigned i = 0; i < 3; i++)
            moat_held_push(regions[i], 1u << i);
        cr_assert_not(moat_held_here(regions[0], 2), "other stripes");
        moat_held_pop(regions[first]);
        for (unsigned i = 0; i < 3; i++)
            cr_assert_eq(moat_held_here(regions[i], 7), i != first, "%u after %u", i, first);
        for (unsigned i = 0; i < 3; i++)
            if (i != first)
                moat_held_pop(regions[i]);
        for (unsigned i = 0; i < 3; i++)
            cr_assert_not(moat_held_here(regions[i], 7));
    }
}

Test(region_record, what_is_too_deep_to_be_noted_does_no_harm) {
    static const struct moat_region *const region = (const struct moat_region *)0x1000;
    static const struct moat_region *const deep = (const struct moat_region *)0x2000;
    for (unsigned i = 0; i < 20; i++)
        moat_held_push(i == 0 ? region : deep, 1);
    cr_assert(moat_held_here(region, 1));
    for (unsigned i = 0; i < 19; i++)
        moat_held_pop(deep);
    cr_assert(moat_held_here(region, 1));
    moat_held_pop(region);
    cr_assert_not(moat_held_here(region, 1));
}
