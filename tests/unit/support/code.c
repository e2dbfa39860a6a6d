/* SPDX-License-Identifier: MIT */
/* code: set up, torn down, and looked at. */
#include "code.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

struct moat_manager *code_manager;
struct moat_code_heap *code_heap;

void code_create(const char *words) {
    struct moat_options options;
    moat_options_init(&options);
    cr_assert_eq(moat_options_parse(&options, words, NULL, 0), MOAT_OK);
    cr_assert_eq(moat_manager_create(&options, &code_manager), MOAT_OK, "%s",
                 moat_last_error_text());
    cr_assert_eq(moat_code_heap_create(code_manager, HEAP, NULL, &code_heap), MOAT_OK, "%s",
                 moat_last_error_text());
}

void code_set_up(void) {
    code_create("execute=wx,timeout=0");
}

void code_tear_down(void) {
    moat_code_heap_destroy(code_heap);
    struct moat_stats stats;
    cr_assert_eq(moat_stats_read(code_manager, &stats), MOAT_OK);
    cr_assert_eq(stats.regions_live, 0);
    cr_assert_eq(stats.bytes_reserved, 0);
    cr_assert_eq(stats.bytes_committed, 0);
    moat_manager_destroy(code_manager);
}

void code_instead(const char *words) {
    code_tear_down();
    code_create(words);
}

struct moat_code_block code_alloc(size_t size) {
    struct moat_code_block block;
    cr_assert_eq(moat_code_alloc(code_heap, size, &block), MOAT_OK, "%s", moat_last_error_text());
    return block;
}

const char *code_rights(const void *address) {
    static char found[4];
    unsigned long start, end;
    char word[8], line[512];
    FILE *maps = fopen("/proc/self/maps", "re");
    found[0] = '\0';
    while (maps && fgets(line, sizeof line, maps))
        if (sscanf(line, "%lx-%lx %4s", &start, &end, word) == 3 &&
            (unsigned long)address >= start && (unsigned long)address < end)
            memcpy(found, word, 3);
    fclose(maps);
    return found;
}
