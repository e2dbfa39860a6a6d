/* SPDX-License-Identifier: MIT */
/*
 * The last page under a word is erased, which clears the bits above, while another is entered under
 * the same word: whoever inserted it finds it, and so does everybody in the end.
 *
 * Edges: summary; rules 1 to 4.
 */
#include "tiny_index.h"

static void *erase(void *none) {
    moat_region_index_erase(&the_index, 0);
    return none;
}

static void *insert(void *none) {
    uint64_t base;

    assert(moat_region_index_insert(&the_index, 1));
    assert(moat_region_index_find_last(&the_index, 40, &base) && base == 1);
    return none;
}

int main(void) {
    uint64_t base;

    index_start(true);
    run((void *(*const[])(void *)){erase, insert}, 2);
    assert(moat_region_index_find_next(&the_index, 0, &base) && base == 1);
    assert(moat_region_index_find_last(&the_index, 40, &base) && base == 1);
    return 0;
}
