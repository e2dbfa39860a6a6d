/* SPDX-License-Identifier: MIT */
/*
 * An entry is erased where all else is full, and another thread enters one: if it gets a slot it is
 * that one, and it sees what was done before the erase. So it is with a spilled entry.
 *
 * Edges: retract.
 */
#include "tiny_table.h"

#define GOING  PAGE(0, 0, 1)
#define COMING PAGE(0, SPILLED, 2)

#ifndef SPILLED
#define SPILLED 0 /* 2: the slot that becomes free is not one that the new entry prefers */
#endif

static int done;

static void *erase(void *none) {
    done = 1;
    assert(moat_region_table_erase(&table, GOING, 1));
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
    store(&parent[0].slot[0], entry_word(GOING, 1));
    run((void *(*const[])(void *)){erase, insert}, 2);
    assert(moat_region_table_find(&table, GOING) == 0);
    return 0;
}
