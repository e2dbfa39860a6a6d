/* SPDX-License-Identifier: MIT */
/*
 * A page is entered when its record is filled: whoever finds the page, from above or from below,
 * sees the record filled.
 *
 * Edges: member, summary.
 */
#include "tiny_index.h"

static int record;

static void *insert(void *none) {
    record = 1;
    assert(moat_region_index_insert(&the_index, 1));
    return none;
}

static void *find_last(void *none) {
    uint64_t base;

    if (moat_region_index_find_last(&the_index, 40, &base)) {
        assert(base == 1);
        assert(record == 1);
    }
    return none;
}

static void *find_next(void *none) {
    uint64_t base;

    if (moat_region_index_find_next(&the_index, 0, &base)) {
        assert(base == 1);
        assert(record == 1);
    }
    return none;
}

int main(void) {
    uint64_t base;

    index_start(false);
    run((void *(*const[])(void *)){insert, find_last, find_next}, 3);
    assert(moat_region_index_find_last(&the_index, 40, &base) && base == 1);
    return 0;
}
