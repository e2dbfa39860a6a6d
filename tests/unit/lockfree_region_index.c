/* SPDX-License-Identifier: MIT */
/* The index on one thread, against a naive bitmap and at the ends of its range. */
#include "lockfree/region_index.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define NODES     40u
#define PAGE_LAST ((UINT64_C(1) << MOAT_REGION_INDEX_PAGE_BITS) - 1)
#define SPAN      (UINT64_C(1) << 17) /* four nodes */

static struct moat_region_index ordered;
static uint64_t base;

static void *zeroed(size_t size) {
    void *storage = aligned_alloc(64, (size + 63) / 64 * 64);

    cr_assert_not_null(storage);
    return memset(storage, 0, size);
}

static void start(void) {
    moat_region_index_init(&ordered, zeroed(MOAT_REGION_INDEX_DIRECTORY_BYTES),
                           zeroed((NODES + 1) * MOAT_REGION_INDEX_NODE_BYTES), NODES);
    moat_region_index_extend(&ordered, NODES);
}

TestSuite(region_index, .init = start);

Test(region_index, an_empty_index_has_nothing) {
    cr_assert_not(moat_region_index_find_last(&ordered, PAGE_LAST, &base));
    cr_assert_not(moat_region_index_find_next(&ordered, 0, &base));
    moat_region_index_erase(&ordered, 5);
    moat_region_index_erase(&ordered, UINT64_MAX);
}

Test(region_index, finds_across_the_whole_range) {
    cr_assert(moat_region_index_insert(&ordered, 1));
    cr_assert(moat_region_index_insert(&ordered, PAGE_LAST));
    cr_assert(moat_region_index_find_last(&ordered, PAGE_LAST - 1, &base));
    cr_assert_eq(base, 1u);
    cr_assert(moat_region_index_find_last(&ordered, UINT64_MAX, &base));
    cr_assert_eq(base, PAGE_LAST);
    cr_assert_not(moat_region_index_find_last(&ordered, 0, &base));
    cr_assert(moat_region_index_find_next(&ordered, 2, &base));
    cr_assert_eq(base, PAGE_LAST);
    cr_assert_not(moat_region_index_find_next(&ordered, PAGE_LAST + 1, &base));
}

/* Members at the seams of every level, searched from both sides of each seam. */
Test(region_index, seams_between_words_are_no_gaps) {
    for (unsigned bit = 0; bit < MOAT_REGION_INDEX_PAGE_BITS; bit++) {
        uint64_t page = UINT64_C(1) << bit;

        cr_assert(moat_region_index_insert(&ordered, page));
        cr_assert(moat_region_index_find_last(&ordered, page, &base));
        cr_assert_eq(base, page);
        cr_assert(moat_region_index_find_next(&ordered, page, &base));
        cr_assert_eq(base, page);
        cr_assert(moat_region_index_find_last(&ordered, PAGE_LAST, &base));
        cr_assert_eq(base, page);
    }
    for (unsigned bit = 1; bit < MOAT_REGION_INDEX_PAGE_BITS; bit++) {
        uint64_t page = UINT64_C(1) << bit;

        cr_assert(moat_region_index_find_last(&ordered, page - 1, &base));
        cr_assert_eq(base, page / 2);
        cr_assert(moat_region_index_find_next(&ordered, page / 2 + 1, &base));
        cr_assert_eq(base, page);
    }
}

Test(region_index, agrees_with_a_naive_bitmap) {
    static bool member[SPAN];
    const uint64_t origin = (UINT64_C(1) << 35) - SPAN / 2; /* across the middle of the root */
    uint64_t random = 88172645463325252;

    for (unsigned i = 0; i < 300000; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        uint64_t page = random % SPAN / 512 * 512 + random % 8;
        uint64_t from = (random >> 32) % SPAN;
        uint64_t last = from, next = from;
        bool found;

        if (member[page])
            moat_region_index_erase(&ordered, origin + page);
        else
            cr_assert(moat_region_index_insert(&ordered, origin + page));
        member[page] = !member[page];

        while (last > 0 && !member[last] && from - last < 4096)
            last--;
        found = moat_region_index_find_last(&ordered, origin + from, &base);
        if (member[last])
            cr_assert(found && base == origin + last);
        else
            cr_assert(!found || base < origin + last);

        while (next < SPAN - 1 && !member[next] && next - from < 4096)
            next++;
        found = moat_region_index_find_next(&ordered, origin + from, &base);
        if (member[next])
            cr_assert(found && base == origin + next);
        else
            cr_assert(!found || base > origin + next);
    }
    for (uint64_t page = 0; page < SPAN; page++)
        moat_region_index_erase(&ordered, origin + page);
    cr_assert_not(moat_region_index_find_last(&ordered, PAGE_LAST, &base));
    for (uint32_t node = 1; node <= moat_region_index_nodes_available(&ordered); node++)
        cr_assert_eq((uint32_t)ordered.nodes[node].top, 0u, "a summary outlives its members");
}

Test(region_index, out_of_nodes_changes_nothing_and_can_be_mended) {
    moat_region_index_init(&ordered, zeroed(MOAT_REGION_INDEX_DIRECTORY_BYTES),
                           zeroed((NODES + 1) * MOAT_REGION_INDEX_NODE_BYTES), NODES);
    cr_assert_not(moat_region_index_insert(&ordered, 7));
    cr_assert_not(moat_region_index_find_next(&ordered, 0, &base));
    moat_region_index_extend(&ordered, 1);
    cr_assert(moat_region_index_insert(&ordered, 7));
    cr_assert(moat_region_index_insert(&ordered, 8));
    cr_assert_not(moat_region_index_insert(&ordered, UINT64_C(7) << 20));
    moat_region_index_extend(&ordered, NODES + 1);
    cr_assert_eq(moat_region_index_nodes_available(&ordered), 1u, "beyond the capacity");
    moat_region_index_extend(&ordered, 2);
    cr_assert(moat_region_index_insert(&ordered, UINT64_C(7) << 20));
}

Test(region_index, setting_and_clearing_twice_is_the_same_as_once) {
    cr_assert(moat_region_index_insert(&ordered, 9));
    cr_assert(moat_region_index_insert(&ordered, 9));
    moat_region_index_erase(&ordered, 9);
    moat_region_index_erase(&ordered, 9);
    cr_assert_not(moat_region_index_find_last(&ordered, PAGE_LAST, &base));
}
