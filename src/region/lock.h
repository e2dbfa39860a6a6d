/* SPDX-License-Identifier: MIT */
/*
 * lock: one thread keeps a region to itself over many calls.
 *
 * The lock bit of the life word keeps everybody out, also calls that were under way are waited for;
 * the record beside it says who the holder is, so that its own calls go through. A thread is named
 * by a token that is its own for as long as it lives, also in a child that it forks.
 *
 * Edges
 *   abandon   a holder's end is counted, then its lock is undone -> who finds it undone sees that
 *   end       a thread that ends is counted, then undoes its lock -> who finds it undone, or undoes
 *             it in its place, sees it counted
 */
#ifndef MOAT_REGION_LOCK_H
#define MOAT_REGION_LOCK_H

#include "region/region.h"

/*
 * Lock a region, once more if the calling thread has it locked already.
 *
 * Returns   MOAT_OK         nobody else works on it until as many unlocks
 *           MOAT_TIMEOUT, MOAT_ABANDONED   as moat_queue_wait, or the holder ended: not locked
 *           MOAT_NOT_OURS   that life is over
 * Progress  an uncontended lock is lock-free
 */
enum moat_status moat_region_lock(const struct moat_region_ref *ref,
                                  struct moat_patience *patience);

/* Undo one lock. MOAT_OK, or MOAT_NOT_OWNER: the calling thread has not got it. */
enum moat_status moat_region_unlock(const struct moat_region_ref *ref);

/* Whether the calling thread has it locked. */
bool moat_region_held(const struct moat_region_ref *ref);

/* Whether that thread has it locked, in a child where no other thread may unlock it. */
bool moat_region_lock_is_of(const struct moat_region_ref *ref, uintptr_t token);

/*
 * The calling thread ends: undo its lock. Those who wait for the holder give up.
 *
 * Returns   whether it had one that moat_region_take_lock did not come first to
 */
bool moat_region_abandon(const struct moat_region_ref *ref);

/* The manager ends: undo whoever's lock there is. A thread that undoes it itself at this moment has
 * entered, for whoever calls this, what it entered before. */
void moat_region_take_lock(const struct moat_region_ref *ref);

/* Have everybody who waits for this region look again whether waits were called off. */
void moat_region_nudge(const struct moat_region_ref *ref);

/* For moat_region_retire: the lock ends with the region. */
void moat_region_forget_lock(const struct moat_region_ref *ref);

/* What a call that waits for a lock has to remember. */
struct moat_lock_wait {
    bool ours;          /* found to be the calling thread's */
    bool begun;         /* a wait for another thread's */
    uint32_t abandoned; /* as it was then */
};

/*
 * A call met the lock bit: find out whose lock it is, and wait if it is another thread's.
 *
 * Returns   MOAT_OK   try again, as holder if lock->ours
 *           MOAT_TIMEOUT, MOAT_ABANDONED
 */
enum moat_status moat_region_wait_locked(const struct moat_region_ref *ref,
                                         struct moat_queue *queue, struct moat_lock_wait *lock,
                                         uint32_t seen);

#endif
