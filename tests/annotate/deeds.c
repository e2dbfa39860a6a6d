/* SPDX-License-Identifier: MIT */
/*
 * deeds: one thing that is wrong, named as argument, for a checker of memory to tell of; or, as
 * "right", many that are not. check.py looks for the lines that are marked here.
 */
#include <moat/heap.h>
#include <moat/moat.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = MOAT_PAGE_BYTES, GRANULE = 65536, SMALL = 100, LARGE = 300000 };

static struct moat_manager *manager;
static struct moat_heap *heap;

static void must(enum moat_status status) {
    if (status == MOAT_OK)
        return;
    fprintf(stderr, "deeds: %s\n", moat_last_error_text());
    exit(2);
}

static char *reserve(size_t size, uint32_t flags) {
    void *base;
    must(moat_reserve(manager, NULL, size, MOAT_PAGE_READWRITE, flags, &base));
    return base;
}

static char *commit(char *start, size_t size) {
    must(moat_commit(manager, start, size, MOAT_PAGE_READWRITE, NULL));
    return start;
}

static char *block(size_t size) {
    void *made;
    must(moat_heap_alloc(heap, size, &made));
    return made;
}

/* --- What is wrong --- */

static void overrun(void) {
    char *made = block(SMALL);
    memset(made, 1, SMALL);
    *(volatile char *)(made + SMALL) = 1; /* wrong: overrun */
}

static void overrun_large(void) {
    char *made = block(LARGE + 1);
    *(volatile char *)(made + LARGE + 1) = 1; /* wrong: overrun_large */
}

static void freed(void) {
    char *made = block(SMALL);
    memset(made, 1, SMALL);
    must(moat_heap_free(heap, made));
    (void)*(volatile char *)(made + 1); /* wrong: freed */
}

static void freed_large(void) {
    char *made = block(LARGE);
    must(moat_heap_free(heap, made));
    (void)*(volatile char *)(made + 1); /* wrong: freed_large */
}

static void uncommitted(void) {
    char *base = commit(reserve(GRANULE, 0), PAGE);
    (void)*(volatile char *)(base + PAGE); /* wrong: uncommitted */
}

static void decommitted(void) {
    char *base = commit(reserve(GRANULE, 0), 2 * PAGE);
    must(moat_decommit(manager, base, PAGE));
    (void)*(volatile char *)base; /* wrong: decommitted */
}

static void released(void) {
    char *base = reserve(GRANULE, MOAT_RESERVE_COMMIT);
    must(moat_release(manager, base));
    *(volatile char *)base = 1; /* wrong: released */
}

static void released_large(void) {
    char *base = reserve(32 * GRANULE, MOAT_RESERVE_COMMIT);
    memset(base, 1, 32 * GRANULE);
    must(moat_release(manager, base));
    *(volatile char *)base = 1; /* wrong: released_large */
}

static void guard(void) {
    char *base = reserve(PAGE, MOAT_RESERVE_COMMIT);
    (void)*(volatile char *)(base + PAGE); /* wrong: guard */
}

static void unwritten(void) {
    char *made = block(SMALL);
    if (made[1] == 'x') /* wrong: unwritten */
        puts("by chance");
}

static char *volatile kept;

static void leak(void) {
    kept = block(SMALL); /* the first of its span is known to Moat's books */
    kept = block(SMALL); /* wrong: leak */
    kept = NULL;
    block(LARGE);
    block(1); /* and where these were kept in passing something else is now */
}

/* --- What is not --- */

static void expect_zero(const char *start, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (start[i])
            must(MOAT_CORRUPT);
}

static void right_pages(void) {
    char *base = reserve(8 * GRANULE, 0);
    for (unsigned round = 0; round < 3; round++) {
        expect_zero(commit(base + GRANULE, 3 * PAGE), 3 * PAGE);
        memset(base + GRANULE, 1, 3 * PAGE);
        must(moat_decommit(manager, base + GRANULE + PAGE, PAGE));
        expect_zero(commit(base + GRANULE, 3 * PAGE) + PAGE, PAGE);
        if (base[GRANULE] != 1)
            must(MOAT_CORRUPT);
        must(moat_decommit(manager, base, 0));
    }
    must(moat_release(manager, base));
    /* Addresses and memory of all sizes come again. */
    for (unsigned round = 0; round < 200; round++) {
        size_t size = ((size_t)PAGE << round % 10) + round % 3 * PAGE;
        char *region = reserve(size, MOAT_RESERVE_COMMIT);
        expect_zero(region, size);
        memset(region, 1, size);
        must(moat_release(manager, region));
    }
}

static void right_blocks(void) {
    enum { LIVE = 64 };
    char *live[LIVE] = {0};
    for (unsigned round = 0; round < 1000; round++) {
        char **one = &live[round * 7 % LIVE];
        size_t size = round % 97 == 0 ? LARGE + round : round % 600 + 1, room;
        if (*one)
            must(moat_heap_free(heap, *one));
        *one = block(size);
        memset(*one, 1, size);
        if (round % 5)
            continue;
        must(moat_heap_block_size(heap, *one, &room)); /* all of it may be used */
        memset(*one + size, 2, room - size);
        if ((*one)[0] != 1)
            must(MOAT_CORRUPT);
    }
    for (unsigned i = 0; i < LIVE; i += 2)
        must(moat_heap_free(heap, live[i]));
}

/* Many at once, so that there are several arenas, and blocks of them that are opened. */
static void right_regions(void) {
    enum { LIVE = 600 };
    char *live[LIVE];
    for (unsigned i = 0; i < LIVE; i++) {
        size_t size = (i % 40 + 1) * (size_t)PAGE;
        live[i] = reserve(size, 0);
        memset(commit(live[i] + size - PAGE, PAGE), 1, PAGE);
    }
    for (unsigned i = 0; i < LIVE; i++)
        must(moat_release(manager, live[i]));
}

/* Nobody but a page of a region knows where this is. */
static void right_pointer(void) {
    void **page = (void **)(void *)reserve(PAGE, MOAT_RESERVE_COMMIT);
    *page = malloc(SMALL);
}

static void begin(bool poison) {
    struct moat_options options;

    moat_options_init(&options);
    if (poison)
        options.heap_poison = MOAT_HEAP_POISON_ON;
    must(moat_manager_create(&options, &manager));
    must(moat_heap_create(manager, 0, &heap));
}

static void right(void) {
    right_pages();
    right_regions();
    for (unsigned poison = 0; poison < 2; poison++) {
        right_blocks();
        moat_heap_destroy(heap);
        moat_manager_destroy(manager);
        begin(!poison);
    }
    right_pointer();
}

static const struct {
    const char *name;
    void (*run)(void);
} deeds[] = {
    {"overrun", overrun},
    {"overrun_large", overrun_large},
    {"freed", freed},
    {"freed_large", freed_large},
    {"uncommitted", uncommitted},
    {"decommitted", decommitted},
    {"released", released},
    {"released_large", released_large},
    {"guard", guard},
    {"unwritten", unwritten},
    {"leak", leak},
    {"right_pages", right_pages},
    {"right", right},
};

int main(int count, char **arguments) {
    begin(false);
    for (size_t i = 0; i < sizeof deeds / sizeof deeds[0]; i++)
        if (count == 2 && strcmp(arguments[1], deeds[i].name) == 0) {
            deeds[i].run();
            puts("deeds: done");
            return 0;
        }
    fprintf(stderr, "deeds: no such deed\n");
    return 2;
}
