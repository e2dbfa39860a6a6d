/* SPDX-License-Identifier: MIT */
/*
 * trap: what the books say of blocks and pages afterwards, where pages trap either way and only the
 * price of what comes next, or the content that is kept, hangs on it.
 */
#define _GNU_SOURCE
#include "os/os.h"
#include "region/access.h"
#include "region/place.h"
#include "region/powers.h"
#include "region/region.h"
#include "region/trap.h"
#include "support/regions.h"
#include "support/touch.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BLOCKS = 4 };

static struct moat_place place;

static void begin(bool markers) {
    const struct moat_place_wish wish = {
        .size = BLOCKS * (size_t)BLOCK, .markers = markers, .backend = moat_backend_os()};

    cr_assert_eq(moat_region_start(), MOAT_OK);
    if (!moat_powers()->guard_markers)
        cr_skip("this kernel has no guard markers");
    cr_assert_eq(moat_place_anywhere(&wish, &place), MOAT_OK);
    cr_assert_eq(place.base % BLOCK, (uintptr_t)0);
}

static unsigned char *at(size_t offset) {
    return (unsigned char *)place.base + offset;
}

static void commit(size_t offset, size_t size, uint32_t rights) {
    struct moat_access_report report = {0};
    uintptr_t start = place.base + offset;
    cr_assert_eq(moat_access_grant(place.space, start, start + size, moat_page_state(rights), 0,
                                   MOAT_MEMORY_LATER, &report),
                 0);
}

static void decommit(size_t offset, size_t size) {
    struct moat_trap_report report = {0};
    uintptr_t start = place.base + offset;
    cr_assert_eq(moat_trap_pages(place.space, start, start + size, 0, &report), 0);
}

static void normalise(size_t offset, size_t size) {
    moat_trap_normalise(place.space, place.base + offset, place.base + offset + size);
}

static uint8_t state_at(size_t offset) {
    return moat_pages_run(place.space, place.base + offset, place.base + offset + PAGE).state;
}

static size_t nth_block(size_t nth) {
    return moat_space_block(place.space, place.base) + nth;
}

static void check_blocks(enum moat_block first, enum moat_block middle, enum moat_block last) {
    const enum moat_block expected[] = {first, middle, last};
    for (size_t nth = 0; nth < 3; nth++)
        cr_assert_eq(moat_pages_block(place.space, nth_block(nth)), expected[nth], "block %zu",
                     nth);
}

Test(region_trap_books, a_ragged_range_closes_the_blocks_that_it_has_whole) {
    begin(true);
    commit(0, 3 * BLOCK, MOAT_PAGE_READWRITE);
    check_blocks(MOAT_BLOCK_OPEN, MOAT_BLOCK_OPEN, MOAT_BLOCK_OPEN);
    decommit(5 * PAGE, 3 * BLOCK - 10 * PAGE);
    check_blocks(MOAT_BLOCK_OPEN, MOAT_BLOCK_CLOSED, MOAT_BLOCK_OPEN);
    cr_assert(page_is(at(5 * PAGE), false, false));
    cr_assert(page_is(at(BLOCK), false, false));
    cr_assert(page_is(at(3 * BLOCK - 6 * PAGE), false, false));
    cr_assert(page_is(at(4 * PAGE), true, true));
}

/* So that what comes to lie there is committed by taking a marker away and by nothing else. */
Test(region_trap_books, whatever_rights_pages_had_they_are_as_fresh_ones) {
    static const uint32_t rights[] = {MOAT_PAGE_READONLY, MOAT_PAGE_NOACCESS, MOAT_PAGE_READWRITE,
                                      MOAT_PAGE_EXECUTE_READ};
    begin(true);
    for (size_t i = 0; i < 4; i++)
        commit(i * PAGE, PAGE, rights[i]);
    decommit(0, 4 * PAGE);
    cr_assert_neq(state_at(0), MOAT_CODE_READWRITE);
    normalise(0, BLOCK);
    for (size_t i = 0; i < 6; i++)
        cr_assert_eq(state_at(i * PAGE), MOAT_CODE_READWRITE, "page %zu", i);
    cr_assert(page_is(at(0), false, false));
    commit(0, 6 * PAGE, MOAT_PAGE_READWRITE);
    for (size_t i = 0; i < 6; i++)
        cr_assert(page_is(at(i * PAGE), true, true), "page %zu", i);
}

/* Where others may come to lie beside it a block has a byte a page; where none may it has one. */
Test(region_trap_books, blocks_that_may_be_shared_have_a_byte_a_page) {
    begin(true);
    commit(0, 5 * PAGE, MOAT_PAGE_READWRITE);
    commit(BLOCK, BLOCK, MOAT_PAGE_READWRITE);
    decommit(0, BLOCKS * (size_t)BLOCK);
    normalise(0, BLOCKS * (size_t)BLOCK);
    cr_assert(moat_pages_mixed(place.space, nth_block(0)), "open");
    for (size_t nth = 1; nth < BLOCKS; nth++)
        cr_assert_not(moat_pages_mixed(place.space, nth_block(nth)), "closed");
}

