/* SPDX-License-Identifier: MIT */
/*
 * One record goes from hand to hand between two threads: never in both, and whoever takes it sees
 * it as it was left.
 *
 * Edges: recycle.
 */
#include <assert.h>
#include <pthread.h>
#include <stddef.h>

#include "one_shard.h"

#include "lockfree/record_pool.c"

static struct {
    _Atomic uint32_t link;
    uint32_t uses;
} record[2];
static struct moat_record_pool pool = {.links = (char *)&record[0].link,
                                       .stride = sizeof(record[0]),
                                       .dealt = 1,
                                       .available = 1,
                                       .shard[0].head = 1};

static void *use(void *none) {
    uint32_t index = moat_record_pool_take(&pool);

    if (index != 0) {
        record[index].uses++;
        moat_record_pool_give(&pool, index);
    }
    return none;
}

int main(void) {
    pthread_t thread[3];

    for (int i = 0; i < 3; i++)
        pthread_create(&thread[i], NULL, use, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    assert(record[1].uses >= 1);
    assert(moat_record_pool_take(&pool) == 1);
    assert(moat_record_pool_take(&pool) == 0);
    return 0;
}
