/* SPDX-License-Identifier: MIT */
/* table: a line a region, and what they come to. */
#define _GNU_SOURCE
#include "show.h"

#include <inttypes.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

const char *size_text(uint64_t size, char text[static 16]) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    unsigned unit = 0;
    double number = (double)size;

    for (; number >= 1024 && unit < 4; unit++)
        number /= 1024;
    bool whole = number >= 100 || number == (double)(uint64_t)number;
    snprintf(text, 16, whole ? "%.0f %s" : "%.1f %s", number, units[unit]);
    return text;
}

struct sums sums_of(const struct books *books) {
    struct sums sums = {.resident_known = true};

    for (size_t i = 0; i < books->region_count; i++) {
        const struct region *region = &books->regions[i];
        sums.reserved += region->size;
        sums.committed += region->committed;
        if (region->resident == UINT64_MAX)
            sums.resident_known = false;
        else
            sums.resident += region->resident;
    }
    for (size_t i = 0; i < books->resting_count; i++)
        sums.resting += books->resting[i].end - books->resting[i].start;
    return sums;
}

static const char *age_text(const struct books *books, const struct region *region,
                            char text[static 24]) {
    struct timespec now;

    if (!books->target.process || region->thread == 0 || clock_gettime(CLOCK_MONOTONIC, &now))
        return "-";
    uint64_t ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
    snprintf(text, 24, "%" PRIu64 " s", ns > region->born ? (ns - region->born) / NS_PER_S : 0);
    return text;
}

/* The rights of what is committed, or how many kinds of them there are. */
static const char *rights_text(const struct region *region, char text[static 16]) {
    uint32_t seen = 0;
    bool several = false;

    for (size_t i = 0; i < region->run_count; i++) {
        uint32_t protection = run_protection(region->runs[i].state, 0);
        several |= protection && seen && protection != seen;
        seen = protection ? protection : seen;
    }
    snprintf(text, 16, "%s", several ? "mixed" : seen ? protection_name(seen) : "-");
    return text;
}

static void show_region(const struct books *books, const struct region *region, FILE *out) {
    char size[16], committed[16], resident[16], rights[16], age[24], manager[16], notes[96];

    if (region->manager == UINT32_MAX)
        snprintf(manager, sizeof manager, "?");
    else
        snprintf(manager, sizeof manager, "%" PRIu32, region->manager);
    fprintf(out, "%012" PRIx64 "-%012" PRIx64 " %9s %9s %9s %-6s %7s %8s %7" PRIu32 " %s\n",
            region->base, region->base + region->size, size_text(region->size, size),
            region->trust == CHANGED ? "?" : size_text(region->committed, committed),
            region->resident == UINT64_MAX ? "?" : size_text(region->resident, resident),
            rights_text(region, rights), manager, age_text(books, region, age), region->thread,
            region_notes(region, notes));
}

static size_t manager_count(const struct books *books) {
    size_t count = 0;
    for (size_t i = 0; i < books->manager_count; i++)
        count += books->managers[i] != 0;
    return count;
}

static void show_sums(const struct books *books, FILE *out) {
    const struct sums sums = sums_of(books);
    char reserved[16], committed[16], resident[16], resting[16], arenas[16];
    uint64_t arena_bytes = 0;

    for (size_t i = 0; i < books->arena_count; i++)
        arena_bytes += books->arenas[i].end - books->arenas[i].start;
    fprintf(out, "%s, Moat %s: %zu managers, %zu regions, %s reserved, %s committed, %s %s\n",
            books->target.name, books->layout.library, manager_count(books), books->region_count,
            size_text(sums.reserved, reserved), size_text(sums.committed, committed),
            sums.resident_known ? size_text(sums.resident, resident) : "?",
            books->target.process ? "resident" : "in the dump");
    fprintf(out, "%zu arenas with %s of address space; %s rest after a release\n",
            books->arena_count, size_text(arena_bytes, arenas), size_text(sums.resting, resting));
    if (books->layout.copies > 1)
        fprintf(out, "%u copies of Moat are in it; this is one of them\n", books->layout.copies);
    if (books->dubious)
        fprintf(out, "%zu entries of the books are torn, missing or damaged, and marked so\n",
                books->dubious);
}

void show_table(const struct books *books, FILE *out, unsigned lines) {
    size_t count = books->region_count;

    show_sums(books, out);
    fprintf(out, "%-25s %9s %9s %9s %-6s %7s %8s %7s %s\n", "REGION", "SIZE", "COMMITTED",
            books->target.process ? "RESIDENT" : "IN DUMP", "RIGHTS", "MANAGER", "AGE", "THREAD",
            "NOTES");
    if (lines && count + 6 > lines)
        count = lines > 6 ? lines - 6 : 0;
    for (size_t i = 0; i < count; i++)
        show_region(books, &books->regions[i], out);
    if (count < books->region_count)
        fprintf(out, "... and %zu more\n", books->region_count - count);
}
