/* SPDX-License-Identifier: MIT */
/*
 * notes: who allocated a block is kept apart from it, survives the caller's string, and is listed
 * when the heap ends. The text of the list is compared byte by byte.
 */
#define _GNU_SOURCE
#include "support/regions.h"

#include <moat/heap.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct moat_manager *manager;
static struct moat_heap *heap;

static void start_with(const char *options) {
    manager = manager_with(options);
    cr_assert_eq(moat_heap_create(manager, 0, &heap), MOAT_OK);
}

static void *noted(size_t size, const char *file, int line) {
    void *block = NULL;
    cr_assert_eq(moat_heap_alloc_debug(heap, size, file, line, &block), MOAT_OK);
    return block;
}

static int copy_block(const struct moat_heap_block *block, void *context) {
    *(struct moat_heap_block *)context = *block;
    return 0;
}

/* The one block that is live. */
static struct moat_heap_block only(void) {
    struct moat_heap_block block = {0};
    cr_assert_eq(moat_heap_walk(heap, copy_block, &block), MOAT_OK);
    return block;
}

Test(heap_notes, the_name_is_copied) {
    char file[] = "plugin.c";
    start_with("");
    static const size_t sizes[] = {0, 5, 1000, 32768, 32769, 1000000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        strcpy(file, "plugin.c");
        void *block = noted(sizes[i], file, 12);
        memset(file, '?', sizeof file - 1);
        cr_assert_eq(only().address, block);
        cr_assert_eq(only().size, sizes[i], "%zu", only().size);
        cr_assert_str_eq(only().file, "plugin.c");
        cr_assert_eq(only().line, 12);
        cr_assert_eq(moat_heap_free(heap, block), MOAT_OK);
        cr_assert_null(only().address);
    }
    moat_heap_destroy(heap);
}

Test(heap_notes, a_slot_forgets_who_had_it) {
    start_with("");
    stay_on_one_processor();
    void *kept = noted(2048, "kept.c", 1), *block;
    for (unsigned i = 0; i < 200; i++) {
        block = noted(2048, "before.c", 7);
        cr_assert_eq(moat_heap_free(heap, block), MOAT_OK);
    }
    cr_assert_eq(moat_heap_free(heap, kept), MOAT_OK);
    for (unsigned i = 0; i < 200; i++) {
        cr_assert_eq(moat_heap_alloc(heap, 2000, &block), MOAT_OK);
        cr_assert_null(only().file);
        cr_assert_eq(only().size, 2048);
        cr_assert_eq(moat_heap_free(heap, block), MOAT_OK);
    }
    cr_assert_eq(moat_heap_alloc_debug(heap, 10, NULL, 3, &block), MOAT_OK);
    cr_assert_null(only().file);
}

Test(heap_notes, many_names_and_long_ones) {
    char file[1000];
    start_with("");
    for (int i = 0; i < 500; i++) {
        snprintf(file, sizeof file, "directory/file%d.c", i);
        void *block = noted(100, file, -i);
        cr_assert_str_eq(only().file, file);
        cr_assert_eq(only().line, -i);
        cr_assert_eq(moat_heap_free(heap, block), MOAT_OK);
    }
    memset(file, 'd', sizeof file);
    strcpy(file + sizeof file - 5, "/x.c");
    noted(1, file, 1);
    cr_assert_eq(strlen(only().file), 231);
    cr_assert_str_eq(only().file, file + strlen(file) - 231);
    moat_heap_destroy(heap);
}

/* What a call writes to standard error. */
static char *said(void (*call)(void)) {
    static char text[65536];
    int file = memfd_create("stderr", 0), before = dup(2);
    cr_assert(file >= 0 && before >= 0);
    fflush(stderr);
    dup2(file, 2);
    call();
    dup2(before, 2);
    ssize_t length = pread(file, text, sizeof text - 1, 0);
    cr_assert_geq(length, 0);
    text[length] = '\0';
    close(file);
    close(before);
    return text;
}

static void destroy(void) {
    moat_heap_destroy(heap);
}

Test(heap_notes, leaks_are_listed_when_asked) {
    char expected[1000];
    start_with("leaks=report");
    void *small = noted(40, "a.c", 10);
    size_t length = (size_t)snprintf(
        expected, sizeof expected, "moat: leak: 40 bytes at %#lx, a.c:10\n", (unsigned long)small);
    snprintf(expected + length, sizeof expected - length, "moat: leaks: 1 live, 40 bytes\n");
    cr_assert_str_eq(said(destroy), expected);

    /* Newest spans first; a block without a note has the size it has room for. */
    cr_assert_eq(moat_heap_create(manager, 0, &heap), MOAT_OK);
    void *large = noted(100000, "b.c", 20), *plain;
    cr_assert_eq(moat_heap_alloc(heap, 33, &plain), MOAT_OK);
    snprintf(expected, sizeof expected,
             "moat: leak: 48 bytes at %#lx\nmoat: leak: 100000 bytes at %#lx, b.c:20\n"
             "moat: leaks: 2 live, 100048 bytes\n",
             (unsigned long)plain, (unsigned long)large);
    cr_assert_str_eq(said(destroy), expected);
    cr_assert_eq(stats_of(manager).regions_live, 0);
}

Test(heap_notes, no_leak_or_no_wish_says_nothing) {
    start_with("leaks=report");
    cr_assert_eq(moat_heap_free(heap, noted(40, "a.c", 10)), MOAT_OK);
    cr_assert_str_empty(said(destroy));
    start_with("");
    noted(40, "a.c", 10);
    cr_assert_str_empty(said(destroy));
}

Test(heap_notes, the_list_ends_after_a_hundred_lines) {
    unsigned lines = 0;
    start_with("leaks=report");
    for (int i = 0; i < 250; i++)
        noted(10, "a.c", i);
    const char *text = said(destroy);
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    cr_assert_eq(lines, 101);
    cr_assert_neq(strstr(text, "moat: leaks: 250 live, 2500 bytes\n"), NULL);
}
