/* SPDX-License-Identifier: MIT */
/*
 * A line is moved by one thread while another settles the growth and two look for an entry that is
 * there throughout: each finds it, whether it believes the old array, the new one, or a miss.
 *
 * Edges: birth, settle, freeze.
 */
#include "tiny_growth.h"

static void *bear(void *none) {
    moat_region_table_bear(&table, array_word(&table, 2, false), 0);
    return none;
}

static void *settle_it(void *none) {
    moat_region_table_help(&table);
    return none;
}

static void *find(void *none) {
    assert(moat_region_table_find(&table, MOVING) == 1);
    return none;
}

int main(void) {
    growth_prepare(entry_word(MOVING, 1) | MOAT_TABLE_FROZEN);
    store(&parent[0].meta, MOAT_TABLE_BORN | MOAT_TABLE_FROZEN);
    growth_publish();
    run((void *(*const[])(void *)){bear, settle_it, find}, 3);
    assert(moat_region_table_find(&table, MOVING) == 1);
    return 0;
}
