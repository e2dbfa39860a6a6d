/* SPDX-License-Identifier: MIT */
/*
 * Two entries are erased, one of them spilled. Whoever misses one sees what was done before it was
 * erased.
 *
 * Edges: retract, spill.
 */
#include "tiny_table.h"

#define NEAR  PAGE(0, 0, 1)
#define SPILT PAGE(0, 0, 2)

#ifndef SLOT
#define SLOT 0 /* where NEAR lies; it prefers 1 and 3 as well */
#endif

static int done[2];

static void *erase(void *none) {
    done[0] = 1;
    assert(moat_region_table_erase(&table, NEAR, 1));
    done[1] = 1;
    assert(moat_region_table_erase(&table, SPILT, 2));
    return none;
}

static void *find(void *none) {
    if (moat_region_table_find(&table, SPILT) == 0)
        assert(done[1] == 1);
    if (moat_region_table_find(&table, NEAR) == 0)
        assert(done[0] == 1);
    return none;
}

int main(void) {
    store(&parent[0].slot[SLOT], entry_word(NEAR, 1));
    store(&parent[0].slot[6], entry_word(SPILT, 2));
    store(&parent[0].meta, MOAT_TABLE_BORN + SPILLED_ONE);
    run((void *(*const[])(void *)){erase, find}, 2);
    assert(moat_region_table_find(&table, NEAR) == 0);
    assert(moat_region_table_find(&table, SPILT) == 0);
    return 0;
}
