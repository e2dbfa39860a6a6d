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

void moat_held_pop(void) {
    depth = depth - 1;
}

bool moat_held_here(const struct moat_region *region, uint32_t stripes) {
    unsigned count = depth < DEPTH_MAX ? depth : DEPTH_MAX;
    for (unsigned i = 0; i < count; i++)
        if (entries[i].region == region && (entries[i].stripes & stripes) != 0)
            return true;
    return false;
}
