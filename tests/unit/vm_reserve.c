/* SPDX-License-Identifier: MIT */
/*
 * reserve: every way it can end, and that a refusal leaves nothing behind.
 */
#define _GNU_SOURCE
#include "support/regions.h"
#include "support/touch.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

static struct moat_manager *manager;

static enum moat_status reserve(uintptr_t address, size_t size, uint32_t protection,
                                uint32_t flags) {
    void *base = &base;
    enum moat_status status =
        moat_reserve(manager, (void *)address, size, protection, flags, &base);
    if (status) {
        cr_assert_null(base, "after a failure");
        cr_assert_neq(moat_last_error_text()[0], '\0', "a failure is explained");
    } else {
        cr_assert_eq(moat_release(manager, base), MOAT_OK);
    }
    return status;
}

static void start(void) {
    manager = manager_with("");
}

TestSuite(vm_reserve, .init = start);

Test(vm_reserve, arguments_that_no_state_could_make_right) {
    static const uintptr_t top = 0x7FFFFFFF0000;
    static const struct {
        uintptr_t address;
        size_t size;
        uint32_t protection, flags;
    } rows[] = {
        {0, 0, MOAT_PAGE_READWRITE, 0},
        {0, SIZE_MAX, MOAT_PAGE_READWRITE, 0},
        {0, SIZE_MAX - PAGE, MOAT_PAGE_READWRITE, 0},
        {0, (size_t)1 << 63, MOAT_PAGE_READWRITE, 0},
        {0, top, MOAT_PAGE_READWRITE, 0},
        {GRANULE, SIZE_MAX - GRANULE + 1, MOAT_PAGE_READWRITE, 0}, /* wraps to 0 */
        {GRANULE, SIZE_MAX, MOAT_PAGE_READWRITE, 0},
        {1, PAGE, MOAT_PAGE_READWRITE, 0},
        {GRANULE - 1, PAGE, MOAT_PAGE_READWRITE, 0},
        {top, PAGE, MOAT_PAGE_READWRITE, 0},
        {top - PAGE, 2 * PAGE, MOAT_PAGE_READWRITE, 0},
        {UINT64_C(0xFFFF800000000000), PAGE, MOAT_PAGE_READWRITE, 0},
        {UINTPTR_MAX, 1, MOAT_PAGE_READWRITE, 0},
        {UINTPTR_MAX, PAGE, MOAT_PAGE_READWRITE, 0},
        {0, PAGE, 0, 0},
        {0, PAGE, MOAT_PAGE_READONLY | MOAT_PAGE_READWRITE, 0},
        {0, PAGE, 0x08, 0},
        {0, PAGE, 0x80, 0},
        {0, PAGE, MOAT_PAGE_READWRITE | 0x800, 0},
        {0, PAGE, MOAT_PAGE_READWRITE | 0x80000000, 0},
        {0, PAGE, MOAT_PAGE_GUARD, 0},
        {0, PAGE, MOAT_PAGE_NOACCESS | MOAT_PAGE_GUARD, 0},
        {0, PAGE, MOAT_PAGE_NOACCESS | MOAT_PAGE_NOCACHE, 0},
        {0, PAGE, MOAT_PAGE_NOACCESS | MOAT_PAGE_WRITECOMBINE, 0},
        {0, PAGE, MOAT_PAGE_READWRITE | MOAT_PAGE_GUARD | MOAT_PAGE_NOCACHE, 0},
        {0, PAGE, MOAT_PAGE_READWRITE | MOAT_PAGE_NOCACHE | MOAT_PAGE_WRITECOMBINE, 0},
        {0, PAGE, MOAT_PAGE_READWRITE, 8},
        {0, PAGE, MOAT_PAGE_READWRITE, 0x80000000},
    };
    struct moat_stats before = stats_of(manager);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_assert_eq(reserve(rows[i].address, rows[i].size, rows[i].protection, rows[i].flags),
                     MOAT_INVALID_ARGUMENT, "row %zu", i);
    struct moat_stats after = stats_of(manager);
    cr_assert_arr_eq(&before, &after, sizeof before, "nothing is counted, nothing is held");
}

