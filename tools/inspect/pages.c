/* SPDX-License-Identifier: MIT */
/*
 * pages: what the pages of a region are, as runs: a byte a page, or one for a block whose pages are
 * all alike (src/region/pages.h).
 */
#include "books.h"

#include "region/pages.h"

#include <stdlib.h>
#include <string.h>

#define STEP      65536u
#define PAGES_MAX 512u /* of a block: what is looked at may have smaller pages than this build */

/* Where the books of a space are. */
struct view {
    uint64_t first_block;
    uint64_t uniform;
    uint64_t pages;
};

static bool read_view(const struct books *books, uint64_t space, struct view *view) {
    const struct layout *layout = &books->layout;
    unsigned char copy[LAYOUT_SPACE_MAX];

    if (!target_read(&books->target, space, copy, OF(layout, space_bytes)))
        return false;
    memcpy(&view->first_block, copy + OF(layout, space_first_block), sizeof view->first_block);
    memcpy(&view->uniform, copy + OF(layout, space_uniform), sizeof view->uniform);
    memcpy(&view->pages, copy + OF(layout, space_pages), sizeof view->pages);
    return true;
}

/* Append pages, to the run before them if they are as those are. */
static void add(struct region *region, uint64_t start, uint64_t end, uint8_t state) {
    size_t count = region->run_count;

    if (!(state & MOAT_PAGE_COMMITTED))
        state &= MOAT_PAGE_RETAINED;
    else
        region->committed += end - start;
    if (count && region->runs[count - 1].state == state) {
        region->runs[count - 1].end = end;
        return;
    }
    if ((count & (count - 1)) == 0)
        region->runs = need(region->runs, (count ? 2 * count : 1) * sizeof *region->runs);
    region->runs[region->run_count++] = (struct run){start, end, state};
}

/* [start, end) lies in one block. False: the target does not have it. */
static bool add_mixed(const struct books *books, const struct view *view, struct region *region,
                      uint64_t start, uint64_t end) {
    uint64_t page = OF(&books->layout, page_bytes);
    uint8_t states[PAGES_MAX];
    size_t count = (size_t)((end - start) / page);

    if (count > sizeof states ||
        !target_read(&books->target, view->pages + (start - view->first_block) / page, states,
                     count))
        return false;
    for (size_t i = 0; i < count; i++)
        add(region, start + i * page, start + (i + 1) * page, states[i]);
    return true;
}

static bool add_blocks(const struct books *books, const struct view *view, struct region *region) {
    uint64_t block = OF(&books->layout, block_bytes), end = region->base + region->size;
    uint64_t first = (region->base - view->first_block) / block;
    uint64_t last = (end - 1 - view->first_block) / block;
    uint8_t kinds[STEP];
    bool whole = true;

    for (uint64_t from = first; from <= last; from += STEP) {
        uint64_t count = last - from + 1 < STEP ? last - from + 1 : STEP;
        if (!target_read(&books->target, view->uniform + from, kinds, (size_t)count))
            return false;
        for (uint64_t i = 0; i < count; i++) {
            uint64_t low = view->first_block + (from + i) * block, high = low + block;
            low = low < region->base ? region->base : low;
            high = high > end ? end : high;
            if (kinds[i] != MOAT_UNIFORM_MIXED)
                add(region, low, high, kinds[i]);
            else
                whole &= add_mixed(books, view, region, low, high);
        }
    }
    return whole;
}

static void read_resident(const struct books *books, struct region *region) {
    uint64_t sum = 0, bytes;

    for (size_t i = 0; i < region->run_count; i++) {
        const struct run *run = &region->runs[i];
        if (!(run->state & MOAT_PAGE_COMMITTED))
            continue;
        if (!target_resident(&books->target, run->start, run->end, &bytes))
            return;
        sum += bytes;
    }
    region->resident = sum;
}

void pages_read(struct books *books, struct region *region) {
    struct view view;

    if (!read_view(books, region->space, &view) || view.first_block > region->base ||
        !add_blocks(books, &view, region))
        region->trust = CUT;
    read_resident(books, region);
}

uint32_t run_protection(uint8_t state, uint32_t reserved_as) {
    static const uint32_t of_code[] = {
        [MOAT_CODE_READWRITE] = MOAT_PAGE_READWRITE,
        [MOAT_CODE_NOACCESS] = MOAT_PAGE_NOACCESS,
        [MOAT_CODE_READONLY] = MOAT_PAGE_READONLY,
        [MOAT_CODE_EXECUTE] = MOAT_PAGE_EXECUTE,
        [MOAT_CODE_EXECUTE_READ] = MOAT_PAGE_EXECUTE_READ,
        [MOAT_CODE_EXECUTE_READWRITE] = MOAT_PAGE_EXECUTE_READWRITE,
    };
    unsigned code = state & MOAT_PAGE_CODE;

    if (!(state & MOAT_PAGE_COMMITTED) || code >= sizeof of_code / sizeof of_code[0])
        return 0;
    return of_code[code] | (state & MOAT_PAGE_IS_GUARD ? MOAT_PAGE_GUARD : 0) |
           (state & MOAT_PAGE_IS_WRITECOMBINE ? MOAT_PAGE_WRITECOMBINE : 0) |
           (reserved_as & MOAT_PAGE_NOCACHE);
}
