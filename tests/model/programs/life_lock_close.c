/* SPDX-License-Identifier: MIT */
/*
 * The holder of a lock works and closes, which ends the life; another, who wants to close it too,
 * never gets it while it is locked.
 *
 * Edges: lock, close.
 */
#include "tiny_futex.h"

static _Atomic uint64_t life = UINT64_C(1) << 32 | MOAT_LIFE_LOCKED_BIT;
static int page;

static void *holder(void *none) {
    uint32_t seen;

    page = 1;
    if (moat_life_close(&life, 1, true, &seen) == MOAT_LIFE_OK) {
        page = 2;
        moat_life_death(&life);
    }
    return none;
}

static void *closer(void *none) {
    uint32_t seen;
    enum moat_life_status status = moat_life_close(&life, 1, false, &seen);

    assert(status != MOAT_LIFE_OK && status != MOAT_LIFE_BUSY);
    if (status == MOAT_LIFE_GONE)
        assert(page == 2);
    return none;
}

int main(void) {
    run((void *(*const[])(void *)){holder, closer}, 2);
    assert(page == 2);
    return 0;
}
