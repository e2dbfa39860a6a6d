/* SPDX-License-Identifier: MIT */
/*
 * history: what threads called, when, and with which result, recorded while they run.
 *
 * Every call gets a stamp before it starts and one after its end, from one counter that all threads
 * add to. That is sound: additions to one atomic have one order that all threads agree on, the
 * stamp before acquires and the stamp after releases, so the steps of the call lie between the two;
 * and when one call's last stamp is below another's first, the first call happens before the second
 * (additions continue each other's release sequences). So the checker takes two calls to be ordered
 * only if they are. A time stamp counter would disturb less, but a skew between two processors
 * would make it lie, and a lie here is a false alarm or, worse, none.
 *
 * What it costs: the counter is a barrier between calls, so orders that are too weak between two
 * calls are hidden. tests/model and GenMC look for these; here the subject is races inside calls.
 *
 * Easy to get wrong: the log is the thread's own and is made before it starts. In the measured path
 * there are no locks and no allocation.
 */
#ifndef MOAT_TESTS_LINEAR_HISTORY_H
#define MOAT_TESTS_LINEAR_HISTORY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define LINEAR_NEVER      UINT64_MAX
#define LINEAR_LOGS_MAX   8
#define LINEAR_ARGUMENTS  3
#define LINEAR_RESULTS    2
#define LINEAR_TEXT_BYTES 96

struct linear_call {
    uint64_t start,
        end;      /* end LINEAR_NEVER: it never returned, and may have done its work or not */
    uint64_t key; /* calls with different keys have nothing to do with each other */
    uint16_t kind, thread;
    uint32_t argument[LINEAR_ARGUMENTS];
    uint32_t result[LINEAR_RESULTS];
};

struct linear_log {
    struct linear_call *call;
    size_t count, room;
    uint16_t thread;
};

extern _Atomic uint64_t linear_now;

/* Make and unmake a log for so many calls. */
void linear_log_open(struct linear_log *log, uint16_t thread, size_t room);
void linear_log_close(struct linear_log *log);

/* Record that a call is about to start, and return it to be ended. Ends the process when the log is
 * full. */
struct linear_call *linear_start(struct linear_log *log, unsigned kind, uint64_t key,
                                 const uint32_t argument[LINEAR_ARGUMENTS]);

/* Record that a call has ended. */
void linear_end(struct linear_call *call, uint32_t result, uint32_t more);

/* Forget a call that was started and not ended. */
void linear_forget(struct linear_log *log);

#endif
