/* SPDX-License-Identifier: MIT */
/* space: how the books of a space are laid out behind its struct. */
#include "region/space.h"

#include "base/align.h"

/* Where each array starts, counted from the struct; the last one is the size of the whole. */
struct layout {
    size_t block_count;
    size_t claims;
    size_t severed;
    size_t opened;
    size_t shown;
    size_t uniform;
    size_t pages;
    size_t end;
};

static struct layout lay_out(uintptr_t start, uintptr_t end, bool arena) {
    uintptr_t first = moat_round_down(start, MOAT_BLOCK);
    struct layout at = {.block_count = (size_t)((end - first + MOAT_BLOCK - 1) / MOAT_BLOCK)};

    /* The first block is a border: the eight that placement chooses from share a line. */
    at.claims = moat_round_up(sizeof(struct moat_space), 64) + 64 - sizeof(uint64_t);
    at.severed = moat_round_up(at.claims + at.block_count * sizeof(uint64_t), 64);
    at.opened = arena ? moat_round_up(at.severed + at.block_count * sizeof(uint32_t), 64)
                      : sizeof(struct moat_space);
    at.shown = at.opened + at.block_count;
    at.uniform = at.shown + at.block_count;
    at.pages = moat_round_up(at.uniform + at.block_count, 64);
    at.end = at.pages + (size_t)((end - first + MOAT_PAGE - 1) / MOAT_PAGE);
    return at;
}

size_t moat_space_books_size(uintptr_t start, uintptr_t end, bool arena) {
    return lay_out(start, end, arena).end;
}

struct moat_space *moat_space_init(void *memory, uintptr_t start, uintptr_t end, bool arena) {
    struct layout at = lay_out(start, end, arena);
    struct moat_space *space = memory;
    _Atomic uint8_t *bytes = memory;

    space->start = space->usable_start = start;
    space->end = space->usable_end = end;
    space->block_count = at.block_count;
    space->arena = arena;
    space->claims = arena ? (void *)(bytes + at.claims) : NULL;
    space->severed = arena ? (void *)(bytes + at.severed) : NULL;
    space->opened = bytes + at.opened;
    space->shown = bytes + at.shown;
    /* R(rebirth) a query that reads one of these then finds its region's life word changed. */
    atomic_store_explicit(&space->first_block, moat_round_down(start, MOAT_BLOCK),
                          memory_order_release);
    /* R(rebirth) */
    atomic_store_explicit(&space->uniform, bytes + at.uniform, memory_order_release);
    /* R(rebirth) */
    atomic_store_explicit(&space->pages, bytes + at.pages, memory_order_release);
    return space;
}
