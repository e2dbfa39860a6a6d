/* SPDX-License-Identifier: MIT */
/*
 * An old array is handed out and its pages are dropped, word by word, while a thread that began
 * before looks for an entry that is there throughout: it finds it, and erases it once.
 *
 * Edges: settle, quiesce, grow. A dropped page reads as 0; the kernel interrupts every processor
 * before it does, so who reads such a 0 comes after the drop.
 */
#include "tiny_growth.h"

/* All words that a look at slot 0 of line 0 may read. */
static void drop(struct moat_region_line *lines) {
    static const unsigned char read_by_find[] = {0, 1, 3};

    for (unsigned n = 0; n < sizeof(read_by_find); n++)
        moat_store_release(&lines[0].slot[read_by_find[n]], 0);
    moat_store_release(&lines[0].meta, 0);
}

static void *settle_and_drop(void *none) {
    uint64_t old = array_word(&table, 1, true);
    void *lines;
    size_t size;

    moat_cas_acq_rel(&table.current, &old, array_word(&table, 2, false));
    moat_region_table_help(&table);
    if (moat_region_table_take_retired(&table, &lines, &size)) {
        assert(lines == parent && size == sizeof(parent));
        drop(lines);
        assert(!moat_region_table_take_retired(&table, &lines, &size));
    }
    return none;
}

static void *find(void *none) {
    assert(moat_region_table_find(&table, MOVING) == 1);
    return none;
}

int main(void) {
    growth_prepare(entry_word(MOVING, 1) | MOAT_TABLE_FROZEN);
    store(&parent[0].meta, MOAT_TABLE_BORN | MOAT_TABLE_FROZEN);
    store(&child[0].slot[0], entry_word(MOVING, 1));
    store(&child[0].meta, MOAT_TABLE_BORN);
    store(&child[2].meta, MOAT_TABLE_BORN);
    store(&table.progress[1].cursor, 2);
    run((void *(*const[])(void *)){settle_and_drop, find}, 2);
    assert(moat_region_table_find(&table, MOVING) == 1);
    return 0;
}
