/* SPDX-License-Identifier: MIT */
/*
 * Two threads offer storage for the same growth: one's is taken, and whoever looks there sees it
 * cleared. The other keeps its own.
 *
 * Edges: grow.
 */
#include "plain_memory.h"
#include "tiny_table.h"

static struct moat_region_line offer[2][4];
static bool taken[2];

static bool grow(unsigned which) {
    for (unsigned i = 0; i < 2; i++)
        clear_plainly(&offer[which][i].meta, sizeof(offer[which][i].meta));
    return moat_region_table_grow(&table, offer[which], 2);
}

static void *grow_first(void *none) {
    taken[0] = grow(0);
    return none;
}

static void *grow_second(void *none) {
    taken[1] = grow(1);
    return none;
}

static void *look(void *none) {
    /* The loser of the race may have moved lines there meanwhile. */
    uint64_t array = moat_load_acquire(&table.current);

    if (array_lines_log2(array) == 2)
        assert(moat_load_relaxed(&moat_region_table_lines(array)[0].meta) != 7);
    return none;
}

int main(void) {
    for (unsigned i = 0; i < 2; i++) {
        atomic_init(&offer[i][0].meta, 7);
        atomic_init(&offer[i][1].meta, 7);
    }
    run((void *(*const[])(void *)){grow_first, grow_second, look}, 3);
    assert(taken[0] != taken[1]);
    return 0;
}
