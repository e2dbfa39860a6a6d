/* SPDX-License-Identifier: MIT */
/*
 * held: which stripes the calling thread works on, for a fault that interrupts it there.
 *
 * A handler must not wait for stripes that its own thread holds: nobody would ever give them back.
 * Entries are a stack, because what interrupts a call is done before the call goes on; a call that
 * closes several regions leaves them in any order. An entry is made before the stripes are taken
 * and taken away after they are left, so that a handler may believe to hold what it does not yet,
 * and never the reverse.
 */
#ifndef MOAT_REGION_HELD_H
#define MOAT_REGION_HELD_H

#include <stdbool.h>
#include <stdint.h>

struct moat_region;

void moat_held_push(const struct moat_region *region, uint32_t stripes);
void moat_held_pop(const struct moat_region *region);

/* Whether the code that this thread was interrupted in works on any of these stripes. */
bool moat_held_here(const struct moat_region *region, uint32_t stripes);

#endif
