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
#include "region/wait.h"

#include <moat/status.h>

struct moat_manager;

/* What a region is besides its pages. */
enum {
    MOAT_REGION_TAGGED = 1,      /* a heap's: the heap alone frees it */
    MOAT_REGION_PLACEHOLDER = 2, /* address space that can be split, joined and replaced */
    MOAT_REGION_WATCHED = 4,     /* writes to its pages are recorded */
    MOAT_REGION_LARGE = 8,       /* its pages are large ones, committed and locked for life */
    MOAT_REGION_REPLACED = 32,   /* stands where a placeholder stood, and can be one again */
    MOAT_REGION_CLEANED = 64,    /* watched by faults: clean until written (clean.h) */
    MOAT_REGION_MAPPED = 128,    /* shows memory that is mapped elsewhere as well */
};

#define MOAT_REGION_FLAGS_SHIFT 16
#define MOAT_REGION_FLAGS_MASK  UINT32_C(0xFF)

_Static_assert(MOAT_REGION_MAPPED <= MOAT_REGION_FLAGS_MASK, "flags are eight bits");

/* Above the flags: 0 until the region can be found, then a number for its life. */
#define MOAT_REGION_SHOWN_SHIFT 24
#define MOAT_REGION_SHOWN_MAX   UINT32_C(255)

struct moat_region {
    _Alignas(64) _Atomic uint64_t life;
    _Atomic uintptr_t base;
    _Atomic size_t size;
    _Atomic(struct moat_space *) space;
    _Atomic(struct moat_manager *) owner;
    _Atomic uint32_t protection;  /* as reserved; above it MOAT_REGION_* */
    _Atomic uint32_t link;        /* of the pool of free records; the check word of others */
    _Atomic uintptr_t span_start; /* the region with margins, and guards of its own */
    _Atomic uintptr_t span_end;
};

_Static_assert(sizeof(struct moat_region) == 64, "a record is a cache line");

/* What few regions need, in an array beside the records: not touched, it costs no memory. All zero
 * unless the region is locked, was left locked, or is tagged. */
struct moat_region_extra {
    _Atomic uintptr_t holder;   /* moat_os_thread_token of the thread that has it locked */
    _Atomic uint32_t depth;     /* how many times more than once */
    _Atomic uint32_t abandoned; /* counts holders that ended; never goes back */
    _Atomic(void *) tag;
    uint64_t unused;
};

_Static_assert(sizeof(struct moat_region_extra) == 32, "two of them are a cache line");

/* Those that the calls on ranges leave alone: they belong to somebody else than the caller. */
#define MOAT_REGION_NOT_PLAIN MOAT_REGION_TAGGED

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
    uint32_t flags; /* MOAT_REGION_* */
    uintptr_t span_start;
    uintptr_t span_end;
};

/*
 * Set up table, index and records. Once in the life of the process, however many call.
 *
 * Returns   MOAT_OK, or MOAT_NO_MEMORY; a failure is tried again by the next call
 */
enum moat_status moat_region_start(void);

/* What is known of a region besides its place, when it is born. */
struct moat_region_terms {
    struct moat_manager *owner;
    uint32_t protection;
    uint32_t flags; /* MOAT_REGION_* */
    void *tag;      /* NULL unless MOAT_REGION_TAGGED */
};

/*
 * Enter a placed region in the books, alive and findable.
 *
 * Returns   MOAT_OK, or MOAT_NO_MEMORY: nothing was entered
 * Progress  lock-free, system calls for more books aside
 */
enum moat_status moat_region_publish(const struct moat_place *place,
                                     const struct moat_region_terms *terms);

/*
 * Regions that come to stand where others stood: cut, joined, or turned into others. Lookups
 * find the old or the new ones at any moment, and never a hole:
 *
 *     close the old ones, in ascending order;  prepare the new ones
 *     show those that begin where no old one does, in descending order
 *     supersede the old one whose base a new one has;  retire the others, in ascending order
 *     reopen the new ones
 *
 * What is shown overlaps the old region for a moment: an address in both is found in either.
 */

/*
 * Make the record of a region, closed by the calling thread; nobody finds it yet.
 *
 * Returns   MOAT_OK, or MOAT_NO_MEMORY: nothing was made
 */
enum moat_status moat_region_prepare(const struct moat_place *place,
                                     const struct moat_region_terms *terms,
                                     struct moat_region_ref *ref);

/* Undo moat_region_prepare, where the region was not shown or was hidden again. */
void moat_region_discard(const struct moat_region_ref *ref);

/* Have a prepared region found, and undo that. MOAT_OK, or MOAT_NO_MEMORY: nothing was entered. */
enum moat_status moat_region_show(const struct moat_region_ref *ref);
void moat_region_hide(const struct moat_region_ref *ref);

/* Put a prepared region in the place of a closed one with the same base, which ends with that. */
void moat_region_supersede(const struct moat_region_ref *old, const struct moat_region_ref *ref);

/* What the region was tagged with at its birth; NULL if nothing, or if that life is over. */
void *moat_region_tag(const struct moat_region_ref *ref);

