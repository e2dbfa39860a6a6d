/* SPDX-License-Identifier: MIT */
/* leaks: what was not freed, a report each, without allocating anything. */
#include "heap/heap.h"

#include "vm/leaks.h"
#include "vm/manager.h"

struct listing {
    const struct moat_options *options;
    size_t blocks;
    size_t bytes;
};

static int list(const struct moat_heap_block *block, void *context) {
    struct listing *listing = context;
    struct moat_report_text report = {0};

    listing->bytes += block->size;
    if (++listing->blocks > MOAT_LEAKS_LISTED)
        return 0;
    moat_report_add(&report, "moat: leak: %zu bytes at %p", block->size, block->address);
    if (block->file)
        moat_report_add(&report, ", %s:%d", block->file, block->line);
    moat_report_add(&report, "\n");
    moat_report_tell(listing->options, MOAT_FOUND_LEAK, MOAT_OK, (uintptr_t)block->address,
                     &report);
    return 0;
}

void moat_heap_report_leaks(struct moat_heap *heap) {
    struct listing listing = {.options = &heap->manager->options};
    struct moat_report_text report = {0};

    if (moat_heap_walk(heap, list, &listing) || listing.blocks == 0)
        return;
    moat_report_add(&report, "moat: leaks: %zu live, %zu bytes\n", listing.blocks, listing.bytes);
    moat_report_tell(listing.options, MOAT_FOUND_LEAK, MOAT_OK, 0, &report);
}
