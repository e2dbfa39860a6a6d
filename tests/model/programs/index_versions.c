/* SPDX-License-Identifier: MIT */
/*
 * A page comes, goes and comes again while another thread, which has emptied the word before, is
 * about to clear the bit above: the clear must fail.
 *
 * Edges: summary; the versions of rules 1 and 4.
 */
#include "tiny_index.h"

static void *erase(void *none) {
    moat_region_index_erase(&the_index, 0);
    return none;
}

static void *come_go_come(void *none) {
    uint64_t base;

    assert(moat_region_index_insert(&the_index, 1));
    moat_region_index_erase(&the_index, 1);
    assert(moat_region_index_insert(&the_index, 1));
    assert(moat_region_index_find_last(&the_index, 40, &base) && base == 1);
    return none;
}

int main(void) {
    uint64_t base;

    index_start(true);
    run((void *(*const[])(void *)){erase, come_go_come}, 2);
    assert(moat_region_index_find_next(&the_index, 0, &base) && base == 1);
    return 0;
}
