/* SPDX-License-Identifier: MIT */
/*
 * A growth is settled while an entry is replaced, then erased: whoever takes the settled array
 * finds its lines.
 *
 * Edges: grow, settle.
 */
#include "tiny_growth.h"

static void *settle_it(void *none) {
    settle(&table, array_word(&table, 1, true), array_word(&table, 2, false));
    return none;
}

static void *replace(void *none) {
    assert(moat_region_table_replace(&table, MOVING, 1, 2));
    return none;
}

static void *erase(void *none) {
    moat_region_table_erase(&table, MOVING, 3);
    return none;
}

int main(void) {
    growth_prepare(entry_word(MOVING, 1) | MOAT_TABLE_FROZEN);
    store(&child[0].slot[0], entry_word(MOVING, 1));
    store(&child[0].meta, MOAT_TABLE_BORN);
    store(&child[2].meta, MOAT_TABLE_BORN);
    store(&table.array[2][true].lines, 0);
    growth_publish();
    store(&table.progress[1].frontier, 2);
    run((void *(*const[])(void *)){settle_it, replace, erase}, 3);
    assert(moat_region_table_find(&table, MOVING) == 2);
    return 0;
}
