/* SPDX-License-Identifier: MIT */
/*
 * registry: the table, the index and the records of the process, and the storage they grow into.
 *
 * There is one registry. Everything it needs address space for is reserved at the start; memory is
 * made usable step by step as regions come. Steps are idempotent, so threads that need the same one
 * do not wait for each other. Growth that the kernel refuses leaves everything whole.
 *
 * Each part lies in books of its own, at an address that says nothing of where the others are. What
 * never changes (where they are, the seed of the hash, the key of the check words, what the kernel
 * can do) is on one page, read-only and sealed once it is filled. The roots of table, index and
 * pool change and are in books like the rest.
 *
 * Edges
 *   start   the registry is set up -> whoever reads that it is ready sees it set up
 */
#ifndef MOAT_REGION_REGISTRY_H
#define MOAT_REGION_REGISTRY_H

#include "lockfree/record_pool.h"
#include "lockfree/region_index.h"
#include "lockfree/region_table.h"
#include "os/os.h"
#include "region/geometry.h"
#include "region/integrity.h"
#include "region/region.h"

struct moat_birth;

struct moat_registry {
    struct moat_region_table *table;
    struct moat_region_index *index;
    struct moat_record_pool *pool;
    struct moat_region *records; /* record 0 is never used */
    struct moat_region_extra *extras;
    struct moat_birth *births; /* history.h */
    unsigned char *table_storage;
    unsigned table_lines_log2_max;
    uint32_t capacity;        /* records */
    unsigned char *directory; /* of the index */
    unsigned char *nodes;
    uint32_t node_capacity;
    void *history; /* history.h */
    void *frozen;  /* frozen.h */
    uint64_t table_seed[2];
    uint64_t check_key[MOAT_CHECK_KEYS]; /* integrity.h */
    struct moat_os_powers powers;        /* powers.h */
};

union moat_registry_page {
    struct moat_registry it;
    unsigned char page[MOAT_PAGE];
};

_Static_assert(sizeof(union moat_registry_page) == MOAT_PAGE, "it is protected alone");

/* For the files that fill it at the start. */
extern union moat_registry_page moat_registry_page;

/* Of moat_region_start; the others say that nothing is set up. */
#define MOAT_REGISTRY_READY UINT32_C(1)
extern _Atomic uint32_t moat_registry_phase;

/* The registry once moat_region_start succeeded; NULL before. */
static inline const struct moat_registry *moat_registry(void) {
    /* A(start) */
    uint32_t now = atomic_load_explicit(&moat_registry_phase, memory_order_acquire);
    return now == MOAT_REGISTRY_READY ? &moat_registry_page.it : NULL;
}

/* A free record, or 0: no memory. */
uint32_t moat_registry_take_record(const struct moat_registry *registry);

/* Enter a region in table and index; false, with nothing entered: no memory. */
bool moat_registry_enter(const struct moat_registry *registry, uintptr_t base, uint32_t handle);

/* Have lookups of a base find another record from now on, and one of the two at any time. */
void moat_registry_replace(const struct moat_registry *registry, uintptr_t base, uint32_t from,
                           uint32_t to);

/* Take it out again; from now on nobody finds it. */
void moat_registry_erase(const struct moat_registry *registry, uintptr_t base, uint32_t handle);

#endif
