/* SPDX-License-Identifier: MIT */
/* reserve: what regions can be besides plain ones, for the rest of the library. */
#ifndef MOAT_VM_RESERVE_H
#define MOAT_VM_RESERVE_H

#include "vm/manager.h"

#include <moat/placement.h>

struct moat_reserve_terms {
    uint32_t protection;
    uint32_t flags;                           /* MOAT_RESERVE_* */
    uint32_t near;                            /* a node, plus 1 (numa.h); 0: none is named */
    uint32_t kind;                            /* MOAT_REGION_* */
    void *tag;                                /* of a heap, with MOAT_REGION_TAGGED */
    const struct moat_address_limits *limits; /* NULL: none */
};

/* Whether a reserve, and the commit that is part of it, is to fail for the sake of a simulation. */
enum moat_status moat_reserve_deny(struct moat_manager *manager, uintptr_t address, bool commit);

/* moat_reserve, on these terms. */
enum moat_status moat_reserve_as(struct moat_manager *manager, void *address, size_t size,
                                 const struct moat_reserve_terms *terms, void **base);

/* For tools that look in: a reserve has ended, and was asked for these things. */
void moat_reserve_probe(const struct moat_manager *manager, const void *address, size_t size,
                        const struct moat_reserve_terms *terms, enum moat_status status,
                        void *const *base);

/* moat_release for the heap that tagged the region: MOAT_NOT_OURS unless it bears that tag. */
enum moat_status moat_release_tagged(struct moat_manager *manager, void *address, void *tag);

/* Release a region whatever it is: its manager is going, and has undone all locks. */
enum moat_status moat_release_any(const struct moat_region_ref *ref);

#endif
