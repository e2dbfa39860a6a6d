/* SPDX-License-Identifier: MIT */
/*
 * fork: heaps in a forked child. A thread of the parent may have had a span in hands: popped, not
 * pushed yet, half opened or half closed, or with a region that is not there any more. The stacks
 * are therefore made anew from the list of all headers. Blocks that the dead had allocated stay
 * allocated, and one that they were freeing may.
 */
#ifndef MOAT_HEAP_FORK_H
#define MOAT_HEAP_FORK_H

#include "heap/heap.h"

/* Have a heap mended after forks, until it leaves. False: no memory. */
bool moat_heaps_enter(struct moat_heap *heap);
void moat_heaps_leave(struct moat_heap *heap);

#endif
