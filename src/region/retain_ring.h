/* SPDX-License-Identifier: MIT */
/*
 * retain_ring: where places lie whose pages are retained and that nothing keeps from being used.
 *
 * Hints, and nothing else: the claims say whether a place is free and the page bytes what its pages
 * are, so one that is stale, lost or there twice does no harm. Each processor has a stack of them
 * for each size; one that finds its own empty looks at that of the processor which had too many.
 *
 * Progress   wait-free
 */
#ifndef MOAT_REGION_RETAIN_RING_H
#define MOAT_REGION_RETAIN_RING_H

#include "region/space.h"

/* Places of more granules are not told of. */
#define MOAT_RETAIN_GRANULES 4u

struct moat_retained_place {
    unsigned kind;   /* of the arena (space.h) */
    unsigned number; /* of the arena, among its kind */
    uintptr_t base;
    size_t size; /* whole pages, > 0, at most that many granules */
};

/* Tell of a place. True: another one is told of no longer for that, and is in *forgotten. */
bool moat_retain_ring_put(const struct moat_retained_place *place,
                          struct moat_retained_place *forgotten);

/*
 * Be told of a place of just this size in an arena of this kind.
 *
 *   chance   which of the youngest few; 0: the youngest
 *
 * Returns   false: none is known, or it was somebody else's in this moment
 */
bool moat_retain_ring_get(unsigned kind, size_t size, uint32_t chance,
                          struct moat_retained_place *place);

/* Be told of the oldest place that this processor knows of, of any size and kind. */
bool moat_retain_ring_get_oldest(struct moat_retained_place *place);

#endif
