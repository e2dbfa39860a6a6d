/* SPDX-License-Identifier: MIT */
/*
 * arena: the spaces that many regions share, and finding room in them.
 *
 * Arenas are made when they are first needed, each twice as large as the one before, and are kept.
 * Those with markers and those without are apart. A block at either end of an arena belongs to
 * nobody: it traps, is reported as reserved, and keeps free runs from reaching into foreign memory.
 */
#ifndef MOAT_REGION_ARENA_H
#define MOAT_REGION_ARENA_H

#include "region/place.h"

/* A wish larger than this stands alone. */
#define MOAT_ARENA_REGION_MAX ((size_t)256 << 20)

/* moat_place_anywhere and moat_place_at inside arenas; statuses as there. */
enum moat_status moat_arena_place(bool markers, size_t size, struct moat_place *place);
enum moat_status moat_arena_place_at(struct moat_space *arena, uintptr_t base, size_t size,
                                     struct moat_place *place, uintptr_t *conflict);

/* Free the granules of a place, `rest` as in moat_place_vacate. */
void moat_arena_vacate(const struct moat_place *place, uint32_t rest);

/* The arena that an address lies in, borders not counted, or NULL. */
struct moat_space *moat_arena_of(uintptr_t address);

#endif
