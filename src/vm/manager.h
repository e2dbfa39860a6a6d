/* SPDX-License-Identifier: MIT */
/*
 * manager: an owner of regions, with options of its own and counters that no two processors share.
 */
#ifndef MOAT_VM_MANAGER_H
#define MOAT_VM_MANAGER_H

#include "backend/backend.h"

#include <moat/moat.h>

#include <stdatomic.h>
#include <stdbool.h>

enum moat_counter {
    MOAT_COUNT_REGIONS,
    MOAT_COUNT_BYTES_RESERVED,
    MOAT_COUNT_BYTES_COMMITTED,
    MOAT_COUNT_RESERVES,
    MOAT_COUNT_COMMITS,
    MOAT_COUNT_DECOMMITS,
    MOAT_COUNT_RELEASES,
    MOAT_COUNT_REFUSED,
    MOAT_COUNT_GUARDS_YIELDED,
    MOAT_COUNT_GUARD_FAILURES,
    MOAT_COUNT_POISON_DAMAGE,
    MOAT_COUNT_STRANDED_BYTES,
    MOAT_COUNT_BACKEND_FALLBACKS,
    MOAT_COUNTERS
};

#define MOAT_MANAGER_SHARDS 16u

struct moat_manager {
    _Atomic uint64_t link; /* of the books */
    struct moat_options options;
    const struct moat_backend_ops *backend;
    bool markers;
    struct {
        _Alignas(128) _Atomic uint64_t counters[MOAT_COUNTERS];
    } shards[MOAT_MANAGER_SHARDS];
};

/* Add to a counter; differences may be negative, in two's complement. */
void moat_manager_count(struct moat_manager *manager, enum moat_counter counter, uint64_t amount);

/* The clock reading at which a wait of this manager ends; NULL: as by default. */
uint64_t moat_manager_deadline(const struct moat_manager *manager);

#endif
