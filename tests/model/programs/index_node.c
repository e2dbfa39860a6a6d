/* SPDX-License-Identifier: MIT */
/*
 * Two threads enter the first pages of one node: both get the same node, whose storage was prepared
 * before the bound was raised, and the other node that was taken is given back.
 *
 * Edges: node, and extend of the pool.
 */
#include "tiny_index.h"

static void *insert_first(void *none) {
    assert(moat_region_index_insert(&the_index, 0));
    return none;
}

static void *insert_second(void *none) {
    assert(moat_region_index_insert(&the_index, 1));
    return none;
}

int main(void) {
    uint64_t base;

    index_start(false);
    atomic_init(&the_directory.node[0], 0);
    atomic_init(&nodes[1].top, 0);
    store(&the_index.pool.dealt, 0);
    run((void *(*const[])(void *)){insert_first, insert_second}, 2);
    assert(moat_region_index_find_last(&the_index, 40, &base) && base == 1);
    assert(moat_region_index_find_last(&the_index, 0, &base) && base == 0);
    assert(moat_record_pool_take(&the_index.pool) != 0);
    return 0;
}
