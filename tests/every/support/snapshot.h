/* SPDX-License-Identifier: MIT */
/*
 * snapshot: all that can be known of Moat at one moment, from three sources that must agree: what
 * queries, counters, records and descriptions say (the books), what the kernel says, and what the
 * pages hold.
 *
 * It is taken while nobody works. Only pages that hold something but zeroes are noted with their
 * content, so that regions of any size are compared in full.
 */
#ifndef MOAT_TESTS_EVERY_SNAPSHOT_H
#define MOAT_TESTS_EVERY_SNAPSHOT_H

#include "kernel.h"

#include <moat/describe.h>
#include <moat/moat.h>

enum { RUNS_MAX = 8192, CONTENTS_MAX = 16384, RECORDS_MAX = 1024, VIEWS = 2 };

enum whose { WHOSE_REGION, WHOSE_ARENA, WHOSE_BOOKS };

/* What a query says of pages side by side that are Moat's. */
struct run {
    uintptr_t start;
    uintptr_t end;
    uintptr_t base; /* of the allocation */
    enum whose whose;
    enum moat_page_state state;
    uint32_t protection;
    uint32_t reserved_protection;
    uint32_t flags;                   /* of the region */
    const struct moat_manager *owner; /* NULL: of no region */
};

struct content {
    uintptr_t page;
    uint64_t sum;
};

/* A region as its record has it, and what descriptions say of its first and its middle page. What
 * they say of its neighbourhood depends on who was there before, and on the clock. */
struct record {
    uintptr_t base;
    size_t size;
    uintptr_t span_start; /* with its margins */
    uintptr_t span_end;
    uint32_t flags;
    uint32_t protection;
    const struct moat_manager *owner;
    struct moat_description views[VIEWS]; /* without what differs from run to run */
};

struct snapshot {
    const struct moat_manager *manager; /* may be NULL: there is none */
    struct moat_stats stats;
    uint64_t parked;  /* bytes that wait to be unmapped */
    bool sound;       /* the books are, by their own check words */
    bool may_be_open; /* of compare.c */
    uint64_t files;
    uint64_t signals; /* that are blocked */
    size_t run_count, content_count, record_count;
    struct run runs[RUNS_MAX];
    struct content contents[CONTENTS_MAX];
    struct record records[RECORDS_MAX]; /* by base */
    struct mappings mappings;
    struct stretches stretches; /* of Moat's pages that are not books */
};

/* `strangers`: what was mapped before Moat began, and is not asked about; NULL: all is. */
void snapshot_take(struct snapshot *snapshot, const struct moat_manager *manager,
                   const struct mappings *strangers);

#endif
