/* SPDX-License-Identifier: MIT */
/*
 * arenas: which arenas there are; how they are made, given back to the kernel, and had again.
 *
 * An arena that was given back keeps its number, its struct and its claims, every one of them held:
 * whoever found it before finds nothing free in it, and goes elsewhere. It comes back at the same
 * address or not at all, so what a late thread knows of its shape stays true. Nobody makes a system
 * call on pages that he has not claimed, so once every block is claimed nobody will, and the kernel
 * may hand the addresses to a stranger.
 *
 *   HERE -> (every block claimed) -> MOVING -> AWAY -> MOVING -> HERE -> (claims given up)
 *     ^                                |         ^        |
 *     +------ (unmap was refused) -----+         +--------+ (the place is taken, or no memory)
 *
 * While it moves an arena is an arena to nobody: queries are told what the kernel knows.
 */
#ifndef MOAT_REGION_ARENAS_H
#define MOAT_REGION_ARENAS_H

#include "region/kind.h"
#include "region/space.h"

/* Of each kind: those here, and those whose place somebody else took while they were away. */
#define MOAT_ARENAS_MAX 128u

/* All there ever were, for tools that look from outside. */
extern _Atomic(struct moat_space *) moat_arenas_lists[MOAT_KINDS_MAX][MOAT_ARENAS_MAX];

/* Of a kind (kind.h): how many numbers are in use, and the arena of one, be it here or away; NULL
 * beyond the last. */
size_t moat_arenas_count(unsigned kind);
struct moat_space *moat_arenas_at(unsigned kind, size_t number);

/* Whether an arena is here. */
bool moat_arenas_here(const struct moat_space *arena);

/* In a forked child, whose parent's threads were moving arenas: those stay away for good. */
void moat_arenas_settle(void);

/* In a forked child that has not got the mapping of an arena: hold its addresses, or where somebody
 * was faster, let it be on its way. Async-signal-safe. */
void moat_arenas_restore(struct moat_space *arena);

/* Forget all that was in such an arena. */
void moat_arenas_empty(struct moat_space *arena);

/*
 * Have one arena more, with room for twice `need` bytes; its number goes to *number.
 *
 * Returns   false: no address space, or no number
 */
bool moat_arenas_add(unsigned kind, size_t need, size_t *number);

#endif
