/* SPDX-License-Identifier: MIT */
/*
 * stash: memory of large regions that were released, for those that come.
 *
 * What a region held is moved away from its addresses, page table by page table, and moved to those
 * of another region when that is committed: both cost the same for any size, while addresses rest
 * as long as they would otherwise. In between it lies at addresses of its own, which nobody is
 * told, with the rights it had; it is zeroed before it moves on. Only memory of arenas of which the
 * kernel is told nothing takes part, and only as much of it as the options allow (retain_budget.h).
 *
 * A region that got its memory so is a mapping of its own, which merges with no other until it is
 * released.
 *
 * Progress   lock-free, system calls aside. A thread that ends, or a fork, in the middle leaves a
 *            slot unusable; the child that mends empties it.
 *
 * Edges
 *   body   a body is moved to a slot, then the slot called full -> whoever moves it on
 */
#ifndef MOAT_REGION_STASH_H
#define MOAT_REGION_STASH_H

#include "region/space.h"

#define MOAT_STASH_SIZE_MIN ((size_t)256 << 10)
#define MOAT_STASH_SIZE_MAX ((size_t)8 << 20)

/*
 * Move the memory of a region away that is being released and has its blocks alone.
 *
 *   most   what the process may retain in the eyes of the region's owner
 *
 * Returns   true: the pages of [start, end) trap, hold nothing, and are in the books so. False:
 *           they are as they were
 */
bool moat_stash_put(struct moat_space *space, uintptr_t start, uintptr_t end, uint64_t most);

/*
 * Give [start, end), which traps, has no markers and holds nothing, the memory of a region of that
 * size, readable, writable and zeroed.
 *
 * Returns   false: nothing has changed; there is none, or it is time for fresh memory
 */
bool moat_stash_take(struct moat_space *space, uintptr_t start, uintptr_t end);

/* Give the memory back that is held now, in the whole process; how many bytes. */
size_t moat_stash_empty(void);

/* In a forked child, by the thread that mends it: empty what the dead were moving. How many bytes
 * are held. */
size_t moat_stash_mend(void);

#endif
