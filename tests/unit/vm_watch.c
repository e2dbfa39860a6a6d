/* SPDX-License-Identifier: MIT */
/*
 * vm_watch: pages are reported when they were written, and only then.
 *
 * Could fail by reporting what was read, by forgetting on a protect, by remembering over a
 * decommit, by resetting more than was told, or by looking at pages that trap.
 */
#define _GNU_SOURCE
#include "support/regions.h"
#include "support/smaps.h"
#include "support/touch.h"
#include "support/watched.h"

#include <moat/fault.h>

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define RW    MOAT_PAGE_READWRITE
#define RESET MOAT_WATCH_RESET

static uint32_t protect(void *start, size_t size, uint32_t protection) {
    uint32_t old;
    cr_assert_eq(moat_protect(NULL, start, size, protection, &old), MOAT_OK, "%s",
                 moat_last_error_text());
    return old;
}

static void each_way(void (*body)(struct moat_manager *manager)) {
    for (unsigned i = 0; i < WATCHES; i++) {
        struct moat_manager *manager = watching(watches[i]);
        body(manager);
        moat_manager_destroy(manager);
    }
}

static void life_of_a_page(struct moat_manager *manager) {
    unsigned char *base = watched(manager, 64 * PAGE, false);

    cr_assert_eq(written(base, 64 * PAGE, 0, NULL), 0, "reserved");
    cr_assert_eq(moat_commit(manager, base, 32 * PAGE, RW, NULL), MOAT_OK);
    cr_assert_eq(written(base, 64 * PAGE, 0, NULL), 0, "committed");
    cr_assert_eq(*(volatile unsigned char *)(base + 3 * PAGE), 0);
    cr_assert_eq(written(base, 64 * PAGE, 0, NULL), 0, "read");
    *(volatile unsigned char *)(base + 3 * PAGE) = 0;
    cr_assert(only_written(base, 64 * PAGE, base + 3 * PAGE), "the same value");
    cr_assert(only_written(base, 64 * PAGE, base + 3 * PAGE), "a get alone resets nothing");
    cr_assert_eq(moat_commit(manager, base, 32 * PAGE, RW, NULL), MOAT_OK);
    cr_assert(only_written(base, 64 * PAGE, base + 3 * PAGE), "a commit of committed pages");
    cr_assert_eq(moat_watch_reset(manager, base, 64 * PAGE), MOAT_OK);
    cr_assert_eq(written(base, 64 * PAGE, 0, NULL), 0, "reset");
    cr_assert_eq(base[3 * PAGE], 0);
    cr_assert_eq(written(base, 64 * PAGE, 0, NULL), 0, "read after a reset");
    base[3 * PAGE + 4095] = 1;
    cr_assert_eq(written(base, 64 * PAGE, RESET, NULL), 1, "written after a reset");
    cr_assert_eq(written(base, 64 * PAGE, RESET, NULL), 0, "got with a reset");
    cr_assert_eq(base[3 * PAGE + 4095], 1, "content is kept");
    base[3 * PAGE] = 2;
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
}

Test(vm_watch, a_page_is_reported_from_its_first_write_to_its_reset) {
    each_way(life_of_a_page);
}

static void protections(struct moat_manager *manager) {
    unsigned char *base = watched(manager, 8 * PAGE, true);

    base[PAGE] = 1;
    (void)protect(base, 8 * PAGE, MOAT_PAGE_NOACCESS);
    cr_assert(only_written(base, 8 * PAGE, base + PAGE), "without access");
    (void)protect(base, 8 * PAGE, MOAT_PAGE_READONLY);
    cr_assert(only_written(base, 8 * PAGE, base + PAGE), "read-only");
    cr_assert_not(touch_writes(base + 2 * PAGE), "refused");
    cr_assert(only_written(base, 8 * PAGE, base + PAGE), "a refused write is none");
    cr_assert_eq(written(base, 8 * PAGE, RESET, NULL), 1, "reset while read-only");
    (void)protect(base, 8 * PAGE, MOAT_PAGE_EXECUTE_READWRITE);
    cr_assert_eq(written(base, 8 * PAGE, 0, NULL), 0);
    cr_assert_eq(protect(base, 8 * PAGE, RW), MOAT_PAGE_EXECUTE_READWRITE);
    cr_assert_eq(written(base, 8 * PAGE, 0, NULL), 0);
    base[4 * PAGE] = 1;
    cr_assert(only_written(base, 8 * PAGE, base + 4 * PAGE));
    cr_assert_eq(info_of(base).size, (size_t)8 * PAGE, "records split no run");
}