Test(region_trap_books, without_markers_any_block_may_be_shared) {
    begin(false);
    commit(0, 2 * BLOCK, MOAT_PAGE_READWRITE);
    decommit(0, 2 * BLOCK);
    normalise(0, 2 * BLOCK);
    for (size_t nth = 0; nth < 2; nth++)
        cr_assert(moat_pages_mixed(place.space, nth_block(nth)));
}

Test(region_trap_books, a_block_alone_needs_no_byte_a_page) {
    const struct moat_place_wish wish = {.size = BLOCKS * (size_t)BLOCK,
                                         .alone = true,
                                         .alignment = BLOCK,
                                         .backend = moat_backend_os()};

    cr_assert_eq(moat_region_start(), MOAT_OK);
    cr_assert_eq(moat_place_anywhere(&wish, &place), MOAT_OK);
    commit(0, BLOCK, MOAT_PAGE_READWRITE);
    decommit(0, BLOCK);
    normalise(0, BLOCK);
    cr_assert_not(moat_pages_mixed(place.space, nth_block(0)));
}

/* An open block that is empty is made bare for a large region that has only a part of it. */
Test(region_trap_books, an_open_block_becomes_bare) {
    begin(true);
    commit(3 * PAGE, PAGE, MOAT_PAGE_READWRITE);
    memset(at(3 * PAGE), 7, PAGE);
    decommit(3 * PAGE, PAGE);
    check_blocks(MOAT_BLOCK_OPEN, MOAT_BLOCK_CLOSED, MOAT_BLOCK_CLOSED);
    for (size_t nth = 0; nth < 2; nth++) {
        cr_assert_eq(moat_trap_bare(place.space, place.base + nth * BLOCK), 0);
        cr_assert_eq(moat_pages_block(place.space, nth_block(nth)), MOAT_BLOCK_BARE);
        cr_assert(moat_pages_mixed(place.space, nth_block(nth)));
        for (size_t page = 0; page < BLOCK; page += PAGE) {
            cr_assert(page_is(at(nth * BLOCK + page), false, false));
            cr_assert_eq(state_at(nth * BLOCK + page), 0, "%#x", state_at(nth * BLOCK + page));
        }
        commit(nth * BLOCK, 5 * PAGE, MOAT_PAGE_READWRITE);
        cr_assert(touch_all_bytes(at(nth * BLOCK), 5 * PAGE, 0));
        cr_assert(page_is(at(nth * BLOCK + 5 * PAGE), false, false));
    }
}

/* After a change of rights that reached a part. */
Test(region_trap_books, the_books_follow_what_the_kernel_has) {
    const uint8_t gone = MOAT_PAGE_DIRTY | MOAT_CODE_NOACCESS;

    begin(true);
    commit(0, 20 * PAGE, MOAT_PAGE_READWRITE);
    cr_assert_eq(mprotect(at(4 * PAGE), 3 * PAGE, PROT_NONE), 0);
    cr_assert_eq(mprotect(at(9 * PAGE), PAGE, PROT_NONE), 0);
    cr_assert_eq(moat_trap_follow(place.space, place.base + PAGE, place.base + 10 * PAGE,
                                  MOAT_OS_NONE, gone),
                 (size_t)4 * PAGE);
    for (size_t page = 0; page < 20; page++) {
        bool followed = (page >= 4 && page < 7) || page == 9;
        cr_assert_eq(state_at(page * PAGE), followed ? gone : moat_page_state(MOAT_PAGE_READWRITE),
                     "page %zu", page);
    }
    commit(0, 20 * PAGE, MOAT_PAGE_READWRITE);
    cr_assert(page_is(at(4 * PAGE), true, true));
}

/* A page that is locked takes no marker and keeps what it holds. To decommit it once more is
 * nothing, and does not forget that. */
Test(region_trap_books, what_was_kept_is_remembered) {
    begin(true);
    commit(0, 4 * PAGE, MOAT_PAGE_READWRITE);
    memset(at(0), 7, 4 * PAGE);
    if (syscall(SYS_mlock, at(PAGE), 2 * PAGE)) /* which AddressSanitizer does not see */
        cr_skip_test("memory cannot be locked here");
    for (unsigned times = 0; times < 3; times++) {
        decommit(0, 4 * PAGE);
        cr_assert(state_at(PAGE) & MOAT_PAGE_DIRTY, "time %u: %#x", times, state_at(PAGE));
    }
    normalise(0, BLOCK);
    cr_assert(state_at(PAGE) & MOAT_PAGE_DIRTY);
    cr_assert_eq(syscall(SYS_munlock, at(PAGE), 2 * PAGE), 0);
    commit(0, 4 * PAGE, MOAT_PAGE_READWRITE);
    cr_assert(touch_all_bytes(at(0), 4 * PAGE, 0));
}
