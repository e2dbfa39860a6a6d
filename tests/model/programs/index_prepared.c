/* SPDX-License-Identifier: MIT */
/*
 * The storage of a node is cleared and the bound raised, while another thread, which may know the
 * bound of before, enters the first page of the same node: whoever gets a node from the directory
 * sees its storage cleared.
 *
 * Edges: node.
 */
#include "plain_memory.h"
#include "tiny_index.h"

#ifndef NODE
#define NODE 2 /* the other thread may have taken node 1 */
#endif

static bool entered[2]; /* a call may fail: the other one has the last node, and just takes it */

static void *clear_and_insert(void *none) {
    clear_plainly(nodes[NODE].middle, sizeof(nodes[NODE].middle[0]));
    clear_plainly(nodes[NODE].leaf, sizeof(nodes[NODE].leaf[0]));
    moat_region_index_extend(&the_index, NODE);
    entered[0] = moat_region_index_insert(&the_index, 0);
    return none;
}

static void *insert(void *none) {
    entered[1] = moat_region_index_insert(&the_index, 1);
    return none;
}

int main(void) {
    uint64_t base;

    index_start(false);
    atomic_init(&the_directory.node[0], 0);
    store(&the_index.pool.dealt, 0);
    store(&the_index.pool.available, NODE - 1);
    store(&nodes[NODE].top, PROPAGATED | VERSION_ONE);
    run((void *(*const[])(void *)){clear_and_insert, insert}, 2);
    assert(entered[0] || entered[1]);
    assert(moat_region_index_find_last(&the_index, 40, &base) && base == entered[1]);
    assert(moat_region_index_find_last(&the_index, 0, &base) == entered[0]);
    return 0;
}
