/* SPDX-License-Identifier: MIT */
/*
 * Two threads want the same stripe: who holds it is alone with its pages, and who comes next sees
 * what was done there. A third one wants another stripe and is in nobody's way.
 *
 * Edges: stripe.
 */
#include <assert.h>
#include <pthread.h>
#include <stddef.h>

#include "lockfree/region_life.c"

static _Atomic uint64_t life = UINT64_C(1) << 32;
static int pages[2]; /* by stripe */

static void work(uint32_t stripe) {
    uint32_t seen;
    enum moat_life_status status = moat_life_enter(&life, 1, UINT32_C(1) << stripe, false, &seen);

    if (status == MOAT_LIFE_OK) {
        pages[stripe]++;
        moat_life_leave(&life, UINT32_C(1) << stripe);
    } else {
        assert(status == MOAT_LIFE_BUSY && stripe == 0);
        assert((seen & MOAT_LIFE_WAITERS_BIT) != 0);
    }
}

static void *first(void *none) {
    work(0);
    return none;
}

static void *second(void *none) {
    work(0);
    return none;
}

static void *other(void *none) {
    work(1);
    return none;
}

int main(void) {
    pthread_t thread[3];

    pthread_create(&thread[0], NULL, first, NULL);
    pthread_create(&thread[1], NULL, second, NULL);
    pthread_create(&thread[2], NULL, other, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    assert(pages[0] >= 1 && pages[1] == 1);
    assert(moat_life_held(&life) == 0);
    return 0;
}
