/* SPDX-License-Identifier: MIT */
/*
 * The last empty slot is taken and given back, while another thread, which may have seen it empty
 * before, takes it: if both get it, the second sees what was done before the first gave it back.
 *
 * Edges: retract.
 */
#include "tiny_table.h"

#ifndef GOING
#define GOING  PAGE(0, 0, 1)
#define COMING PAGE(0, 0, 2)
#define LAST   parent[0].slot[0]
#endif

static int done;

static void *insert_and_erase(void *none) {
    if (moat_region_table_insert(&table, GOING, 1) == MOAT_TABLE_OK) {
        done = 1;
        assert(moat_region_table_erase(&table, GOING, 1));
    }
    return none;
}

static void *insert(void *none) {
    /* If the other came too late for the slot, it has done nothing. */
    if (moat_region_table_insert(&table, COMING, 2) == MOAT_TABLE_OK)
        assert(done == 0 || done == 1);
    return none;
}

int main(void) {
    line_fill(&parent[0], RESERVED);
    line_fill(&parent[1], RESERVED);
    store(&LAST, EMPTY);
    run((void *(*const[])(void *)){insert_and_erase, insert}, 2);
    assert(moat_region_table_find(&table, GOING) == 0);
    return 0;
}
