/* SPDX-License-Identifier: MIT */
/*
 * Storage is prepared, then the bound is raised, by two threads at once: whoever is dealt a fresh
 * index finds its storage prepared, and no index is dealt twice.
 *
 * Edges: extend.
 */
#include <assert.h>
#include <pthread.h>
#include <stddef.h>

#include "one_shard.h"

#include "lockfree/record_pool.c"

static struct {
    _Atomic uint32_t link;
    uint32_t prepared;
} record[3];
static struct moat_record_pool pool = {.links = (char *)&record[0].link,
                                       .stride = sizeof(record[0])};
static uint32_t kept[2];

/* Each prepares what is its own, so a bound of 2 is raised after a bound of 1 was seen. */
static void *extend(void *none) {
    record[1].prepared = 1;
    moat_record_pool_extend(&pool, 1);
    return none;
}

static void *extend_further(void *none) {
    if (moat_record_pool_available(&pool) == 1) {
        record[2].prepared = 1;
        moat_record_pool_extend(&pool, 2);
    }
    kept[0] = moat_record_pool_take(&pool);
    assert(kept[0] == 0 || record[kept[0]].prepared == 1);
    return none;
}

static void *take(void *none) {
    kept[1] = moat_record_pool_take(&pool);
    assert(kept[1] == 0 || record[kept[1]].prepared == 1);
    return none;
}

int main(void) {
    pthread_t thread[3];

    pthread_create(&thread[0], NULL, extend, NULL);
    pthread_create(&thread[1], NULL, extend_further, NULL);
    pthread_create(&thread[2], NULL, take, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    assert(kept[0] == 0 || kept[0] != kept[1]);
    return 0;
}
