/* SPDX-License-Identifier: MIT */
/* The pool on one thread: bounds, reuse, and links that lie inside records. */
#include "lockfree/record_pool.h"

#include <criterion/criterion.h>
#include <string.h>

#define INDICES 1000u

struct record {
    uint64_t before;
    _Atomic uint32_t link;
    uint32_t after;
};

static struct moat_record_pool pool;
static struct record records[INDICES + 1];

static void start(void) {
    memset(records, 0xa5, sizeof(records));
    moat_record_pool_init(&pool, &records[0].link, sizeof(records[0]));
}

TestSuite(record_pool, .init = start);

Test(record_pool, has_nothing_before_it_is_extended) {
    cr_assert_eq(moat_record_pool_take(&pool), 0u);
    moat_record_pool_extend(&pool, 2);
    cr_assert_eq(moat_record_pool_take(&pool), 1u);
    cr_assert_eq(moat_record_pool_take(&pool), 2u);
    cr_assert_eq(moat_record_pool_take(&pool), 0u);
    cr_assert_eq(moat_record_pool_dealt(&pool), 2u);
}

Test(record_pool, a_bound_never_falls_nor_leaves_the_range) {
    moat_record_pool_extend(&pool, 5);
    moat_record_pool_extend(&pool, 3);
    cr_assert_eq(moat_record_pool_available(&pool), 5u);
    moat_record_pool_extend(&pool, MOAT_RECORD_POOL_INDEX_MAX + 1);
    cr_assert_eq(moat_record_pool_available(&pool), 5u);
}

Test(record_pool, every_index_has_one_owner) {
    static bool owned[INDICES + 1];

    moat_record_pool_extend(&pool, INDICES);
    for (unsigned round = 0; round < 50; round++) {
        for (uint32_t index; (index = moat_record_pool_take(&pool)) != 0;) {
            cr_assert_leq(index, INDICES);
            cr_assert_not(owned[index]);
            owned[index] = true;
        }
        for (uint32_t i = 1; i <= INDICES; i++) {
            cr_assert(owned[i], "index %u is lost", i);
            if ((i * 7 + round) % 3 != 0 || round == 49) {
                owned[i] = false;
                moat_record_pool_give(&pool, i);
            }
        }
    }
}

/* Fresh storage stays untouched while freed indices will do. */
Test(record_pool, a_freed_index_is_taken_before_a_fresh_one) {
    uint32_t index;

    moat_record_pool_extend(&pool, INDICES);
    index = moat_record_pool_take(&pool);
    for (unsigned i = 0; i < 100; i++) {
        moat_record_pool_give(&pool, index);
        index = moat_record_pool_take(&pool);
    }
    cr_assert_eq(moat_record_pool_dealt(&pool), 1u);
}

Test(record_pool, touches_only_the_links_of_what_it_was_given) {
    static const struct record untouched = {
        .before = 0xa5a5a5a5a5a5a5a5, .link = 0xa5a5a5a5, .after = 0xa5a5a5a5};

    moat_record_pool_extend(&pool, 10);
    for (uint32_t i = 1; i <= 10; i++)
        cr_assert_eq(moat_record_pool_take(&pool), i);
    for (uint32_t i = 1; i <= 10; i++)
        moat_record_pool_give(&pool, i);
    for (uint32_t i = 0; i <= INDICES; i++) {
        cr_assert_eq(records[i].before, untouched.before);
        cr_assert_eq(records[i].after, untouched.after);
        if (i == 0 || i > 10)
            cr_assert_eq(records[i].link, untouched.link);
    }
}
