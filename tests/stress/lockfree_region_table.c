/* SPDX-License-Identifier: MIT */
/*
 * Threads insert, find and erase through growth after growth, while old arrays are cleared under
 * them. Records are plain memory, so under ThreadSanitizer a missing edge is a report; a page with
 * two winners of an erase, a lost entry or a wrong handle is a failure anywhere.
 *
 * Usage: lockfree_region_table [inserts per thread] [threads]
 */
#include "lockfree/region_table.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MAX 16
#define LIVE        512 /* entries that a thread keeps */

struct record {
    uint64_t page; /* plain: written before the insert, read by whoever finds the handle */
};

static struct moat_region_table table;
static struct record *records;
static unsigned long inserts = 100000;
static unsigned threads = 4;
static _Atomic unsigned long wins, erased, failures, growths, cleared;

static void fail(const char *what) {
    if (atomic_fetch_add(&failures, 1) < 10)
        fprintf(stderr, "FAIL: %s\n", what);
}

static void grow(void) {
    unsigned lines_log2 = moat_region_table_lines_log2(&table) + 1;
    size_t size = (size_t)MOAT_TABLE_LINE_BYTES << lines_log2;
    void *lines = aligned_alloc(MOAT_TABLE_LINE_BYTES, size);

    if (lines && moat_region_table_grow(&table, memset(lines, 0, size), lines_log2))
        atomic_fetch_add(&growths, 1);
    else
        free(lines);
}

/* What dropping its pages does to an old array, in a way that ThreadSanitizer understands. */
static void clear_retired(void) {
    void *lines;
    size_t size;

    while (moat_region_table_take_retired(&table, &lines, &size)) {
        _Atomic uint64_t *word = lines;

        for (size_t i = 0; i < size / sizeof(*word); i++)
            atomic_store_explicit(&word[i], 0, memory_order_relaxed);
        atomic_fetch_add(&cleared, 1);
    }
}

static void insert(uint64_t page, uint32_t handle) {
    records[handle].page = page;
    while (moat_region_table_insert(&table, page, handle) != MOAT_TABLE_OK)
        grow();
    if (moat_region_table_wants_growth(&table))
        grow();
    clear_retired();
}

static void check_find(uint64_t page, uint32_t expected) {
    uint32_t handle = moat_region_table_find(&table, page);

    if (handle != 0 && records[handle].page != page)
        fail("a handle of another page");
    if (expected != 0 && handle != expected)
        fail("an entry of this thread is not found");
}

/* Pages of all threads share lines; handles are used once, so that records are never rewritten. */
static uint64_t page_of(uint32_t handle) {
    return 0x1000 + (uint64_t)handle * 16;
}

static void *run(void *argument) {
    unsigned self = (unsigned)(uintptr_t)argument;
    uint32_t first = (uint32_t)(self * inserts + 1);
    uint64_t random = 88172645463325252 + self;

    for (uint32_t i = 0; i < inserts; i++) {
        uint32_t handle = first + i;

        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        insert(page_of(handle), handle);
        check_find(page_of(handle), handle);
        check_find(page_of((uint32_t)(random % (threads * inserts)) + 1), 0);
        if (i >= LIVE && (i / 4096) % 2 == 0) {
            uint32_t old = handle - LIVE;

            if (moat_region_table_erase(&table, page_of(old), old))
                atomic_fetch_add(&erased, 1);
            check_find(page_of(old), 0);
        }
    }
    return NULL;
}

/* All threads erase the same entries, each from its own start: one winner each. */
static void *race(void *argument) {
    unsigned self = (unsigned)(uintptr_t)argument;
    uint32_t count = (uint32_t)(threads * inserts);

    for (uint32_t i = 0; i < count; i++) {
        uint32_t handle = (i + self * 37) % count + 1;

        if (moat_region_table_erase(&table, page_of(handle), handle))
            atomic_fetch_add(&wins, 1);
    }
    return NULL;
}

static void in_all_threads(void *(*body)(void *)) {
    pthread_t thread[THREADS_MAX];

    for (uintptr_t i = 0; i < threads; i++) {
        if (pthread_create(&thread[i], NULL, body, (void *)i) != 0)
            abort();
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
}

int main(int argc, char **argv) {
    static const uint64_t seed[2] = {3, 4};
    size_t size = (size_t)MOAT_TABLE_LINE_BYTES << 1;
    void *lines = aligned_alloc(MOAT_TABLE_LINE_BYTES, size);

    if (argc > 1)
        inserts = strtoul(argv[1], NULL, 10);
    if (argc > 2)
        threads = (unsigned)strtoul(argv[2], NULL, 10);
    if (!lines || threads == 0 || threads > THREADS_MAX ||
        inserts * threads >= MOAT_TABLE_HANDLE_MAX)
        return 2;
    records = calloc(inserts * threads + 1, sizeof(*records));
    if (!records)
        return 2;
    moat_region_table_init(&table, seed, memset(lines, 0, size), 1);

    in_all_threads(run);
    unsigned long live = threads * inserts - erased;

    if (moat_region_table_live(&table) != live)
        fail("the number of live entries is wrong");
    in_all_threads(race);
    if (wins != live)
        fail("not every entry had exactly one winner");
    if (moat_region_table_live(&table) != 0)
        fail("something is left");
    clear_retired();
    printf("%lu inserts, %lu erased, %lu won, %lu growths, %lu arrays cleared, %lu failures\n",
           threads * inserts, erased, wins, growths, cleared, failures);
    return failures != 0;
}
