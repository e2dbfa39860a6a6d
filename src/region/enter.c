/* SPDX-License-Identifier: MIT */
/* enter: taking stripes, and closing: waits on the life word. */
#include "region/fork.h"
#include "region/integrity.h"
#include "region/latch.h"
#include "region/lock.h"
#include "region/region.h"

/* One bit a block, folded into the stripes there are. */
static uint32_t stripes_of(uintptr_t start, uintptr_t end) {
    uintptr_t first = start >> MOAT_BLOCK_SHIFT;
    uintptr_t last = (end - 1) >> MOAT_BLOCK_SHIFT;
    uint32_t stripes = 0;

    if (last - first >= MOAT_LIFE_STRIPES)
        return MOAT_LIFE_STRIPES_ALL;
    for (uintptr_t block = first; block <= last; block++)
        stripes |= UINT32_C(1) << (block % MOAT_LIFE_STRIPES);
    return stripes;
}

enum moat_status moat_region_wait(const struct moat_region_ref *ref, struct moat_queue *queue,
                                  uint32_t seen, uint32_t kept) {
    uint32_t before = moat_held_wait(ref->region, kept);
    enum moat_status status = MOAT_OK;

    /* In a child that a handler forked, what is waited for may be held by nobody. */
    if (moat_fork_pending())
        moat_fork_mend();
    else
        status = moat_queue_wait(queue, &ref->region->life, seen);
    moat_held_resume(ref->region, before);
    return status;
}

static enum moat_status take_stripes(const struct moat_region_ref *ref, uint32_t stripes,
                                     struct moat_queue *queue) {
    struct moat_lock_wait lock = {.ours = queue->patience->past_lock};
    enum moat_status status = MOAT_OK;
    uint32_t seen;

    while (!status) {
        switch (moat_life_enter(&ref->region->life, ref->generation, stripes, lock.ours, &seen)) {
        case MOAT_LIFE_OK:
            return MOAT_OK;
        case MOAT_LIFE_GONE:
            return MOAT_NOT_OURS;
        case MOAT_LIFE_LOCKED:
            status = moat_region_wait_locked(ref, queue, &lock, seen);
            break;
        case MOAT_LIFE_BUSY:
        case MOAT_LIFE_CLOSING:
            status = moat_region_wait(ref, queue, seen, 0);
        }
    }
    return status;
}

enum moat_status moat_region_enter(const struct moat_region_ref *ref, uintptr_t start,
                                   uintptr_t end, struct moat_patience *patience,
                                   uint32_t *stripes) {
    struct moat_queue queue = {patience, 0};

    moat_fork_check();
    if (!moat_region_verify(ref))
        return moat_latch_status();
    *stripes = stripes_of(start, end);
    moat_held_push(ref->region, *stripes);
    enum moat_status status = moat_queue_leave(&queue, take_stripes(ref, *stripes, &queue));
    if (status)
        moat_held_pop(ref->region);
    if (status || moat_region_verify_pages(ref, start, end))
        return status;
    moat_region_leave(ref, *stripes);
    return moat_latch_status();
}

bool moat_region_mine(const struct moat_region_ref *ref, uintptr_t start, uintptr_t end) {
    return moat_held_here(ref->region, stripes_of(start, end));
}

void moat_region_leave(const struct moat_region_ref *ref, uint32_t stripes) {
    if (moat_life_leave(&ref->region->life, stripes))
        moat_life_wake(&ref->region->life);
    moat_held_pop(ref->region);
}

enum moat_status moat_region_drain(const struct moat_region_ref *ref, struct moat_queue *queue,
                                   uint32_t seen) {
    enum moat_status status;
    do
        status = moat_region_wait(ref, queue, seen, ~MOAT_LIFE_STRIPES_ALL);
    while (!status && moat_life_drained(&ref->region->life, &seen) == MOAT_LIFE_BUSY);
    return status;
}

static void reopen(const struct moat_region_ref *ref) {
    if (moat_life_reopen(&ref->region->life))
        moat_life_wake(&ref->region->life);
}

static enum moat_status become_alone(const struct moat_region_ref *ref, struct moat_queue *queue) {
    enum moat_status status = MOAT_OK;
    bool holder = false;
    uint32_t seen;

    while (!status) {
        switch (moat_life_close(&ref->region->life, ref->generation, holder, &seen)) {
        case MOAT_LIFE_OK:
            return MOAT_OK;
        case MOAT_LIFE_GONE:
            return MOAT_NOT_OURS;
        case MOAT_LIFE_LOCKED:
            holder = moat_region_held(ref);
            status = holder ? MOAT_OK : MOAT_NOT_OWNER;
            break;
        case MOAT_LIFE_CLOSING:
            status = moat_region_wait(ref, queue, seen, 0);
            break;
        case MOAT_LIFE_BUSY:
            status = moat_region_drain(ref, queue, seen);
            if (status)
                reopen(ref);
            return status;
        }
    }
    return status;
}

enum moat_status moat_region_close(const struct moat_region_ref *ref,
                                   struct moat_patience *patience) {
    struct moat_queue queue = {patience, 0};

    moat_fork_check();
    if (!moat_region_verify(ref))
        return moat_latch_status();
    moat_held_push(ref->region, MOAT_LIFE_STRIPES_ALL | MOAT_LIFE_CLOSING_BIT);
    enum moat_status status = moat_queue_leave(&queue, become_alone(ref, &queue));
    if (status)
        moat_held_pop(ref->region);
    if (status || moat_region_verify_closed(ref))
        return status;
    moat_region_reopen(ref);
    return moat_latch_status();
}

void moat_region_reopen(const struct moat_region_ref *ref) {
    reopen(ref);
    moat_held_pop(ref->region);
}
