/* SPDX-License-Identifier: MIT */
/*
 * The table on one thread: exactness, limits, growth, and that removal leaves nothing behind. What
 * threads can do to each other is in tests/model and tests/stress.
 */
#include "lockfree/region_table.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t seed[2] = {0x1234, 0x5678};

static struct moat_region_table table;

/* A reference to storage given to the table, which keeps it for ever. */
static void *lines_new(unsigned lines_log2) {
    size_t size = (size_t)MOAT_TABLE_LINE_BYTES << lines_log2;
    void *lines = aligned_alloc(MOAT_TABLE_LINE_BYTES, size);

    cr_assert_not_null(lines);
    return memset(lines, 0, size);
}

static void init(unsigned lines_log2) {
    moat_region_table_init(&table, seed, lines_new(lines_log2), lines_log2);
}

static bool grow(void) {
    unsigned lines_log2 = moat_region_table_lines_log2(&table) + 1;
    void *lines = lines_new(lines_log2);
    bool grown = moat_region_table_grow(&table, lines, lines_log2);

    if (!grown)
        free(lines);
    return grown;
}

/* As the registry does it: grow when asked, or when there is no room. */
static void insert(uint64_t page, uint32_t handle) {
    for (unsigned tries = 0; moat_region_table_insert(&table, page, handle) != MOAT_TABLE_OK;
         tries++) {
        cr_assert_lt(tries, 100000u, "growth does not make room");
        grow();
    }
    if (moat_region_table_wants_growth(&table))
        cr_assert(grow(), "the table asked for what it refuses");
}

static uint64_t lines_in_use(void) {
    return UINT64_C(1) << moat_region_table_lines_log2(&table);
}

/* Is every word of the current array as it was at first? */
static bool is_pristine(void) {
    struct moat_region_line *lines = moat_region_table_lines(table.current);

    for (uint64_t index = 0; index < lines_in_use(); index++) {
        for (unsigned i = 0; i < MOAT_TABLE_SLOTS; i++) {
            if (lines[index].slot[i] != MOAT_TABLE_BORN)
                return false;
        }
        if (lines[index].meta != MOAT_TABLE_BORN)
            return false;
    }
    return true;
}

Test(region_table, finds_what_was_inserted_and_nothing_else) {
    init(3);
    insert(17, 1);
    insert(18, MOAT_TABLE_HANDLE_MAX);
    cr_assert_eq(moat_region_table_find(&table, 17), 1u);
    cr_assert_eq(moat_region_table_find(&table, 18), MOAT_TABLE_HANDLE_MAX);
    cr_assert_eq(moat_region_table_find(&table, 16), 0u);
    cr_assert_eq(moat_region_table_find(&table, 0), 0u);
}

/* Truncation before the range check would find page 17 under these names. */
Test(region_table, no_page_aliases_onto_a_live_one) {
    init(3);
    insert(17, 1);
    for (unsigned bit = MOAT_TABLE_PAGE_BITS; bit < 64; bit++) {
        cr_assert_eq(moat_region_table_find(&table, 17 | UINT64_C(1) << bit), 0u);
        cr_assert_not(moat_region_table_erase(&table, 17 | UINT64_C(1) << bit, 1));
    }
    cr_assert_eq(moat_region_table_find(&table, 17), 1u);
}

Test(region_table, the_greatest_page_is_a_page_like_any_other) {
    uint64_t last = (UINT64_C(1) << MOAT_TABLE_PAGE_BITS) - 1;

    init(1);
    insert(last, 5);
    insert(1, 6);
    cr_assert_eq(moat_region_table_find(&table, last), 5u);
    cr_assert_eq(moat_region_table_find(&table, 1), 6u);
    cr_assert(moat_region_table_erase(&table, last, 5));
    cr_assert_eq(moat_region_table_find(&table, last), 0u);
}

Test(region_table, erase_takes_the_right_handle_once) {
    init(3);
    insert(17, 1);
    cr_assert_not(moat_region_table_erase(&table, 17, 2));
    cr_assert_not(moat_region_table_erase(&table, 18, 1));
    cr_assert_not(moat_region_table_erase(&table, 0, 0));
    cr_assert(moat_region_table_erase(&table, 17, 1));
    cr_assert_not(moat_region_table_erase(&table, 17, 1));
    cr_assert_eq(moat_region_table_find(&table, 17), 0u);
    cr_assert(is_pristine());
}

