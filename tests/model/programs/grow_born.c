/* SPDX-License-Identifier: MIT */
/*
 * A line is moved by one thread while another replaces an entry of it, and then erases it: who sees
 * the line born sees the entry there, and its words stay what they are.
 *
 * Edges: birth, publish.
 */
#include "tiny_growth.h"

static void *bear(void *none) {
    moat_region_table_bear(&table, array_word(&table, 2, false), 0);
    return none;
}

static void *replace_and_erase(void *none) {
    assert(moat_region_table_replace(&table, MOVING, 1, 2));
    assert(moat_region_table_erase(&table, MOVING, 2));
    return none;
}

int main(void) {
    growth_prepare(entry_word(MOVING, 1) | MOAT_TABLE_FROZEN);
    store(&parent[0].meta, MOAT_TABLE_BORN | MOAT_TABLE_FROZEN);
    growth_publish();
    run((void *(*const[])(void *)){bear, replace_and_erase}, 2);
    assert(moat_region_table_find(&table, MOVING) == 0);
    return 0;
}
