/* SPDX-License-Identifier: MIT */
/*
 * Two threads close a region that a third works in. One goes on, the other is told; whoever was
 * alone with the region and rolls its close back hands on what it did.
 *
 * Edges: close (reopen -> close, reopen -> enter), stripe (leave -> close).
 */
#include <assert.h>
#include <pthread.h>
#include <stddef.h>

#include "lockfree/region_life.c"

static _Atomic uint64_t life = UINT64_C(1) << 32;
static int page;

static void *close_and_reopen(void *none) {
    uint32_t seen;
    enum moat_life_status status = moat_life_close(&life, 1, false, &seen);

    assert(status != MOAT_LIFE_GONE && status != MOAT_LIFE_LOCKED);
    if (status == MOAT_LIFE_CLOSING)
        return none;
    if (status == MOAT_LIFE_BUSY)
        status = moat_life_drained(&life, &seen);
    if (status == MOAT_LIFE_OK)
        page++;
    moat_life_reopen(&life);
    return none;
}

static void *work(void *none) {
    uint32_t seen;
    enum moat_life_status status = moat_life_enter(&life, 1, 1, false, &seen);

    assert(status == MOAT_LIFE_OK || status == MOAT_LIFE_CLOSING);
    if (status == MOAT_LIFE_OK) {
        page++;
        moat_life_leave(&life, 1);
    }
    return none;
}

int main(void) {
    pthread_t thread[3];

    pthread_create(&thread[0], NULL, close_and_reopen, NULL);
    pthread_create(&thread[1], NULL, close_and_reopen, NULL);
    pthread_create(&thread[2], NULL, work, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    assert(page >= 1);
    assert(moat_life_held(&life) == 0);
    return 0;
}