Test(region_table, a_full_table_says_so_and_changes_nothing) {
    uint64_t page = 1;
    unsigned entered = 0;

    init(1);
    while (moat_region_table_insert(&table, page, (uint32_t)page) == MOAT_TABLE_OK) {
        page++;
        entered++;
    }
    /* Each line takes its own 7 and what it can place in the other one. */
    cr_assert_geq(entered, (unsigned)MOAT_TABLE_SLOTS);
    cr_assert_leq(entered, 2u * MOAT_TABLE_SLOTS);
    cr_assert(moat_region_table_wants_growth(&table));
    cr_assert_eq(moat_region_table_find(&table, page), 0u);
    cr_assert_eq(moat_region_table_live(&table), entered);
    cr_assert(grow());
    cr_assert_not(moat_region_table_wants_growth(&table), "a growth runs already");
    insert(page, 77);
    for (uint64_t p = 1; p < page; p++)
        cr_assert_eq(moat_region_table_find(&table, p), p);
    cr_assert_eq(moat_region_table_find(&table, page), 77u);
}

/* All fourteen slots full, so at least one line has entries in the other; then empty again. */
Test(region_table, displaced_entries_leave_no_trace) {
    uint64_t page = 1;

    init(1);
    for (unsigned round = 0; round < 1000; round++) {
        uint64_t first = page;

        while (moat_region_table_insert(&table, page, 9) == MOAT_TABLE_OK)
            page++;
        for (uint64_t p = first; p < page; p++)
            cr_assert_eq(moat_region_table_find(&table, p), 9u);
        for (uint64_t p = first; p < page; p++)
            cr_assert(moat_region_table_erase(&table, p, 9));
        cr_assert(is_pristine(), "round %u left something", round);
        page++;
    }
}

static uint64_t lines_with_strays(void) {
    struct moat_region_line *lines = moat_region_table_lines(table.current);
    uint64_t count = 0;

    for (uint64_t index = 0; index < lines_in_use(); index++)
        count += lines[index].meta != MOAT_TABLE_BORN;
    return count;
}

/* A miss that meets such a line costs several times as much. Churn brings them to a level, at which
 * they stay; growth takes them back. */
Test(region_table, few_lines_have_entries_where_find_does_not_look_at_once) {
    const uint64_t count = 2560; /* 2.5 a line, the most before growth is asked for */

    init(10);
    for (uint64_t i = 1; i <= count; i++)
        insert(i * 32, 1);
    cr_assert_eq(lines_in_use(), 1024u);
    cr_assert_leq(lines_with_strays(), 1024u * 7 / 100);
    for (uint64_t i = 1; i <= 100 * count; i++) {
        cr_assert(moat_region_table_erase(&table, i * 32, 1));
        cr_assert_eq(moat_region_table_insert(&table, (i + count) * 32, 1), MOAT_TABLE_OK);
    }
    cr_assert_leq(lines_with_strays(), 1024u * 20 / 100);
    cr_assert(grow());
    while (table.settled != table.current)
        moat_region_table_grow(&table, NULL, 0);
    cr_assert_leq(lines_with_strays(), 2048u * 1 / 100, "growth takes them back");
}

/* The worst a line can become: 7 entries at home, 7 displaced, all bound for the same child. */
Test(region_table, fourteen_entries_of_one_line_stay_together_through_growth) {
    const unsigned entries = 2 * MOAT_TABLE_SLOTS;
    uint64_t pages[2 * MOAT_TABLE_SLOTS + 1];
    unsigned count = 0;

    init(3);
    for (uint64_t page = 1; count <= entries; page++) {
        if (moat_region_table_hash(&table, page) / MOAT_TABLE_LINE_BYTES % 256 == 0)
            pages[count++] = page;
    }
    for (unsigned i = 0; i < entries; i++)
        cr_assert_eq(moat_region_table_insert(&table, pages[i], i + 1), MOAT_TABLE_OK);
    for (unsigned lines_log2 = 3; lines_log2 < 8; lines_log2++) {
        cr_assert_eq(moat_region_table_insert(&table, pages[entries], 99), MOAT_TABLE_FULL);
        cr_assert_eq(moat_region_table_find(&table, pages[entries]), 0u);
        cr_assert(grow());
        while (table.settled != table.current)
            moat_region_table_grow(&table, NULL, 0);
        for (unsigned i = 0; i < entries; i++)
            cr_assert_eq(moat_region_table_find(&table, pages[i]), i + 1);
    }
    for (unsigned i = 0; i < entries; i++)
        cr_assert(moat_region_table_erase(&table, pages[i], i + 1));
    cr_assert(is_pristine());
}

Test(region_table, growth_loses_nothing_at_any_moment) {
    const uint64_t count = 20000;

    init(1);
    for (uint64_t i = 1; i <= count; i++) {
        insert(i * 18, (uint32_t)i);
        for (uint64_t probe = i; probe > 0; probe /= 2)
            cr_assert_eq(moat_region_table_find(&table, probe * 18), probe);
        cr_assert_eq(moat_region_table_find(&table, i * 18 + 1), 0u);
    }
    cr_assert_eq(moat_region_table_live(&table), count);
    for (uint64_t i = 1; i <= count; i++)
        cr_assert(moat_region_table_erase(&table, i * 18, (uint32_t)i));
    cr_assert_eq(moat_region_table_live(&table), 0u);
}

