/* SPDX-License-Identifier: MIT */
/*
 * tiny_growth: a growth from two lines to four of which all is done but what a test is about.
 *
 * Line 1 has moved. Line 0 holds one entry, in its slot 0, which goes to line 0; all other words of
 * both lines are frozen, and all that comes from them is born, but for the meta words.
 *
 * Easy to get wrong: before growth has begun no word is frozen. A test that starts there must not
 * look at another slot than slot 0 in the old array, so its pages all prefer that slot.
 */
#ifndef MOAT_TESTS_MODEL_PROGRAMS_TINY_GROWTH_H
#define MOAT_TESTS_MODEL_PROGRAMS_TINY_GROWTH_H

#include "tiny_table.h"

#define MOVING PAGE(0, 0, 1)

/* The table as it was before grow was called, if `entry` lies in slot 0 of line 0. */
static void growth_prepare(uint64_t entry) {
    table_start();
    for (unsigned line = 0; line < 2; line++) {
        for (unsigned i = 0; i < MOAT_TABLE_SLOTS; i++)
            store(&parent[line].slot[i], EMPTY | MOAT_TABLE_FROZEN);
    }
    store(&parent[1].meta, MOAT_TABLE_BORN | MOAT_TABLE_FROZEN);
    for (unsigned line = 0; line < 4; line++)
        line_start(&child[line]);
    store(&parent[0].slot[0], entry);
    store(&child[0].slot[0], 0);
    store(&child[0].meta, 0);
    store(&child[2].meta, 0);
    store(&table.progress[1].cursor, 1);
}

/* The array of four lines is published, its lines are being born. */
static inline void growth_publish(void) {
    array_start(2, child);
    store(&table.current, array_word(&table, 2, false));
}

/* All lines are taken on. */
static inline void growth_share_out(void) {
    store(&table.progress[1].cursor, 2);
}

#endif
