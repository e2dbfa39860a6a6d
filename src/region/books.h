/* SPDX-License-Identifier: MIT */
/*
 * books: the memory that Moat keeps its own records in.
 *
 * Away from every region, at addresses drawn by chance one by one (the kernel's own choice differs
 * by little from one mapping to the next), between margins that trap. What has been books stays
 * books until the process ends: a reader that was overtaken reads stale records, never foreign
 * memory.
 *
 * Where the kernel can, what is opened is sealed at once, and with the first of it the margins: no
 * call of anybody, Moat included, can unmap, move, replace or protect them any more. What was set
 * aside and is not open yet cannot be sealed, since it could then not be opened: it only traps. So
 * a book that nobody has opened costs its reservation, and no call besides. Sealed books
 * can be written, of course, and their content be dropped by madvise; whoever can write there is
 * found out by check words (integrity.h) and not kept away.
 */
#ifndef MOAT_REGION_BOOKS_H
#define MOAT_REGION_BOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Address space for books. */
struct moat_book {
    void *start;    /* of what is usable once it is opened */
    uintptr_t from; /* with the margins */
    uintptr_t to;
};

/* Of chance, for one book. */
#define MOAT_BOOKS_CHANCE 2u

/*
 * Set aside address space for books; nothing is accessible yet. 0 or errno.
 *
 *   chance   drawn at random; all zero: the kernel has the choice where
 */
int moat_books_reserve(size_t size, const uint64_t chance[MOAT_BOOKS_CHANCE],
                       struct moat_book *book);

/* Then keep it for ever, or give it back. 0, or ENOMEM: neither is done. */
int moat_books_keep(const struct moat_book *book);
void moat_books_return(const struct moat_book *book);

/*
 * Have a part of what was set aside cut into the pieces below before more is set aside: a mapping
 * of Moat made late could land where a caller has just released and wants to reserve again.
 * Once, before the first piece.
 */
void moat_books_supply(void *start, size_t size);

/* Make [start, start+size) of it usable and seal it; whole pages, reads as zero at first. Two
 * ranges are the same or disjoint: what is open cannot be opened again as a part of more. */
int moat_books_open(void *start, size_t size);

/* The same for what is opened first of a book, at its start, and for all of it: seals the margins,
 * too. */
int moat_books_open_first(void *start, size_t size);
int moat_books_open_whole(void *start, size_t size);

/* Make a range read-only for ever. Counted as well where that does not succeed; it can then be
 * written. */
void moat_books_freeze(void *start, size_t size);

/* Ranges of books, in the process so far, that the kernel would not seal. Async-signal-safe. */
uint64_t moat_books_unsealed(void);
void moat_books_count_unsealed(void);

/* Address space that is, or once was, set aside for books or claimed. Async-signal-safe. */
uint64_t moat_books_extent(void);

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
