/* SPDX-License-Identifier: MIT */
/*
 * adopt: ranges that others map. What is told is wrong, late or out of date here in every way it
 * can be, and no query, protect or free may come to harm by it.
 */
#define _GNU_SOURCE
#include "region/arena.h"
#include "region/books.h"
#include "support/regions.h"
#include "support/touch.h"

#include <moat/space.h>

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { RW = MOAT_PAGE_READWRITE, RO = MOAT_PAGE_READONLY, PAGES = 8, MANY = 1000 };

static struct moat_manager *manager;

static void start(void) {
    manager = manager_with("");
}

TestSuite(vm_adopt, .init = start);

static unsigned char *map(size_t pages, int flags, int file) {
    int protection = PROT_READ | PROT_WRITE;
    void *memory =
        mmap(NULL, pages * PAGE, protection, flags | (file < 0 ? MAP_ANONYMOUS : 0), file, 0);
    cr_assert_neq(memory, MAP_FAILED);
    return memory;
}

static unsigned char *mapped(size_t pages) {
    return map(pages, MAP_PRIVATE, -1);
}

static int file_of(size_t pages) {
    char name[] = "/tmp/moat-adopt-XXXXXX";
    int file = mkstemp(name);
    cr_assert_geq(file, 0);
    cr_assert_eq(unlink(name), 0);
    cr_assert_eq(ftruncate(file, (off_t)(pages * PAGE)), 0);
    return file;
}

static void adopt(unsigned char *address, size_t pages) {
    cr_assert_eq(moat_adopt(manager, address, pages * PAGE), MOAT_OK, "%s", moat_last_error_text());
}

static void check_counts(uint64_t ranges, uint64_t pages) {
    cr_assert_eq(stats_of(manager).adopted_regions, ranges);
    cr_assert_eq(stats_of(manager).adopted_bytes, pages * PAGE);
}

/* Page `page` is of the range at `base`, in a run of so many pages. */
static void check_in(const unsigned char *base, size_t page, size_t run) {
    struct moat_page_info info = info_of(base + page * PAGE + 5);
    cr_assert_eq(info.base, base + page * PAGE);
    cr_assert_eq(info.allocation_base, base);
    cr_assert_eq(info.owner, manager);
    cr_assert_eq(info.state, MOAT_STATE_COMMITTED);
    cr_assert_eq(info.size, run * PAGE, "%zu pages", info.size / PAGE);
}

static void check_outside(const unsigned char *address) {
    struct moat_page_info info = info_of(address);
    cr_assert_null(info.owner);
}

Test(vm_adopt, bad_arguments) {
    unsigned char *memory = mapped(2);
    const size_t most = SIZE_MAX;
    cr_assert_eq(moat_adopt(NULL, memory, PAGE), MOAT_NO_ACCESS);
    cr_assert_eq(moat_adopt(manager, memory, 0), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_adopt(manager, memory, most), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_adopt(manager, memory + 1, PAGE), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_adopt(manager, NULL, PAGE), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_adopt(manager, (void *)UINT64_C(0x7FFFFFFF0000), PAGE),
                 MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_adopt(manager, (void *)UINT64_C(0xFFFF800000000000), PAGE),
                 MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_disown(NULL, memory), MOAT_NO_ACCESS);
    cr_assert_eq(moat_disown(manager, memory), MOAT_NOT_OURS);
    cr_assert_eq(moat_disown(manager, NULL), MOAT_NOT_OURS);
    cr_assert_neq(moat_last_error_text()[0], '\0');
    check_counts(0, 0);
}

Test(vm_adopt, what_cannot_be_is_refused) {
    unsigned char *memory = mapped(PAGES);
    unsigned char *region = reserved(manager, 3 * GRANULE, true);
    unsigned char *alone = reserved(manager, (size_t)512 << 20, false);
    struct moat_space *arena = moat_arena_of((uintptr_t)region);
    void *piece = moat_books_take(64);
    const void *places[] = {region,
                            region + 2 * GRANULE,
                            region + 3 * GRANULE, /* free, and in the arena */
                            alone,
                            alone - PAGE, /* its margin */
                            (void *)arena->start,
                            (void *)arena->usable_end,
                            (void *)((uintptr_t)piece & ~(uintptr_t)(PAGE - 1))};

    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        cr_assert_eq(moat_adopt(manager, places[i], PAGE), MOAT_INVALID_ADDRESS, "%zu", i);
    /* Ending in what is Moat's is no better than starting there. */
    cr_assert_eq(moat_adopt(manager, (void *)(arena->start - PAGE), 2 * PAGE),
                 MOAT_INVALID_ADDRESS);
    /* A hole, before, in and behind. */
    munmap(memory, PAGE);
    munmap(memory + 3 * PAGE, PAGE);
    cr_assert_eq(moat_adopt(manager, memory, 2 * PAGE), MOAT_INVALID_ADDRESS);
    cr_assert_eq(moat_adopt(manager, memory + PAGE, 4 * PAGE), MOAT_INVALID_ADDRESS);
    cr_assert_eq(moat_adopt(manager, memory + PAGE, 3 * PAGE), MOAT_INVALID_ADDRESS);
    adopt(memory + PAGE, 2);
    check_counts(1, 2);
}

