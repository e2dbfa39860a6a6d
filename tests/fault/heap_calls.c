/* SPDX-License-Identifier: MIT */
/*
 * heap_calls: every system call under alloc, free and destroy fails, the first, the second and so
 * on, alone and with all that follow, on both rungs.
 *
 * An alloc that then fails says so, hands out nothing, changes no block, and succeeds when asked
 * again. A free of a small block does not fail at all; one of a large block may, and then it is
 * live still. What the kernel would not take back is not lost: the heap uses or returns it later.
 */
#define _GNU_SOURCE
#include "support/inject.h"

#include <moat/heap.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { SMALL = 1000, LARGE = 200000, COUNT = 300, KEPT_PIECE = 32768, KEPT_COUNT = 300 };

static struct moat_manager *manager;
static struct moat_heap *heap;
static unsigned char *held[COUNT]; /* small blocks with their number in every byte */
static unsigned char *large;
static unsigned char *kept[KEPT_COUNT];

static unsigned char *must_alloc(size_t size) {
    void *block = NULL;
    cr_assert_eq(moat_heap_alloc(heap, size, &block), MOAT_OK, "%s", moat_last_error_text());
    return block;
}

static void check_held(void) {
    for (unsigned i = 0; i < COUNT; i++)
        for (unsigned k = 0; held[i] && k < SMALL; k++)
            if (held[i][k] != (unsigned char)i)
                cr_assert_fail("block %u, byte %u", i, k);
}

static struct moat_heap_stats stats(void) {
    struct moat_heap_stats got;
    cr_assert_eq(moat_heap_stats_read(heap, &got), MOAT_OK);
    return got;
}

static void set_up(void) {
    cr_assert_eq(moat_heap_create(manager, 0, &heap), MOAT_OK, "%s", moat_last_error_text());
    for (unsigned i = 0; i < COUNT; i++)
        memset(held[i] = must_alloc(SMALL), (int)i, SMALL);
    large = must_alloc(LARGE);
    memset(large, 'l', LARGE);
    /* Fills what a heap keeps, so that the next empty span is given back. */
    for (unsigned i = 0; i < KEPT_COUNT; i++)
        kept[i] = must_alloc(KEPT_PIECE);
    for (unsigned i = 0; i < KEPT_COUNT; i++)
        cr_assert_eq(moat_heap_free(heap, kept[i]), MOAT_OK);
}

/* Each act returns whether it failed, having checked what must hold then. */
static bool alloc(size_t size, const char *file) {
    struct moat_heap_stats before = stats();
    void *block = &block;
    enum moat_status status = file ? moat_heap_alloc_debug(heap, size, file, 1, &block)
                                   : moat_heap_alloc(heap, size, &block);
    if (!status) {
        memset(block, 'n', size);
        inject_clear();
        cr_assert_eq(stats().blocks, before.blocks + 1);
        cr_assert_eq(moat_heap_free(heap, block), MOAT_OK);
        return false;
    }
    cr_assert_null(block);
    cr_assert(status == MOAT_NO_MEMORY || status == MOAT_COMMIT_LIMIT || status == MOAT_MAP_LIMIT,
              "%s", moat_status_describe(status)->name);
    cr_assert_neq(moat_last_error_text()[0], '\0');
    cr_assert_eq(stats().blocks, before.blocks);
    return true;
}

static bool alloc_small(void) {
    return alloc(5000, NULL);
}

static bool alloc_noted(void) {
    return alloc(7000, "noted.c");
}

static bool alloc_large(void) {
    return alloc(3000000, NULL);
}

static bool free_large(void) {
    enum moat_status status = moat_heap_free(heap, large);
    size_t size;
    if (!status) {
        cr_assert_eq(moat_heap_free(heap, large), MOAT_NOT_OURS);
        return false;
    }
    cr_assert(status == MOAT_NO_MEMORY || status == MOAT_MAP_LIMIT, "%s",
              moat_status_describe(status)->name);
    cr_assert_eq(moat_heap_block_size(heap, large, &size), MOAT_OK, "it is live still");
    return true;
}

/* A span that the kernel does not take back is no failure of the caller's. */
static bool free_small(void) {
    for (unsigned i = 0; i < COUNT; i++) {
        cr_assert_eq(moat_heap_free(heap, held[i]), MOAT_OK, "%s", moat_last_error_text());
        held[i] = NULL;
    }
    return false;
}

