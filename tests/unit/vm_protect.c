/* SPDX-License-Identifier: MIT */
/*
 * protect: all or nothing, in regions and in memory that Moat never reserved.
 */
#define _GNU_SOURCE
#include "support/regions.h"
#include "support/touch.h"

#include <moat/residency.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define RW   MOAT_PAGE_READWRITE
#define RO   MOAT_PAGE_READONLY
#define NONE MOAT_PAGE_NOACCESS

static struct moat_manager *manager;

static void start(void) {
    manager = manager_with("");
}

TestSuite(vm_protect, .init = start);

static enum moat_status protect(const void *address, size_t size, uint32_t protection) {
    uint32_t old = 0x5555;
    enum moat_status status =
        moat_protect(manager, (void *)(uintptr_t)address, size, protection, &old);
    if (status) {
        cr_assert_eq(old, 0x5555u, "a failure writes nothing");
        cr_assert_neq(moat_last_error_text()[0], '\0', "a failure is explained");
    }
    return status;
}

Test(vm_protect, arguments_that_no_state_could_make_right) {
    unsigned char *base = reserved(manager, GRANULE, true);
    cr_assert_eq(protect(base, 0, RO), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(protect(base, PAGE, 0), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(protect(base, PAGE, RO | RW), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(protect(base, PAGE, 0x1000 | RW), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(protect(NULL, PAGE, 0), MOAT_INVALID_ARGUMENT, "wins over a bad address");
    cr_assert_eq(protect(base, SIZE_MAX, RO), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(protect(base, 0 - (uintptr_t)base, RO), MOAT_INVALID_ARGUMENT);
    if ((uintptr_t)__builtin_frame_address(0) < UINT64_C(0x7FFFFFFF0000)) /* else the stack is */
        cr_assert_eq(protect((void *)0x7FFFFFFF0000, PAGE, RO), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(protect((void *)UINTPTR_MAX, 1, RO), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_protect(manager, base, PAGE, RO, NULL), MOAT_NO_ACCESS);
    cr_assert_eq(moat_protect(manager, base, PAGE, 0, NULL), MOAT_INVALID_ARGUMENT);
    cr_assert(page_is(base, true, true), "nothing changed");
}

Test(vm_protect, one_uncommitted_page_and_nothing_changes) {
    for (int rung = 0; rung < RUNGS; rung++) {
        manager = manager_with(rungs[rung]);
        unsigned char *base = reserved(manager, 3 * BLOCK, true);
        cr_assert_eq(moat_decommit(manager, base + 2 * BLOCK + 5 * PAGE, PAGE), MOAT_OK);
        cr_assert_eq(protect(base, 3 * BLOCK, RO), MOAT_INVALID_ADDRESS);
        cr_assert_eq(protect(base + 2 * BLOCK + 5 * PAGE, PAGE, RO), MOAT_INVALID_ADDRESS);
        cr_assert(page_is(base, true, true));
        cr_assert(page_is(base + 2 * BLOCK, true, true));
        cr_assert_eq(info_of(base).size, (size_t)2 * BLOCK + 5 * PAGE, "still one run");
        cr_assert_eq(protect(base + 3 * BLOCK - PAGE, PAGE + 1, RO), MOAT_INVALID_ADDRESS);
        cr_assert(page_is(base + 3 * BLOCK - PAGE, true, true));
    }
}

Test(vm_protect, old_is_of_the_first_page_and_content_stays) {
    for (int rung = 0; rung < RUNGS; rung++) {
        manager = manager_with(rungs[rung]);
        unsigned char *base = reserved(manager, GRANULE, true);
        uint32_t old;
        memset(base, 'c', GRANULE);
        cr_assert_eq(protect(base + PAGE, PAGE, RO), MOAT_OK);
        cr_assert_eq(moat_protect(manager, base + PAGE - 1, 2, NONE, &old), MOAT_OK);
        cr_assert_eq(old, RW);
        cr_assert_eq(moat_protect(manager, base + PAGE, GRANULE - PAGE, RW, &old), MOAT_OK);
        cr_assert_eq(old, NONE);
        cr_assert(page_is(base, false, false));
        cr_assert_eq(protect(base, PAGE, RO), MOAT_OK);
        cr_assert(touch_all_bytes(base, GRANULE, 'c'));
        cr_assert(page_is(base, true, false));
        cr_assert_eq(info_of(base).allocation_protection, RW);
    }
}

Test(vm_protect, every_protection_gives_the_rights_it_says) {
    static const struct {
        uint32_t protection;
        bool readable, writable;
    } rows[] = {
        {NONE, false, false},
        {RO, true, false},
        {RW, true, true},
        {MOAT_PAGE_EXECUTE, true, false},
        {MOAT_PAGE_EXECUTE_READ, true, false},
        {MOAT_PAGE_EXECUTE_READWRITE, true, true},
        {RW | MOAT_PAGE_GUARD, false, false},
        {RW | MOAT_PAGE_WRITECOMBINE, true, true},
    };
    for (int rung = 0; rung < RUNGS; rung++) {
        manager = manager_with(rungs[rung]);
        unsigned char *base = reserved(manager, 3 * PAGE, true);
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            cr_assert_eq(protect(base + PAGE, PAGE, rows[i].protection), MOAT_OK);
            cr_assert(page_is(base + PAGE, rows[i].readable, rows[i].writable), "row %zu", i);
            cr_assert_eq(info_of(base + PAGE).protection, rows[i].protection);
            cr_assert(page_is(base, true, true));
            cr_assert(page_is(base + 2 * PAGE, true, true));
        }
    }
}

Test(vm_protect, no_manager_means_any_manager) {
    unsigned char *base = reserved(manager, GRANULE, true);
    uint32_t old;
    cr_assert_eq(moat_protect(NULL, base, PAGE, RO, &old), MOAT_OK);
    cr_assert_eq(old, RW);
    cr_assert(page_is(base, true, false));
}

/* Memory of others, as the CLR protects its own data. */
static _Alignas(PAGE) unsigned char statics[3 * PAGE];

Test(vm_protect, static_data) {
    uint32_t old;
    statics[PAGE] = 's';
    cr_assert_eq(moat_protect(manager, statics + PAGE + 9, 1, RO, &old), MOAT_OK);
    cr_assert_eq(old, RW);
    cr_assert(page_is(statics + PAGE, true, false));
    cr_assert(page_is(statics, true, true));
    cr_assert(page_is(statics + 2 * PAGE, true, true));
    cr_assert_eq(moat_protect(NULL, statics + PAGE, PAGE, RW, &old), MOAT_OK);
    cr_assert_eq(old, RO);
    cr_assert_eq(statics[PAGE], 's');
}

static unsigned char *mapped(size_t pages) {
    unsigned char *start =
        mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq((void *)start, MAP_FAILED);
    return start;
}

Test(vm_protect, foreign_memory_over_several_mappings) {
    unsigned char *start = mapped(4);
    uint32_t old;
    cr_assert_eq(mprotect(start + PAGE, PAGE, PROT_READ), 0);
    cr_assert_eq(mprotect(start + 2 * PAGE, PAGE, PROT_READ | PROT_EXEC), 0);
    cr_assert_eq(moat_protect(manager, start + PAGE, 3 * PAGE, RW, &old), MOAT_OK);
    cr_assert_eq(old, RO, "of the first");
    for (unsigned page = 0; page < 4; page++)
        cr_assert(page_is(start + page * PAGE, true, true), "page %u", page);
}

/* The kernel changes what comes first and then refuses: a file that was opened for reading only
 * cannot be mapped shared and writable. What was changed must be as before. */
Test(vm_protect, a_refusal_in_the_middle_is_undone) {
    unsigned char *start = mapped(4);
    FILE *file = fopen("/proc/self/exe", "re");
    cr_assert_not_null(file);
    cr_assert_eq(mprotect(start + PAGE, PAGE, PROT_READ), 0);
    void *shared = mmap(start + 2 * PAGE, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fileno(file), 0);
    cr_assert_eq(shared, (void *)(start + 2 * PAGE));
    cr_assert_neq(protect(start, 4 * PAGE, RW), MOAT_OK);
    cr_assert(page_is(start, true, true));
    cr_assert(page_is(start + PAGE, true, false), "it was not writable before");
    cr_assert(touch_reads(start + 2 * PAGE));
    cr_assert_eq(protect(start, 2 * PAGE, RW), MOAT_OK, "the control");
    cr_assert(page_is(start + PAGE, true, true));
    fclose(file);
}

Test(vm_protect, a_hole_is_not_committed) {
    unsigned char *start = mapped(4);
    cr_assert_eq(munmap(start + 2 * PAGE, PAGE), 0);
    cr_assert_eq(protect(start, 4 * PAGE, RO), MOAT_INVALID_ADDRESS);
    cr_assert(page_is(start, true, true), "nothing changed");
    cr_assert_eq(protect(start + 2 * PAGE, PAGE, RO), MOAT_INVALID_ADDRESS);
    cr_assert_eq(protect(NULL, PAGE, RO), MOAT_INVALID_ADDRESS);
}

/* What was made inaccessible can be made accessible again, with what it holds. */
Test(vm_protect, foreign_memory_comes_back_from_no_access) {
    unsigned char *start = mapped(2);
    start[PAGE] = 'f';
    cr_assert_eq(protect(start, 2 * PAGE, MOAT_PAGE_NOACCESS), MOAT_OK);
    cr_assert(page_is(start + PAGE, false, false));
    cr_assert_eq(protect(start, 2 * PAGE, RW), MOAT_OK);
    cr_assert_eq(start[PAGE], 'f');
}

Test(vm_protect, moats_own_memory_is_refused) {
    for (int rung = 0; rung < RUNGS; rung++) {
        manager = manager_with(rungs[rung]);
        unsigned char *base = reserved(manager, 3 * PAGE, true);
        unsigned char *alone = reserved(manager, (size_t)257 << 20, true);
        cr_assert_eq(protect(manager, PAGE, RO), MOAT_INVALID_ADDRESS, "the books");
        cr_assert_eq(protect(base - PAGE, PAGE, RW), MOAT_INVALID_ADDRESS, "a guard");
        cr_assert_eq(protect(base + 3 * PAGE, PAGE, RW), MOAT_INVALID_ADDRESS, "a tail");
        cr_assert_eq(protect(alone - PAGE, PAGE, RW), MOAT_INVALID_ADDRESS, "a margin");
        cr_assert_eq(protect(alone + ((size_t)257 << 20), PAGE, RW), MOAT_INVALID_ADDRESS);
        cr_assert_not(touch_reads(base - PAGE));
        cr_assert_not(touch_reads(base + 3 * PAGE));
        cr_assert_not(touch_reads(alone - PAGE));
    }
}

/* From foreign memory into a region: it belongs to nobody whole. */
Test(vm_protect, a_range_from_foreign_memory_into_a_region) {
    unsigned char *free = hole(2 * GRANULE, GRANULE);
    unsigned char *foreign = mmap(free, GRANULE, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    void *base;
    cr_assert_eq(foreign, free);
    cr_assert_eq(moat_reserve(manager, free + GRANULE, GRANULE, RW, MOAT_RESERVE_COMMIT, &base),
                 MOAT_OK);
    cr_assert_eq(protect(free, 2 * GRANULE, RO), MOAT_INVALID_ADDRESS);
    cr_assert(page_is(free, true, true));
    cr_assert(page_is(base, true, true));
    cr_assert_eq(protect(free, GRANULE, RO), MOAT_OK);
    cr_assert(page_is(base, true, true));
}

Test(vm_protect, most_of_the_address_space_is_refused_at_once) {
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    cr_assert_eq(protect((void *)GRANULE, (size_t)0x7FFFFFFE0000, RO), MOAT_INVALID_ADDRESS);
    cr_assert_eq(protect(statics, (size_t)0x200000000000, RO), MOAT_INVALID_ADDRESS);
    clock_gettime(CLOCK_MONOTONIC, &after);
    cr_assert_leq(after.tv_sec - before.tv_sec, 1, "a second or less");
    cr_assert(page_is(statics, true, true));
}

Test(vm_protect, a_range_from_a_region_beyond_user_space_is_a_wrong_argument) {
    struct moat_manager *mine = manager_with("trap=auto");
    struct moat_manager *other = manager_with("trap=auto");
    void *base;
    uint32_t old;

    cr_assert_eq(moat_reserve(mine, (void *)UINT64_C(0x7FFFFFF00000), 4 * PAGE, MOAT_PAGE_READWRITE,
                              MOAT_RESERVE_COMMIT, &base),
                 MOAT_OK, "%s", moat_last_error_text());
    cr_assert_eq(moat_protect(mine, base, 248 * PAGE, MOAT_PAGE_READONLY, &old),
                 MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_protect(other, base, 248 * PAGE, MOAT_PAGE_READONLY, &old),
                 MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_lock_pages(mine, base, 248 * PAGE), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_unlock_pages(mine, base, 248 * PAGE), MOAT_INVALID_ARGUMENT);
}
