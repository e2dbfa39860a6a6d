/* SPDX-License-Identifier: MIT */
/*
 * Two growths end while a thread asks for the array between them: it gets its lines.
 *
 * Edges: settle.
 */
#include "tiny_growth.h"

static void *settle_twice(void *none) {
    settle(&table, array_word(&table, 1, true), array_word(&table, 2, false));
    moat_store_release(&table.current, array_word(&table, 3, false));
    settle(&table, array_word(&table, 2, true), array_word(&table, 3, false));
    return none;
}

static void *ask(void *none) {
    void *lines;
    size_t size;

    if (moat_region_table_take_retired(&table, &lines, &size))
        assert(lines == child);
    return none;
}

int main(void) {
    table.array[3][0].lines_log2 = table.array[3][1].lines_log2 = 3;
    store(&table.array[2][true].lines, 0);
    store(&table.current, array_word(&table, 2, false));
    store(&table.retiring, UINT64_C(2) << 32);
    run((void *(*const[])(void *)){settle_twice, ask}, 2);
    return 0;
}