static const struct {
    const char *name;
    bool (*act)(void);
} acts[] = {
    {"alloc", alloc_small},
    {"alloc with a note", alloc_noted},
    {"alloc of a region", alloc_large},
    {"free of a region", free_large},
    {"free of spans", free_small},
};

static const struct {
    enum inject_kind kind;
    const char *name;
    int errors[3];
} faults[] = {
    {INJECT_MMAP, "mmap", {ENOMEM, 0, 0}},
    {INJECT_MUNMAP, "munmap", {ENOMEM, 0, 0}},
    {INJECT_MPROTECT, "mprotect", {ENOMEM, EACCES, 0}},
    {INJECT_MADVISE, "madvise", {ENOMEM, EINVAL, 0}},
};

/* The heap goes on, and ends with nothing left. */
static void check_whole(void) {
    struct moat_stats of_manager;
    struct moat_heap_stats now = stats();
    cr_assert_eq(moat_stats_read(manager, &of_manager), MOAT_OK);
    cr_assert_eq(now.regions, of_manager.regions_live);
    check_held();
    for (unsigned i = 0; i < COUNT; i++)
        memset(must_alloc(SMALL), 'a', SMALL);
    memset(must_alloc(LARGE), 'a', LARGE);
    check_held();
    moat_heap_destroy(heap);
    cr_assert_eq(moat_stats_read(manager, &of_manager), MOAT_OK);
    cr_assert_eq(of_manager.regions_live, 0);
    cr_assert_eq(of_manager.bytes_committed, 0);
}

/* False when the act makes fewer such calls than `nth`. */
static bool try_fault(size_t act, size_t fault, int nth, int error, bool onwards) {
    fprintf(stderr, "%s: %s %d%s: errno %d\n", acts[act].name, faults[fault].name, nth,
            onwards ? " and on" : "", error);
    set_up();
    (onwards ? inject_fail_from : inject_fail)(faults[fault].kind, nth, error);
    bool failed = acts[act].act();
    bool reached = inject_count(faults[fault].kind) >= nth;
    inject_clear();
    if (failed)
        cr_assert_not(acts[act].act(), "%s", moat_last_error_text());
    check_whole();
    return reached;
}

static void fail_everything(const char *text) {
    struct moat_options options;
    moat_options_init(&options);
    cr_assert_eq(moat_options_parse(&options, text, NULL, 0), MOAT_OK);
    cr_assert_eq(moat_manager_create(&options, &manager), MOAT_OK);
    for (size_t act = 0; act < sizeof acts / sizeof acts[0]; act++)
        for (size_t fault = 0; fault < sizeof faults / sizeof faults[0]; fault++)
            for (size_t i = 0; faults[fault].errors[i]; i++) {
                int nth = 1;
                while (nth < 12 && try_fault(act, fault, nth, faults[fault].errors[i], false))
                    nth++;
                (void)try_fault(act, fault, 1, faults[fault].errors[i], true);
            }
}

Test(heap_calls, every_call_fails_with_markers) {
    fail_everything("trap=auto");
}

Test(heap_calls, every_call_fails_without_markers) {
    fail_everything("trap=protect");
}

/* Regions that stay when a heap ends are the manager's, which returns them when it can. No later
 * heap takes their blocks for its own. */
Test(heap_calls, what_survives_a_heap_is_not_the_next_ones) {
    struct moat_stats of_manager;
    cr_assert_eq(moat_manager_create(NULL, &manager), MOAT_OK);
    set_up();
    inject_fail_from(INJECT_MADVISE, 1, ENOMEM);
    inject_fail_from(INJECT_MPROTECT, 1, ENOMEM);
    inject_fail_from(INJECT_MMAP, 1, ENOMEM);
    moat_heap_destroy(heap);
    inject_clear();
    cr_assert_eq(moat_stats_read(manager, &of_manager), MOAT_OK);
    cr_assert_gt(of_manager.regions_live, 0, "the faults were in vain");
    for (unsigned i = 0; i < 20; i++) {
        cr_assert_eq(moat_heap_create(manager, 0, &heap), MOAT_OK);
        for (unsigned k = 0; k < COUNT; k++)
            cr_assert_eq(moat_heap_free(heap, held[k]), MOAT_NOT_OURS);
        cr_assert_eq(moat_heap_free(heap, large), MOAT_NOT_OURS);
    }
    moat_manager_destroy(manager);
}
