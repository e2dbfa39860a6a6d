/* SPDX-License-Identifier: MIT */
/*
 * A record is filled, then its page is entered: whoever finds the page sees the record filled. An
 * owner replaces the entry by that of another record, which is filled as well.
 *
 * Edges: publish.
 */
#include "tiny_table.h"

static int record[3]; /* by handle */

static void *insert(void *none) {
    record[1] = 1;
    assert(moat_region_table_insert(&table, PAGE(0, 0, 1), 1) == MOAT_TABLE_OK);
    record[2] = 1;
    assert(moat_region_table_replace(&table, PAGE(0, 0, 1), 1, 2));
    return none;
}

static void *find(void *none) {
    uint32_t handle = moat_region_table_find(&table, PAGE(0, 0, 1));

    if (handle != 0)
        assert(record[handle] == 1);
    if (handle == 2)
        assert(moat_region_table_find(&table, PAGE(0, 0, 1)) == 2);
    return none;
}

int main(void) {
    run((void *(*const[])(void *)){insert, find}, 2);
    assert(moat_region_table_find(&table, PAGE(0, 0, 1)) == 2);
    return 0;
}
