/* SPDX-License-Identifier: MIT */
/*
 * A growth begins and moves a line while an entry of it is erased, by two threads: one of them
 * erases it, and it is gone.
 *
 * Edges: grow, freeze, retract.
 */
#define CHILD NULL
#include "tiny_growth.h"

static bool erased[2];

static void *grow(void *none) {
    assert(moat_region_table_grow(&table, child, 2));
    moat_region_table_bear(&table, array_word(&table, 2, false), 0);
    return none;
}

static void *erase(void *none) {
    erased[0] = moat_region_table_erase(&table, MOVING, 1);
    assert(moat_region_table_find(&table, MOVING) == 0);
    return none;
}

int main(void) {
    growth_prepare(entry_word(MOVING, 1));
    run((void *(*const[])(void *)){grow, erase}, 2);
    assert(erased[0]);
    assert(moat_region_table_find(&table, MOVING) == 0);
    return 0;
}
