/* SPDX-License-Identifier: MIT */
/*
 * frozen: structs whose first page is read-only once they are made, for what never changes in them.
 *
 * They lie side by side in books of their own: the first page of the next one ends the pages of the
 * one before. Those that can be written are sealed. The first pages are not, since a sealed page
 * could never be given back: a stray write traps, but whoever can make system calls can make them
 * writable again. It costs two mappings each.
 */
#ifndef MOAT_REGION_FROZEN_H
#define MOAT_REGION_FROZEN_H

#include "region/geometry.h"

#include <stddef.h>
#include <stdint.h>

#define MOAT_FROZEN_SIZE (3 * MOAT_PAGE)

/* Bytes of books for so many, and those books, not yet open: 0 or errno. */
size_t moat_frozen_books_size(size_t count);
int moat_frozen_start(void *books, size_t count);

/* Zeroed memory of MOAT_FROZEN_SIZE, all of it writable; NULL: no memory, or all are taken. */
void *moat_frozen_take(void);

/* Make the first page read-only. One that the kernel will not protect stays writable, and is
 * counted in moat_books_unsealed. */
void moat_frozen_freeze(void *memory);

/* Give the memory back, frozen or not. Where the kernel refuses to make it writable it is lost. */
void moat_frozen_give(void *memory);

/* The nth one, if it is taken; else NULL. Those beyond `count` never are. */
void *moat_frozen_nth(size_t nth);
size_t moat_frozen_count(void);

#endif
