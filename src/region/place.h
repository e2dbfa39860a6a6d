/* SPDX-License-Identifier: MIT */
/*
 * place: where a region goes.
 *
 * The region table cannot see that two reservations with different bases overlap, so places are
 * claimed granule by granule (claim.h), in ascending order and rolled back on conflict: of several
 * overlapping requests the one that starts highest always gets through. Outside the arenas the
 * kernel arbitrates. Automatic placement starts where this processor last found room, so that
 * processors share no word while there is space.
 *
 * Progress   lock-free, system calls aside: a claim fails only because another one succeeded. A
 *            caller that names an address and meets a place that is claimed but holds no live
 *            region (another request half-way, or a release) is told so and may try again.
 */
#ifndef MOAT_REGION_PLACE_H
#define MOAT_REGION_PLACE_H

#include "region/space.h"

#include <moat/status.h>

struct moat_place {
    struct moat_space *space;
    uintptr_t base;
    size_t size;
    bool yielded;    /* a guard of another region gave way */
    bool unverified; /* a page beside it was seen not to trap */
    bool unshown;    /* no region stands there yet */
    bool rests;      /* its mapping is listed as one that rests */
    uint8_t before;  /* in an arena: granules of guard besides what every region has */
    uint8_t after;
};

struct moat_quarantine;

/* What a caller wants placed. */
struct moat_place_wish {
    size_t size; /* whole pages */
    bool markers;
    bool undumped; /* not in core dumps */
    uint8_t fork;  /* enum moat_fork */
    struct moat_supply supply;
    bool alone;          /* not in an arena, with a mapping of its own */
    bool top_down;       /* the highest place, where that can be told */
    bool at_once;        /* all of it will be committed, before anybody finds it */
    bool random;         /* in an arena: any place of those that are near; else the next */
    uintptr_t lowest;    /* the least base; 0: any */
    uintptr_t limit;     /* one past the last page; 0: any */
    uintptr_t alignment; /* of the base, a power of two; 0: a granule */
    const struct moat_backend_ops *backend;
    uint32_t guard_before; /* pages that trap on either side at least; 0 is as 1 */
    uint32_t guard_after;
    uint32_t guard_random; /* up to so many more on either side, as chance has it */
};

/*
 * Find room for a region, with guards on either side of it; with fewer only where there are bounds
 * and no other room within them. With bounds, an alignment or top_down it
 * stands alone; the backend is then the kernel's, or top_down is ignored.
 *
 * Returns   MOAT_OK, MOAT_NO_MEMORY, MOAT_MAP_LIMIT
 *           MOAT_NOT_SUPPORTED   with bounds: the kernel does not tell what is mapped
 */
enum moat_status moat_place_anywhere(const struct moat_place_wish *wish, struct moat_place *place);

/*
 * Take exactly [base, base + size), base being a multiple of a granule.
 *
 * Returns   MOAT_OK
 *           MOAT_INVALID_ADDRESS   something is there: *conflict says where. If no live region is
 *                                  there, the place may become free. Or what forked children have
 *                                  of that address space is something else than the wish, or it
 *                                  is bound to other nodes
 *           MOAT_NO_MEMORY, MOAT_MAP_LIMIT
 */
enum moat_status moat_place_at(const struct moat_place_wish *wish, uintptr_t base,
                               struct moat_place *place, uintptr_t *conflict);

/* Let go what rests and what is retained, for a call that was refused memory or a mapping. Whether
 * there was any. */
bool moat_place_give_way(void);

/* A place with what is its alone: all of its mapping, or the guards besides those that every region
 * of an arena has. */
void moat_place_span(const struct moat_place *place, uintptr_t *start, uintptr_t *end);

/*
 * Give up a place whose pages all trap and are not in any book any more.
 *
 *   quarantine   where it rests before automatic placement uses it again; NULL: nowhere
 *
 * Returns   0, or errno: it is not mapped away; the pages trap, are never used again, and count as
 *           Moat's own
 */
int moat_place_vacate(const struct moat_place *place, struct moat_quarantine *quarantine);

/* The same in two steps: give the mapping back, if it is the place's alone; then what is known of
 * the place, `error` being the result of the first step. */
int moat_place_unmap(struct moat_place *place, const struct moat_quarantine *quarantine);
void moat_place_forget(const struct moat_place *place, struct moat_quarantine *quarantine,
                       int error);

/* Whether the mapping of a space was being given back. */
bool moat_place_leaving(const struct moat_space *space);

#endif
