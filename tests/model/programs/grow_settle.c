/* SPDX-License-Identifier: MIT */
/*
 * Two threads pass over all lines and settle the growth: whoever finds the frontier at the end need
 * not look at the lines, and believes a miss from then on; so it must see all lines born.
 *
 * Edges: settle (frontier).
 */
#include "tiny_growth.h"

static void *help(void *none) {
    moat_region_table_help(&table);
    return none;
}

static void *help_and_find(void *none) {
    moat_region_table_help(&table);
    assert(moat_region_table_find(&table, MOVING) == 1);
    return none;
}

int main(void) {
    growth_prepare(entry_word(MOVING, 1) | MOAT_TABLE_FROZEN);
    store(&parent[0].meta, MOAT_TABLE_BORN | MOAT_TABLE_FROZEN);
    growth_publish();
    run((void *(*const[])(void *)){help, help_and_find}, 2);
    assert(table.settled == array_word(&table, 2, true));
    assert(table.current == table.settled);
    return 0;
}
