/* SPDX-License-Identifier: MIT */
/*
 * svg: a map of the address space as a picture. A row is a block of 2 MiB.
 *
 * Rows in which nothing begins or ends and that lie in one thing are drawn as one, with their
 * number; rows in which nothing lies are left out, with how much that is. Each region is one group
 * with one title, however many rows it has.
 */
#include "show.h"

#include "region/pages.h"

#include <inttypes.h>
#include <stdlib.h>

enum { LEFT = 170, WIDTH = 1024, ROW = 22, BAR = 16, TOP = 96 };

/* A row of the picture: a block, or several that look alike. */
struct row {
    uint64_t start;
    uint64_t end;
    uint64_t y;
};

struct map {
    const struct books *books;
    FILE *out;
    uint64_t block;
    struct row *rows;
    size_t row_count;
    uint64_t height;
};

/* --- Which rows there are --- */

/* Blocks in which something begins or ends. */
struct edges {
    uint64_t *blocks;
    size_t count;
};

static void add_edge(struct edges *edges, uint64_t block) {
    if (edges->count && edges->blocks[edges->count - 1] == block)
        return;
    if ((edges->count & (edges->count - 1)) == 0)
        edges->blocks =
            need(edges->blocks, (edges->count ? 2 * edges->count : 1) * sizeof *edges->blocks);
    edges->blocks[edges->count++] = block;
}

static void add_range(const struct map *map, struct edges *edges, uint64_t start, uint64_t end) {
    add_edge(edges, start / map->block);
    add_edge(edges, (end - 1) / map->block);
}

