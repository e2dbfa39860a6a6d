/* SPDX-License-Identifier: MIT */
/*
 * large: regions of large pages. Could fail by ordinary pages in disguise, by pages that are not
 * given back, and by calls on a part of a page, which the kernel would round or refuse in its own
 * way.
 *
 * Root sets pages aside for as long as a test runs; others need a machine where that was done.
 */
#define _GNU_SOURCE
#include "support/regions.h"
#include "support/touch.h"

#include <moat/residency.h>

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>

#define SETTING "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
#define UNUSED  "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"

enum { LARGE = BLOCK, RW = MOAT_PAGE_READWRITE, RO = MOAT_PAGE_READONLY, WANTED = 4 };
enum { COMMIT_LARGE = MOAT_RESERVE_COMMIT | MOAT_RESERVE_LARGE_PAGES };

static long before = -1;
static struct moat_manager *manager;
static FILE *turn; /* held by one test at a time: they set one number */

static long read_number(const char *path) {
    FILE *file = fopen(path, "re");
    long number = -1;
    if (file && fscanf(file, "%ld", &number) != 1)
        number = -1;
    if (file)
        fclose(file);
    return number;
}

static void write_number(const char *path, long number) {
    FILE *file = fopen(path, "we");
    if (!file)
        return;
    fprintf(file, "%ld\n", number);
    fclose(file);
}

/* Exactly so many pages that nobody uses, or the test is skipped. */
static void set_aside(long count) {
    turn = fopen(SETTING, "re");
    if (!turn || flock(fileno(turn), LOCK_EX) != 0)
        cr_skip_test("this kernel has no large pages");
    before = read_number(SETTING);
    long used = before - read_number(UNUSED);
    write_number(SETTING, used + count);
    if (read_number(UNUSED) != count) {
        write_number(SETTING, before);
        cr_skip_test("large pages cannot be set aside here");
    }
}

static void put_back(void) {
    moat_manager_destroy(manager); /* what is in use would stay set aside */
    if (before >= 0)
        write_number(SETTING, before);
    if (turn)
        fclose(turn);
}

TestSuite(vm_large, .fini = put_back);

static enum moat_status reserve(struct moat_manager *owner, void *address, size_t size,
                                uint32_t protection, void **base) {
    return moat_reserve(owner, address, size, protection, COMMIT_LARGE, base);
}

static unsigned char *reserve_ok(void *address, size_t size) {
    void *base = NULL;
    cr_assert_eq(reserve(manager, address, size, RW, &base), MOAT_OK, "%s", moat_last_error_text());
    return base;
}

Test(vm_large, a_region_is_made_of_large_pages) {
    set_aside(WANTED);
    for (int rung = 0; rung < RUNGS; rung++) {
        manager = manager_with(rungs[rung]);
        unsigned char *base = reserve_ok(NULL, 2 * LARGE);
        cr_assert_eq((uintptr_t)base % LARGE, 0);
        cr_assert_eq(read_number(UNUSED), WANTED - 2, "fetched already");
        cr_assert_eq(smaps_sum(base, 2 * LARGE, "Private_Hugetlb:"), 2 * LARGE / 1024);
        cr_assert(touch_all_bytes(base, 2 * LARGE, 0));
        memset(base, 0x5A, 2 * LARGE);
        struct moat_page_info info = info_of(base + LARGE + 5 * PAGE);
        cr_assert_eq(info.state, MOAT_STATE_COMMITTED);
        cr_assert_eq(info.protection, RW);
        cr_assert_eq(info.allocation_base, base);
        cr_assert_eq(info.size, LARGE - 5 * PAGE);
        cr_assert(touch_kills(base - 1), "a margin before");
        cr_assert(touch_kills(base + 2 * LARGE), "and behind");
        cr_assert_eq(info_of(base - 1).state, MOAT_STATE_RESERVED);
        struct moat_stats stats = stats_of(manager);
        cr_assert_eq(stats.bytes_committed, 2 * LARGE);
        cr_assert_eq(stats.bytes_reserved, 2 * LARGE);
        cr_assert_eq(moat_release(manager, base), MOAT_OK, "%s", moat_last_error_text());
        cr_assert(touch_kills(base));
        cr_assert_eq(read_number(UNUSED), WANTED, "given back");
        stats = stats_of(manager);
        cr_assert_eq(stats.bytes_committed, 0);
        cr_assert_eq(stats.bytes_reserved, 0);
        cr_assert_eq(stats.guard_failures, 0);
        cr_assert_eq(stats.stranded_bytes, 0);
        base = reserve_ok(NULL, LARGE);
        cr_assert(touch_all_bytes(base, LARGE, 0), "fresh again");
        moat_manager_destroy(manager);
        manager = NULL;
        cr_assert_eq(read_number(UNUSED), WANTED);
    }
}

