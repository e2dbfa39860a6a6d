/* SPDX-License-Identifier: MIT */
/* leaks: what was not freed, a line each, without allocating anything. */
#include "heap/heap.h"

#include "base/format.h"
#include "os/os.h"

#define LINES_MAX 100

struct listing {
    size_t blocks;
    size_t bytes;
};

static void say(const char *text, size_t length, size_t room) {
    moat_os_complain(text, length < room ? length : room - 1);
}

static int list(const struct moat_heap_block *block, void *context) {
    struct listing *listing = context;
    char text[512];
    size_t length;

    listing->bytes += block->size;
    if (++listing->blocks > LINES_MAX)
        return 0;
    if (block->file)
        length = moat_format(text, sizeof(text), "moat: leak: %zu bytes at %p, %s:%d\n",
                             block->size, block->address, block->file, block->line);
    else
        length = moat_format(text, sizeof(text), "moat: leak: %zu bytes at %p\n", block->size,
                             block->address);
    say(text, length, sizeof(text));
    return 0;
}

void moat_heap_report_leaks(struct moat_heap *heap) {
    struct listing listing = {0};
    char text[128];

    if (moat_heap_walk(heap, list, &listing) || listing.blocks == 0)
        return;
    size_t length = moat_format(text, sizeof(text), "moat: leaks: %zu live, %zu bytes\n",
                                listing.blocks, listing.bytes);
    say(text, length, sizeof(text));
}
