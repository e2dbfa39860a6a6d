/* SPDX-License-Identifier: MIT */
/*
 * shared: regions that every thread works on, locks and releases at any moment, with deadlines that
 * pass and waits that are called off. What each call may answer is known; its content is nobody's.
 */
#include "others.h"
#include "refuse.h"

#include <moat/lock.h>
#include <moat/pressure.h>
#include <moat/space.h>

enum { SIZE = 5 << 20 };

/* A slot holds a base and, below it, a number drawn for this life of it: whoever clears a slot must
 * not mean an earlier region at that address. */
static uintptr_t base_of(uintptr_t slot) {
    return slot / GRANULE * GRANULE;
}

#define WAITS (SET(MOAT_TIMEOUT) | SET(MOAT_ABANDONED))

static void reserve(struct thread *self, _Atomic uintptr_t *slot) {
    uint32_t flags = soak_chance(&self->random, 2) ? MOAT_RESERVE_COMMIT : 0;
    uintptr_t none = 0;
    void *base;
    enum moat_status status = CALL(
        self, moat_reserve(world.meeting_place, NULL, SIZE, MOAT_PAGE_READWRITE, flags, &base));

    soak_answered(ACT_SHARED, status, ONLY_OK | SET(MOAT_TIMEOUT), MANAGERS);
    if (status || atomic_compare_exchange_strong(
                      slot, &none, (uintptr_t)base + soak_below(&self->random, GRANULE)))
        return;
    /* Somebody else was faster. Nobody knows of ours, unless by an old address. */
    do {
        status = CALL(self, moat_release(world.meeting_place, base));
        soak_answered(ACT_SHARED, status,
                      ONLY_OK | SET(MOAT_NOT_OURS) | SET(MOAT_NOT_OWNER) | WAITS, MANAGERS);
    } while (status != MOAT_OK && status != MOAT_NOT_OURS);
}

static void release(struct thread *self, _Atomic uintptr_t *slot, uintptr_t held) {
    void *base = (void *)base_of(held);
    enum moat_status status = CALL(self, moat_release(world.meeting_place, base));

    soak_answered(ACT_SHARED, status, ONLY_OK | SET(MOAT_NOT_OURS) | SET(MOAT_NOT_OWNER) | WAITS,
                  MANAGERS);
    if (status == MOAT_OK || status == MOAT_NOT_OURS)
        (void)atomic_compare_exchange_strong(slot, &held, 0);
}

static void work(struct thread *self, uintptr_t base) {
    size_t first = soak_below(&self->random, SIZE / PAGE);
    size_t count = 1 + soak_below(&self->random, (uint32_t)(SIZE / PAGE - first));
    void *at = (void *)(base + first * PAGE);
    struct moat_manager *manager = world.meeting_place;
    enum moat_status status;
    uint32_t old;

    switch (soak_below(&self->random, 3)) {
    case 0:
        status = CALL(self, moat_commit(manager, at, count * PAGE, MOAT_PAGE_READWRITE, NULL));
        soak_answered(ACT_SHARED, status, ONLY_OK | SET(MOAT_INVALID_ADDRESS) | WAITS, MANAGERS);
        return;
    case 1:
        status = CALL(self, moat_decommit(manager, at, count * PAGE));
        /* Where the region has gone another may lie, which begins before it. */
        soak_answered(ACT_SHARED, status,
                      ONLY_OK | SET(MOAT_NOT_OURS) | SET(MOAT_LEAVES_REGION) | WAITS, MANAGERS);
        return;
    default:
        status = CALL(self, moat_protect(manager, at, count * PAGE, MOAT_PAGE_READWRITE, &old));
        /* Where the region has gone, memory of others may come and go under the call. */
        soak_answered(ACT_SHARED, status,
                      ONLY_OK | SET(MOAT_INVALID_ADDRESS) | SET(MOAT_NO_MEMORY) | WAITS, MANAGERS);
    }
}

/* Who holds the lock is alone: nothing but a lack of memory is in its way. */
static void lock(struct thread *self, _Atomic uintptr_t *slot, uintptr_t held) {
    uintptr_t base = base_of(held);
    struct moat_manager *manager = world.meeting_place;
    enum moat_status status = CALL(self, moat_lock(manager, (void *)base));

    soak_answered(ACT_LOCK, status, ONLY_OK | SET(MOAT_NOT_OURS) | WAITS, MANAGERS);
    if (status)
        return;
    status = CALL(self, moat_commit(manager, (void *)base, PAGE, MOAT_PAGE_READWRITE, NULL));
    soak_answered(ACT_SHARED, status, ONLY_OK, MANAGERS);
    if (!status)
        *(volatile unsigned char *)base = 's';
    if (soak_chance(&self->random, 3)) {
        status = CALL(self, moat_release(manager, (void *)base));
        /* Where the region has gone another may lie that began before it, and be locked now. */
        soak_answered(ACT_SHARED, status, ONLY_OK | SET(MOAT_NOT_OURS), MANAGERS);
        if (!status) {
            (void)atomic_compare_exchange_strong(slot, &held, 0);
            return;
        }
    }
    soak_answered(ACT_UNLOCK, moat_unlock(manager, (void *)base), ONLY_OK, MANAGERS);
}

void shared_act(struct thread *self) {
    _Atomic uintptr_t *slot = &world.shared[soak_below(&self->random, SHARED)];
    uintptr_t held = atomic_load(slot);
    unsigned what = soak_below(&self->random, 8);

    if (!held)
        reserve(self, slot);
    else if (what == 0)
        release(self, slot, held);
    else if (what < 3)
        lock(self, slot, held);
    else
        work(self, base_of(held));
}

void shared_end(void) {
    for (unsigned i = 0; i < SHARED; i++) {
        uintptr_t base = base_of(atomic_exchange(&world.shared[i], 0));

        /* Of one that was released by its address in another slot only the slot is left. */
        if (base)
            soak_answered(ACT_RELEASE, moat_release(world.meeting_place, (void *)base),
                          ONLY_OK | SET(MOAT_NOT_OURS), MANAGERS);
    }
}

void managers_act(struct thread *self) {
    unsigned which = soak_below(&self->random, MANAGERS);
    struct moat_memory_load load;
    size_t given;
    enum moat_status status;

    switch (soak_below(&self->random, 8)) {
    case 0:
        status = CALL(self, moat_trim(NULL, 0, &given));
        soak_answered(ACT_TRIM, status, ONLY_OK | SET(MOAT_NO_MEMORY), MANAGERS);
        return;
    case 1:
    case 2:
        moat_cancel_waits(world.meeting_place);
        return;
    case 3:
        soak_answered(ACT_PRESSURE, moat_memory_load_read(world.manager[which], &load), ONLY_OK,
                      MANAGERS);
        return;
    default:
        status = CALL(self, moat_flush(world.manager[which]));
        soak_answered(ACT_FLUSH, status, ONLY_OK, MANAGERS);
    }
}
