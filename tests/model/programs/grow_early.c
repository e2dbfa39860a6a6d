/* SPDX-License-Identifier: MIT */
/*
 * An array that is still being filled does not grow, and none grows to another size than the next:
 * whoever came upon a line that nobody can bear would look for ever.
 */
#include <assert.h>

#include "one_shard.h"

#include "lockfree/region_table.c"
#include "lockfree/region_table_grow.c"
#include "lockfree/region_table_insert.c"

/* More lines than a call that grows moves first. */
enum { LOG2 = 5 };

static _Alignas(64) struct moat_region_line first[1 << LOG2], second[2 << LOG2], third[4 << LOG2];
static struct moat_region_table table;

int main(void) {
    const uint64_t seed[2] = {1, 2};

    moat_region_table_init(&table, seed, first, LOG2);
    assert(!moat_region_table_grow(&table, third, LOG2 + 2));
    assert(moat_region_table_grow(&table, second, LOG2 + 1));
    assert(!moat_region_table_grow(&table, third, LOG2 + 2));
    return 0;
}
