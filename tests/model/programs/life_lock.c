/* SPDX-License-Identifier: MIT */
/*
 * Two threads want the lock while a third works in a stripe. Who holds the lock, and found the
 * stripes free, is alone with the region; who cannot wait unlocks, which rolls the try back.
 *
 * Edges: lock (unlock -> enter, unlock -> lock), stripe (leave -> lock, leave -> drained).
 */
#include <assert.h>
#include <pthread.h>
#include <stddef.h>

#include "lockfree/region_life.c"

static _Atomic uint64_t life = UINT64_C(1) << 32;
static int page;

static void *lock(void *none) {
    uint32_t seen;
    enum moat_life_status status = moat_life_lock(&life, 1, &seen);

    assert(status == MOAT_LIFE_OK || status == MOAT_LIFE_BUSY || status == MOAT_LIFE_LOCKED);
    if (status == MOAT_LIFE_LOCKED)
        return none;
    if (status == MOAT_LIFE_BUSY)
        status = moat_life_drained(&life, &seen);
    if (status == MOAT_LIFE_OK)
        page++;
    moat_life_unlock(&life);
    return none;
}

static void *work(void *none) {
    uint32_t seen;
    enum moat_life_status status = moat_life_enter(&life, 1, 1, false, &seen);

    assert(status == MOAT_LIFE_OK || status == MOAT_LIFE_LOCKED);
    if (status == MOAT_LIFE_OK) {
        page++;
        moat_life_leave(&life, 1);
    }
    return none;
}

int main(void) {
    pthread_t thread[3];

    pthread_create(&thread[0], NULL, lock, NULL);
    pthread_create(&thread[1], NULL, lock, NULL);
    pthread_create(&thread[2], NULL, work, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    assert(page >= 1);
    assert(moat_life_held(&life) == 0);
    return 0;
}
