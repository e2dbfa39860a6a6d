/* SPDX-License-Identifier: MIT */
/*
 * tiny_table: a table of two lines, and what a test wants to find in it.
 *
 * The seed is such that the hash of a page is the page itself. So a page says where it lies:
 *
 *     bits 6 ..   home line: 6 of two lines, 6 and 7 of four
 *     bits 3, 4   the first of the slots that it prefers: f, f + 1 and f + 3
 *     bits 0 - 2  which of those it is
 *
 * The lines are filled by hand, without an atomic step more than needed: a checker that explores
 * all executions pays for each.
 *
 * Easy to get wrong: include this before any other header of src/lockfree.
 */
#ifndef MOAT_TESTS_MODEL_PROGRAMS_TINY_TABLE_H
#define MOAT_TESTS_MODEL_PROGRAMS_TINY_TABLE_H

#include <assert.h>
#include <pthread.h>
#include <stddef.h>

#include "one_shard.h"

#include "lockfree/region_table.c"
#include "lockfree/region_table_grow.c"
#include "lockfree/region_table_insert.c"

#define LINES_MAX 4

/* Which: 1 to 7; first: 0 to 3. */
#define PAGE(line, first, which) ((uint64_t)(line) << 6 | (uint64_t)(first) << 3 | (which))

static struct moat_region_table table;
static _Alignas(64) struct moat_region_line parent[2], child[LINES_MAX];

static void store(_Atomic uint64_t *at, uint64_t value) {
    /* relaxed: no other thread runs yet. */
    atomic_store_explicit(at, value, memory_order_relaxed);
}

/* An array that the threads may meet. */
static void array_start(unsigned lines_log2, struct moat_region_line *lines) {
    for (unsigned settled = 0; settled < 2; settled++) {
        struct moat_region_array *array = &table.array[lines_log2][settled];

        if (lines)
            store(&array->lines, (uint64_t)(uintptr_t)lines);
        array->mask = (UINT64_C(64) << lines_log2) - 64 + MOAT_TABLE_FIRST_MASK;
        array->lines_log2 = lines_log2;
        array->settled = settled;
    }
}

static void line_start(struct moat_region_line *line) {
    for (unsigned i = 0; i < MOAT_TABLE_SLOTS; i++)
        store(&line->slot[i], EMPTY);
    store(&line->meta, MOAT_TABLE_BORN);
}

/* A settled table of two lines, both empty; four lines may follow. */
static void table_start(void) {
    table.seed[0] = 1;
    table.seed[1] = UINT64_C(1) << MOAT_TABLE_HASH_SHIFT;
    array_start(1, parent);
    array_start(2, NULL);
    line_start(&parent[0]);
    line_start(&parent[1]);
    store(&table.retiring, UINT64_C(1) << 32);
    store(&table.settled, array_word(&table, 1, true));
    store(&table.current, array_word(&table, 1, true));
}

/* Run up to three threads to their ends. */
static void run(void *(*const body[])(void *), unsigned count) {
    pthread_t thread[3];

    for (unsigned i = 0; i < count; i++)
        pthread_create(&thread[i], NULL, body[i], NULL);
    for (unsigned i = 0; i < count; i++)
        pthread_join(thread[i], NULL);
}

#endif
