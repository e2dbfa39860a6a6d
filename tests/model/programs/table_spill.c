/* SPDX-License-Identifier: MIT */
/*
 * An entry is spilled while another of its line, spilled too, is erased: whoever comes after the
 * insert finds it, and its record filled, and the count is right in the end.
 *
 * Edges: spill, publish.
 */
#include "tiny_table.h"

#define GOING  PAGE(0, 0, 1)
#define COMING PAGE(0, 0, 2)

static int record[3];
static _Atomic uint64_t entered;

static void *insert(void *none) {
    record[2] = 1;
    assert(moat_region_table_insert(&table, COMING, 2) == MOAT_TABLE_OK);
    moat_store_release(&entered, 1);
    return none;
}

static void *erase(void *none) {
    assert(moat_region_table_erase(&table, GOING, 1));
    return none;
}

static void *find(void *none) {
    bool must = moat_load_acquire(&entered) != 0;
    uint32_t handle = moat_region_table_find(&table, COMING);

    assert(handle == 2 || (handle == 0 && !must));
    if (handle != 0)
        assert(record[handle] == 1);
    return none;
}

int main(void) {
    /* The slots that both prefer are taken; slot 2 is free. */
    for (unsigned i = 0; i < MOAT_TABLE_SLOTS; i++)
        store(&parent[0].slot[i], i == 2 ? EMPTY : RESERVED);
    store(&parent[0].slot[6], entry_word(GOING, 1));
    store(&parent[0].meta, MOAT_TABLE_BORN + SPILLED_ONE);
    run((void *(*const[])(void *)){insert, erase, find}, 3);
    assert(moat_region_table_find(&table, COMING) == 2);
    assert(parent[0].meta == MOAT_TABLE_BORN + SPILLED_ONE);
    return 0;
}