static int by_number(const void *left, const void *right) {
    const uint64_t *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

static struct edges find_edges(const struct map *map) {
    const struct books *books = map->books;
    struct edges edges = {.count = 0};

    for (size_t i = 0; i < books->region_count; i++) {
        const struct region *region = &books->regions[i];
        if (region->trust == CHANGED) {
            add_edge(&edges, region->base / map->block);
            continue;
        }
        add_range(map, &edges, region->guard_start, region->base);
        add_range(map, &edges, region->base, region->base + region->size);
        add_range(map, &edges, region->base + region->size, region->guard_end);
        for (size_t run = 0; run < region->run_count; run++)
            add_range(map, &edges, region->runs[run].start, region->runs[run].end);
    }
    for (size_t i = 0; i < books->resting_count; i++)
        add_range(map, &edges, books->resting[i].start, books->resting[i].end);
    if (edges.count)
        qsort(edges.blocks, edges.count, sizeof *edges.blocks, by_number);
    return edges;
}

/* Whether anything lies at an address at which nothing begins. */
static bool is_inside(const struct books *books, uint64_t address) {
    size_t low = 0, high = books->region_count;

    while (low < high) { /* the first region that begins behind it */
        size_t middle = low + (high - low) / 2;
        if (books->regions[middle].base > address)
            high = middle;
        else
            low = middle + 1;
    }
    if (low < books->region_count && address >= books->regions[low].guard_start)
        return true;
    if (low > 0 && address < books->regions[low - 1].guard_end)
        return true;
    low = 0;
    for (high = books->resting_count; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (books->resting[middle].end > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low < books->resting_count && address >= books->resting[low].start;
}

static void add_row(struct map *map, uint64_t start, uint64_t end) {
    map->rows[map->row_count++] = (struct row){start, end, map->height};
    map->height += ROW;
}

static void lay_out(struct map *map) {
    struct edges edges = find_edges(map);
    uint64_t next = 0; /* the block behind the last row */

    map->rows = need(NULL, (2 * edges.count + 1) * sizeof *map->rows);
    map->height = TOP;
    for (size_t i = 0; i < edges.count; i++) {
        uint64_t block = edges.blocks[i];
        if (i && block < next)
            continue; /* the same once more */
        if (i && block > next) {
            if (is_inside(map->books, next * map->block))
                add_row(map, next * map->block, block * map->block);
            else
                map->height += ROW; /* for the words that say what is left out */
        }
        add_row(map, block * map->block, (block + 1) * map->block);
        next = block + 1;
    }
    free(edges.blocks);
}

/* The first row that ends behind an address. */
static size_t row_at(const struct map *map, uint64_t address) {
    size_t low = 0, high = map->row_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (map->rows[middle].end > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* --- Drawing --- */

/* Where an address is in its row, in tenths of a unit. */
static uint64_t x_of(const struct row *row, uint64_t address) {
    double part = (double)(address - row->start) / (double)(row->end - row->start);
    return (uint64_t)(part * WIDTH * 10);
}

static void draw_bar(const struct map *map, const struct row *row, uint64_t start, uint64_t end,
                     const char *class, unsigned height) {
    uint64_t from = x_of(row, start), to = x_of(row, end);
    uint64_t width = to > from + 8 ? to - from : 8; /* a page is seen, if barely */

    fprintf(map->out,
            "<rect class=\"%s\" x=\"%" PRIu64 ".%" PRIu64 "\" y=\"%" PRIu64 "\" width=\"%" PRIu64
            ".%" PRIu64 "\" height=\"%u\"/>\n",
            class, LEFT + from / 10, from % 10, row->y + (BAR - height), width / 10, width % 10,
            height);
}

/* [start, end) in every row that has a part of it; of what is committed, a darker bar below as long
 * as the part of it that is in memory. */
static void draw(const struct map *map, uint64_t start, uint64_t end, const char *class,
                 bool resident) {
    for (size_t i = row_at(map, start); i < map->row_count && map->rows[i].start < end; i++) {
        const struct row *row = &map->rows[i];
        uint64_t low = start > row->start ? start : row->start;
        uint64_t high = end < row->end ? end : row->end;
        uint64_t bytes;
        draw_bar(map, row, low, high, class, BAR);
        if (resident && target_resident(&map->books->target, low, high, &bytes) && bytes)
            draw_bar(map, row, low, low + bytes, "resident", BAR / 2 - 2);
    }
}

static const char *class_of(const struct run *run) {
    unsigned protection = run_protection(run->state, 0);

    if (!protection)
        return "reserved";
    if (protection & MOAT_PAGE_GUARD || protection == MOAT_PAGE_NOACCESS)
        return "noaccess";
    if (protection & 0xF0)
        return "executable";
    return protection & MOAT_PAGE_READONLY ? "readonly" : "committed";
}

static void title(const struct map *map, const struct region *region) {
    char size[16], committed[16], resident[16], notes[96];

    fprintf(map->out, "<title>%" PRIx64 "-%" PRIx64 ": %s, %s committed, %s %s", region->base,
            region->base + region->size, size_text(region->size, size),
            size_text(region->committed, committed),
            region->resident == UINT64_MAX ? "?" : size_text(region->resident, resident),
            map->books->target.process ? "resident" : "in the dump");
    if (region->manager != UINT32_MAX)
        fprintf(map->out, "; manager %" PRIu32, region->manager);
    if (region->thread)
        fprintf(map->out, "; reserved by thread %" PRIu32 " at %" PRIx64, region->thread,
                region->site);
    if (*region_notes(region, notes))
        fprintf(map->out, "; %s", notes);
    fputs("</title>\n", map->out);
}

static void draw_region(const struct map *map, const struct region *region) {
    uint64_t end = region->base + region->size;

    fprintf(map->out, "<g class=\"region\" id=\"r%" PRIx64 "-%" PRIu32 "\">\n", region->base,
            region->handle);
    title(map, region);
    if (region->trust == CHANGED) {
        draw(map, region->base, region->base + 1, "damaged", false);
        fputs("</g>\n", map->out);
        return;
    }
    draw(map, region->guard_start, region->base, "guard", false);
    if (region->run_count == 0)
        draw(map, region->base, end, "damaged", false);
    for (size_t i = 0; i < region->run_count; i++) {
        const struct run *run = &region->runs[i];
        draw(map, run->start, run->end, class_of(run), (run->state & MOAT_PAGE_COMMITTED) != 0);
    }
    draw(map, end, region->guard_end, "guard", false);
    fputs("</g>\n", map->out);
}

static void draw_resting(const struct map *map, const struct range *range) {
    char size[16];

    fprintf(map->out,
            "<g class=\"rests\">\n<title>%" PRIx64 "-%" PRIx64
            ": %s that rest after a release: they trap, and are not placed again yet</title>\n",
            range->start, range->end, size_text(range->end - range->start, size));
    draw(map, range->start, range->end, "resting", false);
    fputs("</g>\n", map->out);
}

static bool in_arena(const struct books *books, uint64_t address) {
    for (size_t i = 0; i < books->arena_count; i++)
        if (address >= books->arenas[i].start && address < books->arenas[i].end)
            return true;
    return false;
}

/* What stands beside and between the rows. */
static void draw_rows(const struct map *map) {
    char size[16];

    for (size_t i = 0; i < map->row_count; i++) {
        const struct row *row = &map->rows[i];
        uint64_t count = (row->end - row->start) / map->block;
        uint64_t before = i ? map->rows[i - 1].end : row->start;
        if (row->start > before)
            fprintf(map->out,
                    "<text class=\"gap\" x=\"%d\" y=\"%" PRIu64 "\">&#8942; %s without regions"
                    "</text>\n",
                    LEFT, row->y - ROW + 13, size_text(row->start - before, size));
        fprintf(map->out,
                "<rect class=\"%s\" x=\"%d\" y=\"%" PRIu64 "\" width=\"%d\" height=\"%d\"/>\n"
                "<text x=\"8\" y=\"%" PRIu64 "\">%012" PRIx64,
                in_arena(map->books, row->start) ? "arena" : "alone", LEFT, row->y, WIDTH, BAR,
                row->y + 13, row->start);
        if (count > 1)
            fprintf(map->out, " &#215;%" PRIu64, count);
        fputs("</text>\n", map->out);
    }
}

static void draw_head(const struct map *map) {
    static const struct {
        const char *class, *words, *title;
    } legend[] = {
        {"committed", "committed", "can be read and written"},
        {"readonly", "read-only", "can be read"},
        {"executable", "executable", "holds code"},
        {"noaccess", "no access", "committed, but traps: PAGE_NOACCESS and PAGE_GUARD"},
        {"resident", "resident", "the share of a stretch that is in memory, or in the dump"},
        {"reserved", "reserved", "of a region, and not committed: traps"},
        {"guard", "guard", "traps, so that overflows do; belongs to the region beside it"},
        {"resting", "resting", "released, traps, and not placed again yet"},
        {"damaged", "in doubt", "an entry of the books that is torn, missing or damaged"},
        {"arena", "arena, free", "address space that regions share; traps"},
        {"alone", "no arena", "what is around a region with a mapping of its own"},
    };
    const struct sums sums = sums_of(map->books);
    char reserved[16], committed[16];

    fprintf(map->out,
            "<text class=\"head\" x=\"8\" y=\"24\">Moat %s: %zu regions, %s reserved, %s committed."
            " A row is 2 MiB; point at what you want to know.</text>\n",
            map->books->layout.library, map->books->region_count,
            size_text(sums.reserved, reserved), size_text(sums.committed, committed));
    for (unsigned i = 0; i < sizeof legend / sizeof legend[0]; i++)
        fprintf(map->out,
                "<g><title>%s</title><rect class=\"%s\" x=\"%u\" y=\"%u\" width=\"24\" "
                "height=\"%d\"/><text x=\"%u\" y=\"%u\">%s</text></g>\n",
                legend[i].title, legend[i].class, 8 + i % 6 * 195, 40 + i / 6 * 24, BAR,
                38 + i % 6 * 195, 53 + i / 6 * 24, legend[i].words);
}

void show_svg(const struct books *books, FILE *out) {
    struct map map = {.books = books, .out = out, .block = OF(&books->layout, block_bytes)};

    lay_out(&map);
    fprintf(out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%" PRIu64 "\">\n"
            "<style>text{font:12px monospace;fill:#222}.head{font:bold 14px sans-serif}"
            ".gap{fill:#888}.arena{fill:#eef1f4}.alone{fill:#fff;stroke:#ddd}"
            ".committed{fill:#8ab8e6}.readonly{fill:#9fd3a8}.executable{fill:#f2b366}"
            ".noaccess{fill:#c9b6e4}.resident{fill:#1f4e8c}.reserved{fill:#d3dde8}"
            ".guard{fill:#e0483e}.resting{fill:#b9b2a8}.damaged{fill:#ff00ff}"
            "g:hover rect{stroke:#000}</style>\n"
            "<rect x=\"0\" y=\"0\" width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            LEFT + WIDTH + 16, map.height + 16);
    draw_head(&map);
    draw_rows(&map);
    for (size_t i = 0; i < books->resting_count; i++)
        draw_resting(&map, &books->resting[i]);
    for (size_t i = 0; i < books->region_count; i++)
        draw_region(&map, &books->regions[i]);
    fputs("</svg>\n", out);
    free(map.rows);
}
