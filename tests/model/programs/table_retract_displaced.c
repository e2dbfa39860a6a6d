/* SPDX-License-Identifier: MIT */
/*
 * A displaced entry is erased. Whoever misses it sees what was done before, also who finds no
 * pointer any more; and so does who enters another in the slot that became free.
 *
 * Edges: point, retract.
 */
#include "tiny_table.h"

#define GOING  PAGE(0, 0, 1)
#define COMING PAGE(1, 0, 2)

static int done;

static void *erase(void *none) {
    done = 1;
    assert(moat_region_table_erase(&table, GOING, 1));
    return none;
}

static void *find(void *none) {
    if (moat_region_table_find(&table, GOING) == 0)
        assert(done == 1);
    return none;
}

static void *insert(void *none) {
    if (moat_region_table_insert(&table, COMING, 2) == MOAT_TABLE_OK)
        assert(done == 1);
    return none;
}

int main(void) {
    line_fill(&parent[0], RESERVED);
    line_fill(&parent[1], RESERVED);
    store(&parent[1].slot[0], entry_word(GOING, 1));
    store(&parent[0].meta, meta_with_pointer(MOAT_TABLE_BORN, 0, pointer_make(1, 0)));
    run((void *(*const[])(void *)){erase, find, insert}, 3);
    assert(moat_region_table_find(&table, GOING) == 0);
    return 0;
}
