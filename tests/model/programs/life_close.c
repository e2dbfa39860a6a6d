/* SPDX-License-Identifier: MIT */
/*
 * A thread works in a stripe while another closes, frees and gives the record its next life. Either
 * the worker is done before, and the closer sees what it did, or it is told to start over. Who
 * cannot wait rolls the close back.
 *
 * Edges: stripe (leave -> drained), close, birth (next life -> generation).
 */
#include <assert.h>
#include <pthread.h>
#include <stddef.h>

#include "lockfree/region_life.c"

static _Atomic uint64_t life = UINT64_C(1) << 32;
static int page = 1; /* which life it belongs to */

static void *work(void *none) {
    uint32_t generation = moat_life_generation(&life);
    uint32_t seen;

    if (moat_life_enter(&life, generation, 1, false, &seen) == MOAT_LIFE_OK) {
        assert(page == (int)generation);
        page = (int)generation;
        moat_life_leave(&life, 1);
    }
    return none;
}

static void *end(void *none) {
    uint32_t generation, seen;
    enum moat_life_status status = moat_life_close(&life, 1, false, &seen);

    if (status == MOAT_LIFE_BUSY)
        status = moat_life_drained(&life, &seen);
    if (status != MOAT_LIFE_OK) {
        moat_life_reopen(&life);
        return none;
    }
    page = 2;
    moat_life_death(&life);
    page = 3;
    moat_life_birth(&life, &generation);
    assert(generation == 3);
    return none;
}

int main(void) {
    pthread_t thread[2];

    pthread_create(&thread[0], NULL, work, NULL);
    pthread_create(&thread[1], NULL, end, NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    assert(moat_life_held(&life) == 0);
    assert(page == (int)moat_life_generation(&life));
    return 0;
}