Test(vm_adopt, pages_are_what_the_kernel_says) {
    int file = file_of(PAGES);
    const struct {
        int flags;
        int file;
        enum moat_page_kind kind;
    } kinds[] = {{MAP_SHARED, file, MOAT_KIND_MAPPED},
                 {MAP_PRIVATE, file, MOAT_KIND_IMAGE},
                 {MAP_SHARED, -1, MOAT_KIND_MAPPED},
                 {MAP_PRIVATE, -1, MOAT_KIND_PRIVATE}};

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        unsigned char *memory = map(PAGES, kinds[i].flags, kinds[i].file);
        cr_assert_eq(moat_adopt(manager, memory, PAGES * PAGE - 7), MOAT_OK);
        check_in(memory, 0, PAGES);
        check_in(memory, PAGES - 1, 1);
        cr_assert_eq(info_of(memory).kind, kinds[i].kind);
        cr_assert_eq(info_of(memory).protection, (uint32_t)RW);
        cr_assert_eq(mprotect(memory + 2 * PAGE, PAGE, PROT_READ), 0);
        check_in(memory, 0, 2);
        check_in(memory, 2, 1);
        cr_assert_eq(info_of(memory + 2 * PAGE).protection, (uint32_t)RO);
        check_in(memory, 3, PAGES - 3);
        memory[0] = 1; /* nothing was done to it */
        check_counts(1, PAGES);
        cr_assert_eq(moat_disown(manager, memory), MOAT_OK);
        check_counts(0, 0);
        check_outside(memory);
        munmap(memory, PAGES * PAGE);
    }
    close(file);
}

/* The kernel has one mapping for all of it; Win32 has as many allocations as were made. */
Test(vm_adopt, runs_end_where_a_range_does) {
    unsigned char *memory = mapped(6);

    adopt(memory + PAGE, 2);
    adopt(memory + 3 * PAGE, 1);
    struct moat_page_info info = info_of(memory);
    cr_assert_eq(info.size, (size_t)PAGE);
    check_outside(memory);
    check_in(memory + PAGE, 0, 2);
    check_in(memory + PAGE, 1, 1);
    check_in(memory + 3 * PAGE, 0, 1);
    info = info_of(memory + 5 * PAGE);
    cr_assert_eq(info.allocation_base, memory + 4 * PAGE);
    check_outside(memory + 4 * PAGE);
}

Test(vm_adopt, protect_stays_inside) {
    unsigned char *memory = mapped(6);
    uint32_t old = 0;

    adopt(memory + PAGE, 3);
    cr_assert_eq(moat_protect(NULL, memory + PAGE, 3 * PAGE, RO, &old), MOAT_OK);
    cr_assert_eq(old, (uint32_t)RW);
    cr_assert(page_is(memory + 3 * PAGE, true, false));
    cr_assert(page_is(memory + 4 * PAGE, true, true));
    old = 77;
    cr_assert_eq(moat_protect(NULL, memory + 3 * PAGE, 2 * PAGE, RW, &old), MOAT_INVALID_ADDRESS);
    cr_assert_eq(moat_protect(NULL, memory, 2 * PAGE, RO, &old), MOAT_INVALID_ADDRESS);
    cr_assert_eq(moat_protect(NULL, memory, 6 * PAGE, RO, &old), MOAT_INVALID_ADDRESS);
    cr_assert_eq(old, 77u);
    cr_assert(page_is(memory, true, true));
    cr_assert(page_is(memory + 3 * PAGE, true, false));
    cr_assert_eq(moat_protect(manager, memory + 2 * PAGE, 10, RW, &old), MOAT_OK);
    cr_assert(page_is(memory + 2 * PAGE, true, true));
    cr_assert_eq(moat_disown(manager, memory + PAGE), MOAT_OK);
    cr_assert_eq(moat_protect(NULL, memory, 6 * PAGE, RO, &old), MOAT_OK);
}

