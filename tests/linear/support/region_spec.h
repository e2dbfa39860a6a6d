/* SPDX-License-Identifier: MIT */
/*
 * region_spec: one place in address space, and what the calls of moat.h and lock.h do to the region
 * that may stand there: of eight units, each of which is reserved or committed with a protection,
 * and of a lock with its holder.
 *
 * What waits for a lock is not possible while another thread holds it; so a history in which such a
 * call ends meanwhile is in no order.
 */
#ifndef MOAT_TESTS_LINEAR_REGION_SPEC_H
#define MOAT_TESTS_LINEAR_REGION_SPEC_H

#include "check.h"
#include "judge.h"

enum { REGION_UNITS = 8, REGION_UNTOLD = 0xffff };

/* What a unit is; the last three are committed. */
enum region_unit {
    UNIT_RESERVED,
    UNIT_NOACCESS,
    UNIT_READONLY,
    UNIT_READWRITE,
    UNIT_FREE,
    UNIT_NOT_FREE, /* what a query may mean by "reserved" during a release */
};

/* Arguments: the first unit, how many, and what they are to be. Results: a moat_status, and of
 * protect what the first unit was, or of a query what the unit is. */
enum region_kind {
    REGION_RESERVE, /* the third argument is what all units are */
    REGION_COMMIT,
    REGION_DECOMMIT,
    REGION_PROTECT,
    REGION_RELEASE,
    REGION_LOCK,
    REGION_UNLOCK,
    REGION_QUERY, /* of one unit */
};

extern const struct linear_spec region_spec;

/*
 * Judge logs in which the key is the number of a place, in two ways. As a whole: each call but the
 * queries is one step. And unit by unit, with the queries: a query waits for nobody, so what it
 * says of two units may be of two moments, and no more is promised.
 *
 * Two calls have more than one step, and others may notice. A release makes pages trap before the
 * region is gone: a query that overlaps it may find a committed page reserved. A lock keeps others
 * out before calls under way have ended: a release that overlaps it may be refused as by a holder.
 * Both are granted only where the calls do overlap.
 */
void region_judge(const struct linear_log *log, unsigned logs, bool quiet, struct linear_sum *sum);

#endif
