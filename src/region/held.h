/* SPDX-License-Identifier: MIT */
/*
 * held: what the calling thread works on, for a fault that interrupts it there, and for a fork.
 *
 * A handler must not wait for stripes that its own thread holds: nobody would ever give them back.
 * Entries are a stack, because what interrupts a call is done before the call goes on; a call that
 * closes several regions leaves them in any order. An entry is made before the stripes are taken
 * and taken away after they are left, so that a handler may believe to hold what it does not yet,
 * and never the reverse.
 *
 * A handler may fork, too. The child then has to tell what is held by the call that was interrupted
 * from what is held by threads that are not there any more; so a call that waits says what it has
 * meanwhile, and what is not done on a region that exists is counted as a task.
 */
#ifndef MOAT_REGION_HELD_H
#define MOAT_REGION_HELD_H

#include <stdbool.h>
#include <stdint.h>

struct moat_region;

/* Calls within handlers within calls; what is deeper is not noted, and waits in vain. */
#define MOAT_HELD_MAX 8u

/* What a thread does besides working on regions. */
enum moat_held_task {
    MOAT_HELD_PLACE, /* it has a place that no region stands for, or an arena is on its way */
    MOAT_HELD_SPAN,  /* it has a span of a heap in hands */
    MOAT_HELD_TASKS
};

/* What one thread held at one moment. */
struct moat_held {
    uintptr_t token; /* of moat_os_thread_token */
    uint32_t count;
    uint32_t tasks[MOAT_HELD_TASKS];
    struct {
        const struct moat_region *region;
        uint32_t bits;
    } entries[MOAT_HELD_MAX];
};

/* `bits`: those of the life word that the thread is about to take. */
void moat_held_push(const struct moat_region *region, uint32_t bits);
void moat_held_pop(const struct moat_region *region);

/* Before and after a wait: of what was pushed the thread has only `bits` meanwhile. Wait returns
 * what resume needs. */
uint32_t moat_held_wait(const struct moat_region *region, uint32_t bits);
void moat_held_resume(const struct moat_region *region, uint32_t before);

/* Whether the code that this thread was interrupted in works on any of these stripes. */
bool moat_held_here(const struct moat_region *region, uint32_t stripes);

void moat_held_begin(enum moat_held_task task);
void moat_held_end(enum moat_held_task task);

/* What the calling thread holds now. Async-signal-safe. */
void moat_held_look(struct moat_held *held);

/* Whether a thread was working on a region; the bits that may have been its own. */
bool moat_held_by(const struct moat_held *held, const struct moat_region *region, uint32_t *bits);

#endif
