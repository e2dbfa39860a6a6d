/* SPDX-License-Identifier: MIT */
/*
 * check: is there an order of these calls that a sequential object could have seen?
 *
 * The search of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993), in the breadth-
 * first form of Lowe ("Testing for linearizability", 2017): the history is read from its first
 * event to its last, with the set of all configurations in which things may stand. A call does its
 * work just in time, when a call that has ended requires it; equal configurations are kept once. So
 * the cost of an event is bounded by the calls that are open at once, not by the length of the
 * history.
 *
 * Pruning: a call that with this result leaves every state as it was (a find, an insert that found
 * no room) does its work as soon as there is a state that allows it. An order that has it later is
 * an order too with it earlier, because nobody could notice.
 *
 * Calls on different keys are checked apart from each other, which is exact (Herlihy and Wing:
 * linearizability is local; Horn and Kroening call its use in a checker P-compositionality).
 */
#ifndef MOAT_TESTS_LINEAR_CHECK_H
#define MOAT_TESTS_LINEAR_CHECK_H

#include "configs.h"
#include "history.h"

#define LINEAR_OPEN_MAX 64 /* calls on one key at once */

/* A sequential object: its whole state is a number. */
struct linear_spec {
    const char *name;
    /* Can the call happen in this state with the result that it had? Then *after is the state it
     * leaves. A call that never ended has no result: whatever it may have done is in order. */
    bool (*apply)(const struct linear_call *call, uint64_t state, uint64_t *after);
    /* Does the call, with this result, leave every state as it was? NULL: none is known to. */
    bool (*is_pure)(const struct linear_call *call);
    void (*print_call)(const struct linear_call *call, char text[LINEAR_TEXT_BYTES]);
    void (*print_state)(uint64_t state, char text[LINEAR_TEXT_BYTES]);
};

struct linear_verdict {
    bool linearizable;
    size_t failed;         /* the call whose end no order reaches */
    struct configs before; /* how things may have stood right before that call's start: states */
    uint64_t explored;     /* configurations there were */
    uint64_t repeated;     /* of those that were reached, how many had been before */
    size_t open_most;      /* calls open at once */
};

/* Check calls of one key, sorted by their starts. To be freed with linear_verdict_free. */
void linear_check(const struct linear_spec *spec, const struct linear_call *call, size_t count,
                  uint64_t initial, struct linear_verdict *verdict);

void linear_verdict_free(struct linear_verdict *verdict);

#endif
