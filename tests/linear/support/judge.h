/* SPDX-License-Identifier: MIT */
/*
 * judge: the logs of a run, sorted out by key, checked one by one, and what was in them.
 *
 * A history without overlaps is in order whatever the structure does, so overlaps are counted; a
 * program requires a number of them.
 */
#ifndef MOAT_TESTS_LINEAR_JUDGE_H
#define MOAT_TESTS_LINEAR_JUDGE_H

#include "check.h"

struct linear_sum {
    uint64_t histories; /* one for each key and run */
    uint64_t calls;
    uint64_t pairs;     /* of calls on one key that overlap */
    uint64_t conflicts; /* of those, with one that may change the state */
    uint64_t explored;
    uint64_t repeated;
    size_t open_most;
    uint64_t violations; /* histories that no order explains; the first is drawn */
};

/*
 * Check all calls in the logs.
 *
 *   initial   the state of each key before
 *   quiet     draw nothing
 */
void linear_judge(const struct linear_spec *spec, const struct linear_log *log, unsigned logs,
                  uint64_t initial, bool quiet, struct linear_sum *sum);

void linear_print_sum(const char *what, const struct linear_sum *sum);

#endif
