/* SPDX-License-Identifier: MIT */
/* held: a small stack in thread-local storage, written so that a signal may come at any point. */
#include "region/held.h"

/* Calls within handlers within calls; what is deeper is not noted, and waits in vain. */
#define DEPTH_MAX 8u

struct entry {
    const struct moat_region *volatile region;
    volatile uint32_t stripes;
};

/* volatile: an entry is complete before the depth says that it is there. */
static _Thread_local struct entry entries[DEPTH_MAX];
static _Thread_local volatile unsigned depth;

void moat_held_push(const struct moat_region *region, uint32_t stripes) {
    unsigned top = depth;
    if (top < DEPTH_MAX) {
        entries[top].region = region;
        entries[top].stripes = stripes;
    }
    depth = top + 1;
}

/* A handler that comes meanwhile finds one entry twice, and none missing. */
void moat_held_pop(const struct moat_region *region) {
    unsigned count = depth;
    unsigned last = count < DEPTH_MAX ? count : DEPTH_MAX;
    unsigned at = last;

    while (at > 0 && entries[at - 1].region != region)
        at--;
    for (; at > 0 && at < last; at++) {
        entries[at - 1].region = entries[at].region;
        entries[at - 1].stripes = entries[at].stripes;
    }
    depth = count - 1;
}

bool moat_held_here(const struct moat_region *region, uint32_t stripes) {
    unsigned count = depth < DEPTH_MAX ? depth : DEPTH_MAX;
    for (unsigned i = 0; i < count; i++)
        if (entries[i].region == region && (entries[i].stripes & stripes) != 0)
            return true;
    return false;
}
