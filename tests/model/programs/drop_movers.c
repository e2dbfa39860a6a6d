/* SPDX-License-Identifier: MIT */
/*
 * An old array is handed out while a thread may be moving its lines: never before that thread is
 * done, and none begins afterwards. Who gets the array writes plain zeroes: whatever else touches
 * it is a data race.
 *
 * Edges: quiesce.
 */
#include "plain_memory.h"
#include "tiny_growth.h"

static void *bear(void *none) {
    moat_region_table_bear(&table, array_word(&table, 2, false), 0);
    return none;
}

static void *settle_and_drop(void *none) {
    void *lines;
    size_t size;

    moat_region_table_help(&table);
    for (unsigned tries = 0; tries < 2; tries++) {
        if (moat_region_table_take_retired(&table, &lines, &size)) {
            clear_plainly(&parent[0].slot[0], sizeof(parent[0].slot[0]));
            clear_plainly(&parent[0].meta, sizeof(parent[0].meta));
        }
    }
    return none;
}

int main(void) {
    growth_prepare(entry_word(MOVING, 1));
    growth_publish();
    run((void *(*const[])(void *)){bear, settle_and_drop}, 2);
    assert(moat_region_table_find(&table, MOVING) == 1);
    return 0;
}
