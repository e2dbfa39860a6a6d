/* SPDX-License-Identifier: MIT */
/*
 * tiny_growth: a growth from two lines to four of which all is done but what a test is about.
 *
 * Line 1 has moved. Line 0 holds one entry, in its slot 0, which goes to line 0; all other slots of
 * both lines are frozen, and all that comes from them is born, but for the meta words. So two
 * threads that move line 0 race for a few words, and not for sixteen.
 *
 * Easy to get wrong: before growth has begun no word is frozen. A test that starts there must not
 * look at another slot than slot 0 in the old array, so its pages all prefer that slot. And who
 * meets a frozen word sees the newer array, so none is frozen by main where threads may not.
 */
#ifndef MOAT_TESTS_MODEL_PROGRAMS_TINY_GROWTH_H
#define MOAT_TESTS_MODEL_PROGRAMS_TINY_GROWTH_H

#define PARENT_LINE LINE(EMPTY | MOAT_TABLE_FROZEN, MOAT_TABLE_BORN)
#define CHILD_LINE  LINE(EMPTY, MOAT_TABLE_BORN)
#ifndef CHILD
#define CHILD child
#endif
#include "tiny_table.h"

#define MOVING PAGE(0, 0, 1)

/* The table as it was before growth began, if `entry` lies in slot 0 of line 0. */
static void growth_prepare(uint64_t entry) {
    store(&parent[0].slot[0], entry);
    store(&parent[1].meta, MOAT_TABLE_BORN | MOAT_TABLE_FROZEN);
    store(&child[0].slot[0], 0);
    store(&child[0].meta, 0);
    store(&child[2].meta, 0);
    store(&table.progress[1].cursor, 1);
}

/* The array of four lines is published, its lines are being born, all are taken on. */
static inline void growth_publish(void) {
    store(&table.current, array_word(&table, 2, false));
    store(&table.progress[1].cursor, 2);
}

#endif
