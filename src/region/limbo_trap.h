/* SPDX-License-Identifier: MIT */
/* limbo_trap: making places trap that no region stands for, many at once. */
#ifndef MOAT_REGION_LIMBO_TRAP_H
#define MOAT_REGION_LIMBO_TRAP_H

#include "region/limbo.h"

/* So many at once. */
#define MOAT_LIMBO_BATCH 128u

struct moat_limbo_place {
    struct moat_place place;
    bool dense;
    bool traps;      /* receives whether it does */
    uint64_t rested; /* of the granules between it and the next one: those that rest, as a claim
                        pattern */
};

/* Make places trap, and sort them by their addresses. They are still claimed afterwards. */
void moat_limbo_trap(struct moat_limbo_place *places, size_t count,
                     const struct moat_limbo_terms *terms, struct moat_limbo_report *report);

#endif
