/* SPDX-License-Identifier: MIT */
/*
 * trace_pages: which pages of one region are committed, how, and were they touched?
 *
 * Kept as sorted extents, not as a page array: memory grows with the operations, never with the
 * sizes that a file claims.
 */
#ifndef MOAT_BENCH_TRACE_PAGES_H
#define MOAT_BENCH_TRACE_PAGES_H

#include <stddef.h>
#include <stdint.h>

#include "trace.h"

/* Committed pages [first, end) of one state. */
struct trace_extent {
    uint64_t first;
    uint64_t end;
    uint8_t state; /* protection bits, and whether touched */
};

/* All zero is a region of which nothing is committed. Never empty, overlapping or out of order. */
struct trace_pages {
    struct trace_extent *extents;
    size_t count;
    size_t capacity;
};

/* Sums over all regions, in pages. */
struct trace_totals {
    uint64_t committed;
    uint64_t touched;
};

enum trace_pages_result {
    TRACE_PAGES_OK,
    TRACE_PAGES_NO_MEMORY,
    TRACE_PAGES_COMMITTED,     /* COMMIT of a page that is */
    TRACE_PAGES_NOT_COMMITTED, /* anything else of a page that is not */
    TRACE_PAGES_PROTECTION,    /* TOUCH with another protection than the page has */
    TRACE_PAGES_TOUCHED        /* TOUCH of a page touched before */
};

/*
 * Do COMMIT, DECOMMIT, PROTECT or TOUCH to pages [first, first + size), which do not wrap.
 *
 *   page   receives the first page that forbids it
 *
 * After a failure the pages are usable, but part of the operation may be done.
 */
enum trace_pages_result trace_pages_apply(struct trace_pages *pages, enum trace_op_kind kind,
                                          uint8_t prot, uint64_t first, uint64_t size,
                                          struct trace_totals *totals, uint64_t *page);

/* Decommit everything and give the memory back. */
void trace_pages_clear(struct trace_pages *pages, struct trace_totals *totals);

#endif