Test(vm_reserve, no_pointer_to_put_the_base_in) {
    cr_assert_eq(moat_reserve(manager, NULL, PAGE, MOAT_PAGE_READWRITE, 0, NULL), MOAT_NO_ACCESS);
    cr_assert_eq(stats_of(manager).regions_live, UINT64_C(0));
}

Test(vm_reserve, every_protection_can_be_reserved_and_is_reported) {
    static const uint32_t basics[] = {MOAT_PAGE_NOACCESS,     MOAT_PAGE_READONLY,
                                      MOAT_PAGE_READWRITE,    MOAT_PAGE_EXECUTE,
                                      MOAT_PAGE_EXECUTE_READ, MOAT_PAGE_EXECUTE_READWRITE};
    static const uint32_t modifiers[] = {0, MOAT_PAGE_GUARD, MOAT_PAGE_NOCACHE,
                                         MOAT_PAGE_WRITECOMBINE};
    for (size_t i = 0; i < 6; i++)
        for (size_t j = 0; j < (basics[i] == MOAT_PAGE_NOACCESS ? 1 : 4); j++)
            for (uint32_t flags = 0; flags < 4; flags++) {
                uint32_t protection = basics[i] | modifiers[j];
                bool commit = flags & MOAT_RESERVE_COMMIT;
                void *base;
                cr_assert_eq(moat_reserve(manager, NULL, PAGE, protection, flags, &base), MOAT_OK);
                struct moat_page_info info = info_of(base);
                cr_assert_eq(info.allocation_protection, protection);
                cr_assert_eq(info.protection, commit ? protection : 0);
                cr_assert_eq(info.state, commit ? MOAT_STATE_COMMITTED : MOAT_STATE_RESERVED);
                cr_assert_eq(moat_release(manager, base), MOAT_OK);
            }
}

