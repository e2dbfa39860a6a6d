/* SPDX-License-Identifier: MIT */
/*
 * timeline: the smallest part of a history that shows why there is no order, as a picture.
 *
 *     thread 0  [a=====]
 *     thread 1        [b=======]
 *     thread 2                    [c====]
 */
#ifndef MOAT_TESTS_LINEAR_TIMELINE_H
#define MOAT_TESTS_LINEAR_TIMELINE_H

#include "check.h"

#include <stdio.h>

#define LINEAR_SHOWN_MAX 26

/* Draw the calls that overlap the one that failed, without those that the failure does not need,
 * and what came right before it. */
void linear_draw(FILE *file, const struct linear_spec *spec, const struct linear_call *call,
                 size_t count, uint64_t initial, const struct linear_verdict *verdict);

/* Draw these calls, at most LINEAR_SHOWN_MAX and sorted by their starts, and mark the one that
 * starts with the stamp `failed`. */
void linear_picture(FILE *file, const struct linear_spec *spec, const struct linear_call *call,
                    size_t count, uint64_t failed);

#endif
