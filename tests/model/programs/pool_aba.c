/* SPDX-License-Identifier: MIT */
/*
 * While a thread is about to take the top of a stack, another takes it and what lies below, and
 * gives the top back: the first must not make the one below the top, which is in use.
 *
 * Edges: recycle; the count in the head.
 */
#include <assert.h>
#include <pthread.h>
#include <stddef.h>

#include "one_shard.h"

#include "lockfree/record_pool.c"

/* 1 lies above 2. */
static struct {
    _Atomic uint32_t link;
    uint32_t uses;
} record[3] = {[1].link = 2};
static struct moat_record_pool pool = {.links = (char *)&record[0].link,
                                       .stride = sizeof(record[0]),
                                       .dealt = 2,
                                       .available = 2,
                                       .shard[0].head = 1};
static uint32_t kept[2][2];

/* A record in two hands at once is a data race. */
static uint32_t take(void) {
    uint32_t index = moat_record_pool_take(&pool);

    if (index != 0)
        record[index].uses++;
    return index;
}

static void *take_one(void *none) {
    kept[0][0] = take();
    return none;
}

static void *take_two_give_one(void *none) {
    uint32_t top = take();

    kept[1][0] = take();
    if (top != 0) {
        moat_record_pool_give(&pool, top);
        kept[1][1] = take();
    }
    return none;
}

int main(void) {
    pthread_t thread[2];

    pthread_create(&thread[0], NULL, take_one, NULL);
    pthread_create(&thread[1], NULL, take_two_give_one, NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    assert(kept[1][0] == 0 || kept[1][0] != kept[1][1]);
    assert(kept[0][0] == 0 || (kept[0][0] != kept[1][0] && kept[0][0] != kept[1][1]));
    return 0;
}
