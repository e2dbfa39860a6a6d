/* SPDX-License-Identifier: MIT */
/*
 * region_life: who works on a region, and who may free it? One 64-bit word in the record decides.
 *
 * High 32 bits: generation, odd while the record belongs to a region, even while it is free. Low 32
 * bits, which a futex can sleep on: closing, waiters, locked, a tick of four bits and
 * MOAT_LIFE_STRIPES stripe bits.
 * Every step compares the generation in the same word that it changes, so a caller that kept a
 * record over the region's death learns MOAT_LIFE_GONE and changes nothing.
 *
 * Locked: a thread keeps all others from entering and closing for as long as it likes, over many
 * calls. Which thread that is the word does not say: the caller knows, and passes `holder` to enter
 * and close all the same.
 *
 * Easy to get wrong: between finding a handle and entering, the record may pass to another region.
 *
 *     handle = find(page);  generation = moat_life_generation(record of handle);
 *     find(page) == handle again, or start over;  moat_life_enter(..., generation, ...)
 *
 * If the last step succeeds the generation did not change since it was read, so the second find
 * fell into that one life: the page belongs to it. MOAT_LIFE_GONE means: start over.
 *
 * Sleeping: whoever gets BUSY or CLOSING also gets the low word to compare with, in which the
 * waiters bit is set. That bit is never cleared without somebody being told to wake all sleepers.
 * Whoever falls asleep after that, on a bit that another has set again, waits for what still keeps
 * him out; but what a nudge or a death was to tell him is over. So these two change the tick: he
 * does not fall asleep.
 *
 * Limits     a generation returns after 2^31 lives of one record: a caller stopped for exactly a
 *            multiple of that many is not told apart. A tick returns after 16 nudges and deaths: a
 *            caller stopped between looking and sleeping for a multiple of that many sleeps on.
 * Progress   lock-free; leave, reopen, death, unlock and mend are wait-free.
 *
 * Edges. R() marks the releasing end, A() the acquiring end.
 *
 *   birth   the owner fills the record, then gives it life -> whoever enters sees it filled
 *   stripe  who leaves a stripe -> who enters it next, or closes, sees what was done under it
 *   close   who closed gives the region back or reopens it -> who comes after sees all of it
 *   lock    who unlocks -> who enters, closes or locks next sees what was done under the lock
 *   nudge   what was written before a nudge -> who finds its waiters bit gone, or sets it anew
 *   mend    who undoes what the dead held -> who enters, closes or locks next sees all it repaired
 */
#ifndef MOAT_LOCKFREE_REGION_LIFE_H
#define MOAT_LOCKFREE_REGION_LIFE_H

#include <stdbool.h>
#include <stdint.h>

#include "lockfree/atomic.h"

#define MOAT_LIFE_STRIPES     25
#define MOAT_LIFE_STRIPES_ALL ((UINT32_C(1) << MOAT_LIFE_STRIPES) - 1)
#define MOAT_LIFE_TICK_ONE    (UINT32_C(1) << MOAT_LIFE_STRIPES)
#define MOAT_LIFE_TICK_BITS   (UINT32_C(15) << MOAT_LIFE_STRIPES)
#define MOAT_LIFE_LOCKED_BIT  (UINT32_C(1) << 29)
#define MOAT_LIFE_WAITERS_BIT (UINT32_C(1) << 30)
#define MOAT_LIFE_CLOSING_BIT (UINT32_C(1) << 31)

enum moat_life_status {
    MOAT_LIFE_OK = 0,
    MOAT_LIFE_BUSY,    /* a stripe is held by another thread */
    MOAT_LIFE_CLOSING, /* another thread is closing: its outcome is not known yet */
    MOAT_LIFE_LOCKED,  /* another thread has it locked */
    MOAT_LIFE_GONE     /* that life is over; the record may live another one */
};

/* The generation of this moment; even: the record is free. A generation is never 0 while alive. */
uint32_t moat_life_generation(const _Atomic uint64_t *life);

/*
 * Give a free record its next life.
 *
 * Threads   the record's one owner, who took it from the pool and has filled it
 */
void moat_life_birth(_Atomic uint64_t *life, uint32_t *generation);

/*
 * Take all of these stripes, or none.
 *
 *   stripes   at least one of the low MOAT_LIFE_STRIPES bits
 *   holder    this thread has it locked
 *   seen      BUSY, CLOSING and LOCKED: the low word to sleep on, waiters bit set
 */
enum moat_life_status moat_life_enter(_Atomic uint64_t *life, uint32_t generation, uint32_t stripes,
                                      bool holder, uint32_t *seen);

/* Give back stripes that this thread took. True: somebody sleeps on the low word, wake all. */
bool moat_life_leave(_Atomic uint64_t *life, uint32_t stripes);

/*
 * Begin to close: nobody enters from now on, and of racing closers one goes on.
 *
 * Returns   MOAT_LIFE_OK        this thread closes, and is alone with the region
 *           MOAT_LIFE_BUSY      this thread closes, but stripes are held: sleep on *seen, then call
 *                               moat_life_drained; or give up with moat_life_reopen
 *           MOAT_LIFE_CLOSING   another thread closes: sleep on *seen, then start over
 *           MOAT_LIFE_LOCKED    another thread has it locked; nothing changed
 *           MOAT_LIFE_GONE      that life is over
 */
enum moat_life_status moat_life_close(_Atomic uint64_t *life, uint32_t generation, bool holder,
                                      uint32_t *seen);

/* Are the stripes free by now? For the thread that closes, or that locked and was told BUSY: OK, or
 * BUSY with a fresh *seen. */
enum moat_life_status moat_life_drained(_Atomic uint64_t *life, uint32_t *seen);

/* Roll a close back. For the closing thread only. True: wake all sleepers. */
bool moat_life_reopen(_Atomic uint64_t *life);

/* End this life, all stripes being free, lock and all. For the closing thread only. True: wake all
 * sleepers. */
bool moat_life_death(_Atomic uint64_t *life);

/*
 * Lock: nobody but this thread enters or closes from now on.
 *
 * Returns   MOAT_LIFE_OK        locked, and no stripe is held
 *           MOAT_LIFE_BUSY      locked, but stripes are held: sleep on *seen, then call
 *                               moat_life_drained; or give up with moat_life_unlock
 *           MOAT_LIFE_CLOSING   another thread closes: sleep on *seen, then start over
 *           MOAT_LIFE_LOCKED    another thread has it locked, or this one: the same
 *           MOAT_LIFE_GONE      that life is over
 */
enum moat_life_status moat_life_lock(_Atomic uint64_t *life, uint32_t generation, uint32_t *seen);

/* Unlock. For the thread that locked, or one that knows it to be gone. True: wake all sleepers. */
bool moat_life_unlock(_Atomic uint64_t *life);

/* Whether anybody has it locked at this moment. */
bool moat_life_locked(const _Atomic uint64_t *life);

/* Have all sleepers look again, whatever they sleep for. For any thread. True: wake them. */
bool moat_life_nudge(_Atomic uint64_t *life);

/* What is set right now of stripes, lock and closing. */
uint32_t moat_life_held(const _Atomic uint64_t *life);

/*
 * Undo what threads held that are gone for ever, as those of its parent are for a forked child.
 *
 *   bits   of moat_life_held: none that a thread which lives may hold, or be about to take
 *
 * Returns   true: wake all sleepers
 */
bool moat_life_mend(_Atomic uint64_t *life, uint32_t bits);

#endif
