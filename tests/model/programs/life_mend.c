/* SPDX-License-Identifier: MIT */
/*
 * A child puts right what a thread of its parent held: it repairs the pages, then mends the word.
 * Meanwhile others want the stripe and the lock.
 *
 * Edges: mend (-> enter, lock, close).
 */
#include <assert.h>
#include <pthread.h>
#include <stddef.h>

#include "lockfree/region_life.c"

static _Atomic uint64_t life = UINT64_C(1) << 32 | MOAT_LIFE_LOCKED_BIT | 1; /* of the dead */
static int page;

static void *mend(void *none) {
    page = 1;
    moat_life_mend(&life, MOAT_LIFE_LOCKED_BIT | 1);
    return none;
}

static void *enter(void *none) {
    uint32_t seen;

    if (moat_life_enter(&life, 1, 1, false, &seen) == MOAT_LIFE_OK) {
        assert(page >= 1);
        page = 2;
        moat_life_leave(&life, 1);
    }
    return none;
}

static void *lock(void *none) {
    uint32_t seen;
    enum moat_life_status status = moat_life_lock(&life, 1, &seen);

    if (status == MOAT_LIFE_OK) {
        assert(page >= 1);
        page = 2;
    }
    if (status == MOAT_LIFE_OK || status == MOAT_LIFE_BUSY)
        moat_life_unlock(&life);
    return none;
}

int main(void) {
    pthread_t thread[3];

    pthread_create(&thread[0], NULL, mend, NULL);
    pthread_create(&thread[1], NULL, enter, NULL);
    pthread_create(&thread[2], NULL, lock, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    assert(page >= 1);
    return 0;
}
