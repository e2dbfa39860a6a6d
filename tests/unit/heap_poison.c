/* SPDX-License-Identifier: MIT */
/*
 * heap_poison: with heap_poison=on a freed block holds the pattern before anybody can have it
 * again, a write to it is told with what, where and by whom, and whoever frees twice touches
 * nothing.
 */
#define _GNU_SOURCE
#include "heap/rest.h"
#include "support/heaps.h"
#include "support/regions.h"
#include "support/touch.h"

#include <moat/report.h>

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { POISON = 0xDB, SMALL_MAX = 32768 };

static struct ear {
    struct moat_manager *manager;
    struct moat_heap *heap;
    unsigned heard;
    struct moat_finding finding;
    char text[2048];
} ear;

static void listen(const struct moat_finding *finding, void *context) {
    struct ear *mine = context;
    mine->heard++;
    mine->finding = *finding;
    memcpy(mine->text, finding->text, finding->length + 1);
}

static void start(void) {
    struct moat_options options;

    stay_on_one_processor(); /* each has blocks of its own */
    moat_options_init(&options);
    cr_assert_eq(moat_options_parse(&options, "heap_poison=on", NULL, 0), MOAT_OK);
    options.report_function = listen;
    options.report_context = &ear;
    cr_assert_eq(moat_manager_create(&options, &ear.manager), MOAT_OK);
    ear.heap = heap_of(ear.manager, 0);
}

TestSuite(heap_poison, .init = start);

static void expect_line(const char *line) {
    cr_assert_not_null(strstr(ear.text, line), "not there: %sin:\n%s", line, ear.text);
}

/* Allocate until this very block comes back. The blocks in between stay live. */
static void come_back(unsigned char *block, size_t size) {
    for (unsigned i = 0; i < 100000; i++)
        if (allocated(ear.heap, size) == block)
            return;
    cr_assert(false, "the block never came back");
}

Test(heap_poison, freed_blocks_of_every_class_are_full_of_it) {
    for (size_t size = 1; size <= SMALL_MAX; size = size * 5 / 4 + 1) {
        unsigned char *block = allocated(ear.heap, size);
        size_t whole = room(ear.heap, block);
        cr_assert(touch_all_bytes(block, whole, 0), "a fresh one is zero");
        memset(block, 'x', whole);
        unsigned char *live = allocated(ear.heap, size);
        memset(live, 'y', whole);
        freed(ear.heap, block);
        cr_assert(touch_all_bytes(block, whole, POISON), "size %zu", size);
        cr_assert(touch_all_bytes(live, whole, 'y'), "a neighbour was touched");
        come_back(block, size);
        cr_assert(touch_all_bytes(block, whole, POISON), "and when it is handed out again");
    }
    cr_assert_eq(ear.heard, 0u);
    cr_assert_eq(stats_of(ear.manager).poison_damage, UINT64_C(0));
}

Test(heap_poison, a_write_after_free_is_told_when_the_block_comes_back) {
    char line[160];
    unsigned char *block = allocated(ear.heap, 100);
    freed(ear.heap, block);
    block[17] = 0x42;
    block[18] = 0x43;
    come_back(block, 100);

    cr_assert_eq(ear.heard, 1u);
    cr_assert_eq(ear.finding.kind, MOAT_FOUND_WRITE_AFTER_FREE);
    cr_assert_eq(ear.finding.status, MOAT_OK);
    cr_assert_eq(ear.finding.address, (void *)(block + 17));
    (void)snprintf(line, sizeof line,
                   "moat: write after free: 2 bytes of the block of 112 at %p changed after it had "
                   "been freed\n",
                   (void *)block);
    expect_line(line);
    (void)snprintf(line, sizeof line, "  first at %p, offset 0x11 of the block\n",
                   (void *)(block + 17));
    expect_line(line);
    (void)snprintf(line, sizeof line, "  %p: db [42][43] db ", (void *)(block + 16));
    expect_line(line);
    expect_line("  freed 0.");
    (void)snprintf(line, sizeof line, " s ago by thread %d at ", (int)gettid());
    expect_line(line);
    cr_assert_eq(stats_of(ear.manager).poison_damage, UINT64_C(1));
    freed(ear.heap, block);
    come_back(block, 100);
    cr_assert_eq(ear.heard, 1u, "told once");
}

Test(heap_poison, it_is_told_when_the_region_goes_too) {
    unsigned char *block = allocated(ear.heap, 100);
    freed(ear.heap, block);
    block[0] = 0;
    moat_heap_destroy(ear.heap);
    cr_assert_eq(ear.heard, 1u);
    cr_assert_eq(ear.finding.address, (void *)block);
}