/*
 * Find the region whose first page holds `address`, or the region that holds it anywhere.
 *
 * `address` is never read. Lock-free and async-signal-safe; the first is one cache line and the
 * record, the second is the table again after at most 16 words of the index.
 */
bool moat_region_find_base(uintptr_t address, struct moat_region_ref *ref);
bool moat_region_find(uintptr_t address, struct moat_region_ref *ref);

/* The place of a region that is about to give it up. */
struct moat_place moat_region_place(const struct moat_region_ref *ref);

/* Whether it is the business of callers of reserve, commit, decommit and release. */
static inline bool moat_region_plain(const struct moat_region_ref *ref) {
    return (ref->flags & MOAT_REGION_NOT_PLAIN) == 0;
}

/* Whether such callers may commit and decommit its pages. */
static inline bool moat_region_committable(const struct moat_region_ref *ref) {
    return (ref->flags & (MOAT_REGION_NOT_PLAIN | MOAT_REGION_PLACEHOLDER)) == 0;
}

/* Whether another region may come to stand where this one does, in one step. */
static inline bool moat_region_mutable(const struct moat_region_ref *ref) {
    return (ref->flags & (MOAT_REGION_PLACEHOLDER | MOAT_REGION_REPLACED)) != 0;
}

/* Whether the life that the reference was taken in still goes on. */
bool moat_region_lives(const struct moat_region_ref *ref);

struct moat_region_extra *moat_region_extra(const struct moat_region_ref *ref);

/* The region with the greatest base at or below `address`; it need not reach that far. */
bool moat_region_before(uintptr_t address, struct moat_region_ref *ref);

/* The region with the least base above `address`. */
bool moat_region_after(uintptr_t address, struct moat_region_ref *ref);

/* The least base of a live region above `address`, or `end` if there is none below that. */
uintptr_t moat_region_next(uintptr_t address, uintptr_t end);

/*
 * The live region that starts at a page, whose record the table named a moment ago. Apart from the
 * lookups, so that a miss, which is how a wrong address is refused, costs the look at the table and
 * nothing else.
 */
bool moat_region_named(uint64_t page, uint32_t handle, struct moat_region_ref *ref);

/* Copy the record as it is, whether or not it makes sense; false when it is free. */
bool moat_region_copy(uint32_t handle, struct moat_region_ref *ref);

/* The region of the nth record, for walks over all of them; false when that record is free. */
bool moat_region_nth(uint32_t handle, struct moat_region_ref *ref);
uint32_t moat_region_count_ever(void);

/*
 * Take the stripes of [start, end) of a region, waiting for others as long as patience lasts. A
 * region that the calling thread has locked it enters all the same.
 *
 * Returns   MOAT_OK         *stripes is what to leave with
 *           MOAT_TIMEOUT, MOAT_ABANDONED   as moat_queue_wait
 *           MOAT_NOT_OURS   that life is over
 *           MOAT_CORRUPT    the record, or what the books say of the pages, was changed;
 *                           MOAT_UNAVAILABLE where another thread was first to find such a thing
 */
enum moat_status moat_region_enter(const struct moat_region_ref *ref, uintptr_t start,
                                   uintptr_t end, struct moat_patience *patience,
                                   uint32_t *stripes);
void moat_region_leave(const struct moat_region_ref *ref, uint32_t stripes);

/* Whether the calling thread itself works on these pages: a handler of signals that interrupted it
 * must not enter. */
bool moat_region_mine(const struct moat_region_ref *ref, uintptr_t start, uintptr_t end);

/* Wait as moat_queue_wait does, holding of the life word no more than `kept` meanwhile. */
enum moat_status moat_region_wait(const struct moat_region_ref *ref, struct moat_queue *queue,
                                  uint32_t seen, uint32_t kept);

/* For a thread that keeps newcomers out, by a close or a lock: wait until all stripes are left. */
enum moat_status moat_region_drain(const struct moat_region_ref *ref, struct moat_queue *queue,
                                   uint32_t seen);

/*
 * Become the one thread that releases the region, and wait until nobody works on it.
 *
 * Returns   MOAT_OK          alone with it, until moat_region_reopen or moat_region_retire
 *           MOAT_NOT_OWNER   another thread has it locked
 *           MOAT_TIMEOUT, MOAT_ABANDONED   rolled back
 *           MOAT_NOT_OURS    released by another thread meanwhile
 *           MOAT_CORRUPT, MOAT_UNAVAILABLE   as moat_region_enter
 */
enum moat_status moat_region_close(const struct moat_region_ref *ref,
                                   struct moat_patience *patience);
void moat_region_reopen(const struct moat_region_ref *ref);

/* Take a closed region, whose pages all trap, out of the books; its record is free afterwards. */
void moat_region_retire(const struct moat_region_ref *ref);

/* The same, and give its place up as moat_place_vacate does, with its results. */
int moat_region_depart(const struct moat_region_ref *ref, struct moat_quarantine *quarantine);

/* End the record of a region that no living thread works on; `shown`: it may be found. */
void moat_region_bury(const struct moat_region_ref *ref, bool shown);

#endif
