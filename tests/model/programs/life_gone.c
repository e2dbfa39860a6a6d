/* SPDX-License-Identifier: MIT */
/*
 * Who is told that a life is over sees all that was done before its end, as that its page is no
 * longer in the table: so to start over leads further.
 *
 * Edges: close (death -> enter, close, lock, generation).
 */
#include <assert.h>
#include <pthread.h>
#include <stddef.h>

#include "lockfree/region_life.c"

static _Atomic uint64_t life = UINT64_C(1) << 32 | MOAT_LIFE_CLOSING_BIT;
static int erased;

static void *death(void *none) {
    erased = 1;
    moat_life_death(&life);
    return none;
}

static void *enter(void *none) {
    uint32_t seen;

    if ((moat_life_generation(&life) & 1) == 0)
        assert(erased == 1);
    else if (moat_life_enter(&life, 1, 1, false, &seen) == MOAT_LIFE_GONE)
        assert(erased == 1);
    return none;
}

static void *close_or_lock(void *none) {
    uint32_t seen;

    if (moat_life_close(&life, 1, false, &seen) == MOAT_LIFE_GONE)
        assert(erased == 1);
    else if (moat_life_lock(&life, 1, &seen) == MOAT_LIFE_GONE)
        assert(erased == 1);
    return none;
}

int main(void) {
    pthread_t thread[3];

    pthread_create(&thread[0], NULL, death, NULL);
    pthread_create(&thread[1], NULL, enter, NULL);
    pthread_create(&thread[2], NULL, close_or_lock, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    assert(moat_life_generation(&life) == 2);
    return 0;
}
