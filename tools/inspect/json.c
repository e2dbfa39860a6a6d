/* SPDX-License-Identifier: MIT */
/* json: everything that was read. Addresses are texts, as people write them. */
#include "show.h"

#include "region/pages.h"

#include <inttypes.h>

static void text(FILE *out, const char *string) {
    fputc('"', out);
    for (; *string; string++) {
        unsigned char character = (unsigned char)*string;
        if (character == '"' || character == '\\')
            fprintf(out, "\\%c", character);
        else if (character < ' ' || character > '~')
            fprintf(out, "\\u%04x", character);
        else
            fputc(character, out);
    }
    fputc('"', out);
}

static const char *state_name(uint8_t state) {
    if (state & MOAT_PAGE_COMMITTED)
        return state & MOAT_PAGE_IS_GUARD ? "guard-page" : "committed";
    return "reserved";
}

static void range(FILE *out, uint64_t start, uint64_t end) {
    fprintf(out, "\"start\":\"0x%" PRIx64 "\",\"end\":\"0x%" PRIx64 "\"", start, end);
}

static void runs(FILE *out, const struct region *region) {
    for (size_t i = 0; i < region->run_count; i++) {
        const struct run *run = &region->runs[i];
        uint32_t protection = run_protection(run->state, region->protection);
        fputs(i ? ",{" : "{", out);
        range(out, run->start, run->end);
        fprintf(out, ",\"state\":\"%s\"", state_name(run->state));
        if (protection)
            fprintf(out, ",\"rights\":\"%s\",\"protection\":%" PRIu32, protection_name(protection),
                    protection);
        fputc('}', out);
    }
}

static void number_or_null(FILE *out, const char *name, uint64_t number, uint64_t none) {
    if (number == none)
        fprintf(out, ",\"%s\":null", name);
    else
        fprintf(out, ",\"%s\":%" PRIu64, name, number);
}

static void region_object(FILE *out, const struct region *region) {
    static const char *const trust[] = {"whole", "torn", "pages-missing", "damaged"};
    char notes[96];

    fputc('{', out);
    range(out, region->base, region->base + region->size);
    fprintf(out, ",\"size\":%" PRIu64 ",\"entry\":\"%s\",\"handle\":%" PRIu32, region->size,
            trust[region->trust], region->handle);
    number_or_null(out, "manager", region->manager, UINT32_MAX);
    number_or_null(out, "committed", region->trust == CHANGED ? UINT64_MAX : region->committed,
                   UINT64_MAX);
    number_or_null(out, "resident", region->resident, UINT64_MAX);
    fprintf(out, ",\"protection\":%" PRIu32 ",\"notes\":", region->protection);
    text(out, region_notes(region, notes));
    fprintf(out,
            ",\"guard_start\":\"0x%" PRIx64 "\",\"guard_end\":\"0x%" PRIx64 "\",\"thread\":%" PRIu32
            ",\"born_ns\":%" PRIu64 ",\"site\":\"0x%" PRIx64 "\",\"runs\":[",
            region->guard_start, region->guard_end, region->thread, region->born, region->site);
    runs(out, region);
    fputs("]}", out);
}

static void arenas(FILE *out, const struct books *books) {
    for (size_t i = 0; i < books->arena_count; i++) {
        const struct arena *arena = &books->arenas[i];
        fputs(i ? ",\n{" : "\n{", out);
        range(out, arena->start, arena->end);
        fprintf(out, ",\"taken\":%" PRIu64 ",\"resting\":%" PRIu64 "}", arena->taken,
                arena->resting);
    }
}

void show_json(const struct books *books, FILE *out) {
    const struct sums sums = sums_of(books);
    bool first = true;

    fputs("{\"target\":", out);
    text(out, books->target.name);
    fputs(",\"version\":", out);
    text(out, books->layout.library);
    fprintf(out, ",\"copies\":%u,\"page_bytes\":%" PRIu32 ",\"dubious\":%zu,\"passed\":%" PRIu64,
            books->layout.copies, OF(&books->layout, page_bytes), books->dubious, books->passed);
    fprintf(out, ",\"reserved\":%" PRIu64 ",\"committed\":%" PRIu64, sums.reserved, sums.committed);
    number_or_null(out, "resident", sums.resident_known ? sums.resident : UINT64_MAX, UINT64_MAX);
    fputs(",\"managers\":[", out);
    for (size_t i = 0; i < books->manager_count; i++)
        if (books->managers[i]) {
            fprintf(out, first ? "%zu" : ",%zu", i);
            first = false;
        }
    fputs("],\"regions\":[", out);
    for (size_t i = 0; i < books->region_count; i++) {
        fputs(i ? ",\n" : "\n", out);
        region_object(out, &books->regions[i]);
    }
    fputs("],\"arenas\":[", out);
    arenas(out, books);
    fputs("],\"resting\":[", out);
    for (size_t i = 0; i < books->resting_count; i++) {
        fputs(i ? ",\n{" : "\n{", out);
        range(out, books->resting[i].start, books->resting[i].end);
        fputc('}', out);
    }
    fputs("]}\n", out);
}
