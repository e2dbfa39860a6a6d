/* SPDX-License-Identifier: MIT */
/*
 * A page that stays is found while a neighbour in its word comes and goes, and one in another word.
 *
 * Edges: summary.
 */
#include "tiny_index.h"

static void *come_and_go(void *none) {
    assert(moat_region_index_insert(&the_index, 1));
    moat_region_index_erase(&the_index, 1);
    return none;
}

static void *come_elsewhere(void *none) {
    assert(moat_region_index_insert(&the_index, 33));
    return none;
}

static void *find(void *none) {
    uint64_t base;

    assert(moat_region_index_find_last(&the_index, 40, &base));
    assert(base == 0 || base == 1 || base == 33);
    assert(moat_region_index_find_next(&the_index, 0, &base) && base == 0);
    return none;
}

int main(void) {
    uint64_t base;

    index_start(true);
    run((void *(*const[])(void *)){come_and_go, come_elsewhere, find}, 3);
    assert(moat_region_index_find_last(&the_index, 32, &base) && base == 0);
    assert(moat_region_index_find_last(&the_index, 40, &base) && base == 33);
    return 0;
}
