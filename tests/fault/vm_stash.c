/* SPDX-License-Identifier: MIT */
/*
 * vm_stash: memory that does not move because the kernel refuses. A release traps all the same, and
 * what is committed reads as zero.
 */
#define _GNU_SOURCE
#include "region/stash.h"
#include "support/inject.h"
#include "support/keeps.h"
#include "support/regions.h"
#include "support/touch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>

enum { SIZE = 1 << 20, OFTEN = 40, SOME_SIZES = 20 };

static struct moat_manager *manager;

static void live(size_t size) {
    unsigned char *memory = reserved(manager, size, true);

    cr_assert(touch_all_bytes(memory, size, 0), "content is seen again");
    memset(memory, 7, size);
    cr_assert_eq(moat_release(manager, memory), MOAT_OK, "%s", moat_last_error_text());
    for (size_t at = 0; at < size; at += PAGE)
        cr_assert(page_is(memory + at, false, false), "page %zu does not trap", at / PAGE);
}

static void start(void) {
    stay_on_one_processor();
    manager = manager_with("");
    for (unsigned i = 0; i < OFTEN; i++)
        live(SIZE);
    if (moat_stash_mend() == 0)
        cr_skip_test("nothing moves on this kernel");
}

TestSuite(vm_stash, .init = start, .fini = inject_clear);
TestSuite(vm_stash_room, .fini = inject_clear);

Test(vm_stash, a_move_that_is_refused_is_done_without) {
    static const int errors[] = {ENOMEM, EFAULT, EAGAIN, EINVAL};

    for (unsigned i = 0; i < sizeof errors / sizeof errors[0]; i++)
        for (int nth = 1; nth <= 3; nth++) {
            inject_fail(INJECT_MREMAP, nth, errors[i]);
            for (unsigned cycle = 0; cycle < 3; cycle++)
                live(SIZE);
            cr_assert(inject_count(INJECT_MREMAP) >= 1 || errors[i] == EINVAL);
            inject_clear();
            live(SIZE);
        }
}

/* More often than there are slots. */
Test(vm_stash, a_move_that_is_refused_costs_no_slot) {
    cr_assert_gt(moat_stash_empty(), 0);
    inject_fail_from(INJECT_MREMAP, 1, ENOMEM);
    for (unsigned i = 0; i < OFTEN; i++)
        live(SIZE);
    cr_assert_geq(inject_count(INJECT_MREMAP), OFTEN / 2);
    inject_fail(INJECT_MREMAP, INT_MAX, ENOMEM);
    for (unsigned i = 0; i < OFTEN; i++)
        live(SIZE);
    cr_assert_geq(inject_count(INJECT_MREMAP), OFTEN, "there and back");
}

Test(vm_stash, a_kernel_that_cannot_is_not_asked_again) {
    inject_fail_from(INJECT_MREMAP, 1, EINVAL);
    for (unsigned cycle = 0; cycle < 5; cycle++)
        live(SIZE);
    cr_assert_eq(inject_count(INJECT_MREMAP), 1);
}

/* The pages have gone when the place cannot be replaced in one step. */
Test(vm_stash, a_place_that_is_not_replaced_traps_otherwise) {
    for (int nth = 1; nth <= 3; nth++) {
        inject_only(INJECT_MMAP, PROT_NONE);
        inject_fail(INJECT_MMAP, nth, ENOMEM);
        for (unsigned cycle = 0; cycle < 5; cycle++)
            live(SIZE);
        cr_assert_geq(inject_count(INJECT_MMAP), nth);
        inject_clear();
    }
}

/* More sizes than there is room for: some make way, and stay when their memory will not go. */
Test(vm_stash, memory_that_will_not_go_stays_where_it_is) {
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < SOME_SIZES; i++)
            for (unsigned cycle = 0; cycle < 12; cycle++)
                live(SIZE + i * GRANULE);
    size_t held = moat_stash_mend();
    cr_assert_gt(held, SIZE);
    inject_only(INJECT_MADVISE, MADV_DONTNEED);
    inject_fail_from(INJECT_MADVISE, 1, ENOMEM);
    cr_assert_eq(moat_stash_empty(), 0);
    for (unsigned cycle = 0; cycle < 3; cycle++)
        live(SIZE);
    inject_clear();
    cr_assert_gt(moat_stash_mend(), 0);
    cr_assert_gt(moat_stash_empty(), 0);
    cr_assert_eq(moat_stash_mend(), 0);
    live(SIZE);
}

/* Where markers are not used they are the last resort, and what they hid reads as zero. */
Test(vm_stash, pages_of_a_bare_block_trap_when_mappings_have_run_out) {
    for (unsigned whole = 0; whole < 2; whole++) {
        unsigned char *memory = reserved(manager, SIZE, true);
        unsigned char *part = whole ? memory : memory + 5 * PAGE;
        size_t size = whole ? SIZE : 3 * PAGE;

        memset(memory, 7, SIZE);
        inject_only(INJECT_MPROTECT, PROT_NONE);
        inject_fail_from(INJECT_MPROTECT, 1, ENOMEM);
        cr_assert_eq(moat_decommit(manager, part, size), MOAT_OK, "%s", moat_last_error_text());
        cr_assert_geq(inject_count(INJECT_MPROTECT), 1);
        inject_clear();
        for (size_t at = 0; at < size; at += PAGE)
            cr_assert(page_is(part + at, false, false));
        cr_assert_eq(moat_commit(manager, part, size, MOAT_PAGE_READWRITE, NULL), MOAT_OK);
        cr_assert(touch_all_bytes(part, size, 0));
        cr_assert_eq(memory[SIZE - 1], whole ? 0 : 7);
        cr_assert_eq(moat_release(manager, memory), MOAT_OK);
        live(SIZE);
    }
}

/* Nothing moves then, and nobody tries for long. */
Test(vm_stash_room, without_room_for_slots_nothing_moves) {
    stay_on_one_processor();
    manager = manager_with("");
    live(SIZE);
    if (!memory_can_move())
        cr_skip("nothing moves on this kernel");
    inject_only(INJECT_MMAP, PROT_NONE);
    inject_fail_from(INJECT_MMAP, 1, ENOMEM);
    for (unsigned i = 0; i < OFTEN; i++)
        live(SIZE);
    int refused = inject_count(INJECT_MMAP);
    cr_assert_geq(refused, 1);
    cr_assert_eq(moat_stash_mend(), 0);
    for (unsigned i = 0; i < OFTEN; i++)
        live(SIZE);
    cr_assert_eq(inject_count(INJECT_MMAP), refused, "it is tried again");
    cr_assert_eq(moat_stash_mend(), 0);
}
