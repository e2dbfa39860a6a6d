/* SPDX-License-Identifier: MIT */
/*
 * The holder of a lock works under it and unlocks; another enters as soon as he may, and a third,
 * who sees no lock without entering, sees the work too.
 *
 * Edges: lock (unlock -> enter, unlock -> locked).
 */
#include <assert.h>
#include <pthread.h>
#include <stddef.h>

#include "lockfree/region_life.c"

static _Atomic uint64_t life = UINT64_C(1) << 32 | MOAT_LIFE_LOCKED_BIT;
static int before, under;

static void *holder(void *none) {
    uint32_t seen;

    before = 1;
    assert(moat_life_enter(&life, 1, 1, true, &seen) == MOAT_LIFE_OK);
    under = 1;
    moat_life_leave(&life, 1);
    moat_life_unlock(&life);
    return none;
}

static void *other(void *none) {
    uint32_t seen;
    enum moat_life_status status = moat_life_enter(&life, 1, 1, false, &seen);

    assert(status == MOAT_LIFE_OK || status == MOAT_LIFE_LOCKED);
    if (status == MOAT_LIFE_OK) {
        assert(under == 1);
        moat_life_leave(&life, 1);
    }
    return none;
}

static void *onlooker(void *none) {
    if (!moat_life_locked(&life))
        assert(before == 1);
    if (moat_life_held(&life) == 0)
        assert(under == 1);
    return none;
}

int main(void) {
    pthread_t thread[3];

    pthread_create(&thread[0], NULL, holder, NULL);
    pthread_create(&thread[1], NULL, other, NULL);
    pthread_create(&thread[2], NULL, onlooker, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    assert(moat_life_held(&life) == 0);
    return 0;
}