Test(vm_watch, protections_neither_set_nor_clear_a_record) {
    each_way(protections);
}

static void decommits(struct moat_manager *manager) {
    for (int whole = 0; whole < 2; whole++) {
        size_t size = whole ? 2 * BLOCK : 16 * PAGE;
        unsigned char *base = watched(manager, size, true);
        memset(base, 1, size);
        cr_assert_eq(written(base, size, 0, NULL), size / PAGE);
        cr_assert_eq(moat_decommit(manager, base, size - PAGE), MOAT_OK);
        cr_assert(only_written(base, size, base + size - PAGE), "decommitted");
        cr_assert_eq(moat_commit(manager, base, size, RW, NULL), MOAT_OK);
        cr_assert(only_written(base, size, base + size - PAGE), "recommitted");
        cr_assert(touch_all_bytes(base, size - PAGE, 0));
        cr_assert(only_written(base, size, base + size - PAGE), "read");
        base[5] = 1;
        cr_assert_eq(written(base, size, 0, NULL), 2);
        cr_assert_eq(moat_release(manager, base), MOAT_OK);
    }
}

Test(vm_watch, a_decommit_ends_the_record_of_its_pages) {
    each_way(decommits);
}

static void resets_of_content(struct moat_manager *manager) {
    unsigned char *base = watched(manager, 8 * PAGE, true);

    memset(base, 1, 4 * PAGE);
    cr_assert_eq(moat_watch_reset(manager, base, 8 * PAGE), MOAT_OK);
    cr_assert_eq(moat_reset(manager, base, 8 * PAGE, RW, NULL), MOAT_OK);
    /* What memory pressure would do to them. */
    cr_assert_eq(madvise(base, 2 * PAGE, MADV_DONTNEED), 0);
    cr_assert_eq(written(base, 8 * PAGE, 0, NULL), 0);
    base[0] = 2;
    base[3 * PAGE] = 2;
    cr_assert_eq(written(base, 8 * PAGE, 0, NULL), 2, "written after a MEM_RESET");
}

Test(vm_watch, a_write_after_a_reset_of_content_is_reported) {
    each_way(resets_of_content);
}

static void asks_for_guards(struct moat_manager *manager) {
    unsigned char *base = watched(manager, 4 * PAGE, true);
    uint32_t old;

    cr_assert_eq(moat_guard_fault(base), 0);
    cr_assert_eq(moat_protect(manager, base + PAGE, PAGE, RW | MOAT_PAGE_GUARD, &old), MOAT_OK);
    cr_assert_eq(moat_guard_fault(base + PAGE), 1);
    cr_assert_eq(moat_guard_fault(base + PAGE), 0);
    cr_assert_eq(written(base, 4 * PAGE, 0, NULL), 0, "nothing was written");
    base[PAGE] = 1;
    cr_assert(only_written(base, 4 * PAGE, base + PAGE));
}

Test(vm_watch, a_guard_that_is_asked_for_is_no_write) {
    each_way(asks_for_guards);
}

