/* SPDX-License-Identifier: MIT */
/*
 * Two threads raise the bound, one of them further: the further one counts in the end, whoever
 * comes last.
 *
 * Edges: none; a number.
 */
#include <assert.h>
#include <pthread.h>
#include <stddef.h>

#include "one_shard.h"

#include "lockfree/record_pool.c"

static struct { _Atomic uint32_t link; } record[3];
static struct moat_record_pool pool = {.links = (char *)&record[0].link,
                                       .stride = sizeof(record[0])};

static void *extend(void *none) {
    moat_record_pool_extend(&pool, 1);
    return none;
}

static void *extend_further(void *none) {
    moat_record_pool_extend(&pool, 2);
    return none;
}

int main(void) {
    pthread_t thread[2];

    pthread_create(&thread[0], NULL, extend, NULL);
    pthread_create(&thread[1], NULL, extend_further, NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    assert(moat_record_pool_available(&pool) == 2);
    return 0;
}
