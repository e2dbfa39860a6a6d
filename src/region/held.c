/* SPDX-License-Identifier: MIT */
/* held: a small stack in thread-local storage, written so that a signal may come at any point. */
#include "region/held.h"

#include "lockfree/region_life.h"
#include "os/os.h"

struct entry {
    const struct moat_region *volatile region;
    volatile uint32_t stripes;
    volatile uint32_t bits; /* of the life word that may be this thread's right now */
};

/* volatile: an entry is complete before the depth says that it is there. */
static _Thread_local struct entry entries[MOAT_HELD_MAX];
static _Thread_local volatile unsigned depth;
static _Thread_local volatile unsigned tasks[MOAT_HELD_TASKS];

void moat_held_push(const struct moat_region *region, uint32_t bits) {
    unsigned top = depth;
    if (top < MOAT_HELD_MAX) {
        entries[top].region = region;
        entries[top].stripes = bits & MOAT_LIFE_STRIPES_ALL;
        entries[top].bits = bits;
    }
    depth = top + 1;
}

static unsigned count(void) {
    return depth < MOAT_HELD_MAX ? depth : MOAT_HELD_MAX;
}

/* A handler that comes meanwhile finds one entry twice, and none missing. */
void moat_held_pop(const struct moat_region *region) {
    unsigned last = count();
    unsigned at = last;

    while (at > 0 && entries[at - 1].region != region)
        at--;
    for (; at > 0 && at < last; at++) {
        entries[at - 1].region = entries[at].region;
        entries[at - 1].stripes = entries[at].stripes;
        entries[at - 1].bits = entries[at].bits;
    }
    depth = depth - 1;
}

uint32_t moat_held_wait(const struct moat_region *region, uint32_t bits) {
    for (unsigned at = count(); at > 0; at--)
        if (entries[at - 1].region == region) {
            uint32_t before = entries[at - 1].bits;
            entries[at - 1].bits = before & bits;
            return before;
        }
    return 0;
}

void moat_held_resume(const struct moat_region *region, uint32_t before) {
    for (unsigned at = count(); at > 0; at--)
        if (entries[at - 1].region == region) {
            entries[at - 1].bits = before;
            return;
        }
}

bool moat_held_here(const struct moat_region *region, uint32_t stripes) {
    for (unsigned at = count(); at > 0; at--)
        if (entries[at - 1].region == region && (entries[at - 1].stripes & stripes) != 0)
            return true;
    return false;
}

void moat_held_begin(enum moat_held_task task) {
    tasks[task] = tasks[task] + 1;
}

void moat_held_end(enum moat_held_task task) {
    tasks[task] = tasks[task] - 1;
}

void moat_held_look(struct moat_held *held) {
    held->token = moat_os_thread_token();
    held->count = count();
    for (unsigned i = 0; i < held->count; i++) {
        held->entries[i].region = entries[i].region;
        held->entries[i].bits = entries[i].bits;
    }
    for (unsigned task = 0; task < MOAT_HELD_TASKS; task++)
        held->tasks[task] = tasks[task];
}

bool moat_held_by(const struct moat_held *held, const struct moat_region *region, uint32_t *bits) {
    bool any = false;

    *bits = 0;
    for (unsigned i = 0; i < held->count; i++)
        if (held->entries[i].region == region) {
            *bits |= held->entries[i].bits;
            any = true;
        }
    return any;
}
