/* SPDX-License-Identifier: MIT */
/*
 * space: a stretch of address space that Moat holds, and the books of its blocks and pages.
 *
 * Two kinds. An *arena* is large, shared by many regions and kept for the life of the process; its
 * granules are claimed one word a block (claim.h). A *stand-alone* space holds exactly one region:
 * reservations outside the arenas, huge ones, and those of a backend other than the kernel.
 *
 * A block is *open* when the kernel lets its pages be used and every page that is not committed
 * carries a guard marker, and *closed* when pages that are not committed have no access rights.
 * Without markers all blocks stay closed. A closed block of an arena belongs to one region at most,
 * or to whoever is opening it, so that nobody ever waits for a stranger to open a block. A *bare*
 * block of an arena with markers does without them: each page has the rights that its state says.
 * Several regions may have it, though automatic placement puts only one there.
 *
 * Edges
 *   rebirth   a field of a later space is written after the region of the earlier one died -> a
 *             query that reads that field also finds the region's life word changed
 *
 * Spaces are never unmapped from the books, only reused as spaces (books.h): a query that races
 * with a release reads stale bytes, never foreign ones, and the region's life word tells it so.
 */
#ifndef MOAT_REGION_SPACE_H
#define MOAT_REGION_SPACE_H

#include "backend/backend.h"
#include "region/geometry.h"
#include "region/kind.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a block is: see above. */
enum moat_block { MOAT_BLOCK_CLOSED, MOAT_BLOCK_OPEN, MOAT_BLOCK_BARE };

struct moat_space {
    _Atomic uint64_t link; /* of the free list in the books; never touched while in use */

    uintptr_t start; /* the mapping, whole */
    uintptr_t end;
    uintptr_t usable_start; /* where regions may lie; the rest are margins that trap */
    uintptr_t usable_end;
    size_t block_count;
    bool arena;
    bool markers;
    bool shared;    /* shows memory that others show too: its content is not Moat's to drop here */
    bool undumped;  /* never in a core dump */
    bool hidden;    /* out of core dumps since it was mapped, but for the blocks that are shown */
    uint8_t kind;   /* of an arena: kind.h */
    uint8_t number; /* of an arena, among its kind */
    struct moat_supply supply;
    _Atomic uint32_t presence; /* of an arena, in the address space: see arenas.h */
    _Atomic bool leaving;      /* its mapping is, or was, being given back */
    const struct moat_backend_ops *backend;

    _Atomic uint64_t *claims;  /* one word a block; NULL when stand-alone */
    _Atomic uint32_t *severed; /* one bit a granule: see sever.h; NULL when stand-alone */
    _Atomic uint8_t *opened;   /* an enum moat_block each; guarded by the block's owner */
    _Atomic uint8_t *shown; /* granules a block, from its start: in core dumps, though the space is
                                 hidden */

    /* Read by queries while the space may be dying: written with release, read with acquire. */
    _Atomic uint8_t fork;               /* enum moat_fork: what a forked child has of it */
    _Atomic uintptr_t first_block;      /* `start` rounded down to a block */
    _Atomic(_Atomic uint8_t *) uniform; /* one byte a block: see pages.h */
    _Atomic(_Atomic uint8_t *) pages;   /* one byte a page, from the start of the first block */
};

static inline uint8_t moat_space_fork(const struct moat_space *space) {
    /* A(rebirth) */
    return atomic_load_explicit(&space->fork, memory_order_acquire);
}

static inline void moat_space_set_fork(struct moat_space *space, uint8_t fork) {
    /* R(rebirth) */
    atomic_store_explicit(&space->fork, fork, memory_order_release);
}

/* relaxed: the caller owns a region of the space, so the field does not change under it. */
#define MOAT_SPACE_FIELD(space, field) atomic_load_explicit(&(space)->field, memory_order_relaxed)

static inline size_t moat_space_block(const struct moat_space *space, uintptr_t address) {
    return (address - MOAT_SPACE_FIELD(space, first_block)) >> MOAT_BLOCK_SHIFT;
}

static inline uintptr_t moat_space_block_start(const struct moat_space *space, size_t block) {
    return MOAT_SPACE_FIELD(space, first_block) + ((uintptr_t)block << MOAT_BLOCK_SHIFT);
}

/* Whether [start, end) is all that the space has of the blocks it touches. */
static inline bool moat_space_whole_blocks(const struct moat_space *space, uintptr_t start,
                                           uintptr_t end) {
    return (moat_is_aligned(start, MOAT_BLOCK) || start == space->usable_start) &&
           (moat_is_aligned(end, MOAT_BLOCK) || end == space->usable_end);
}

/*
 * Bytes of books that a space over [start, end) needs, struct moat_space included, and how to lay
 * them out. `memory` reads as zero.
 */
size_t moat_space_books_size(uintptr_t start, uintptr_t end, bool arena);
struct moat_space *moat_space_init(void *memory, uintptr_t start, uintptr_t end, bool arena);

#endif
