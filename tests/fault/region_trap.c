/* SPDX-License-Identifier: MIT */
/*
 * region_trap: the ladder while the kernel refuses one rung or more. What the books say afterwards
 * must be what the next commit needs: each test ends by having all pages, and using them.
 *
 * A call that is refused here has done nothing. One that did a part of its work and then failed is
 * played by the test, which does that part beforehand.
 */
#define _GNU_SOURCE
#include "os/os.h"
#include "region/access.h"
#include "region/place.h"
#include "region/powers.h"
#include "region/region.h"
#include "region/trap.h"
#include "support/inject.h"
#include "support/regions.h"
#include "support/smaps.h"
#include "support/touch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>

enum { BLOCKS = 9, TAIL = 1 << 20, MARK = 102, UNMARK = 103, OPEN = PROT_READ | PROT_WRITE };

static struct moat_place place;

static void begin(void) {
    const struct moat_place_wish wish = {.size = BLOCKS * (size_t)BLOCK + TAIL,
                                         .markers = true,
                                         .at_once = true,
                                         .backend = moat_backend_os()};

    cr_assert_eq(moat_region_start(), MOAT_OK);
    if (!moat_powers()->guard_markers)
        cr_skip("this kernel has no guard markers");
    cr_assert_eq(moat_place_anywhere(&wish, &place), MOAT_OK);
}

TestSuite(region_trap_calls, .init = begin, .fini = inject_clear);

static unsigned char *at(size_t offset) {
    return (unsigned char *)place.base + offset;
}

static int commit(size_t offset, size_t size) {
    struct moat_access_report report = {0};
    uintptr_t start = place.base + offset;
    return moat_access_grant(place.space, start, start + size, moat_page_state(MOAT_PAGE_READWRITE),
                             0, MOAT_MEMORY_LATER, &report);
}

static struct moat_trap_report report;

static int decommit(size_t offset, size_t size) {
    uintptr_t start = place.base + offset;
    report = (struct moat_trap_report){0};
    return moat_trap_pages(place.space, start, start + size, 0, &report);
}

static uint8_t state_at(size_t offset) {
    return moat_pages_run(place.space, place.base + offset, place.base + offset + PAGE).state;
}

static bool all_trap(size_t offset, size_t size) {
    for (size_t page = offset; page < offset + size; page += PAGE)
        if (!page_is(at(page), false, false))
            return false;
    return true;
}

/* What is committed now reads as zero and can be written. */
static void check_usable(size_t offset, size_t size) {
    inject_clear();
    cr_assert_eq(commit(offset, size), 0);
    cr_assert(touch_all_bytes(at(offset), size, 0));
    for (size_t page = offset; page < offset + size; page += PAGE)
        cr_assert(page_is(at(page), true, true), "page %zu", page / PAGE);
    memset(at(offset), 7, size);
}

static void refuse(enum inject_kind kind, long argument, int nth, bool on) {
    inject_only(kind, argument);
    if (on)
        inject_fail_from(kind, nth, ENOMEM);
    else
        inject_fail(kind, nth, ENOMEM);
}

Test(region_trap_calls, a_block_that_cannot_be_closed_is_marked) {
    check_usable(0, BLOCK);
    cr_assert_eq(mprotect(at(5 * PAGE), 3 * PAGE, PROT_NONE), 0); /* the part that was done */
    refuse(INJECT_MPROTECT, PROT_NONE, 1, false);
    cr_assert_eq(decommit(0, BLOCK), 0);
    cr_assert_eq(report.refusals, 1u);
    cr_assert_eq(report.bytes_trapped, (size_t)BLOCK);
    cr_assert(all_trap(0, BLOCK));
    for (size_t page = 0; page < 20; page++)
        cr_assert_eq(state_at(page * PAGE),
                     page >= 5 && page < 8 ? MOAT_CODE_NOACCESS : MOAT_CODE_READWRITE);
    check_usable(0, BLOCK);
}

Test(region_trap_calls, what_nothing_makes_trap_stays_committed) {
    check_usable(0, 20 * PAGE);
    refuse(INJECT_MADVISE, MARK, 1, false);
    refuse(INJECT_MPROTECT, PROT_NONE, 1, true);
    cr_assert_eq(decommit(0, 20 * PAGE), ENOMEM);
    cr_assert_eq(report.refusals, 2u, "the marker and the rights");
    cr_assert_eq(report.bytes_trapped, (size_t)0);
    cr_assert_eq(inject_count(INJECT_MADVISE), 1, "a second marker would be no other rung");
    inject_clear();
    cr_assert(touch_all_bytes(at(0), 20 * PAGE, 7));
    cr_assert_eq(decommit(0, 20 * PAGE), 0);
    cr_assert_eq(report.refusals, 0u);
    check_usable(0, 20 * PAGE);
}

/* A part of it has lost its rights, and with that it is not committed any more. */
Test(region_trap_calls, what_traps_of_a_run_that_was_refused_is_counted) {
    check_usable(0, 20 * PAGE);
    cr_assert_eq(mprotect(at(4 * PAGE), 3 * PAGE, PROT_NONE), 0);
    refuse(INJECT_MADVISE, MARK, 1, true);
    refuse(INJECT_MPROTECT, PROT_NONE, 1, true);
    cr_assert_eq(decommit(0, 20 * PAGE), ENOMEM);
    cr_assert_eq(report.bytes_trapped, (size_t)3 * PAGE);
    cr_assert(touch_all_bytes(at(0), 4 * PAGE, 7));
    inject_clear();
    cr_assert_eq(decommit(0, 20 * PAGE), 0);
    cr_assert_eq(report.bytes_trapped, (size_t)17 * PAGE);
    check_usable(0, 20 * PAGE);
}

