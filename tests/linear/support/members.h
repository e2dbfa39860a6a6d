/* SPDX-License-Identifier: MIT */
/*
 * members: does each search of an ordered set answer as the set promises?
 *
 * The promise is weaker than linearizability: the answer was a member at some moment during the
 * search, and no page nearer was a member throughout it. So intervals decide, and exactly. A page
 * may be a member from the start of its insert to the end of its erase, and is one for certain from
 * the end of its insert to the start of its erase.
 *
 *     insert [====]                    erase [====]
 *            |<---------- may be ----------------->|
 *                 |<---- for certain ------->|
 */
#ifndef MOAT_TESTS_LINEAR_MEMBERS_H
#define MOAT_TESTS_LINEAR_MEMBERS_H

#include "judge.h"

/* argument 0: the number of a page, of which a greater one is a greater page; of searches, the one
 * they start from. Result of a search: whether it found one, and its number. Inserts and erases of
 * one page do not overlap, and come in turns. */
enum members_kind { MEMBERS_INSERT, MEMBERS_ERASE, MEMBERS_FIND_LAST, MEMBERS_FIND_NEXT };

#define MEMBERS_MAX     32
#define MEMBERS_UNKNOWN UINT32_MAX /* the answer of a search that is no page of ours */

/* As linear_judge. */
void members_judge(const struct linear_log *log, unsigned logs, bool quiet, struct linear_sum *sum);

#endif
