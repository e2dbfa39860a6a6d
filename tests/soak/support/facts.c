/* SPDX-License-Identifier: MIT */
/* facts: /proc/self, and a stretch of pages that takes a mapping each. */
#define _GNU_SOURCE
#include "facts.h"

#include "region/arenas.h"
#include "region/kind.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096, MOST = 200000, SPARED = 60 };

static size_t lines_of(const char *path) {
    FILE *file = fopen(path, "re");
    size_t lines = 0;

    for (int byte; file && (byte = getc(file)) != EOF;)
        lines += byte == '\n';
    if (file)
        fclose(file);
    return lines;
}

static size_t entries_of(const char *path) {
    DIR *folder = opendir(path);
    size_t entries = 0;

    while (folder && readdir(folder))
        entries++;
    if (folder)
        closedir(folder);
    return entries;
}

struct facts facts_read(void) {
    FILE *file = fopen("/proc/self/status", "re");
    struct facts facts = {0};
    char line[256];

    while (file && fgets(line, sizeof line, file)) {
        (void)sscanf(line, "VmRSS: %zu", &facts.resident_kib);
        (void)sscanf(line, "VmPTE: %zu", &facts.tables_kib);
        (void)sscanf(line, "VmSize: %zu", &facts.virtual_kib);
    }
    if (file)
        fclose(file);
    facts.mappings = lines_of("/proc/self/maps");
    facts.files = entries_of("/proc/self/fd");
    for (unsigned kind = 0; kind < moat_kinds_count(); kind++)
        facts.arenas += moat_arenas_count(kind);
    return facts;
}

static unsigned char *stretch = MAP_FAILED;
static size_t stretch_size;
static atomic_int pressed;

int facts_pressed(void) {
    return atomic_load(&pressed);
}

int facts_press_mappings(void) {
    FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
    unsigned long limit = 0;
    size_t page = 1;

    if (file && fscanf(file, "%lu", &limit) != 1)
        limit = 0;
    if (file)
        fclose(file);
    if (limit == 0 || limit > MOST)
        return 0;
    stretch_size = (2 * limit + 4) * PAGE;
    stretch =
        mmap(NULL, stretch_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stretch == MAP_FAILED)
        return 0;
    atomic_store(&pressed, 1);
    while ((page + 2) * PAGE < stretch_size &&
           mprotect(stretch + page * PAGE, PAGE, PROT_READ) == 0)
        page += 2;
    /* The last ones are for others: threads of the C library, and the kernel's own. */
    (void)mprotect(stretch + (page - SPARED) * PAGE, SPARED * PAGE, PROT_NONE);
    return 1;
}

void facts_ease_mappings(void) {
    if (stretch != MAP_FAILED)
        (void)munmap(stretch, stretch_size);
    stretch = MAP_FAILED;
    atomic_store(&pressed, 0);
}
