/* SPDX-License-Identifier: MIT */
/*
 * manager: an owner of regions, with options of its own and counters that no two processors share.
 */
#ifndef MOAT_VM_MANAGER_H
#define MOAT_VM_MANAGER_H

#include "backend/backend.h"
#include "region/frozen.h"
#include "region/region.h"

#include <moat/moat.h>

#include <stdatomic.h>
#include <stdbool.h>

enum moat_counter {
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
    MOAT_COUNT_LOCKS_ABANDONED,
    MOAT_COUNT_QUOTA_REFUSALS,
    MOAT_COUNT_ADOPTED_REGIONS,
    MOAT_COUNT_ADOPTED_BYTES,
    MOAT_COUNT_DENIED,
    MOAT_COUNT_UNZEROED_BYTES,
    MOAT_COUNTERS
};

#define MOAT_MANAGER_SHARDS 16u

struct moat_counters {
    _Alignas(128) _Atomic uint64_t of[MOAT_COUNTERS];
};

/* Calls that the low-resource simulation counts one by one: deny.h. */
enum moat_deny_kind {
    MOAT_DENY_RESERVE,
    MOAT_DENY_COMMIT,
    MOAT_DENY_PROTECT,
    MOAT_DENY_HEAP,
    MOAT_DENY_KINDS
};

struct moat_denials {
    uint64_t grace_end; /* of moat_os_clock; 0: there is no grace */
    _Atomic uint64_t calls[MOAT_DENY_KINDS];
};

/* What the regions of a manager add up to, for whoever mends a forked child. */
struct moat_recount {
    uint64_t regions;
    uint64_t reserved;
    uint64_t committed;
};

struct moat_layout;
struct moat_watcher;

struct moat_manager {
    /* Set by moat_manager_create, and read-only from then on: frozen.h. */
    struct moat_options options;
    const struct moat_backend_ops *backend;
    bool markers;
    struct moat_quarantine *quarantine; /* NULL: nothing rests */
    struct moat_limbo *limbo;           /* NULL: what is released traps at once */
    const struct moat_layout *layout;   /* so that it is linked, and tools know a manager */

    /* What changes. */
    _Alignas(MOAT_PAGE) _Atomic(struct moat_watcher *) watch; /* of memory pressure; NULL: none */
    struct moat_waits waits;
    _Atomic uint32_t runtime; /* enum moat_runtime_state */
    _Atomic uint64_t charged; /* bytes of the quota: quota.h */
    struct moat_denials denials;
    struct moat_recount recount;
    struct moat_counters shards[MOAT_MANAGER_SHARDS];
};

_Static_assert(sizeof(struct moat_manager) <= MOAT_FROZEN_SIZE, "its pages hold it");

/* The counters of this processor. */
struct moat_counters *moat_manager_counters(struct moat_manager *manager);

/* Add to a counter; differences may be negative, in two's complement. */
static inline void moat_count(struct moat_counters *counters, enum moat_counter counter,
                              uint64_t amount) {
    /* relaxed: a statistic. */
    atomic_fetch_add_explicit(&counters->of[counter], amount, memory_order_relaxed);
}

static inline void moat_manager_count(struct moat_manager *manager, enum moat_counter counter,
                                      uint64_t amount) {
    moat_count(moat_manager_counters(manager), counter, amount);
}

/* Visit the regions of a manager, or of all if it is NULL, that live when their turn comes. */
void moat_manager_each(const struct moat_manager *manager,
                       void (*visit)(const struct moat_region_ref *ref, void *context),
                       void *context);

/* Undo all locks of the manager's regions, for it is going, and wait for threads that are about to
 * do so themselves because they end. */
void moat_manager_take_locks(struct moat_manager *manager);

/* Whether the runtime that the manager serves was not declared unable or unloaded. */
bool moat_manager_available(const struct moat_manager *manager);

/* How long a call that begins now waits for regions of this manager. */
struct moat_patience moat_manager_patience(struct moat_manager *manager);

/* moat_region_enter for calls on regions of any manager: they wait as the owner's own calls do. The
 * patience is all zero, but for past_lock, before the first try. */
enum moat_status moat_manager_enter(const struct moat_region_ref *ref, uintptr_t start,
                                    uintptr_t end, struct moat_patience *patience,
                                    uint32_t *stripes);

#endif
