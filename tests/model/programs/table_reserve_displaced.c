/* SPDX-License-Identifier: MIT */
/*
 * A displaced entry is erased, and another of its line gets the slot: each slot has one owner, from
 * before there is a pointer to it until after there is none, so that no pointer is lost.
 *
 * Edges: point, retract.
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
    unsigned pointers = 0;
    line_fill(&parent[0], RESERVED);
    line_fill(&parent[1], RESERVED);
    store(&parent[1].slot[0], entry_word(GOING, 1));
    store(&parent[0].meta, meta_with_pointer(MOAT_TABLE_BORN, 0, pointer_make(1, 0)));
    run((void *(*const[])(void *)){erase, insert}, 2);
    uint64_t meta = atomic_load(&parent[0].meta);
    for (unsigned n = 0; n < POINTER_COUNT; n++)
        pointers += meta_pointer(meta, n) != 0;
    assert(pointers == (entered == MOAT_TABLE_OK));
    assert(moat_region_table_find(&table, COMING) == (entered == MOAT_TABLE_OK ? 2 : 0));
    return 0;
}
