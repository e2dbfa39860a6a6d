/* SPDX-License-Identifier: MIT */
/*
 * trap: which pages core dumps hold, as /proc/self/smaps tells: all that are committed, and no
 * block that was never used, or was closed with enough others.
 */
#define _GNU_SOURCE
#include "region/access.h"
#include "region/place.h"
#include "region/powers.h"
#include "region/region.h"
#include "region/trap.h"
#include "support/regions.h"
#include "support/smaps.h"

#include <criterion/criterion.h>
#include <string.h>

enum { BLOCKS = 12, TAIL = 1 << 20, ENOUGH = 8, RW = MOAT_PAGE_READWRITE };

static struct moat_place place;

static void begin(struct moat_place_wish wish) {
    cr_assert_eq(moat_region_start(), MOAT_OK);
    wish.size = (size_t)BLOCKS * BLOCK + TAIL;
    wish.at_once = true;
    wish.markers = wish.markers && moat_powers()->guard_markers;
    wish.backend = moat_backend_os();
    cr_assert_eq(moat_place_anywhere(&wish, &place), MOAT_OK);
}

static void commit(size_t offset, size_t size) {
    struct moat_access_report report = {0};
    uintptr_t start = place.base + offset;
    cr_assert_eq(moat_access_grant(place.space, start, start + size, moat_page_state(RW), 0,
                                   MOAT_MEMORY_LATER, &report),
                 0);
}

static void decommit(size_t offset, size_t size) {
    struct moat_trap_report report = {0};
    uintptr_t start = place.base + offset;
    cr_assert_eq(moat_trap_pages(place.space, start, start + size, 0, &report), 0);
}

/* How much of a range is in dumps. */
static size_t dumped(size_t offset, size_t size) {
    return smaps_without((void *)(place.base + offset), size, "dd");
}

static void check_dumped(size_t offset, size_t size, size_t all, const char *when) {
    cr_assert_eq(dumped(offset, size), size, "%s: what is used is not there", when);
    cr_assert_eq(dumped(0, place.size), all, "%s: %zu bytes are, not %zu", when,
                 dumped(0, place.size), all);
}

static void use_and_close(void) {
    size_t shown = 0;

    check_dumped(0, 0, 0, "fresh");
    commit(3 * BLOCK + 5 * PAGE, PAGE);
    check_dumped(3 * BLOCK, BLOCK, shown += BLOCK, "a page");
    commit(7 * BLOCK - PAGE, 2 * PAGE);
    check_dumped(6 * BLOCK, 2 * BLOCK, shown += 2 * BLOCK, "pages of two blocks");
    commit(9 * BLOCK, BLOCK);
    check_dumped(9 * BLOCK, BLOCK, shown += BLOCK, "a block");
    decommit(9 * BLOCK, BLOCK);
    check_dumped(9 * BLOCK, BLOCK, shown, "a block is not worth a call");
    commit(0, BLOCKS * (size_t)BLOCK);
    check_dumped(0, BLOCKS * (size_t)BLOCK, shown = BLOCKS * (size_t)BLOCK, "all blocks");
    decommit(0, (ENOUGH - 1) * (size_t)BLOCK);
    check_dumped(0, shown, shown, "too few");
    commit(0, (ENOUGH - 1) * (size_t)BLOCK);
    decommit(2 * BLOCK, ENOUGH * (size_t)BLOCK);
    check_dumped(0, 2 * BLOCK, shown -= ENOUGH * (size_t)BLOCK, "enough at once");
    commit(4 * BLOCK, PAGE);
    check_dumped(4 * BLOCK, PAGE, shown += BLOCK, "again");
}

Test(region_dumped, with_markers) {
    begin((struct moat_place_wish){.markers = true});
    use_and_close();
}

Test(region_dumped, without_markers) {
    begin((struct moat_place_wish){.markers = false});
    use_and_close();
}

Test(region_dumped, in_a_mapping_of_its_own) {
    begin((struct moat_place_wish){.markers = true, .alone = true, .alignment = BLOCK});
    use_and_close();
}

/* Of a block without markers what is used, from its start; it never becomes less. */
Test(region_dumped, the_used_part_of_a_bare_block) {
    begin((struct moat_place_wish){.markers = true});
    size_t tail = BLOCKS * (size_t)BLOCK;
    if (moat_pages_block(place.space, moat_space_block(place.space, place.base + tail)) !=
        MOAT_BLOCK_BARE)
        cr_skip_test("without guard markers no block is bare");
    commit(tail, 3 * PAGE);
    check_dumped(tail, GRANULE, GRANULE, "the first granule");
    commit(tail + 4 * GRANULE, PAGE);
    check_dumped(tail, 5 * GRANULE, 5 * GRANULE, "up to the fifth");
    commit(tail + 2 * GRANULE, 2 * GRANULE);
    check_dumped(tail, 5 * GRANULE, 5 * GRANULE, "in the midst of it");
    commit(tail - PAGE, 9 * GRANULE);
    check_dumped(tail - BLOCK, BLOCK + 9 * GRANULE, BLOCK + 9 * GRANULE, "with what is before it");
}

Test(region_dumped, nothing_where_that_is_not_wanted) {
    begin((struct moat_place_wish){.markers = true, .undumped = true});
    commit(0, place.size);
    check_dumped(0, 0, 0, "never");
    decommit(0, place.size);
    commit(5 * PAGE, PAGE);
    check_dumped(0, 0, 0, "nor later");
}

/* What a mapping of its own has of its first and last block, and not the margins. */
Test(region_dumped, a_mapping_that_begins_and_ends_inside_blocks) {
    struct moat_place_wish wish = {
        .size = 2 * (size_t)BLOCK, .markers = true, .backend = moat_backend_os()};
    uintptr_t conflict, base = (uintptr_t)hole(5 * (size_t)BLOCK, BLOCK) + BLOCK + 7 * GRANULE;

    cr_assert_eq(moat_region_start(), MOAT_OK);
    wish.markers = moat_powers()->guard_markers;
    cr_assert_eq(moat_place_at(&wish, base, &place, &conflict), MOAT_OK);
    check_dumped(0, 0, 0, "fresh");
    commit(0, PAGE);
    check_dumped(0, BLOCK - 7 * GRANULE, BLOCK - 7 * GRANULE, "the first");
    commit(place.size - PAGE, PAGE);
    check_dumped(place.size - 7 * GRANULE, 7 * GRANULE, BLOCK, "and the last");
    cr_assert_eq(smaps_without((void *)(base - PAGE), PAGE, "dd"), (size_t)0, "a margin");
}
