/* SPDX-License-Identifier: MIT */
/*
 * trace_pages: the page states of one region, as sorted extents.
 *
 * Every change first splits the extents at both ends of its range, so that it then works on whole
 * extents, and last merges what became equal; without the merge, a long trace would be quadratic.
 */
#include "trace_pages.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { STATE_TOUCHED = 8 };

/* Index of the first extent that ends after a page. */
static size_t extent_after(const struct trace_pages *pages, uint64_t page) {
    size_t low = 0, high = pages->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (pages->extents[middle].end > page)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static bool insert(struct trace_pages *pages, size_t index, struct trace_extent extent) {
    if (pages->count == pages->capacity) {
        size_t capacity = pages->capacity == 0 ? 4 : pages->capacity * 2;
        struct trace_extent *extents = realloc(pages->extents, capacity * sizeof *extents);
        if (extents == NULL)
            return false;
        pages->extents = extents;
        pages->capacity = capacity;
    }
    struct trace_extent *at = &pages->extents[index];
    memmove(at + 1, at, (pages->count - index) * sizeof *at);
    *at = extent;
    pages->count++;
    return true;
}

/* Make a page the border of two extents when it lies inside one. */
static bool split(struct trace_pages *pages, uint64_t page) {
    size_t index = extent_after(pages, page);
    if (index == pages->count || pages->extents[index].first >= page)
        return true;
    struct trace_extent left = pages->extents[index];
    pages->extents[index].first = page;
    left.end = page;
    return insert(pages, index, left);
}

/* Drop empty extents in [low, high) and merge equal neighbours there and at its two borders. */
static void tidy(struct trace_pages *pages, size_t low, size_t high) {
    struct trace_extent *e = pages->extents;
    size_t kept = low > 0 ? low - 1 : 0;
    size_t index = kept;
    for (; index < pages->count && index <= high; index++) {
        if (e[index].first == e[index].end)
            continue;
        if (kept > 0 && e[kept - 1].end == e[index].first && e[kept - 1].state == e[index].state)
            e[kept - 1].end = e[index].end;
        else
            e[kept++] = e[index];
    }
    memmove(&e[kept], &e[index], (pages->count - index) * sizeof *e);
    pages->count -= index - kept;
}

static void forget(struct trace_extent *extent, struct trace_totals *totals) {
    uint64_t size = extent->end - extent->first;
    totals->committed -= size;
    totals->touched -= (extent->state & STATE_TOUCHED) != 0 ? size : 0;
    extent->end = extent->first;
}

static enum trace_pages_result commit(struct trace_pages *pages, uint8_t prot, uint64_t first,
                                      uint64_t end, struct trace_totals *totals, uint64_t *page) {
    size_t index = extent_after(pages, first);
    if (index < pages->count && pages->extents[index].first < end) {
        *page = pages->extents[index].first > first ? pages->extents[index].first : first;
        return TRACE_PAGES_COMMITTED;
    }
    if (!insert(pages, index, (struct trace_extent){first, end, prot}))
        return TRACE_PAGES_NO_MEMORY;
    tidy(pages, index, index + 1);
    totals->committed += end - first;
    return TRACE_PAGES_OK;
}

static enum trace_pages_result touch(struct trace_extent *extent, uint8_t prot,
                                     struct trace_totals *totals, uint64_t *page) {
    *page = extent->first;
    if ((extent->state & STATE_TOUCHED) != 0)
        return TRACE_PAGES_TOUCHED;
    if (extent->state != prot)
        return TRACE_PAGES_PROTECTION;
    extent->state |= STATE_TOUCHED;
    totals->touched += extent->end - extent->first;
    return TRACE_PAGES_OK;
}

enum trace_pages_result trace_pages_apply(struct trace_pages *pages, enum trace_op_kind kind,
                                          uint8_t prot, uint64_t first, uint64_t size,
                                          struct trace_totals *totals, uint64_t *page) {
    uint64_t end = first + size;
    if (kind == TRACE_COMMIT)
        return commit(pages, prot, first, end, totals, page);
    uint64_t reached = first;
    for (size_t i = extent_after(pages, first); reached < end; i++) {
        if (i == pages->count || pages->extents[i].first > reached) {
            *page = reached;
            return TRACE_PAGES_NOT_COMMITTED;
        }
        reached = pages->extents[i].end;
    }
    if (!split(pages, first) || !split(pages, end))
        return TRACE_PAGES_NO_MEMORY;

    size_t low = extent_after(pages, first);
    size_t high = low;
    enum trace_pages_result result = TRACE_PAGES_OK;
    for (; result == TRACE_PAGES_OK && high < pages->count && pages->extents[high].first < end;
         high++) {
        struct trace_extent *extent = &pages->extents[high];
        if (kind == TRACE_TOUCH)
            result = touch(extent, prot, totals, page);
        else if (kind == TRACE_PROTECT)
            extent->state = (uint8_t)((extent->state & STATE_TOUCHED) | prot);
        else
            forget(extent, totals);
    }
    tidy(pages, low, high);
    return result;
}

void trace_pages_clear(struct trace_pages *pages, struct trace_totals *totals) {
    for (size_t i = 0; i < pages->count; i++)
        forget(&pages->extents[i], totals);
    free(pages->extents);
    *pages = (struct trace_pages){0};
}
