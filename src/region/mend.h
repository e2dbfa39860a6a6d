/* SPDX-License-Identifier: MIT */
/*
 * mend: the steps of a repair after a fork. fork.h says what they are for.
 *
 * Everything here runs while no other thread works on what it touches: the caller is the one that
 * mends a child, and what T may be in the middle of is left out.
 */
#ifndef MOAT_REGION_MEND_H
#define MOAT_REGION_MEND_H

#include "region/arenas.h"
#include "region/fork.h"
#include "region/region.h"

/* Bring pages to what the books say of them, whatever the kernel has there. Returns how many runs
 * the kernel refused. */
uint32_t moat_mend_pages(struct moat_space *space, uintptr_t start, uintptr_t end);

/* The same for the blocks of a region that these stripes stand for. */
uint32_t moat_mend_stripes(const struct moat_region_ref *ref, uint32_t stripes);

/*
 * Make pages trap, whatever they were, and bring them to the state of fresh ones.
 *
 * Returns   0, or errno: some do not trap
 */
int moat_mend_drop(struct moat_space *space, uintptr_t start, uintptr_t end);

/* Bytes of granules that live regions have in each arena, by kind and number. */
struct moat_mend_sums {
    uint64_t of[MOAT_KINDS_MAX][MOAT_ARENAS_MAX];
};

/* Free the granules that are claimed beyond those, which belong to nobody. */
void moat_mend_claims(const struct moat_mend_sums *sums, struct moat_fork_report *report);

/* All of it: regions, claims, arenas. */
void moat_mend_regions(struct moat_fork_report *report);

#endif
