/* SPDX-License-Identifier: MIT */
/*
 * region: the record of one region, and how threads come to work on it.
 *
 *   free -> (filled, alive) -> published -> [stripes taken and left]* -> closing -> free
 *                                                     ^                     |
 *                                                     +------- reopened ----+
 *
 * The life word (lockfree/region_life.h) decides everything: a generation that a stale reference
 * fails on, one bit a stripe of blocks for range operations, and the closing bit that decides who
 * releases. Table and index only say where to look, so a lookup never waits. Records are never
 * given back to the kernel, and their fields are written with release before the record is alive: a
 * reader that copies them and finds the same generation afterwards has copied one life.
 *
 * Edges
 *   rebirth   a field of a later life is written after the life word of the earlier one ended ->
 *             who reads that field also sees the word changed
 */
#ifndef MOAT_REGION_REGION_H
#define MOAT_REGION_REGION_H

#include "lockfree/region_life.h"
#include "region/place.h"

#include <moat/status.h>

struct moat_manager;

struct moat_region {
    _Alignas(64) _Atomic uint64_t life;
    _Atomic uintptr_t base;
    _Atomic size_t size;
    _Atomic(struct moat_space *) space;
    _Atomic(struct moat_manager *) owner;
    _Atomic uint32_t protection;  /* as reserved */
    _Atomic uint32_t link;        /* of the pool of free records */
    _Atomic uintptr_t span_start; /* the region with the margins that are its alone */
    _Atomic uintptr_t span_end;
};

_Static_assert(sizeof(struct moat_region) == 64, "a record is a cache line");

/* A region as one life of its record; copied, so it stays what it was. */
struct moat_region_ref {
    struct moat_region *region;
    uint32_t handle;
    uint32_t generation;
    uintptr_t base;
    size_t size;
    struct moat_space *space;
    struct moat_manager *owner;
    uint32_t protection;
    uintptr_t span_start;
    uintptr_t span_end;
};

/*
 * Set up table, index and records. Once in the life of the process, however many call.
 *
 * Returns   MOAT_OK, or MOAT_NO_MEMORY; a failure is tried again by the next call
 */
enum moat_status moat_region_start(void);

/*
 * Enter a placed region in the books, alive and findable.
 *
 * Returns   MOAT_OK, or MOAT_NO_MEMORY: nothing was entered
 * Progress  lock-free, system calls for more books aside
 */
enum moat_status moat_region_publish(const struct moat_place *place, struct moat_manager *owner,
                                     uint32_t protection);

/*
 * Find the region whose first page holds `address`, or the region that holds it anywhere.
 *
 * `address` is never read. Lock-free and async-signal-safe; the first is one cache line and the
 * record, the second is the table again after at most 16 words of the index.
 */
bool moat_region_find_base(uintptr_t address, struct moat_region_ref *ref);
bool moat_region_find(uintptr_t address, struct moat_region_ref *ref);

/* Whether the life that the reference was taken in still goes on. */
bool moat_region_lives(const struct moat_region_ref *ref);

/* The region with the greatest base at or below `address`; it need not reach that far. */
bool moat_region_before(uintptr_t address, struct moat_region_ref *ref);

/* The region with the least base above `address`. */
bool moat_region_after(uintptr_t address, struct moat_region_ref *ref);

/* The least base of a live region above `address`, or `end` if there is none below that. */
uintptr_t moat_region_next(uintptr_t address, uintptr_t end);

/* The region of the nth record, for walks over all of them; false when that record is free. */
bool moat_region_nth(uint32_t handle, struct moat_region_ref *ref);
uint32_t moat_region_count_ever(void);

/* How long a call may wait in all; the clock is read when the first wait begins. */
struct moat_patience {
    uint64_t timeout_ns;
    uint64_t deadline; /* 0: no wait has begun */
};

/* Whether time is left; sleeps are to end at patience->deadline. */
bool moat_patience_left(struct moat_patience *patience);

/*
 * Take the stripes of [start, end) of a region, waiting for others as long as patience lasts.
 *
 * Returns   MOAT_OK         *stripes is what to leave with
 *           MOAT_TIMEOUT
 *           MOAT_NOT_OURS   that life is over
 */
enum moat_status moat_region_enter(const struct moat_region_ref *ref, uintptr_t start,
                                   uintptr_t end, struct moat_patience *patience,
                                   uint32_t *stripes);
void moat_region_leave(const struct moat_region_ref *ref, uint32_t stripes);

/* Whether the calling thread itself works on these pages: a handler of signals that interrupted it
 * must not enter. */
bool moat_region_mine(const struct moat_region_ref *ref, uintptr_t start, uintptr_t end);

/*
 * Become the one thread that releases the region, and wait until nobody works on it.
 *
 * Returns   MOAT_OK         alone with it, until moat_region_reopen or moat_region_retire
 *           MOAT_TIMEOUT    rolled back
 *           MOAT_NOT_OURS   released by another thread meanwhile
 */
enum moat_status moat_region_close(const struct moat_region_ref *ref,
                                   struct moat_patience *patience);
void moat_region_reopen(const struct moat_region_ref *ref);

/* Take a closed region, whose pages all trap, out of the books; its record is free afterwards. */
void moat_region_retire(const struct moat_region_ref *ref);

#endif
