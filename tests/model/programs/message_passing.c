/* SPDX-License-Identifier: MIT */
/*
 * A record is filled, then its page is entered: who finds the page sees the record filled (edge
 * `publish`), and what is entered stays found.
 */
#include <assert.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "lockfree/region_table.c"
#include "lockfree/region_table_grow.c"
#include "lockfree/region_table_insert.c"

#define PAGE   5u
#define HANDLE 3u

static struct moat_region_table table;
static _Alignas(MOAT_TABLE_LINE_BYTES) struct moat_region_line lines[2];
static int record;

static void *inserter(void *unused) {
    record = 42;
    assert(moat_region_table_insert(&table, PAGE, HANDLE) == MOAT_TABLE_OK);
    return unused;
}

static void *finder(void *unused) {
    uint32_t handle = moat_region_table_find(&table, PAGE);

    assert(handle == 0 || handle == HANDLE);
    if (handle != 0)
        assert(record == 42);
    return unused;
}

int main(void) {
    static const uint64_t seed[2] = {7, 11};
    pthread_t thread[2];

    moat_region_table_init(&table, seed, lines, 1);
    pthread_create(&thread[0], NULL, inserter, NULL);
    pthread_create(&thread[1], NULL, finder, NULL);
    pthread_join(thread[0], NULL);
    pthread_join(thread[1], NULL);
    assert(moat_region_table_find(&table, PAGE) == HANDLE);
    return 0;
}