Test(vm_adopt, nothing_of_it_is_freed) {
    unsigned char *memory = mapped(PAGES);

    adopt(memory, PAGES);
    memset(memory, 'm', PAGES * PAGE);
    cr_assert_eq(moat_release(manager, memory), MOAT_NOT_OURS);
    cr_assert_eq(moat_decommit(manager, memory, PAGE), MOAT_NOT_OURS);
    cr_assert_eq(moat_decommit(manager, memory, 0), MOAT_NOT_OURS);
    cr_assert_eq(moat_commit(manager, memory, PAGE, RW, NULL), MOAT_INVALID_ADDRESS);
    cr_assert_eq(stats_of(manager).refused, UINT64_C(3));
    cr_assert(touch_all_bytes(memory, PAGES * PAGE, 'm'));
    /* Nor by the end of its manager. */
    moat_manager_destroy(manager);
    manager = manager_with("");
    cr_assert(touch_all_bytes(memory, PAGES * PAGE, 'm'));
    check_outside(memory);
    cr_assert_eq(moat_disown(manager, memory), MOAT_NOT_OURS);
}

Test(vm_adopt, only_its_start_and_its_manager_disown_it) {
    struct moat_manager *other = manager_with("");
    unsigned char *memory = mapped(PAGES);

    adopt(memory, PAGES);
    cr_assert_eq(moat_disown(manager, memory + PAGE), MOAT_NOT_OURS);
    cr_assert_eq(moat_disown(manager, memory + 1), MOAT_NOT_OURS);
    cr_assert_eq(moat_disown(other, memory), MOAT_NOT_OURS);
    check_in(memory, 1, PAGES - 1);
    cr_assert_eq(stats_of(other).adopted_regions, UINT64_C(0));
    cr_assert_eq(moat_disown(manager, memory), MOAT_OK);
    cr_assert_eq(moat_disown(manager, memory), MOAT_NOT_OURS);
    moat_manager_destroy(other);
}

/* The runtime unmaps, then tells. What the kernel says counts in between. */
Test(vm_adopt, a_range_that_was_unmapped_is_free) {
    unsigned char *memory = hole((size_t)PAGES * GRANULE, GRANULE);
    void *base;

    cr_assert_eq(
        mmap(memory, PAGES * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
        memory);
    adopt(memory, PAGES);
    munmap(memory, PAGES * PAGE);
    struct moat_page_info info = info_of(memory + PAGE);
    cr_assert_eq(info.state, MOAT_STATE_FREE);
    cr_assert_null(info.owner);
    cr_assert_null(info.allocation_base);
    cr_assert_gt(info.size, (size_t)PAGES * PAGE);

    /* Another thread may get the place before word comes, and it is a region like any other. */
    cr_assert_eq(moat_reserve(manager, memory, 2 * PAGE, RW, MOAT_RESERVE_COMMIT, &base), MOAT_OK);
    cr_assert_eq(info_of(memory + PAGE).allocation_base, memory);
    cr_assert_eq(info_of(memory + PAGE).size, (size_t)PAGE);
    cr_assert_eq(moat_disown(manager, memory), MOAT_OK);
    cr_assert_eq(moat_decommit(manager, memory + PAGE, PAGE), MOAT_OK);
    cr_assert_eq(moat_disown(manager, memory), MOAT_NOT_OURS);
    cr_assert_eq(moat_release(manager, memory), MOAT_OK);
}

/* Another thread maps the place and tells of it before word of the unmapping comes. */
Test(vm_adopt, of_ranges_that_overlap_the_one_told_last_counts) {
    unsigned char *memory = mapped(PAGES);

    adopt(memory, 6);
    adopt(memory + 4 * PAGE, 4);
    check_in(memory, 0, 4);
    check_in(memory + 4 * PAGE, 1, 3);
    cr_assert_eq(moat_disown(manager, memory), MOAT_OK);
    check_outside(memory);
    check_in(memory + 4 * PAGE, 0, 4);

    adopt(memory + 4 * PAGE, 1);
    check_in(memory + 4 * PAGE, 0, 1);
    check_counts(2, 5);
    /* This is about the first, the second stays. */
    cr_assert_eq(moat_disown(manager, memory + 4 * PAGE), MOAT_OK);
    check_counts(1, 1);
    check_in(memory + 4 * PAGE, 0, 1);
    check_outside(memory + 5 * PAGE);
    cr_assert_eq(moat_disown(manager, memory + 4 * PAGE), MOAT_OK);
    check_outside(memory + 4 * PAGE);
}

/* More than the first chunk holds, and slots are used again. */
Test(vm_adopt, many_ranges) {
    unsigned char *memory = mapped(MANY);

    for (int round = 0; round < 3; round++) {
        for (size_t page = 0; page < MANY; page++)
            adopt(memory + page * PAGE, 1);
        check_counts(MANY, MANY);
        for (size_t page = 0; page < MANY; page++)
            check_in(memory + page * PAGE, 0, 1);
        for (size_t page = 0; page < MANY; page++)
            cr_assert_eq(moat_disown(manager, memory + page * PAGE), MOAT_OK);
        check_counts(0, 0);
        check_outside(memory);
        cr_assert_geq(info_of(memory).size, (size_t)MANY * PAGE);
    }
}