/* Spans of 64 KiB and more beyond what a heap keeps go back to the manager. */
Test(heap_poison, it_is_told_when_a_heap_gives_regions_back) {
    enum { BLOCKS = 1000, LAST = BLOCKS / 2 };
    static unsigned char *blocks[BLOCKS];
    unsigned char *damaged = NULL;

    for (unsigned i = 0; i < BLOCKS; i++)
        blocks[i] = allocated(ear.heap, SMALL_MAX);
    for (unsigned i = 0; i < BLOCKS; i++)
        if (i != LAST)
            freed(ear.heap, blocks[i]);
    /* One beside the block that keeps their region. */
    for (unsigned i = 0; i < BLOCKS && !damaged; i++)
        if (blocks[i] == blocks[LAST] + SMALL_MAX || blocks[i] + SMALL_MAX == blocks[LAST])
            damaged = blocks[i];
    cr_assert_not_null(damaged);
    damaged[5] = 1;
    freed(ear.heap, blocks[LAST]);
    cr_assert_eq(ear.heard, 1u);
    cr_assert_eq(ear.finding.address, (void *)(damaged + 5));
    cr_assert_eq(stats_of(ear.manager).poison_damage, UINT64_C(1));
    moat_heap_destroy(ear.heap);
    cr_assert_eq(ear.heard, 1u, "told once");
}

Test(heap_poison, who_frees_twice_touches_nothing) {
    unsigned char *block = allocated(ear.heap, 64);
    freed(ear.heap, block);
    refused(ear.heap, ear.manager, block);
    cr_assert_not_null(strstr(moat_last_error_text(), "is free, freed 0."), "%s",
                       moat_last_error_text());
    cr_assert_not_null(strstr(moat_last_error_text(), " s ago by thread "));
    come_back(block, 64);
    memset(block, 'z', 64);
    refused(ear.heap, ear.manager, block + 16);
    cr_assert(touch_all_bytes(block, 64, 'z'));
    freed(ear.heap, block);
    cr_assert_eq(ear.heard, 0u);
}

/* Two threads have found the same live block, and both go on to free it. */
Test(heap_poison, who_comes_second_leaves_the_block_alone) {
    unsigned char *block = allocated(ear.heap, 64);
    struct moat_found first, second;
    uint32_t left;

    cr_assert(moat_heap_find(ear.heap, block, &first));
    cr_assert(moat_heap_find(ear.heap, block, &second));
    cr_assert(moat_rest_begin(ear.heap, &first));
    cr_assert(touch_all_bytes(block, 64, POISON));
    memset(block, 'n', 64); /* as its next owner would */
    cr_assert_not(moat_rest_begin(ear.heap, &second));
    cr_assert(touch_all_bytes(block, 64, 'n'));
    memset(block, POISON, 64);
    cr_assert(moat_span_give(first.span, first.slot, first.word, &left));
    cr_assert_not(moat_rest_begin(ear.heap, &second), "nor when it is free");
    come_back(block, 64);
    cr_assert_eq(ear.heard, 0u);
}

Test(heap_poison, it_is_fatal_where_misuse_is, .signal = SIGABRT) {
    ear.manager = manager_with("heap_poison=on,misuse=abort,report=off");
    ear.heap = heap_of(ear.manager, 0);
    unsigned char *block = allocated(ear.heap, 64);
    freed(ear.heap, block);
    *block = 0;
    come_back(block, 64);
}

Test(heap_poison, without_the_option_nothing_is_filled) {
    ear.manager = manager_with("");
    ear.heap = heap_of(ear.manager, 0);
    unsigned char *block = allocated(ear.heap, 64);
    memset(block, 'x', 64);
    freed(ear.heap, block);
    cr_assert(touch_all_bytes(block, 64, 'x'));
}

/* Counted all the same. */
Test(heap_poison, nobody_is_told_where_nobody_wants_to_know) {
    ear.manager = manager_with("heap_poison=on,report=off");
    ear.heap = heap_of(ear.manager, 0);
    unsigned char *block = allocated(ear.heap, 64);
    freed(ear.heap, block);
    block[7] = 'x';
    come_back(block, 64);
    cr_assert_eq(stats_of(ear.manager).poison_damage, (uint64_t)1);
    cr_assert_eq(ear.heard, 0u);
}

/* Two threads free each block at once: one wins and fills it, and the other leaves it alone. */
enum { ROUNDS = 5000, SIZE = 2048 };
static pthread_barrier_t barrier;
static unsigned char *disputed;
static atomic_uint wins;

static void free_it(void) {
    pthread_barrier_wait(&barrier);
    if (moat_heap_free(ear.heap, disputed) == MOAT_OK)
        atomic_fetch_add(&wins, 1);
    pthread_barrier_wait(&barrier);
}

static void *free_often(void *argument) {
    for (unsigned round = 0; round < ROUNDS; round++)
        free_it();
    return argument;
}

Test(heap_poison, of_racing_frees_one_fills_the_block, .timeout = 600) {
    pthread_t thread;
    pthread_barrier_init(&barrier, NULL, 2);
    cr_assert_eq(pthread_create(&thread, NULL, free_often, NULL), 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        disputed = allocated(ear.heap, SIZE);
        memset(disputed, 'x', SIZE);
        free_it();
        cr_assert_eq(atomic_load(&wins), round + 1);
        cr_assert(touch_all_bytes(disputed, SIZE, POISON));
    }
    pthread_join(thread, NULL);
    cr_assert_eq(ear.heard, 0u, "%s", ear.text);
}
