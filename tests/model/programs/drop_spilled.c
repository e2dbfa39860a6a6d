/* SPDX-License-Identifier: MIT */
/*
 * As drop_find, with an entry that is spilled: the line is read as it was, the entry is not, for
 * the page was dropped between. Such a miss proves nothing.
 *
 * Edges: settle, quiesce, grow.
 */
#include "tiny_growth.h"

#ifndef CALL
#define CALL (moat_region_table_find(&table, MOVING) == 1)
#endif

static void *settle_and_drop(void *none) {
    void *lines;
    size_t size;

    moat_store_release(&table.current, array_word(&table, 2, false));
    freeze(&parent[0].meta);
    freeze(&parent[0].slot[2]);
    settle(&table, array_word(&table, 1, true), array_word(&table, 2, false));
    if (moat_region_table_take_retired(&table, &lines, &size)) {
        moat_store_release(&parent[0].slot[2], 0);
        moat_store_release(&parent[0].meta, 0);
    }
    return none;
}

static void *call(void *none) {
    assert(CALL);
    return none;
}

int main(void) {
    growth_prepare(EMPTY | MOAT_TABLE_FROZEN);
    store(&parent[0].slot[2], entry_word(MOVING, 1));
    store(&parent[0].meta, MOAT_TABLE_BORN + SPILLED_ONE);
    store(&child[0].slot[0], entry_word(MOVING, 1));
    store(&child[0].meta, MOAT_TABLE_BORN);
    store(&child[2].meta, MOAT_TABLE_BORN);
    run((void *(*const[])(void *)){settle_and_drop, call}, 2);
    return 0;
}
