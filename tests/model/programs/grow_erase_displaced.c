/* SPDX-License-Identifier: MIT */
/*
 * A displaced entry is erased while its line moves, and another is entered where it lay: if the
 * pointer was frozen, nobody gets that slot, or the other entry would move along to a line where it
 * has no business.
 *
 * Edges: point, retract, freeze.
 */
#include "tiny_growth.h"

#define GOING  PAGE(0, 0, 1)
#define COMING PAGE(1, 0, 2)

static void *move(void *none) {
    move_line(&table, array_word(&table, 1, true), array_word(&table, 2, false), 0);
    return none;
}

static void *erase(void *none) {
    bool erased;
    erase_in(&table, array_word(&table, 1, true), moat_region_table_hash(&table, GOING),
             entry_word(GOING, 1), &erased);
    return none;
}

static void *insert(void *none) {
    insert_at(&parent[1].slot[0], entry_word(COMING, 2));
    return none;
}

int main(void) {
    growth_prepare(RESERVED);
    growth_publish();
    store(&parent[0].meta, meta_with_pointer(MOAT_TABLE_BORN, 0, pointer_make(1, 0)));
    store(&parent[1].slot[0], entry_word(GOING, 1));
    run((void *(*const[])(void *)){move, erase, insert}, 3);
    for (unsigned i = 0; i < MOAT_TABLE_SLOTS; i++) {
        assert(word_page(atomic_load(&child[0].slot[i])) != COMING);
        assert(word_page(atomic_load(&child[2].slot[i])) != COMING);
    }
    return 0;
}
