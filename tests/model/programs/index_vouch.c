/* SPDX-License-Identifier: MIT */
/*
 * Two pages of one empty word are entered: who finds the word vouched for by the other goes no
 * further up, and yet sees all that lies above it set.
 *
 * Edges: summary (PROPAGATED -> insert); rules 2 and 3.
 */
#include "tiny_index.h"

static void *insert_low(void *none) {
    assert(moat_region_index_insert(&the_index, 0));
    return none;
}

static void *insert_high(void *none) {
    uint64_t base;

    assert(moat_region_index_insert(&the_index, 1));
    assert(moat_region_index_find_last(&the_index, 40, &base) && base == 1);
    return none;
}

int main(void) {
    uint64_t base;

    index_start(false);
    run((void *(*const[])(void *)){insert_low, insert_high}, 2);
    assert(moat_region_index_find_next(&the_index, 0, &base) && base == 0);
    return 0;
}
