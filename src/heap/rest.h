/* SPDX-License-Identifier: MIT */
/*
 * rest: what freed blocks hold until they are handed out again, where the manager's options have
 * heap_poison=on: a pattern, and who freed them.
 *
 * Freed blocks stay accessible, so a stale write to one is not trapped. Filling it has to come
 * before anybody can take the slot, and only who really frees the block may do it: so a slot has a
 * second word that decides who frees, and the bit of the slot is given back when the block is full
 * of poison. The table of these words lies in the books, made with the header; where there was no
 * memory for it the blocks of that span are not filled.
 *
 *   word of a slot   life of the span << 1 | whether it is at rest
 *
 * A slot that was never freed in this life of its span has an older life there, and holds zeroes.
 *
 * Edges
 *   rests   a table is zero, then shown -> who finds it
 *   rest    a block is laid to rest -> who frees it too finds it so
 */
#ifndef MOAT_HEAP_REST_H
#define MOAT_HEAP_REST_H

#include "heap/heap.h"
#include "region/history.h"

/* Give a new header its table, if there is memory for it; and take the table away. */
void moat_rests_make(struct moat_span *span);
void moat_rests_give(struct moat_span *span);

/* The block of a slot is freed: fill it. False, with nothing changed, when it is not live. */
bool moat_rest_begin(const struct moat_heap *heap, const struct moat_found *found);

/* The slot was taken by this thread: look whether the block was written meanwhile, and tell. */
void moat_rest_end(struct moat_heap *heap, struct moat_span *span, uint32_t slot);

/* Who freed the block that is at rest in a slot, as far as that can be told without holding the
 * slot; all zero: there is none, or nobody noted it. */
struct moat_moment moat_rest_freed(const struct moat_span *span, uint32_t slot);

/* The region of a span is about to be given back: look at all blocks that are at rest. */
void moat_rests_inspect(struct moat_heap *heap, const struct moat_span *span);

#endif
