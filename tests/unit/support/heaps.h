/* SPDX-License-Identifier: MIT */
/*
 * heaps: what tests of the heap share: heaps, blocks and refusals that are checked where they are
 * asked for.
 */
#ifndef MOAT_TESTS_UNIT_HEAPS_H
#define MOAT_TESTS_UNIT_HEAPS_H

#include "regions.h"

#include <moat/heap.h>

struct moat_heap *heap_of(struct moat_manager *manager, uint32_t flags);

unsigned char *allocated(struct moat_heap *heap, size_t size);
void freed(struct moat_heap *heap, void *block);

/* The heap must not take it, and its manager must count that. */
void refused(struct moat_heap *heap, const struct moat_manager *manager, const void *block);

struct moat_heap_stats heap_stats(const struct moat_heap *heap);
size_t room(struct moat_heap *heap, const void *block);

#endif
