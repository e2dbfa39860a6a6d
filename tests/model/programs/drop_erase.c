/* SPDX-License-Identifier: MIT */
/*
 * A growth begins and ends, and the old array is dropped, while a thread that may still know it
 * erases an entry: it succeeds, and nothing is written to a dropped page.
 *
 * Edges: grow, freeze, settle, quiesce. A dropped page reads as 0; the kernel interrupts every
 * processor before it does, so who reads such a 0 comes after the drop.
 */
#include "tiny_growth.h"

#ifndef CHANGE
#define CHANGE()    assert(moat_region_table_erase(&table, MOVING, 1))
#define BEFORE      entry_word(MOVING, 1)
#define FOUND_AFTER 0
#endif

static bool dropped;

static void *grow_and_drop(void *none) {
    void *lines;
    size_t size;
    uint64_t array = array_word(&table, 2, false);

    moat_store_release(&table.current, array);
    /* It need not be counted as a mover: nobody else drops the array. */
    move_line(&table, array_word(&table, 1, true), array, 0);
    settle(&table, array_word(&table, 1, true), array);
    if (moat_region_table_take_retired(&table, &lines, &size)) {
        dropped = true;
        moat_store_release(&parent[0].slot[0], 0);
        moat_store_release(&parent[0].meta, 0);
    }
    return none;
}

static void *change(void *none) {
    CHANGE();
    return none;
}

int main(void) {
    growth_prepare(BEFORE);
    run((void *(*const[])(void *)){grow_and_drop, change}, 2);
    assert(moat_region_table_find(&table, MOVING) == FOUND_AFTER);
    if (dropped)
        assert(moat_load_relaxed(&parent[0].slot[0]) == 0);
    return 0;
}