/* A range is taken as whole pages, however short; what lies beside it is left alone. */
static void short_ranges(struct moat_manager *manager) {
    unsigned char *base = watched(manager, 16 * PAGE, true);

    memset(base, 1, 16 * PAGE);
    cr_assert_eq(written(base + 5 * PAGE + 100, 24, 0, NULL), 1);
    cr_assert_eq(written(base + 6 * PAGE - 12, 24, 0, NULL), 2);
    cr_assert_eq(written(base + 16 * PAGE - 1, 1, 0, NULL), 1);
    cr_assert_eq(written(base + 6 * PAGE - 12, 24, RESET, NULL), 2);
    cr_assert_eq(written(base, 16 * PAGE, 0, NULL), 14);
    cr_assert_eq(moat_watch_reset(manager, base + 8 * PAGE + 4095, 2), MOAT_OK);
    cr_assert_eq(written(base, 16 * PAGE, 0, NULL), 12);
    cr_assert_eq(written(base + 8 * PAGE, 2 * PAGE, 0, NULL), 0);
}

Test(vm_watch, ranges_are_rounded_out_to_pages) {
    each_way(short_ranges);
}

/* The loop of a garbage collector: little room, continued behind the last page. */
static void little_room(struct moat_manager *manager) {
    const size_t count = 3000, room = 100;
    unsigned char *base = watched(manager, count * PAGE, true);
    unsigned char *end = base + count * PAGE;
    void *pages[100];
    size_t total = 0, expected = 0;

    for (size_t i = 0; i < count; i += 1 + i % 5) {
        base[i * PAGE] = 1;
        expected++;
    }
    for (unsigned char *at = base; at < end;) {
        size_t found = room;
        cr_assert_eq(moat_watch_get(manager, RESET, at, (size_t)(end - at), pages, &found),
                     MOAT_OK);
        total += found;
        if (found < room)
            break;
        at = (unsigned char *)pages[room - 1] + PAGE;
    }
    cr_assert_eq(total, expected, "%zu of %zu", total, expected);
    cr_assert_eq(written(base, count * PAGE, 0, NULL), 0);
    base[7 * PAGE] = base[8 * PAGE] = base[9 * PAGE] = 1;
    size_t found = 2;
    cr_assert_eq(moat_watch_get(manager, RESET, base, count * PAGE, pages, &found), MOAT_OK);
    cr_assert(found == 2 && pages[0] == base + 7 * PAGE && pages[1] == base + 8 * PAGE);
    cr_assert(only_written(base, count * PAGE, base + 9 * PAGE), "only what was told is reset");
}

Test(vm_watch, little_room_resets_what_is_told_and_no_more) {
    each_way(little_room);
}

/* Fails when a query walks what is not committed page by page, or makes page tables for it. */
static void huge(struct moat_manager *manager) {
    const size_t size = (size_t)64 << 30;
    unsigned char *base = watched(manager, size, false);
    size_t tables = smaps_sum(base, size, "Rss:");
    struct timespec before, after;

    for (size_t i = 0; i < 8; i++) {
        unsigned char *at = base + i * (size / 8) + 5 * PAGE;
        cr_assert_eq(moat_commit(manager, at, 3 * PAGE, RW, NULL), MOAT_OK);
        at[PAGE] = 1;
    }
    void *pages[16];
    size_t count = 16;
    clock_gettime(CLOCK_MONOTONIC, &before);
    cr_assert_eq(moat_watch_get(manager, RESET, base, size, pages, &count), MOAT_OK);
    clock_gettime(CLOCK_MONOTONIC, &after);
    cr_assert_eq(count, 8);
    for (size_t i = 0; i < 8; i++)
        cr_assert_eq(pages[i], base + i * (size / 8) + 6 * PAGE);
    cr_assert_lt(after.tv_sec - before.tv_sec, 30);
    cr_assert_leq(smaps_sum(base, size, "Rss:"), tables + 8 * 4);
    cr_assert_eq(written(base + size - GRANULE, GRANULE, 0, NULL), 0);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
}

Test(vm_watch, a_huge_reservation_is_cheap) {
    each_way(huge);
}

