/* SPDX-License-Identifier: MIT */
/*
 * A line moves while an entry of it is being displaced: the line's meta word is frozen either with
 * the pointer, and then the entry moves or is not entered, or without it, and then nobody points.
 *
 * Edges: point, freeze, publish.
 */
#include "tiny_growth.h"

#define COMING PAGE(0, 0, 2)

static enum outcome entered;

static void *move(void *none) {
    move_line(&table, array_word(&table, 1, true), array_word(&table, 2, false), 0);
    return none;
}

static void *displace(void *none) {
    entered = insert_displaced(&table, array_word(&table, 1, true), 0, entry_word(COMING, 1));
    return none;
}

int main(void) {
    growth_prepare(RESERVED);
    growth_publish();
    store(&parent[1].slot[0], EMPTY);
    run((void *(*const[])(void *)){move, displace}, 2);
    assert(entered == DONE || entered == AGAIN);
    assert(moat_region_table_find(&table, COMING) == (entered == DONE ? 1 : 0));
    return 0;
}
