/* SPDX-License-Identifier: MIT */
/*
 * resting: released mappings that are kept so that nobody gets their addresses for a while.
 *
 * A mapping at rest is one stretch without access, content or markers, and belongs to no region. To
 * a query it is free, and a caller of Moat who names an address in it has it at once: it is handed
 * over as it is mapped, so that no stranger can get in between. A reservation of several takes them
 * in ascending order, and waits for those that somebody else has in hand: of callers that want the
 * same, one has it. When a mapping has rested is decided elsewhere (quarantine.h).
 *
 * Edges
 *   rest   a mapping is swept, then listed -> whoever has it in hand
 *          who had it in hand is done with it -> whoever has it next
 */
#ifndef MOAT_REGION_RESTING_H
#define MOAT_REGION_RESTING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MOAT_RESTING_SLOTS 4096u

/* The list, for tools that look from outside: first granule << 32 | granules, and bit 63 while
 * somebody has it in hand. */
extern _Atomic uint64_t moat_resting_slots[MOAT_RESTING_SLOTS];

/* Bounds are multiples of a granule. Lock-free, but for what says so; async-signal-safe. */

/* Sweep a mapping that belongs to nobody any more, and list it.
 * False: it is not at rest, and as it was before; or the list is full. */
bool moat_resting_enter(uintptr_t start, uintptr_t end);

/* Unmap what was listed with these bounds, unless somebody has it in hand or took it. What the
 * kernel refuses to unmap stays listed. Returns the bytes that were unmapped. */
size_t moat_resting_end(uintptr_t start, uintptr_t end);

/* Unmap all that is listed; the bytes that were unmapped. */
size_t moat_resting_end_all(void);

/*
 * Have [start, end) mapped for the caller, made of what rests there and of holes. Waits, for a
 * bounded time, for those who have a part of it in hand: not lock-free.
 *
 * Returns   0; EEXIST: something else is there; or the errno of a reservation. After a failure all
 *           rests as it did
 */
int moat_resting_take(uintptr_t start, uintptr_t end);

/* The lowest mapping at rest that has a part of [from, to). */
bool moat_resting_meets(uintptr_t from, uintptr_t to, uintptr_t *start, uintptr_t *end);

/* In a child of fork(): what other threads had in hand rests. */
void moat_resting_in_child(void);

#endif
