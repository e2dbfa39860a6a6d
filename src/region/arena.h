/* SPDX-License-Identifier: MIT */
/*
 * arena: the spaces that many regions share, and finding room in them.
 *
 * Arenas are made when they are first needed, each twice as large as the one before, and are kept
 * until somebody asks for address space; an empty one then goes back to the kernel, and is had
 * again when there is need. Each kind (kind.h) has its own. A block at either end
 * of an arena belongs to nobody: it traps, is reported as reserved, and keeps free runs from
 * reaching into foreign memory.
 */
#ifndef MOAT_REGION_ARENA_H
#define MOAT_REGION_ARENA_H

#include "region/place.h"

/* A wish larger than this stands alone. */
#define MOAT_ARENA_REGION_MAX ((size_t)256 << 20)

/* moat_place_anywhere and moat_place_at inside arenas; statuses as there. */
enum moat_status moat_arena_place(const struct moat_place_wish *wish, struct moat_place *place);
enum moat_status moat_arena_place_at(struct moat_space *arena, uintptr_t base, size_t size,
                                     struct moat_place *place, uintptr_t *conflict);

/* Free the granules of a place, as moat_place_vacate, and of its guards those that have not
 * yielded. */
void moat_arena_vacate(const struct moat_place *place, struct moat_quarantine *quarantine);

/* Free what [base, end) has of `blocks` blocks, the first of which holds the base. Where guards of
 * a region that is there stood, they stand again. */
void moat_arena_free(struct moat_space *arena, uintptr_t base, uintptr_t end, size_t blocks);

/* The region of a place can be found now: its guards may yield to who names their addresses. */
void moat_arena_stand_guards(const struct moat_place *place);

/* Whether a region that was just placed lies where guards of another one are. */
bool moat_arena_takes_guards(uintptr_t base, uintptr_t end);

/* Have this processor look here first. */
void moat_arena_prefer(const struct moat_space *arena, size_t block);

/* Let what still rests of [base, base + size) be free. */
void moat_arena_unrest(uintptr_t base, size_t size);

/* The arena that an address lies in, borders not counted, or NULL. */
struct moat_space *moat_arena_of(uintptr_t address);

/* Whether an address lies in the border of an arena. On yes, its extent. */
bool moat_arena_border(uintptr_t address, uintptr_t *start, uintptr_t *end);

/* Whether an arena has a part of [start, end), borders counted. */
bool moat_arena_meets(uintptr_t start, uintptr_t end);

/* All arenas there ever were, one by one; false beyond the last. */
bool moat_arena_nth(size_t nth, struct moat_space **arena);

/* Let what rests in an arena be free, in blocks in which no region lies. */
void moat_arena_wake(struct moat_space *arena);

/*
 * Give an arena back to the kernel, all of it, if nothing is taken in it and nothing rests.
 *
 * Returns   the bytes that were given back; 0: it stays as it was
 * Progress  lock-free; until it returns, requests that meet the arena find everything in it taken
 */
size_t moat_arena_retire(struct moat_space *arena);

/*
 * Whether an arena has come or gone, or is just about to, since moat_arena_moves answered `since`:
 * a place that was not free for that reason may be so now.
 */
uint64_t moat_arena_moves(void);
bool moat_arena_moved(uint64_t since);

#endif