Test(vm_large, at_an_address) {
    set_aside(WANTED);
    manager = manager_with("trap=auto");
    unsigned char *room = hole(8 * (size_t)LARGE, LARGE);
    void *base;
    cr_assert_eq(reserve_ok(room, LARGE), room);
    cr_assert_eq(reserve(manager, room, LARGE, RW, &base), MOAT_INVALID_ADDRESS);
    cr_assert_null(base);
    cr_assert_eq(reserve_ok(room + LARGE, LARGE), room + LARGE, "side by side");
    cr_assert_eq(info_of(room).size, LARGE, "never merged");
    cr_assert_eq(moat_release(manager, room), MOAT_OK);
    cr_assert_eq(reserve_ok(room, LARGE), room, "free at once");
    unsigned char *small = reserved(manager, PAGE, true);
    uintptr_t inside = (uintptr_t)small / LARGE * LARGE;
    cr_assert_eq(reserve(manager, (void *)inside, LARGE, RW, &base), MOAT_INVALID_ADDRESS);
    cr_assert_eq(read_number(UNUSED), WANTED - 2, "refusals keep nothing");
}

Test(vm_large, none_left) {
    set_aside(WANTED);
    manager = manager_with("trap=auto");
    unsigned char *base = reserve_ok(NULL, (WANTED - 1) * (size_t)LARGE);
    void *more;
    cr_assert_eq(reserve(manager, NULL, 2 * LARGE, RW, &more), MOAT_NO_LARGE_PAGES);
    cr_assert_neq(moat_last_error_text()[0], '\0');
    cr_assert_null(more);
    cr_assert_eq(reserve(manager, hole(4 * (size_t)LARGE, LARGE), 2 * LARGE, RW, &more),
                 MOAT_NO_LARGE_PAGES);
    (void)reserve_ok(NULL, LARGE);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    (void)reserve_ok(NULL, 2 * LARGE);
}

Test(vm_large, none_set_aside) {
    set_aside(0);
    if (read_number(SETTING) != 0)
        cr_skip_test("somebody uses large pages here");
    manager = manager_with("trap=auto");
    void *base;
    cr_assert_eq(reserve(manager, NULL, LARGE, RW, &base), MOAT_NO_PRIVILEGE);
    cr_assert_eq(reserve(manager, NULL, PAGE, RW, &base), MOAT_NO_PRIVILEGE, "before alignment");
    cr_assert_eq(reserve(manager, NULL, 0, RW, &base), MOAT_INVALID_ARGUMENT, "after the range");
}