/* A region at an address of the caller's: in an arena, beside neighbours that are not watched, and
 * outside; what comes to lie there next is not watched. */
static void placed(struct moat_manager *manager) {
    unsigned char *plain = reserved(manager, 4 * GRANULE, true);
    cr_assert_eq(moat_release(manager, plain), MOAT_OK);
    unsigned char *places[] = {plain + GRANULE, hole(GRANULE, GRANULE)};

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        unsigned char *base = watched_at(manager, places[i], GRANULE, true);
        cr_assert_eq(base, places[i]);
        base[2 * PAGE] = 1;
        cr_assert(only_written(base, GRANULE, base + 2 * PAGE));
        cr_assert_eq(moat_release(manager, base), MOAT_OK);
        void *again;
        cr_assert_eq(moat_reserve(manager, base, GRANULE, RW, MOAT_RESERVE_COMMIT, &again),
                     MOAT_OK);
        cr_assert_not(smaps_flag(again, "uw"), "recorded still");
        memset(again, 1, GRANULE);
        size_t count = 1;
        void *page;
        cr_assert_eq(moat_watch_get(manager, 0, again, PAGE, &page, &count), MOAT_INVALID_ARGUMENT);
        cr_assert_eq(moat_release(manager, again), MOAT_OK);
        base = watched_at(manager, places[i], GRANULE, true);
        cr_assert_eq(written(base, GRANULE, 0, NULL), 0);
        base[PAGE] = 1;
        cr_assert(only_written(base, GRANULE, base + PAGE));
        cr_assert_eq(moat_release(manager, base), MOAT_OK);
    }
}

Test(vm_watch, a_region_may_be_where_the_caller_says) {
    each_way(placed);
}

static void many(struct moat_manager *manager) {
    enum { REGIONS = 300 };
    static unsigned char *bases[REGIONS];

    for (unsigned i = 0; i < REGIONS; i++)
        bases[i] = watched(manager, (1 + i % 20) * PAGE, true);
    for (unsigned i = 0; i < REGIONS; i += 3)
        bases[i][i % 20 * PAGE] = 1;
    for (unsigned i = 0; i < REGIONS; i++)
        cr_assert_eq(written(bases[i], (1 + i % 20) * PAGE, 0, NULL), i % 3 == 0);
    for (unsigned i = 0; i < REGIONS; i++)
        cr_assert_eq(moat_release(manager, bases[i]), MOAT_OK);
}

Test(vm_watch, regions_are_watched_apart) {
    each_way(many);
}

