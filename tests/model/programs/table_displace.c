/* SPDX-License-Identifier: MIT */
/*
 * An entry whose line is full goes to a neighbour while another comes from there: whoever finds
 * the one sees its record filled, the other is gone for good, and no slot or pointer is lost.
 *
 * Edges: point, publish, retract.
 */
#include "tiny_table.h"

#define GOING  PAGE(0, 0, 1)
#define COMING PAGE(0, 0, 2)

static int record[3];
static enum moat_table_status status;

static void *insert(void *none) {
    record[2] = 1;
    status = moat_region_table_insert(&table, COMING, 2);
    return none;
}

static void *erase(void *none) {
    assert(moat_region_table_erase(&table, GOING, 1));
    return none;
}

static void *find(void *none) {
    uint32_t handle = moat_region_table_find(&table, COMING);

    assert(handle == 0 || handle == 2);
    if (handle != 0)
        assert(record[handle] == 1);
    return none;
}

int main(void) {
    /* Line 0 is full, so is line 1, where GOING lies. */
    line_fill(&parent[0], RESERVED);
    line_fill(&parent[1], RESERVED);
    store(&parent[1].slot[0], entry_word(GOING, 1));
    store(&parent[0].meta, meta_with_pointer(MOAT_TABLE_BORN, 0, pointer_make(1, 0)));
    run((void *(*const[])(void *)){insert, erase, find}, 3);
    assert(moat_region_table_find(&table, GOING) == 0);
    assert(moat_region_table_find(&table, COMING) == (status == MOAT_TABLE_OK ? 2 : 0));
    assert(parent[1].slot[0] == (status == MOAT_TABLE_OK ? entry_word(COMING, 2) : EMPTY));
    return 0;
}