Test(vm_reserve, the_start_goes_down_to_a_granule_and_the_end_up_to_a_page) {
    unsigned char *free = hole(8 * GRANULE, GRANULE);
    static const struct {
        size_t offset, size, expected;
    } rows[] = {
        {0, 1, PAGE},
        {0x8000, 1, 0x9000},
        {0xFFFF, 0x3000, 0x13000},
        {GRANULE - 1, 2, GRANULE + PAGE},
        {5, 2 * GRANULE, 2 * GRANULE + PAGE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        void *base;
        cr_assert_eq(moat_reserve(manager, free + rows[i].offset, rows[i].size, MOAT_PAGE_READWRITE,
                                  MOAT_RESERVE_COMMIT, &base),
                     MOAT_OK, "%s", moat_last_error_text());
        cr_assert_eq(base, (void *)free);
        cr_assert_eq(info_of(base).size, rows[i].expected, "row %zu", i);
        memset(base, 1, rows[i].expected);
        cr_assert_eq(moat_release(manager, base), MOAT_OK);
    }
}

/* Inside arenas and outside, on both rungs: the same rules. */
static void check_fixed(unsigned char *free) {
    uintptr_t at = (uintptr_t)free;
    void *base, *next;
    uint32_t rw = MOAT_PAGE_READWRITE;
    cr_assert_eq(moat_reserve(manager, free + GRANULE, 2 * GRANULE + PAGE, rw, 0, &base), MOAT_OK);
    cr_assert_eq(reserve(at + GRANULE, PAGE, rw, 0), MOAT_INVALID_ADDRESS, "the same base");
    cr_assert_eq(reserve(at + 2 * GRANULE, PAGE, rw, 0), MOAT_INVALID_ADDRESS, "inside");
    cr_assert_eq(reserve(at + 3 * GRANULE, PAGE, rw, 0), MOAT_INVALID_ADDRESS, "its last granule");
    cr_assert_eq(reserve(at + 3 * GRANULE + 2 * PAGE, PAGE, rw, 0), MOAT_INVALID_ADDRESS, "tail");
    cr_assert_eq(reserve(at, GRANULE + 1, rw, 0), MOAT_INVALID_ADDRESS, "into it");
    cr_assert_eq(reserve(at, 8 * GRANULE, rw, 0), MOAT_INVALID_ADDRESS, "around it");
    cr_assert_eq(moat_reserve(manager, free, GRANULE, rw, 0, &next), MOAT_OK, "right before: %s",
                 moat_last_error_text());
    cr_assert_eq(moat_release(manager, next), MOAT_OK);
    cr_assert_eq(moat_reserve(manager, free + 4 * GRANULE, PAGE, rw, 0, &next), MOAT_OK, "behind");
    cr_assert_eq(moat_release(manager, next), MOAT_OK);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    cr_assert_eq(reserve(at, 8 * GRANULE, rw, MOAT_RESERVE_COMMIT), MOAT_OK, "all free at once");
}

Test(vm_reserve, at_an_address_inside_and_outside_arenas) {
    for (int rung = 0; rung < RUNGS; rung++) {
        manager = manager_with(rungs[rung]);
        check_fixed(hole(9 * GRANULE, GRANULE));
        unsigned char *inside = reserved(manager, 9 * GRANULE, true);
        cr_assert_eq(moat_release(manager, inside), MOAT_OK);
        check_fixed(inside);
        unsigned char *large = reserved(manager, 3 * BLOCK, true);
        cr_assert_eq(moat_release(manager, large), MOAT_OK);
        check_fixed(large + BLOCK - 4 * GRANULE);
    }
}

Test(vm_reserve, foreign_memory_is_not_free) {
    static char data;
    void *block = malloc(1);
    uint32_t rw = MOAT_PAGE_READWRITE;
    cr_assert_eq(reserve((uintptr_t)&data, 1, rw, 0), MOAT_INVALID_ADDRESS);
    cr_assert_eq(reserve((uintptr_t)block, 1, rw, 0), MOAT_INVALID_ADDRESS);
    cr_assert_eq(reserve((uintptr_t)&reserve, 1, rw, 0), MOAT_INVALID_ADDRESS);
    cr_assert_eq(reserve((uintptr_t)manager, 1, rw, 0), MOAT_INVALID_ADDRESS, "Moat's own books");
    free(block);
}

Test(vm_reserve, more_than_there_is) {
    cr_assert_eq(reserve(0, (size_t)0x7FFFFFFF0000 - 2 * GRANULE, MOAT_PAGE_READWRITE, 0),
                 MOAT_NO_MEMORY);
    cr_assert_eq(reserve(0, (size_t)0x7FFFFFFF0000 - GRANULE, MOAT_PAGE_READWRITE, 0),
                 MOAT_NO_MEMORY);
}

Test(vm_reserve, no_address_space_left_under_a_limit) {
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_AS, &limit), 0);
    unsigned char *before = reserved(manager, PAGE, true);
    struct rlimit tight = {(rlim_t)1 << 30, limit.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_AS, &tight), 0);
    cr_assert_eq(reserve(0, (size_t)1 << 33, MOAT_PAGE_READWRITE, 0), MOAT_NO_MEMORY);
    cr_assert_not_null(strstr(moat_last_error_text(), "RLIMIT_AS"), "%s", moat_last_error_text());
    cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
    *before = 1;
    cr_assert_eq(stats_of(manager).regions_live, UINT64_C(1));
    cr_assert_eq(reserve(0, (size_t)1 << 33, MOAT_PAGE_READWRITE, 0), MOAT_OK);
}