static void refusals(struct moat_manager *manager) {
    unsigned char *base = watched(manager, 4 * PAGE, true);
    unsigned char *plain = reserved(manager, 4 * PAGE, true);
    unsigned char *gone = watched(manager, 4 * PAGE, true);
    struct moat_manager *other = manager_with("trap=auto");
    void *pages[4];
    const struct {
        struct moat_manager *manager;
        uint32_t flags;
        void *address;
        size_t size;
        void **pages;
        size_t count;
        enum moat_status status;
    } cases[] = {
        {manager, 0, base, 0, pages, 4, MOAT_INVALID_ARGUMENT},
        {manager, 0, base, PAGE, pages, 0, MOAT_INVALID_ARGUMENT},
        {manager, 0, base, PAGE, NULL, 0, MOAT_INVALID_ARGUMENT},
        {manager, 2, base, PAGE, pages, 4, MOAT_INVALID_ARGUMENT},
        {manager, 0, base, PAGE, NULL, 4, MOAT_NO_ACCESS},
        {manager, 0, base, 4 * PAGE + 1, pages, 4, MOAT_LEAVES_REGION},
        {manager, 0, base + 3 * PAGE, 2 * PAGE, pages, 4, MOAT_LEAVES_REGION},
        {manager, 0, base, SIZE_MAX, pages, 4, MOAT_INVALID_ARGUMENT},
        {manager, 0, plain, PAGE, pages, 4, MOAT_INVALID_ARGUMENT},
        {manager, 0, gone, PAGE, pages, 4, MOAT_INVALID_ARGUMENT},
        {manager, 0, NULL, PAGE, pages, 4, MOAT_INVALID_ARGUMENT},
        {manager, 0, &pages, PAGE, pages, 4, MOAT_INVALID_ARGUMENT},
        {other, 0, base, PAGE, pages, 4, MOAT_INVALID_ARGUMENT},
    };

    cr_assert_eq(moat_release(manager, gone), MOAT_OK);
    base[0] = 1;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t count = cases[i].count;
        enum moat_status status =
            moat_watch_get(cases[i].manager, cases[i].flags | (i % 2 && !cases[i].flags),
                           cases[i].address, cases[i].size, cases[i].pages, &count);
        cr_assert_eq(status, cases[i].status, "case %zu: %d", i, status);
        cr_assert_eq(count, cases[i].count, "case %zu", i);
        cr_assert_neq(moat_last_error_text()[0], '\0');
        if (cases[i].size && cases[i].count && cases[i].pages && !cases[i].flags)
            cr_assert_eq(moat_watch_reset(cases[i].manager, cases[i].address, cases[i].size),
                         cases[i].status, "case %zu", i);
    }
    cr_assert_eq(moat_watch_get(manager, 0, base, PAGE, pages, NULL), MOAT_NO_ACCESS);
    cr_assert_eq(moat_watch_reset(manager, base, 0), MOAT_INVALID_ARGUMENT);
    cr_assert(only_written(base, 4 * PAGE, base), "a refusal resets nothing");
    moat_manager_destroy(other);
}

Test(vm_watch, arguments_are_refused_as_windows_does) {
    each_way(refusals);
}

/* The kernel's own writes are seen by the kernel alone. */
Test(vm_watch, a_system_call_that_writes_is_reported) {
    struct moat_manager *manager = watching("watch=kernel");
    unsigned char *base = watched(manager, 4 * PAGE, true);
    int zero = open("/dev/zero", O_RDONLY);

    cr_assert_eq(read(zero, base + 2 * PAGE - 1, 2), 2);
    cr_assert_eq(written(base, 4 * PAGE, RESET, NULL), 2);
    cr_assert_eq(read(zero, base + 2 * PAGE, 1), 1);
    cr_assert(only_written(base, 4 * PAGE, base + 2 * PAGE));
    close(zero);
}

/* Fails when a huge page can be made, which is written as one. */
Test(vm_watch, a_write_is_that_of_one_page) {
    struct moat_manager *manager = watching("watch=kernel");
    unsigned char *base = watched(manager, 8 * BLOCK, true);

    base[4 * BLOCK + 7] = 1;
    cr_assert(only_written(base, 8 * BLOCK, base + 4 * BLOCK));
    cr_assert_eq(smaps_sum(base, 8 * BLOCK, "AnonHugePages:"), 0);
    cr_assert(smaps_flag(base, "nh"), "nothing forbids huge pages");
}

/* Somebody else's mapping over a part of the region: the kernel has reset the pages before it when
 * it says that it does not record there. They must be told all the same. */
Test(vm_watch, records_are_not_lost_before_a_mapping_of_somebody_elses) {
    struct moat_manager *manager = watching("watch=kernel");
    unsigned char *base = watched(manager, 20 * PAGE, true);
    unsigned char *first;

    memset(base, 1, 5 * PAGE);
    void *there = mmap(base + 10 * PAGE, 10 * PAGE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    cr_assert_eq(there, base + 10 * PAGE);
    base[15 * PAGE] = 1;
    cr_assert_eq(written(base, 20 * PAGE, RESET, &first), 6);
    cr_assert_eq(first, base);
    cr_assert_eq(written(base, 20 * PAGE, 0, NULL), 0);
}
