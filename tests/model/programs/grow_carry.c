/* SPDX-License-Identifier: MIT */
/*
 * A thread that began before the growth enters a page in the old array; one freezes that word, and
 * another, which finds it frozen, brings it to the new array: who finds it there sees its record
 * filled.
 *
 * Edges: publish, freeze.
 */
#include "tiny_growth.h"

static int record;

static void *insert_late(void *none) {
    record = 1;
    insert_at(&parent[0].slot[0], entry_word(MOVING, 1));
    return none;
}

static void *bear(void *none) {
    moat_region_table_bear(&table, array_word(&table, 2, false), 0);
    return none;
}

static void *bear_and_find(void *none) {
    moat_region_table_bear(&table, array_word(&table, 2, false), 0);
    if (moat_region_table_find(&table, MOVING) == 1)
        assert(record == 1);
    return none;
}

int main(void) {
    growth_prepare(EMPTY);
    growth_publish();
    run((void *(*const[])(void *)){insert_late, bear, bear_and_find}, 3);
    return 0;
}