/* More than a single request may have under the default overcommit heuristic. */
Test(vm_reserve, a_commit_that_the_machine_could_never_back) {
    struct moat_stats before = stats_of(manager);
    enum moat_status status = reserve(0, (size_t)1 << 42, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT);
    if (status == MOAT_OK)
        cr_skip_test("this machine commits anything");
    cr_assert(status == MOAT_COMMIT_LIMIT || status == MOAT_NO_MEMORY, "%d", status);
    struct moat_stats after = stats_of(manager);
    cr_assert_eq(after.bytes_reserved, before.bytes_reserved);
    cr_assert_eq(after.bytes_committed, before.bytes_committed);
    cr_assert_eq(after.stranded_bytes, before.stranded_bytes);
}

Test(vm_reserve, reserved_memory_traps_and_committed_memory_is_zero) {
    for (int rung = 0; rung < RUNGS; rung++) {
        manager = manager_with(rungs[rung]);
        unsigned char *base = reserved(manager, 3 * GRANULE, false);
        for (size_t at = 0; at < 3 * GRANULE; at += PAGE)
            cr_assert(page_is(base + at, false, false));
        unsigned char *full = reserved(manager, 3 * GRANULE, true);
        cr_assert(touch_all_bytes(full, 3 * GRANULE, 0));
        memset(full, 'x', 3 * GRANULE);
        cr_assert_eq(moat_release(manager, full), MOAT_OK);
        void *again;
        cr_assert_eq(moat_reserve(manager, full, 3 * GRANULE, MOAT_PAGE_READWRITE,
                                  MOAT_RESERVE_COMMIT, &again),
                     MOAT_OK);
        cr_assert(touch_all_bytes(full, 3 * GRANULE, 0), "no stale data");
    }
}

/* Address space that was locked is not useless afterwards. */
Test(vm_reserve, locking_a_region_spoils_nothing_for_the_next) {
    static const char *const hasty[] = {"trap=auto,quarantine=0", "trap=protect,quarantine=0"};
    static const size_t sizes[] = {2 * PAGE, BLOCK};
    stay_on_one_processor();
    for (int rung = 0; rung < RUNGS; rung++)
        for (unsigned i = 0; i < 2; i++) {
            manager = manager_with(hasty[rung]);
            unsigned char *base = reserved(manager, sizes[i], true);
            if (mlock(base, sizes[i]) != 0)
                cr_skip_test("memory cannot be locked here");
            cr_assert_eq(moat_release(manager, base), MOAT_OK, "%s", moat_last_error_text());
            cr_assert_not(touch_reads(base));
            for (unsigned round = 0; round < 200; round++)
                *reserved(manager, 3 * PAGE, true) = 1;
            cr_assert_eq(stats_of(manager).stranded_bytes, UINT64_C(0));
        }
}

/* What a caller released at an address of its own it may want back: nothing of Moat's own moves in
 * meanwhile, though for the kernel it is the best hole there is. */
Test(vm_reserve, nothing_of_moat_moves_in_where_a_caller_released) {
    enum { SIZE = 4 << 20, MARGIN = 1 << 20 };
    unsigned char *room =
        mmap(NULL, SIZE + 2 * MARGIN + GRANULE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq((void *)room, MAP_FAILED);
    unsigned char *free = room + MARGIN + GRANULE - ((uintptr_t)room & (GRANULE - 1));
    void *base;
    cr_assert_eq(munmap(free, SIZE), 0);
    cr_assert_eq(moat_reserve(manager, free, SIZE, MOAT_PAGE_READWRITE, 0, &base), MOAT_OK);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    for (unsigned round = 0; round < 8; round++)
        (void)reserved(manager, ((size_t)257 << 20) << (round / 2), false);
    for (unsigned round = 0; round < 100; round++)
        (void)manager_with("");
    cr_assert_eq(moat_reserve(manager, free, SIZE, MOAT_PAGE_READWRITE, 0, &base), MOAT_OK, "%s",
                 moat_last_error_text());
}
