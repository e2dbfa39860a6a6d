/* SPDX-License-Identifier: MIT */
/*
 * resting: released mappings that are kept so that nobody gets their addresses for a while.
 *
 * A mapping at rest is one stretch without access, content or markers, and belongs to no region. To
 * a query it is free, and a caller of Moat who names an address in it has it at once: it is handed
 * over as it is mapped, so that no stranger can get in between. Whoever takes it out of the list
 * owns it. When it has rested is decided elsewhere (quarantine.h).
 *
 * Edges
 *   rest   a mapping is swept, then listed -> whoever takes it from the list
 */
#ifndef MOAT_REGION_RESTING_H
#define MOAT_REGION_RESTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bounds are multiples of a granule. Lock-free, but for what says so; async-signal-safe. */

/* Sweep a mapping that belongs to nobody any more, and list it.
 * False: it is not at rest, and as it was before; or the list is full. */
bool moat_resting_enter(uintptr_t start, uintptr_t end);

/* Unmap what was listed with these bounds, unless it has been taken. What the kernel refuses to
 * unmap stays listed. Returns the bytes that were unmapped. */
size_t moat_resting_end(uintptr_t start, uintptr_t end);

/* Unmap all that is listed; the bytes that were unmapped. */
size_t moat_resting_end_all(void);

/*
 * Have [start, end) mapped for the caller, made of what rests there and of holes.
 *
 * Returns   0; EEXIST: something else is there, or nothing rests there; or the errno of a
 *           reservation. After a failure all rests as it did
 */
int moat_resting_take(uintptr_t start, uintptr_t end);

/* The first mapping at rest that has a part of [from, to), in no particular order. */
bool moat_resting_meets(uintptr_t from, uintptr_t to, uintptr_t *start, uintptr_t *end);

#endif
