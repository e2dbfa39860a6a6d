/* SPDX-License-Identifier: MIT */
/*
 * commit and reset: ranges, content, what is refused, and what is reported of each protection.
 */
#define _GNU_SOURCE
#include "region/powers.h"
#include "support/regions.h"
#include "support/smaps.h"
#include "support/touch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RW MOAT_PAGE_READWRITE

static struct moat_manager *manager;

static void start(void) {
    manager = manager_with("");
}

TestSuite(vm_commit, .init = start);

enum call { COMMIT, RESET };

static enum moat_status try(enum call call, const void *address, size_t size, uint32_t protection) {
    void *at = (void *)(uintptr_t)address;
    enum moat_status status = call == COMMIT ? moat_commit(manager, at, size, protection, NULL)
                                             : moat_reset(manager, at, size, protection, NULL);
    if (status)
        cr_assert_neq(moat_last_error_text()[0], '\0', "a failure is explained");
    return status;
}

/* The same rules for both calls, as in Win32; the address goes into the text of the failure. */
static void refuses(enum call call) {
    unsigned char *base = reserved(manager, 4 * GRANULE, false);
    unsigned char *top = (unsigned char *)0x7FFFFFFF0000;
    struct moat_stats before = stats_of(manager);

    cr_assert_eq(try(call, base, 0, RW), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(try(call, NULL, 0, RW), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(try(call, base, SIZE_MAX, RW), MOAT_INVALID_ARGUMENT, "wraps");
    cr_assert_eq(try(call, base, SIZE_MAX - (uintptr_t)base, RW), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(try(call, base, 0 - (uintptr_t)base, RW), MOAT_INVALID_ARGUMENT, "ends at 0");
    cr_assert_eq(try(call, top, PAGE, RW), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(try(call, (void *)UINT64_C(0xFFFF800000000000), PAGE, RW), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(try(call, (void *)UINTPTR_MAX, 1, RW), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(try(call, base, PAGE, 0), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(try(call, base, PAGE, RW | MOAT_PAGE_READONLY), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(try(call, base, PAGE, 0x800 | RW), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(try(call, top, 0, 0), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(try(call, NULL, PAGE, RW), MOAT_INVALID_ADDRESS);
    /* Not of the stack: where addresses are not random it is beyond what Win32 has. */
    cr_assert_eq(try(call, &manager, PAGE, RW), MOAT_INVALID_ADDRESS, "foreign memory");
    cr_assert_eq(try(call, manager, PAGE, RW), MOAT_INVALID_ADDRESS, "Moat's own");
    cr_assert_eq(try(call, base, 4 * GRANULE + 1, RW), MOAT_INVALID_ADDRESS, "one byte too far");
    cr_assert_eq(try(call, base + 4 * GRANULE - 1, 2, RW), MOAT_INVALID_ADDRESS);
    cr_assert_eq(try(call, base + 4 * GRANULE, PAGE, RW), MOAT_INVALID_ADDRESS, "behind");
    cr_assert_eq(try(call, base - PAGE, 2 * PAGE, RW), MOAT_INVALID_ADDRESS, "from before");
    struct moat_stats after = stats_of(manager);
    cr_assert_arr_eq(&before, &after, sizeof before);
    cr_assert_eq(info_of(base).size, (size_t)4 * GRANULE, "nothing was committed");
    cr_assert_eq(info_of(base).state, MOAT_STATE_RESERVED);
}

Test(vm_commit, commit_refuses_what_it_must) {
    refuses(COMMIT);
}

Test(vm_commit, reset_refuses_what_it_must) {
    refuses(RESET);
}

Test(vm_commit, the_failing_address_and_call_are_in_the_text) {
    char expected[64];
    (void)try(COMMIT, (void *)UINT64_C(0x123456789000), PAGE, RW);
    (void)snprintf(expected, sizeof expected, "commit at 0x123456789000");
    cr_assert_not_null(strstr(moat_last_error_text(), expected), "%s", moat_last_error_text());
}

Test(vm_commit, a_range_over_two_neighbouring_regions_commits_nothing) {
    unsigned char *free = hole(2 * GRANULE, GRANULE);
    void *left, *right;
    cr_assert_eq(moat_reserve(manager, free, GRANULE, RW, 0, &left), MOAT_OK);
    cr_assert_eq(moat_reserve(manager, free + GRANULE, GRANULE, RW, 0, &right), MOAT_OK);
    cr_assert_eq(try(COMMIT, free, GRANULE + 1, RW), MOAT_INVALID_ADDRESS);
    cr_assert_eq(info_of(left).state, MOAT_STATE_RESERVED);
    cr_assert_eq(info_of(right).state, MOAT_STATE_RESERVED);
}

Test(vm_commit, the_start_goes_down_and_the_end_up_to_a_page) {
    for (int rung = 0; rung < RUNGS; rung++) {
        manager = manager_with(rungs[rung]);
        unsigned char *base = reserved(manager, 8 * PAGE, false);
        void *start_of = NULL;
        cr_assert_eq(moat_commit(manager, base + 2 * PAGE - 1, 2, RW, &start_of), MOAT_OK);
        cr_assert_eq(start_of, (void *)(base + PAGE));
        for (unsigned page = 0; page < 8; page++) {
            bool in = page == 1 || page == 2;
            cr_assert(page_is(base + page * PAGE, in, in), "page %u", page);
        }
        cr_assert_eq(stats_of(manager).bytes_committed, (uint64_t)2 * PAGE);
    }
}

Test(vm_commit, committed_pages_keep_their_content_and_new_ones_are_zero) {
    for (int rung = 0; rung < RUNGS; rung++) {
        manager = manager_with(rungs[rung]);
        unsigned char *base = reserved(manager, 3 * GRANULE, false);
        cr_assert_eq(try(COMMIT, base + 2 * PAGE, PAGE, RW), MOAT_OK);
        memset(base + 2 * PAGE, 'k', PAGE);
        cr_assert_eq(try(COMMIT, base, 3 * GRANULE, MOAT_PAGE_READONLY), MOAT_OK);
        cr_assert(touch_all_bytes(base, 2 * PAGE, 0));
        cr_assert(touch_all_bytes(base + 2 * PAGE, PAGE, 'k'));
        cr_assert(touch_all_bytes(base + 3 * PAGE, 3 * GRANULE - 3 * PAGE, 0));
        cr_assert(page_is(base + 2 * PAGE, true, false), "and the new protection");
        cr_assert_eq(stats_of(manager).bytes_committed, (uint64_t)3 * GRANULE);
    }
}

/* Windows keeps NOCACHE with the reservation, whatever a later call names. */
Test(vm_commit, nocache_belongs_to_the_reservation) {
    void *base;
    uint32_t old;
    cr_assert_eq(moat_reserve(manager, NULL, GRANULE, RW | MOAT_PAGE_NOCACHE, 0, &base), MOAT_OK);
    cr_assert_eq(try(COMMIT, base, PAGE, RW), MOAT_OK);
    cr_assert_eq(info_of(base).protection, RW | MOAT_PAGE_NOCACHE);
    cr_assert_eq(moat_protect(manager, base, PAGE, MOAT_PAGE_READONLY, &old), MOAT_OK);
    cr_assert_eq(old, RW | MOAT_PAGE_NOCACHE);
    cr_assert_eq(info_of(base).protection, MOAT_PAGE_READONLY | MOAT_PAGE_NOCACHE);
    unsigned char *plain = reserved(manager, GRANULE, true);
    cr_assert_eq(moat_protect(manager, plain, PAGE, RW | MOAT_PAGE_NOCACHE, &old), MOAT_OK);
    cr_assert_eq(info_of(plain).protection, RW, "named later it is dropped");
    cr_assert_eq(info_of(plain).size, (size_t)GRANULE, "and splits nothing");
}

Test(vm_commit, writecombine_and_guard_belong_to_the_page) {
    for (int rung = 0; rung < RUNGS; rung++) {
        manager = manager_with(rungs[rung]);
        unsigned char *base = reserved(manager, GRANULE, false);
        uint32_t old;
        cr_assert_eq(try(COMMIT, base, PAGE, RW | MOAT_PAGE_WRITECOMBINE), MOAT_OK);
        cr_assert_eq(try(COMMIT, base + PAGE, PAGE, RW | MOAT_PAGE_GUARD), MOAT_OK);
        cr_assert_eq(info_of(base).protection, RW | MOAT_PAGE_WRITECOMBINE);
        cr_assert(page_is(base, true, true));
        cr_assert_eq(info_of(base + PAGE).protection, RW | MOAT_PAGE_GUARD);
        cr_assert(page_is(base + PAGE, false, false), "a guard page traps");
        cr_assert_eq(moat_protect(manager, base, 2 * PAGE, RW, &old), MOAT_OK);
        cr_assert_eq(old, RW | MOAT_PAGE_WRITECOMBINE, "of the first page");
        cr_assert(page_is(base + PAGE, true, true));
        cr_assert_eq(moat_decommit(manager, base, 2 * PAGE), MOAT_OK);
        cr_assert_eq(try(COMMIT, base, 2 * PAGE, RW), MOAT_OK);
        cr_assert_eq(info_of(base).protection, RW, "a decommit forgets it");
        cr_assert_eq(info_of(base).allocation_protection, RW);
    }
}

Test(vm_commit, recommitted_pages_are_zero_on_every_backend) {
    static const char *const kinds[] = {"trap=auto", "trap=protect", "backend=mimalloc"};
    for (unsigned kind = 0; kind < 3; kind++) {
        manager = manager_with(kinds[kind]);
        if (!manager)
            continue;
        unsigned char *base = reserved(manager, 5 * GRANULE, true);
        memset(base, 'x', 5 * GRANULE);
        cr_assert_eq(moat_decommit(manager, base + PAGE, 4 * GRANULE), MOAT_OK);
        cr_assert_eq(try(COMMIT, base, 5 * GRANULE, RW), MOAT_OK);
        cr_assert(touch_all_bytes(base, PAGE, 'x'), "%s", kinds[kind]);
        cr_assert(touch_all_bytes(base + PAGE, 4 * GRANULE, 0), "%s", kinds[kind]);
        cr_assert(touch_all_bytes(base + 4 * GRANULE + PAGE, GRANULE - PAGE, 'x'));
    }
}

Test(vm_commit, reset_changes_neither_state_nor_later_writes) {
    unsigned char *base = reserved(manager, 4 * GRANULE, false);
    void *start_of;
    cr_assert_eq(try(COMMIT, base + GRANULE, GRANULE, RW), MOAT_OK);
    memset(base + GRANULE, 'r', GRANULE);
    cr_assert_eq(moat_reset(manager, base + 5, 3 * GRANULE, MOAT_PAGE_NOACCESS, &start_of),
                 MOAT_OK);
    cr_assert_eq(start_of, (void *)base);
    for (size_t at = GRANULE; at < 2 * GRANULE; at += PAGE) {
        cr_assert(base[at] == 'r' || base[at] == 0, "as before or zero");
        base[at] = 'w';
    }
    for (size_t at = GRANULE; at < 2 * GRANULE; at += PAGE)
        cr_assert_eq(base[at], 'w');
    cr_assert_eq(info_of(base).state, MOAT_STATE_RESERVED);
    cr_assert_eq(info_of(base + GRANULE).size, (size_t)GRANULE);
    cr_assert_not(touch_reads(base));
}

/* Locked memory takes no markers: pages of a block that cannot be opened are granted and taken back
 * by protection, one by one, and are zero each time. */
Test(vm_commit, one_page_after_the_region_was_locked) {
    size_t size = (size_t)5 << 20;
    unsigned char *base = reserved(manager, size, false);
    /* Sanitizers disarm that of libc. ENOMEM: locked, though nothing could be made present. */
    if (syscall(SYS_mlock, base, size) != 0 && errno != ENOMEM)
        cr_skip_test("no right to lock this much memory");
    unsigned char *page = base + PAGE;
    for (unsigned round = 0; round < 3; round++) {
        cr_assert_eq(try(COMMIT, page, 2 * PAGE, RW), MOAT_OK, "%s", moat_last_error_text());
        cr_assert_not(touch_reads(base), "its neighbour was not asked for");
        cr_assert_not(touch_reads(page + 2 * PAGE));
        cr_assert_eq(page[0] + page[PAGE], 0);
        page[0] = page[PAGE] = 'x';
        cr_assert_eq(moat_decommit(manager, page, PAGE), MOAT_OK);
        cr_assert_not(touch_reads(page));
        cr_assert_eq(page[PAGE], 'x');
        cr_assert_eq(moat_decommit(manager, page + PAGE, PAGE), MOAT_OK);
    }
    (void)syscall(SYS_munlock, base, size);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
}

/* An open block is writable as a whole, to the kernel: charged, a fork with many of them would ask
 * for more memory than there is. */
Test(vm_commit, nobody_is_charged_for_pages_that_are_not_committed) {
    manager = manager_with("");
    const unsigned char *base = reserved(manager, GRANULE, true);

    if (!moat_powers()->guard_markers || moat_os_strict_overcommit())
        cr_skip("without markers no more is writable than is committed; charged strictly, all is");
    cr_assert_not(smaps_flag(base, "ac"), "the arena's mapping is accountable");
}