/* Pages of a bare block have no markers, unless nothing else is left. */
Test(region_trap_calls, a_bare_block_is_marked_in_the_end) {
    size_t tail = BLOCKS * (size_t)BLOCK;

    check_usable(tail, TAIL);
    cr_assert_eq(decommit(tail + 2 * PAGE, 5 * PAGE), 0);
    cr_assert_eq(report.refusals, 0u);
    cr_assert_eq(state_at(tail + 2 * PAGE), 0);
    check_usable(tail + 2 * PAGE, 5 * PAGE);
    refuse(INJECT_MPROTECT, PROT_NONE, 1, true);
    cr_assert_eq(decommit(tail + 2 * PAGE, 5 * PAGE), 0);
    cr_assert_eq(report.refusals, 1u);
    cr_assert_eq(state_at(tail + 2 * PAGE), MOAT_PAGE_DIRTY);
    cr_assert(all_trap(tail + 2 * PAGE, 5 * PAGE));
    check_usable(tail + 2 * PAGE, 5 * PAGE);
}

static void open_is_refused(bool half, bool rights_stay, bool markers_stay, uint8_t state) {
    if (half)
        cr_assert_eq(mprotect(at(3 * PAGE), 5 * PAGE, OPEN), 0);
    refuse(INJECT_MPROTECT, OPEN, 1, true);
    if (markers_stay)
        refuse(INJECT_MADVISE, UNMARK, 1, true);
    cr_assert_eq(inject_count(INJECT_MPROTECT), 0);
    if (rights_stay) {
        inject_clear();
        inject_fail_from(INJECT_MPROTECT, 1, ENOMEM);
    }
    cr_assert_eq(commit(7 * PAGE, PAGE), ENOMEM);
    cr_assert(all_trap(0, BLOCK));
    for (size_t page = 0; page < BLOCK; page += PAGE)
        cr_assert_eq(state_at(page), state, "page %zu: %#x", page / PAGE, state_at(page));
    check_usable(0, BLOCK);
    cr_assert_eq(decommit(0, BLOCK), 0);
}

Test(region_trap_calls, a_block_that_cannot_be_opened_is_closed_as_before) {
    open_is_refused(false, false, false, 0);
    open_is_refused(false, true, false, 0);
    open_is_refused(true, false, false, 0);
    open_is_refused(false, false, true, MOAT_PAGE_DIRTY);
}

Test(region_trap_calls, a_block_that_was_half_opened_keeps_its_markers) {
    open_is_refused(true, true, false, MOAT_PAGE_DIRTY);
}

/* Two blocks were granted when the third was refused, and may not be taken back. */
Test(region_trap_calls, what_cannot_be_undone_is_marked) {
    check_usable(2 * BLOCK, PAGE);
    refuse(INJECT_MADVISE, UNMARK, 1, false);
    refuse(INJECT_MPROTECT, PROT_NONE, 1, true);
    cr_assert_eq(commit(0, 2 * BLOCK + 5 * PAGE), ENOMEM);
    cr_assert(all_trap(0, 2 * BLOCK));
    cr_assert_eq(state_at(0), MOAT_PAGE_DIRTY, "%#x", state_at(0));
    check_usable(0, 2 * BLOCK);
}

/* It costs a call, and the content is missed in a dump until there is another one. */
Test(region_trap_calls, what_was_not_shown_to_dumps_is_shown_the_next_time) {
    refuse(INJECT_MADVISE, MADV_DODUMP, 1, false);
    for (int calls = 1; calls < 4; calls++) {
        cr_assert_eq(commit(0, BLOCK), 0);
        cr_assert_eq(smaps_without(at(0), BLOCK, "dd"), calls == 1 ? (size_t)0 : (size_t)BLOCK);
        cr_assert_eq(inject_count(INJECT_MADVISE), calls < 2 ? calls : 2, "once it is shown");
        cr_assert_eq(decommit(0, BLOCK), 0);
    }
}

/* What kept its content was left out of dumps with the rest, and is in them when it is used. */
Test(region_trap_calls, what_would_not_be_emptied_is_shown_again) {
    const size_t size = BLOCKS * (size_t)BLOCK;

    check_usable(0, size);
    refuse(INJECT_MADVISE, MADV_DONTNEED, 1, true);
    cr_assert_eq(decommit(0, size), 0);
    cr_assert_geq(inject_count(INJECT_MADVISE), 1);
    cr_assert_eq(state_at(0), MOAT_PAGE_DIRTY);
    cr_assert_eq(smaps_without(at(0), size, "dd"), (size_t)0);
    check_usable(0, size);
    cr_assert_eq(smaps_without(at(0), size, "dd"), size);
}

/* Rights that cannot be made those of fresh pages are remembered; the next commit changes them. */
Test(region_trap_calls, rights_that_stay_are_remembered) {
    check_usable(0, 4 * PAGE);
    cr_assert_eq(mprotect(at(PAGE), PAGE, PROT_NONE), 0);
    moat_pages_set(place.space, place.base + PAGE, place.base + 2 * PAGE,
                   moat_page_state(MOAT_PAGE_NOACCESS));
    cr_assert_eq(decommit(0, 4 * PAGE), 0);
    refuse(INJECT_MPROTECT, OPEN, 1, true);
    moat_trap_normalise(place.space, place.base, place.base + BLOCK);
    cr_assert_eq(inject_count(INJECT_MPROTECT), 1, "fresh ones need no call");
    cr_assert_eq(state_at(PAGE), MOAT_CODE_NOACCESS);
    check_usable(0, 4 * PAGE);
}
