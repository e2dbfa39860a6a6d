/* SPDX-License-Identifier: MIT */
/*
 * wait: how calls wait for each other: on a word, with a deadline, and so that they can be told to
 * give up.
 *
 * Edges
 *   cancel   waits are called off, then sleepers are woken -> who looks after that gives up
 *   queue    who leaves a queue is done with it -> who waits for the queue to be empty
 */
#ifndef MOAT_REGION_WAIT_H
#define MOAT_REGION_WAIT_H

#include <moat/status.h>

#include <stdbool.h>
#include <stdint.h>

/* The waits of one manager's calls. */
struct moat_waits {
    _Atomic uint32_t cancels; /* how often they were called off */
    _Atomic uint64_t waiting; /* process << 32 | threads of it that may sleep */
};

/* How long a call may wait in all; the clock is read when the first wait begins. */
struct moat_patience {
    uint64_t timeout_ns;
    uint64_t deadline;        /* 0: no wait has begun */
    struct moat_waits *waits; /* NULL: nobody calls this one off */
    uint32_t cancels;         /* as it was when the call began */
    bool past_lock;           /* an access rather than a call: a lock does not keep it out */
};

/* Patience of this length for a call that begins now. */
struct moat_patience moat_patience_of(struct moat_waits *waits, uint64_t timeout_ns);

/* Whether time is left; sleeps are to end at patience->deadline. */
bool moat_patience_left(struct moat_patience *patience);

/* A call's place among those who wait; one a call, on the stack. Join is for the first wait. */
struct moat_queue {
    struct moat_patience *patience;
    uint32_t joined; /* in which process; 0: not at all */
};

/*
 * Sleep until the half of a life word that futexes watch is not `seen` any more.
 *
 * Returns   MOAT_OK          look again
 *           MOAT_TIMEOUT     patience is at its end
 *           MOAT_ABANDONED   waits were called off since the call began
 */
enum moat_status moat_queue_wait(struct moat_queue *queue, const _Atomic uint64_t *life,
                                 uint32_t seen);

/* Leave for good; also when there was no wait. Returns `status`. */
enum moat_status moat_queue_leave(struct moat_queue *queue, enum moat_status status);

/* Wake all who sleep on a life word. */
void moat_life_wake(const _Atomic uint64_t *life);

/* Call off the waits that go on. Whoever sleeps has to be nudged and woken after this. */
void moat_waits_cancel(struct moat_waits *waits);

/* Be one of those that moat_waits_drain waits for, and be it no more; what enter returned. */
uint32_t moat_waits_enter(struct moat_waits *waits);
void moat_waits_leave(struct moat_waits *waits, uint32_t process);

/* Wait until nobody waits; calls that begin to wait meanwhile are waited for as well. A forked
 * child has none of its parent's threads and waits for none of them. */
void moat_waits_drain(struct moat_waits *waits);

#endif
