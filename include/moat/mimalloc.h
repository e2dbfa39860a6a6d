/* SPDX-License-Identifier: MIT */
/*
 * mimalloc: arenas of mimalloc 2 inside regions of a Moat manager.
 *
 * One region becomes one arena, and heaps that are made in it allocate nowhere else:
 *
 *     mi_arena_id_t arena;
 *     if (moat_mimalloc_arena(manager, (size_t)256 << 20, true, &arena) == MOAT_OK) {
 *         mi_heap_t *heap = mi_heap_new_in_arena(arena); // of this thread, as all its heaps are
 *         block = mi_heap_malloc(heap, size);            // NULL when the arena is full
 *     }
 *
 * What is guaranteed. A page before and behind the arena traps; its memory is the manager's, counts
 * against its quota, and is what moat_query and reports name; others can neither release nor
 * decommit it by mistake through another manager. A heap of an exclusive arena that is full returns
 * NULL, it does not go to the kernel.
 *
 * What is not. Inside the arena all is mimalloc's: no guards between its blocks and its own books,
 * no trap for a block that was freed, no memory given back before the process ends. The arena is
 * committed as a whole, because mimalloc would else call mprotect and madvise past the manager,
 * whose books then said what is not so. (A build of mimalloc with MI_SECURE does so all the same,
 * and does not tell: it is not to be used here. Debian's is not one.) Memory is taken as pages are
 * touched, and kept. mimalloc has no way to give up an arena: the region and its manager stay for
 * good, and there are 64 arenas at most.
 *
 * An arena that is not exclusive serves the whole process: what mi_malloc, and malloc where it is
 * mimalloc's, allocate from then on; with MIMALLOC_LIMIT_OS_ALLOC=1 nothing comes from elsewhere.
 * mimalloc's own books, a few KiB an arena, come from the kernel all the same.
 *
 * Needs mimalloc 2.0.9, as Debian 12 has it (libmimalloc-dev), and no other: heaps in an arena
 * crash in 2.0.7, and 2.1 makes arenas of its own beside those it is given. It is all in this
 * header. This is not the option backend=mimalloc, which has mimalloc supply the pages of regions.
 */
#ifndef MOAT_MIMALLOC_H
#define MOAT_MIMALLOC_H

#include <moat/moat.h>
#include <moat/placement.h>

#include <mimalloc.h>

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What mimalloc cuts arenas into, and how it aligns them. */
#define MOAT_MIMALLOC_SEGMENT ((size_t)32 << 20)

/*
 * Make a region an arena.
 *
 *   manager     has to outlive the process's use of mimalloc; it is not to be destroyed
 *   size        bytes, > 0; rounded up to 32 MiB. Blocks of 16 MiB and more take multiples of that
 *   exclusive   for heaps of mi_heap_new_in_arena alone
 *   arena       receives its number, for mi_heap_new_in_arena and mi_arena_area
 *
 * Returns   MOAT_OK
 *           MOAT_INVALID_ARGUMENT   size is 0 or too large
 *           MOAT_NOT_SUPPORTED      another version of mimalloc
 *           MOAT_NO_MEMORY          no room; or mimalloc has 64 arenas
 *           MOAT_COMMIT_LIMIT, MOAT_MAP_LIMIT, MOAT_TIMEOUT, MOAT_NO_ACCESS, MOAT_UNAVAILABLE
 *                                   as moat_reserve_within
 * After a failure nothing has changed.
 * Threads   any, at once
 * Since     0.6
 */
static inline enum moat_status moat_mimalloc_arena(struct moat_manager *manager, size_t size,
                                                   bool exclusive, mi_arena_id_t *arena) {
    struct moat_address_limits limits = {0, 0, MOAT_MIMALLOC_SEGMENT};
    void *base;

    if (mi_version() != 209)
        return MOAT_NOT_SUPPORTED;
    if (size == 0 || size > SIZE_MAX - MOAT_MIMALLOC_SEGMENT)
        return MOAT_INVALID_ARGUMENT;
    size = (size + MOAT_MIMALLOC_SEGMENT - 1) & ~(MOAT_MIMALLOC_SEGMENT - 1);
    enum moat_status status = moat_reserve_within(manager, size, MOAT_PAGE_READWRITE,
                                                  MOAT_RESERVE_COMMIT, &limits, &base);
    if (status)
        return status;

    /* Committed, not large, zero, of no node: what is committed from the start it leaves so. */
    if (mi_manage_os_memory_ex(base, size, true, false, true, -1, exclusive, arena))
        return MOAT_OK;
    status = moat_release(manager, base);
    return status ? status : MOAT_NO_MEMORY;
}

#ifdef __cplusplus
}
#endif

#endif
