/* SPDX-License-Identifier: MIT */
/*
 * registry: the table, the index and the records of the process, and the storage they grow into.
 *
 * There is one registry. Everything it needs address space for is reserved at the start; memory is
 * made usable step by step as regions come. Steps are idempotent, so threads that need the same one
 * do not wait for each other. Growth that the kernel refuses leaves everything whole.
 */
#ifndef MOAT_REGION_REGISTRY_H
#define MOAT_REGION_REGISTRY_H

#include "lockfree/record_pool.h"
#include "lockfree/region_index.h"
#include "lockfree/region_table.h"
#include "region/region.h"

struct moat_birth;

struct moat_registry {
    struct moat_region_table table;
    struct moat_region_index index;
    struct moat_record_pool pool;
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
};

/* The registry once moat_region_start succeeded; NULL before. */
struct moat_registry *moat_registry(void);

/* A free record, or 0: no memory. */
uint32_t moat_registry_take_record(struct moat_registry *registry);

/* Enter a region in table and index; false, with nothing entered: no memory. */
bool moat_registry_enter(struct moat_registry *registry, uintptr_t base, uint32_t handle);

/* Have lookups of a base find another record from now on, and one of the two at any time. */
void moat_registry_replace(struct moat_registry *registry, uintptr_t base, uint32_t from,
                           uint32_t to);

/* Take it out again; from now on nobody finds it. */
void moat_registry_erase(struct moat_registry *registry, uintptr_t base, uint32_t handle);

#endif
