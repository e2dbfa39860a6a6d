/* SPDX-License-Identifier: MIT */
/*
 * A growth begins and moves a line while a page is entered there: it is found afterwards, with its
 * record filled, wherever it was entered.
 *
 * Edges: grow, freeze, publish (slot -> frozen slot -> slot of the child), birth.
 */
#define CHILD NULL
#include "tiny_growth.h"

static int record[2];

static void *grow(void *none) {
    assert(moat_region_table_grow(&table, child, 2));
    moat_region_table_bear(&table, array_word(&table, 2, false), 0);
    if (moat_region_table_find(&table, MOVING) == 1)
        assert(record[1] == 1);
    return none;
}

static void *insert(void *none) {
    record[1] = 1;
    assert(moat_region_table_insert(&table, MOVING, 1) == MOAT_TABLE_OK);
    assert(moat_region_table_find(&table, MOVING) == 1);
    return none;
}

int main(void) {
    growth_prepare(EMPTY);
    run((void *(*const[])(void *)){grow, insert}, 2);
    assert(moat_region_table_find(&table, MOVING) == 1);
    assert(moat_region_table_live(&table) == 1);
    return 0;
}
