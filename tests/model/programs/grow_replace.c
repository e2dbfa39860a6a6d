/* SPDX-License-Identifier: MIT */
/*
 * A growth begins and moves a line while an entry of it is replaced: no find misses the page, and
 * who finds the new record sees it filled.
 *
 * Edges: grow, freeze, publish.
 */
#define CHILD NULL
#include "tiny_growth.h"

static int record[3];

static void *grow(void *none) {
    uint32_t handle;

    assert(moat_region_table_grow(&table, child, 2));
    handle = moat_region_table_find(&table, MOVING);
    assert(handle == 1 || handle == 2);
    if (handle == 2)
        assert(record[2] == 1);
    return none;
}

static void *replace(void *none) {
    record[2] = 1;
    assert(moat_region_table_replace(&table, MOVING, 1, 2));
    assert(moat_region_table_find(&table, MOVING) == 2);
    return none;
}

int main(void) {
    growth_prepare(entry_word(MOVING, 1));
    run((void *(*const[])(void *)){grow, replace}, 2);
    assert(moat_region_table_find(&table, MOVING) == 2);
    return 0;
}
