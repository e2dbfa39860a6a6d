/* SPDX-License-Identifier: MIT */
/*
 * A page is erased while it is being entered: if it is gone in the end, so is all that its insert
 * has set above it, whichever of the two comes last.
 *
 * Edges: summary; rule 3 where it fails.
 */
#include "tiny_index.h"

static void *insert(void *none) {
    assert(moat_region_index_insert(&the_index, 1));
    return none;
}

static void *erase(void *none) {
    moat_region_index_erase(&the_index, 1);
    return none;
}

int main(void) {
    uint64_t base;

    index_start(false);
    run((void *(*const[])(void *)){insert, erase}, 2);
    if (moat_region_index_find_next(&the_index, 0, &base)) {
        assert(base == 1);
    } else {
        assert((nodes[1].leaf[0] & BITS) == 0 && (nodes[1].middle[0] & BITS) == 0);
        assert((nodes[1].top & BITS) == 0);
    }
    return 0;
}
