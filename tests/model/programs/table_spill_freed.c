/* SPDX-License-Identifier: MIT */
/*
 * A slot that an entry prefers becomes free when its insert has given up on that, and so it lies
 * there and not where the line counts it: the line is as clean in the end as it looks.
 *
 * Edges: retract, spill.
 */
#include "tiny_table.h"

#define GOING  PAGE(0, 0, 1)
#define COMING PAGE(0, 0, 2)

static enum moat_table_status entered;

static void *erase(void *none) {
    assert(moat_region_table_erase(&table, GOING, 1));
    return none;
}

static void *insert(void *none) {
    entered = moat_region_table_insert(&table, COMING, 2);
    return none;
}

int main(void) {
    line_fill(&parent[0], RESERVED);
    line_fill(&parent[1], RESERVED);
    store(&parent[0].slot[0], entry_word(GOING, 1));
    run((void *(*const[])(void *)){erase, insert}, 2);
    assert(atomic_load(&parent[0].meta) == MOAT_TABLE_BORN);
    assert(moat_region_table_find(&table, COMING) == (entered == MOAT_TABLE_OK ? 2 : 0));
    return 0;
}