Test(region_table, grow_refuses_what_does_not_fit) {
    void *lines = lines_new(5);

    init(3);
    cr_assert_not(moat_region_table_grow(&table, lines, 3));
    cr_assert_not(moat_region_table_grow(&table, lines, 5));
    cr_assert_eq(moat_region_table_lines_log2(&table), 3u);
    cr_assert(moat_region_table_grow(&table, lines, 4));
    cr_assert_not(moat_region_table_grow(&table, lines, 4));
    cr_assert_eq(moat_region_table_lines_log2(&table), 4u);
}

/* A growth ends by the work of inserts, erases or refused calls alone; no thread is its owner. */
Test(region_table, every_kind_of_call_finishes_a_growth) {
    for (unsigned kind = 0; kind < 3; kind++) {
        init(6);
        insert(17, 1);
        cr_assert(grow());
        for (unsigned i = 0; table.settled != table.current; i++) {
            cr_assert_lt(i, 64u, "kind %u does not finish", kind);
            if (kind == 0)
                moat_region_table_insert(&table, 1000 + i, 1);
            if (kind == 1)
                moat_region_table_erase(&table, 1000 + i, 1);
            if (kind == 2)
                moat_region_table_grow(&table, NULL, 0);
        }
        cr_assert_eq(moat_region_table_find(&table, 17), 1u);
    }
}

Test(region_table, each_old_array_is_handed_out_once_and_may_be_dropped) {
    void *lines;
    size_t size;

    init(1);
    cr_assert_not(moat_region_table_take_retired(&table, &lines, &size));
    for (uint64_t i = 1; i <= 1000; i++)
        insert(i, (uint32_t)i);
    while (table.settled != table.current)
        moat_region_table_grow(&table, NULL, 0);
    for (unsigned log2 = 1; log2 < moat_region_table_lines_log2(&table); log2++) {
        cr_assert(moat_region_table_take_retired(&table, &lines, &size));
        cr_assert_eq(size, (size_t)MOAT_TABLE_LINE_BYTES << log2);
        memset(lines, 0, size);
    }
    cr_assert_not(moat_region_table_take_retired(&table, &lines, &size));
    for (uint64_t i = 1; i <= 1000; i++)
        cr_assert_eq(moat_region_table_find(&table, i), i);
}

/* Bases lie at regular strides; one multiplication alone would pile some of them up. */
Test(region_table, regular_strides_do_not_crowd) {
    static const uint64_t strides[] = {1, 16, 17, 18, 48, 512, 4096, 0x10001, 1 << 18};
    const uint64_t count = 30000;

    for (unsigned s = 0; s < sizeof(strides) / sizeof(strides[0]); s++) {
        init(1);
        for (uint64_t i = 1; i <= count; i++)
            insert(0x7f0000000 / strides[s] / 2 + i * strides[s], 1);
        /* 30000 entries ask for 2^14 lines at 2.5 a line; crowding would ask for more. */
        cr_assert_leq(moat_region_table_lines_log2(&table), 14u, "stride %lu",
                      (unsigned long)strides[s]);
    }
}

/* A seed may happen to be bad for one stride: then the second round must spread what the first did
 * not. Without it all of these entries have one home. */
Test(region_table, a_bad_multiplier_does_not_crowd) {
    init(1);
    table.seed[0] = (UINT64_C(1) << 46) + 1;
    for (uint64_t i = 1; i <= 30000; i++)
        insert(i << 18, 1);
    cr_assert_leq(moat_region_table_lines_log2(&table), 14u);
}

Test(region_table, churn_at_a_steady_size_never_grows) {
    const uint64_t window = 600; /* of 640 that 2^8 lines take before they ask for growth */

    init(8);
    for (uint64_t i = 1; i <= 300000; i++) {
        cr_assert_eq(moat_region_table_insert(&table, i * 3, 1), MOAT_TABLE_OK);
        if (i > window)
            cr_assert(moat_region_table_erase(&table, (i - window) * 3, 1));
    }
    cr_assert_not(moat_region_table_wants_growth(&table));
    for (uint64_t i = 300000 - window + 1; i <= 300000; i++)
        cr_assert(moat_region_table_erase(&table, i * 3, 1));
    cr_assert(is_pristine());
}

Test(region_table, the_seed_decides_where_entries_lie) {
    static const uint64_t other[2] = {1, 2};
    struct moat_region_table second;
    unsigned same = 0;

    init(10);
    moat_region_table_init(&second, other, lines_new(10), 10);
    for (uint64_t page = 1; page <= 1000; page++)
        same += moat_region_table_hash(&table, page) / MOAT_TABLE_LINE_BYTES % 1024 ==
                moat_region_table_hash(&second, page) / MOAT_TABLE_LINE_BYTES % 1024;
    cr_assert_lt(same, 20u);
}