Test(vm_large, arguments) {
    set_aside(WANTED);
    manager = manager_with("trap=auto");
    unsigned char *room = hole(4 * (size_t)LARGE, LARGE);
    void *base;
    cr_assert_eq(reserve(manager, NULL, LARGE + PAGE, RW, &base), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(reserve(manager, room + GRANULE, LARGE, RW, &base), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(reserve(manager, NULL, 0, RW, &base), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(reserve(manager, NULL, SIZE_MAX / LARGE * LARGE, RW, &base),
                 MOAT_INVALID_ARGUMENT);
    cr_assert_eq(reserve(manager, NULL, LARGE, RW | MOAT_PAGE_GUARD, &base), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(reserve(manager, NULL, LARGE, 0, &base), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_reserve(manager, NULL, LARGE, RW, MOAT_RESERVE_LARGE_PAGES, &base),
                 MOAT_INVALID_ARGUMENT, "committed or not at all");
    cr_assert_eq(
        moat_reserve(manager, NULL, LARGE, RW, COMMIT_LARGE | MOAT_RESERVE_WRITE_WATCH, &base),
        MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_reserve(manager, NULL, LARGE, RW, COMMIT_LARGE, NULL), MOAT_NO_ACCESS);
    cr_assert_eq(reserve(NULL, NULL, LARGE, RW, &base), MOAT_NO_ACCESS);
    cr_assert_eq(read_number(UNUSED), WANTED);
}

Test(vm_large, pages_change_as_a_whole) {
    set_aside(WANTED);
    manager = manager_with("trap=auto");
    unsigned char *base = reserve_ok(NULL, 2 * LARGE);
    uint32_t old = 0;
    memset(base, 0x5A, 2 * LARGE);
    cr_assert_eq(moat_protect(manager, base, PAGE, RO, &old), MOAT_INVALID_ADDRESS);
    cr_assert_eq(moat_protect(manager, base + LARGE, LARGE, RO, &old), MOAT_OK);
    cr_assert_eq(old, RW);
    cr_assert_eq(info_of(base).size, LARGE);
    cr_assert(page_is(base + LARGE, true, false));
    cr_assert_eq(base[LARGE + 9], 0x5A);
    cr_assert_eq(moat_protect(manager, base, LARGE, MOAT_PAGE_NOACCESS, &old), MOAT_OK);
    cr_assert(touch_kills(base));
    cr_assert_eq(moat_protect(manager, base, 2 * LARGE, RW, &old), MOAT_OK);
    cr_assert(touch_all_bytes(base + 1, PAGE, 0x5A));
    cr_assert_eq(moat_protect(manager, base, LARGE, RW | MOAT_PAGE_GUARD, &old),
                 MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_commit(manager, base, PAGE, RO, NULL), MOAT_INVALID_ADDRESS);
    cr_assert_eq(moat_commit(manager, base, LARGE, RO, NULL), MOAT_OK);
    cr_assert_eq(moat_commit(manager, base, LARGE, RW, NULL), MOAT_OK);
    cr_assert_eq(moat_decommit(manager, base, PAGE), MOAT_INVALID_ADDRESS);
    cr_assert_eq(moat_decommit(manager, base, LARGE), MOAT_INVALID_ADDRESS);
    cr_assert_eq(moat_decommit(manager, base, 0), MOAT_INVALID_ADDRESS);
    cr_assert_eq(base[0], 0x5A, "still there");
    cr_assert_eq(moat_lock_pages(manager, base, 3 * PAGE), MOAT_OK, "they always are");
    cr_assert_eq(moat_unlock_pages(manager, base, PAGE), MOAT_NOT_LOCKED);
    cr_assert_eq(moat_reset(manager, base, 2 * LARGE, RW, NULL), MOAT_OK);
    cr_assert_eq(moat_reset_undo(manager, base, 2 * LARGE, RW, NULL), MOAT_OK);
    cr_assert(touch_all_bytes(base + LARGE, LARGE, 0x5A));
    cr_assert_eq(moat_discard(manager, base, LARGE), MOAT_OK, "%s", moat_last_error_text());
    cr_assert(touch_all_bytes(base, LARGE, 0));
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    cr_assert_eq(read_number(UNUSED), WANTED);
}

Test(vm_large, they_count_against_the_quota) {
    set_aside(WANTED);
    manager = manager_with("trap=auto,quota=3145728");
    void *more;
    unsigned char *base = reserve_ok(NULL, LARGE);
    cr_assert_eq(reserve(manager, NULL, LARGE, RW, &more), MOAT_COMMIT_LIMIT);
    cr_assert_eq(read_number(UNUSED), WANTED - 1);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    (void)reserve_ok(NULL, LARGE);
}
