/* SPDX-License-Identifier: MIT */
/*
 * Two threads give a record each, a third takes both from under each other: it sees each as it was
 * left.
 *
 * Edges: recycle, for what lies below the top.
 */
#include <assert.h>
#include <pthread.h>
#include <stddef.h>

#include "one_shard.h"

#include "lockfree/record_pool.c"

static struct {
    _Atomic uint32_t link;
    uint32_t left;
} record[3];
static struct moat_record_pool pool = {
    .links = (char *)&record[0].link, .stride = sizeof(record[0]), .dealt = 2, .available = 2};

static void *give_first(void *none) {
    record[1].left = 1;
    moat_record_pool_give(&pool, 1);
    return none;
}

static void *give_second(void *none) {
    record[2].left = 1;
    moat_record_pool_give(&pool, 2);
    return none;
}

static void *take(void *none) {
    for (int i = 0; i < 2; i++) {
        uint32_t index = moat_record_pool_take(&pool);

        if (index != 0)
            assert(record[index].left == 1);
    }
    return none;
}

int main(void) {
    pthread_t thread[3];

    pthread_create(&thread[0], NULL, give_first, NULL);
    pthread_create(&thread[1], NULL, give_second, NULL);
    pthread_create(&thread[2], NULL, take, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    return 0;
}
