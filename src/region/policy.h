/* SPDX-License-Identifier: MIT */
/*
 * policy: what a forked child has of a space (enum moat_fork), other than everything.
 *
 *   dontfork   nothing is mapped there in the child. Before anybody else can get the addresses they
 *              are held again, without access; the regions end when the child is mended, and a
 *              query says until then already that they are free. Where somebody was faster (which
 *              takes a child that the C library did not make) the addresses are his.
 *   wipe       pages read as zero, and the markers are gone with what they were in: they are
 *              installed again on every page of an open block that is not committed.
 *
 * Both are done by the handler of the C library, before the fork returns in the child; where that
 * did not run, by the first call. What the forking thread itself was working on is left out there,
 * and caught up with when the child is mended.
 */
#ifndef MOAT_REGION_POLICY_H
#define MOAT_REGION_POLICY_H

#include "region/fork.h"
#include "region/held.h"
#include "region/space.h"

#include <moat/options.h>

/* Whether this is a child that has all pages of the space empty, with markers as the books say, and
 * has not been mended yet. For who is in the middle of a call that a handler of signals interrupted
 * in the parent, to fork: markers that the books did not tell of then are gone, or have come. */
static inline bool moat_policy_wiped(const struct moat_space *space) {
    return moat_space_fork(space) == MOAT_FORK_WIPE && moat_fork_pending();
}

/* Tell the kernel of the mapping of a space, which was just made, what the space says: what
 * children get of it, and how pages are supplied. 0 or errno. */
int moat_policy_apply(const struct moat_space *space);

/* The same for a space that stands alone. */
int moat_policy_alone(const struct moat_space *space);

/* In the child, before anything else. Async-signal-safe. */
void moat_policy_in_child(const struct moat_held *held);

/* While the child is mended: arenas that have no memory of the parent are empty, and nothing rests
 * in them. */
void moat_policy_empty(void);

/* Afterwards: what was left out for the sake of what T held then, and does not now. */
void moat_policy_catch_up(const struct moat_held *then, const struct moat_held *now);

#endif
