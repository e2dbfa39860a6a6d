/* SPDX-License-Identifier: MIT */
/*
 * pages: which pages of a code heap are taken, and where its blocks start and end.
 *
 * Two words for each 64 pages: which are taken, and which are the first of a block; and a length
 * for each page, which is not 0 for the first of a live block. A run is claimed word by word in
 * ascending order and rolled back on conflict. The search begins where the last run ended, and so
 * what was freed is used again late.
 *
 * Lengths are written by whoever holds the stripes of the block (vm/views.h): a length that is
 * found there is true as long as they are held. Without them it is what it was a moment ago.
 *
 * Edges
 *   claim   whoever gives a run up is done with its pages -> who claims them next
 *   live    a length is written, then its start is marked -> who finds the mark finds a length that
 *           was written for it, or for a later block that starts there
 *
 * Progress   a claim fails only because another one succeeded
 */
#ifndef MOAT_CODE_PAGES_H
#define MOAT_CODE_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct moat_code_pages {
    size_t count;
    _Atomic size_t from; /* where to look first */
    _Atomic uint64_t *taken;
    _Atomic uint64_t *starts;
    _Atomic uint32_t *lengths;
};

/* Bytes for the arrays of so many pages, and how to lay them out; `memory` reads as zero. */
size_t moat_code_pages_size(size_t count);
void moat_code_pages_init(struct moat_code_pages *pages, void *memory, size_t count);

/* Claim a run of `length` pages, > 0. False: there is none. */
bool moat_code_pages_claim(struct moat_code_pages *pages, size_t length, size_t *first);
void moat_code_pages_unclaim(struct moat_code_pages *pages, size_t first, size_t length);

/* The pages of the live block that starts at a page; 0: none does. */
uint32_t moat_code_pages_length(const struct moat_code_pages *pages, size_t first);

/* Have a claimed run be a live block, and end that. */
void moat_code_pages_enter(struct moat_code_pages *pages, size_t first, size_t length);
void moat_code_pages_leave(struct moat_code_pages *pages, size_t first);

/* The live block that a page lies in. */
bool moat_code_pages_find(const struct moat_code_pages *pages, size_t page, size_t *first,
                          size_t *length);

#endif
