/* SPDX-License-Identifier: MIT */
/* books: everything in its order, and names for what there is. */
#include "books.h"

#include "region/region.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MANAGERS_MAX 100000u

/* Chunks of slots, each of which names the next. */
static void read_managers(struct books *books) {
    const struct layout *layout = &books->layout;
    size_t count = OF(layout, roster_slot_count);
    uint64_t chunk = AT(layout, managers);

    while (chunk && books->manager_count < MANAGERS_MAX) {
        books->managers =
            need(books->managers, (books->manager_count + count) * sizeof *books->managers);
        if (!target_read(&books->target, chunk + OF(layout, roster_slots),
                         books->managers + books->manager_count, count * sizeof(uint64_t)) ||
            !target_read(&books->target, chunk + OF(layout, roster_next), &chunk, sizeof chunk)) {
            books->dubious++;
            return;
        }
        books->manager_count += count;
    }
}

/* A manager that is none is not shown as one. */
static void check_managers(struct books *books) {
    for (size_t i = 0; i < books->manager_count; i++) {
        uint64_t layout = 0, manager = books->managers[i];
        if (manager == 0)
            continue;
        if (!target_read(&books->target, manager + OF(&books->layout, manager_layout), &layout,
                         sizeof layout) ||
            layout != books->layout.self)
            books->managers[i] = 0;
    }
}

enum ending books_read(struct books *books) {
    enum ending ending = layout_find(&books->target, &books->layout);

    if (ending != SHOWN)
        return ending;
    read_managers(books);
    check_managers(books);
    spaces_read(books);
    if (!records_read(books)) {
        complain("%s: the roots of the books cannot be read; the dump may be cut, or they were "
                 "overwritten",
                 books->target.name);
        return books->target.process ? OUT_OF_REACH : DAMAGED;
    }
    uint64_t still;
    if (!target_read(&books->target, books->layout.self, &still, sizeof still)) {
        complain("%s: it ended while it was looked at", books->target.name);
        return OUT_OF_REACH;
    }
    return books->dubious ? DAMAGED : SHOWN;
}

void books_free(struct books *books) {
    for (size_t i = 0; i < books->region_count; i++)
        free(books->regions[i].runs);
    free(books->regions);
    free(books->arenas);
    free(books->resting);
    free(books->managers);
    target_close(&books->target);
}

const char *region_notes(const struct region *region, char text[static 96]) {
    static const struct {
        uint32_t flag;
        const char *name;
    } flags[] = {
        {MOAT_REGION_TAGGED, "heap"},         {MOAT_REGION_PLACEHOLDER, "placeholder"},
        {MOAT_REGION_WATCHED, "watched"},     {MOAT_REGION_LARGE, "large-pages"},
        {MOAT_REGION_MAPPED, "mapped-twice"},
    };
    static const char *const trust[] = {
        [WHOLE] = "",
        [TORN] = "TORN,",
        [CUT] = "PAGES-MISSING,",
        [CHANGED] = "DAMAGED,",
    };
    size_t length = (size_t)snprintf(text, 96, "%s", trust[region->trust]);

    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (region->flags & flags[i].flag)
            length += (size_t)snprintf(text + length, 96 - length, "%s,", flags[i].name);
    if (region->locked)
        length += (size_t)snprintf(text + length, 96 - length, "locked,");
    if (region->closing)
        length += (size_t)snprintf(text + length, 96 - length, "closing,");
    if (length)
        text[length - 1] = '\0';
    return text;
}

const char *protection_name(uint32_t protection) {
    switch (protection & 0xFF) {
    case MOAT_PAGE_NOACCESS:
        return "---";
    case MOAT_PAGE_READONLY:
        return "r--";
    case MOAT_PAGE_READWRITE:
        return "rw-";
    case MOAT_PAGE_EXECUTE:
        return "--x";
    case MOAT_PAGE_EXECUTE_READ:
        return "r-x";
    case MOAT_PAGE_EXECUTE_READWRITE:
        return "rwx";
    default:
        return "?";
    }
}
