/* SPDX-License-Identifier: MIT */
/*
 * A growth begins and freezes words of a line, while a page is to be spilled there: whoever meets a
 * frozen word sees the newer array, and does not start over for ever.
 *
 * Edges: freeze, grow.
 */
#include "tiny_table.h"

#ifndef LAST
#define LAST parent[0].slot[2]
#endif

static void *grow(void *none) {
    assert(moat_region_table_grow(&table, child, 2));
    freeze(&parent[0].meta);
    freeze(&LAST);
    return none;
}

static void *insert(void *none) {
    assert(moat_region_table_insert(&table, PAGE(0, 0, 1), 1) == MOAT_TABLE_OK);
    return none;
}

int main(void) {
    line_fill(&parent[0], RESERVED);
    line_fill(&parent[1], RESERVED);
    store(&LAST, EMPTY);
    run((void *(*const[])(void *)){grow, insert}, 2);
    assert(moat_region_table_find(&table, PAGE(0, 0, 1)) == 1);
    return 0;
}
