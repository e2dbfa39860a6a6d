/* SPDX-License-Identifier: MIT */
/*
 * rungs: which of the ways that Moat has does it take on this kernel? Tried, and compared with a
 * row of a table.
 *
 *     rungs TABLE KERNEL
 *
 * The first row of the table has the names of what is tried, from its third cell on; the row of the
 * kernel has yes or no there. What is not tried here, and a row that is not there, are failures.
 */
#define _GNU_SOURCE
#include "os/linux_internal.h"
#include "os/os.h"

#include <moat/moat.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAGES = 64, CELLS_MAX = 16, RW = MOAT_PAGE_READWRITE };

#define SIZE (PAGES * MOAT_PAGE_SIZE)

static _Noreturn void die(const char *what) {
    fprintf(stderr, "rungs: %s\n", what);
    exit(1);
}

static unsigned char *pages(void) {
    void *base;
    if (moat_os_reserve(SIZE, MOAT_PAGE_SIZE, &base) ||
        moat_os_protect(base, SIZE, MOAT_OS_READ | MOAT_OS_WRITE))
        die("no pages");
    return base;
}

/* By what the probe says, and by what a manager does then: protection splits mappings. */
static bool markers(void) {
    struct moat_options options;
    struct moat_manager *manager;
    struct moat_os_powers powers;
    void *base;

    moat_os_probe(&powers, true);
    moat_options_init(&options);
    if (moat_manager_create(&options, &manager) ||
        moat_reserve(manager, NULL, SIZE, RW, MOAT_RESERVE_COMMIT, &base))
        die(moat_last_error_text());
    uint64_t before = moat_os_map_count();
    for (size_t page = 1; page < PAGES; page += 2)
        if (moat_decommit(manager, (unsigned char *)base + page * MOAT_PAGE_SIZE, MOAT_PAGE_SIZE))
            die(moat_last_error_text());
    bool splits = moat_os_map_count() > before + PAGES / 2;
    if (splits == powers.guard_markers)
        die("what is probed and what is done differ");
    return powers.guard_markers;
}

static bool moves(void) {
    unsigned char *from = pages(), *to = pages();
    from[0] = 1;
    return moat_os_move(from, to, SIZE) == 0 && to[0] == 1;
}

static bool drops_locked(void) {
    unsigned char *page = pages();
    page[0] = 1;
    if (moat_os_lock(page, MOAT_PAGE_SIZE))
        die("no page can be locked");
    return moat_os_discard(page, MOAT_PAGE_SIZE) == 0 && page[0] == 0;
}

static bool fetches(void) {
    return moat_os_populate(pages(), SIZE) == 0;
}

static bool watches(void) {
    static struct moat_os_watch watch;
    return moat_os_watch_begin(&watch, pages(), SIZE) == 0;
}

static bool counts(void) {
    static struct moat_os_watch watch;
    unsigned char *start = pages();
    size_t held = 0;
    start[0] = start[SIZE - 1] = 1;
    return moat_os_watch_count(&watch, (uintptr_t)start, (uintptr_t)start + SIZE, SIZE, &held) ==
               0 &&
           held == 2;
}

static bool asks(void) {
    struct moat_os_mapping mapping;
    int maps = moat_linux_maps_open();
    bool told = maps >= 0 && moat_linux_query_ask(maps, (uintptr_t)pages(), &mapping) == 0;
    close(maps);
    if (moat_os_query((uintptr_t)pages(), &mapping) || !mapping.mapped)
        die("nobody tells what is mapped");
    return told;
}

static bool seals(void) {
    unsigned char *start = pages();
    return moat_os_seal(start, SIZE) == 0 && moat_os_unreserve(start, SIZE) == EPERM;
}

static const struct {
    const char *name;
    bool (*try)(void);
} rungs[] = {
    {"markers", markers}, {"moves", moves},     {"drops locked", drops_locked},
    {"fetches", fetches}, {"watches", watches}, {"counts", counts},
    {"asks", asks},       {"seals", seals},
};

/* Cut a row of a table into its cells, without the blanks around them; how many. */
static unsigned split(char *row, char **cells) {
    unsigned count = 0;
    for (char *cell = strtok(row, "|\n"); cell && count < CELLS_MAX; cell = strtok(NULL, "|\n")) {
        cell += strspn(cell, " ");
        for (char *end = cell + strlen(cell); end > cell && end[-1] == ' ';)
            *--end = '\0';
        cells[count++] = cell;
    }
    return count;
}

/* Whether the table is right about one of them. */
static bool check(const char *name, const char *expected) {
    for (size_t i = 0; i < sizeof rungs / sizeof rungs[0]; i++) {
        if (strcmp(rungs[i].name, name) != 0)
            continue;
        const char *found = rungs[i].try() ? "yes" : "no";
        printf("%s: %s\n", name, found);
        return strcmp(found, expected) == 0;
    }
    return false;
}

int main(int argument_count, char **arguments) {
    static char names_text[1024], text[1024];
    char *names[CELLS_MAX], *cells[CELLS_MAX];
    unsigned columns = 0, wrong = 0;
    FILE *table = argument_count == 3 ? fopen(arguments[1], "re") : NULL;

    if (!table)
        die("rungs TABLE KERNEL");
    while (fgets(text, sizeof text, table)) {
        if (columns == 0 && strncmp(text, "| kernel ", 9) == 0) {
            memcpy(names_text, text, sizeof text);
            columns = split(names_text, names);
        }
        if (text[0] == '|' && split(text, cells) == columns &&
            strcmp(cells[0], arguments[2]) == 0) {
            for (unsigned i = 2; i < columns; i++)
                if (!check(names[i], cells[i])) {
                    printf("... but the table says of %s: %s\n", names[i], cells[i]);
                    wrong++;
                }
            printf("%u tried, %u not as in the table\n", columns - 2, wrong);
            return wrong != 0 || columns - 2 != sizeof rungs / sizeof rungs[0];
        }
    }
    die("no such row");
}
