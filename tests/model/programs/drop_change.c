/* SPDX-License-Identifier: MIT */
/*
 * As drop_find, but the late thread replaces the entry, and erases it: both succeed, and nothing is
 * entered on a dropped page.
 */
#include "tiny_growth.h"

static void *settle_and_drop(void *none) {
    void *lines;
    size_t size;

    moat_region_table_help(&table);
    if (moat_region_table_take_retired(&table, &lines, &size)) {
        for (unsigned i = 0; i < MOAT_TABLE_SLOTS; i++)
            moat_store_release(&parent[0].slot[i], 0);
        moat_store_release(&parent[0].meta, 0);
    }
    return none;
}

static void *change(void *none) {
    assert(moat_region_table_replace(&table, MOVING, 1, 2));
    assert(moat_region_table_erase(&table, MOVING, 2));
    return none;
}

static void *publish(void *none) {
    uint64_t old = array_word(&table, 1, true);

    moat_cas_acq_rel(&table.current, &old, array_word(&table, 2, false));
    return none;
}

int main(void) {
    growth_prepare(entry_word(MOVING, 1) | MOAT_TABLE_FROZEN);
    store(&parent[0].meta, MOAT_TABLE_BORN | MOAT_TABLE_FROZEN);
    store(&child[0].slot[0], entry_word(MOVING, 1));
    store(&child[0].meta, MOAT_TABLE_BORN);
    store(&child[2].meta, MOAT_TABLE_BORN);
    array_start(2, child);
    growth_share_out();
    run((void *(*const[])(void *)){publish, settle_and_drop, change}, 3);
    assert(moat_region_table_find(&table, MOVING) == 0);
    return 0;
}
