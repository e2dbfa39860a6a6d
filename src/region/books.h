/* SPDX-License-Identifier: MIT */
/*
 * books: the memory that Moat keeps its own records in.
 *
 * Away from every region, between margins that trap, at an address of the kernel's choosing. What
 * has been books stays books until the process ends: a reader that was overtaken reads stale
 * records, never foreign memory.
 */
#ifndef MOAT_REGION_BOOKS_H
#define MOAT_REGION_BOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Set aside address space for books; nothing is accessible yet. 0 or errno. */
int moat_books_reserve(size_t size, void **start);

/*
 * Have a part of what was set aside cut into the pieces below before more is set aside: a mapping
 * of Moat made late could land where a caller has just released and wants to reserve again.
 * Once, before the first piece.
 */
void moat_books_supply(void *start, size_t size);

/* Make [start, start+size) of it usable; whole pages, idempotent, reads as zero at first. */
int moat_books_open(void *start, size_t size);

/*
 * Zeroed memory for one struct whose first 8 bytes are an `_Atomic uint64_t` that it does not use
 * itself, aligned to 64 bytes; NULL when there is none to be had. Lock-free.
 */
void *moat_books_take(size_t size);

/* Give that memory back, with the size it was taken with. Lock-free. */
void moat_books_give(void *memory, size_t size);

/* Whether an address belongs to the books or to the margins around them. On yes, their extent. */
bool moat_books_contain(uintptr_t address, uintptr_t *start, uintptr_t *end);

/* Whether a part of [from, to) belongs to them. */
bool moat_books_meet(uintptr_t from, uintptr_t to);

/* Add a stretch of address space that is Moat's own though it is no book. False when the list is
 * full. */
bool moat_books_claim(uintptr_t start, uintptr_t end);

#endif
