/* SPDX-License-Identifier: MIT */
/* lock: the holder's name is set after the bit and cleared before it, so it never lies for long
 * enough to matter: a thread only ever compares it with itself. */
#include "region/lock.h"

#include "os/os.h"
#include "region/fork.h"
#include "region/integrity.h"
#include "region/latch.h"

#include <stdatomic.h>

bool moat_region_held(const struct moat_region_ref *ref) {
    /* relaxed: a thread looks for its own name, which only it writes. */
    return atomic_load_explicit(&moat_region_extra(ref)->holder, memory_order_relaxed) ==
           moat_os_thread_token();
}

bool moat_region_lock_is_of(const struct moat_region_ref *ref, uintptr_t token) {
    /* relaxed: as in moat_region_held. */
    return atomic_load_explicit(&moat_region_extra(ref)->holder, memory_order_relaxed) == token;
}

static uint32_t abandoned_of(const struct moat_region_ref *ref) {
    /* A(abandon) */
    return atomic_load_explicit(&moat_region_extra(ref)->abandoned, memory_order_acquire);
}

static void set_holder(const struct moat_region_ref *ref, uintptr_t holder) {
    /* relaxed: as in moat_region_held. */
    atomic_store_explicit(&moat_region_extra(ref)->holder, holder, memory_order_relaxed);
}

static uint32_t depth_of(const struct moat_region_ref *ref) {
    /* relaxed: only the holder counts. */
    return atomic_load_explicit(&moat_region_extra(ref)->depth, memory_order_relaxed);
}

static void set_depth(const struct moat_region_ref *ref, uint32_t depth) {
    /* relaxed: only the holder counts. */
    atomic_store_explicit(&moat_region_extra(ref)->depth, depth, memory_order_relaxed);
}

enum moat_status moat_region_wait_locked(const struct moat_region_ref *ref,
                                         struct moat_queue *queue, struct moat_lock_wait *lock,
                                         uint32_t seen) {
    uint32_t abandoned = abandoned_of(ref);

    lock->ours = moat_region_held(ref);
    if (lock->ours)
        return MOAT_OK;
    if (lock->begun && lock->abandoned != abandoned)
        return MOAT_ABANDONED;
    lock->begun = true;
    lock->abandoned = abandoned;
    enum moat_status status = moat_region_wait(ref, queue, seen, 0);
    return !status && abandoned_of(ref) != abandoned ? MOAT_ABANDONED : status;
}

static enum moat_status lock_region(const struct moat_region_ref *ref,
                                    struct moat_patience *patience) {
    struct moat_queue queue = {patience, 0};
    struct moat_lock_wait lock = {0};
    enum moat_status status = MOAT_OK;
    uint32_t seen;

    if (!moat_region_verify(ref))
        return moat_latch_status();
    while (!status && !lock.ours) {
        switch (moat_life_lock(&ref->region->life, ref->generation, &seen)) {
        case MOAT_LIFE_OK:
            set_holder(ref, moat_os_thread_token());
            return moat_queue_leave(&queue, MOAT_OK);
        case MOAT_LIFE_GONE:
            return moat_queue_leave(&queue, MOAT_NOT_OURS);
        case MOAT_LIFE_LOCKED:
            status = moat_region_wait_locked(ref, &queue, &lock, seen);
            break;
        case MOAT_LIFE_CLOSING:
            status = moat_region_wait(ref, &queue, seen, 0);
            break;
        case MOAT_LIFE_BUSY:
            status = moat_region_drain(ref, &queue, seen);
            if (!status)
                set_holder(ref, moat_os_thread_token());
            else if (moat_life_unlock(&ref->region->life))
                moat_life_wake(&ref->region->life);
            return moat_queue_leave(&queue, status);
        }
    }
    if (lock.ours)
        set_depth(ref, depth_of(ref) + 1);
    return moat_queue_leave(&queue, status);
}

enum moat_status moat_region_lock(const struct moat_region_ref *ref,
                                  struct moat_patience *patience) {
    moat_fork_check();
    moat_held_push(ref->region, MOAT_LIFE_LOCKED_BIT);
    enum moat_status status = lock_region(ref, patience);
    moat_held_pop(ref->region);
    return status;
}

enum moat_status moat_region_unlock(const struct moat_region_ref *ref) {
    moat_fork_check();
    if (!moat_region_held(ref))
        return MOAT_NOT_OWNER;
    if (depth_of(ref) > 0) {
        set_depth(ref, depth_of(ref) - 1);
        return MOAT_OK;
    }
    set_holder(ref, 0);
    if (moat_life_unlock(&ref->region->life))
        moat_life_wake(&ref->region->life);
    return MOAT_OK;
}

static void clear(const struct moat_region_ref *ref) {
    set_holder(ref, 0);
    set_depth(ref, 0);
}

static void let_go(const struct moat_region_ref *ref) {
    set_depth(ref, 0);
    /* R(abandon) */
    atomic_fetch_add_explicit(&moat_region_extra(ref)->abandoned, 1, memory_order_release);
    if (moat_life_unlock(&ref->region->life))
        moat_life_wake(&ref->region->life);
}

bool moat_region_abandon(const struct moat_region_ref *ref) {
    uintptr_t own = moat_os_thread_token();
    /* R(end) */
    if (!atomic_compare_exchange_strong_explicit(&moat_region_extra(ref)->holder, &own, 0,
                                                 memory_order_release, memory_order_relaxed))
        return false;
    let_go(ref);
    return true;
}

void moat_region_take_lock(const struct moat_region_ref *ref) {
    if (!moat_life_locked(&ref->region->life))
        return;
    /* A(end) */
    (void)atomic_exchange_explicit(&moat_region_extra(ref)->holder, 0, memory_order_acquire);
    let_go(ref);
}

void moat_region_nudge(const struct moat_region_ref *ref) {
    if (moat_life_nudge(&ref->region->life))
        moat_life_wake(&ref->region->life);
}

void moat_region_forget_lock(const struct moat_region_ref *ref) {
    if (moat_life_locked(&ref->region->life))
        clear(ref);
}
