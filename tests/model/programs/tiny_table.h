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
 * It begins as it is by static initialisers: a checker that explores all executions pays for each
 * step, and main's are part of all of them.
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

/* Which: 1 to 7; first: 0 to 3. */
#define PAGE(line, first, which) ((uint64_t)(line) << 6 | (uint64_t)(first) << 3 | (which))

/* A line with this in all slots, and this meta word. */
#define LINE(slots, meta)                                                                          \
    { {(slots), (slots), (slots), (slots), (slots), (slots), (slots)}, (meta) }

/* The two lines there are, and those of the array that follows; tiny_growth.h has others. */
#ifndef PARENT_LINE
#define PARENT_LINE LINE(EMPTY, MOAT_TABLE_BORN)
#define CHILD_LINE  LINE(0, 0)
#define CHILD       NULL
#endif

#define ARRAY_OF(storage, log2, all_born)                                                          \
    {                                                                                              \
        .lines = (uint64_t)(uintptr_t)(storage),                                                   \
        .mask = (UINT64_C(64) << (log2)) - 64 + MOAT_TABLE_FIRST_MASK, .lines_log2 = (log2),       \
        .settled = (all_born)                                                                      \
    }
#define ARRAY_WORD(log2, all_born) ((uint64_t)(uintptr_t)&table.array[log2][all_born])

static _Alignas(64) struct moat_region_line parent[2] = {PARENT_LINE, PARENT_LINE};
static _Alignas(64) struct moat_region_line child[4] = {CHILD_LINE, CHILD_LINE, CHILD_LINE,
                                                        CHILD_LINE};
static struct moat_region_table table = {
    .seed = {1, UINT64_C(1) << MOAT_TABLE_HASH_SHIFT},
    .current = ARRAY_WORD(1, true),
    .settled = ARRAY_WORD(1, true),
    .array = {[1] = {ARRAY_OF(parent, 1, false), ARRAY_OF(parent, 1, true)},
              [2] = {ARRAY_OF(CHILD, 2, false), ARRAY_OF(CHILD, 2, true)}},
    .retiring = UINT64_C(1) << 32,
};

/* For main, before there are threads. */
static inline void store(_Atomic uint64_t *at, uint64_t value) {
    atomic_init(at, value);
}

static inline void line_fill(struct moat_region_line *line, uint64_t word) {
    for (unsigned i = 0; i < MOAT_TABLE_SLOTS; i++)
        store(&line->slot[i], word);
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
