/* SPDX-License-Identifier: MIT */
/*
 * sever: granules of open blocks that are mappings of their own.
 *
 * To take the rights of pages amid others the kernel makes three mappings out of one, and one out
 * of three when they are given back: that is more than half of the price, and with a second thread
 * nearly all of it, because everybody waits meanwhile. A mapping that differs from its neighbours
 * in a flag, which means nothing here, stays one whatever its rights are. So where a place is
 * retained again and again (retain.h) it is severed once. A bit a granule says so, for whoever has
 * the granule; nothing but cost hangs on it, and severed granules are bounded (retain_budget.h).
 */
#ifndef MOAT_REGION_SEVER_H
#define MOAT_REGION_SEVER_H

#include "region/space.h"

/* Make a mapping of [start, end), the start of which is at a granule; the caller has its granules.
 * False: there are enough of them, or the kernel refused. */
bool moat_sever(struct moat_space *arena, uintptr_t start, uintptr_t end);

/* Undo that for all granules of [start, end). */
void moat_sever_end(struct moat_space *arena, uintptr_t start, uintptr_t end);

/* The severed granules of a block, a bit each; and forget those of a block that was unmapped. */
uint32_t moat_severed_granules(const struct moat_space *arena, size_t block);
void moat_sever_forget(struct moat_space *arena, size_t block);

#endif
