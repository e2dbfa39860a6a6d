/* SPDX-License-Identifier: MIT */
/*
 * space and pages against the plainest model there is: one byte a page in an array.
 *
 * Only books are touched, so the address space described need not exist. The books end where an
 * inaccessible page begins: a layout that is too small is found by the first page behind it.
 */
#define _GNU_SOURCE
#include "os/os.h"
#include "region/pages.h"
#include "support/regions.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGES_MAX = 8 * 512 };

struct model {
    struct moat_space *space;
    uintptr_t start; /* usable */
    size_t pages;
    uint8_t states[PAGES_MAX];
    bool open[PAGES_MAX]; /* of the block of each page */
};

static void *books_of(size_t size) {
    size_t whole = (size + PAGE - 1) / PAGE * PAGE;
    unsigned char *start =
        mmap(NULL, whole + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq((void *)start, MAP_FAILED);
    cr_assert_eq(mprotect(start + whole, PAGE, PROT_NONE), 0);
    return start + ((whole - size) & ~(size_t)63);
}

static void describe(struct model *model, uintptr_t start, uintptr_t end, size_t margin) {
    void *books = books_of(moat_space_books_size(start, end, false));
    memset(model, 0, sizeof *model);
    model->space = moat_space_init(books, start, end, false);
    model->space->usable_start = model->start = start + margin;
    model->space->usable_end = end - margin;
    model->pages = (end - start - 2 * margin) / PAGE;
    cr_assert_leq(model->pages, (size_t)PAGES_MAX);
}

static void set_open(struct model *model, size_t block, bool open) {
    uintptr_t start = moat_space_block_start(model->space, block);
    model->space->opened[block] = open;
    for (size_t i = 0; i < model->pages; i++)
        if (model->start + i * PAGE - start < BLOCK)
            model->open[i] = open;
}

static size_t run_end(const struct model *model, size_t first, size_t end) {
    size_t at = first + 1;
    while (at < end && model->states[at] == model->states[first] &&
           model->open[at] == model->open[first])
        at++;
    return at;
}

static uint8_t visible(uint8_t state) {
    return state & MOAT_PAGE_COMMITTED ? state : 0;
}

static void check(const struct model *model, size_t first, size_t end) {
    uintptr_t start = model->start + first * PAGE;
    uintptr_t stop = model->start + end * PAGE;
    struct moat_run run = moat_pages_run(model->space, start, stop);
    size_t expected = run_end(model, first, end);

    cr_assert_eq(run.start, start);
    cr_assert_eq(run.end, model->start + expected * PAGE, "run of page %zu below %zu", first, end);
    cr_assert_eq(run.state, model->states[first], "page %zu", first);
    cr_assert_eq(run.open, model->open[first], "page %zu", first);

    struct moat_pages_view view = moat_pages_view(model->space);
    uint8_t state = 0xEE;
    uintptr_t seen = moat_pages_peek(&view, start, stop, &state);
    size_t last = first + 1;
    while (last < end && visible(model->states[last]) == visible(model->states[first]))
        last++;
    cr_assert_eq(state, visible(model->states[first]), "page %zu", first);
    cr_assert_eq(seen, model->start + last * PAGE, "peek of page %zu below %zu", first, end);
}

/* States that occur, the uncommitted ones with what the kernel keeps on record. */
static uint8_t some_state(uint64_t *seed) {
    static const uint8_t states[] = {
        0,
        MOAT_PAGE_COMMITTED,
        MOAT_PAGE_COMMITTED | MOAT_CODE_READONLY,
        MOAT_PAGE_COMMITTED | MOAT_PAGE_IS_GUARD | MOAT_CODE_EXECUTE_READWRITE,
        MOAT_CODE_NOACCESS,
        MOAT_PAGE_DIRTY,
        MOAT_PAGE_DIRTY | MOAT_PAGE_POISONED,
    };
    return states[next_random(seed) % (sizeof states / sizeof states[0])];
}

/* A bound that is often the edge of a block. */
static size_t some_page(const struct model *model, uint64_t *seed) {
    size_t page = next_random(seed) % (model->pages + 1);
    if (next_random(seed) % 2) {
        uintptr_t edge = moat_round_down(model->start + page * PAGE, BLOCK);
        page = edge <= model->start ? 0 : (edge - model->start) / PAGE;
    }
    return next_random(seed) % 8 ? page : model->pages;
}

static void shuffle(struct model *model, unsigned steps) {
    uint64_t seed = 7;
    for (unsigned step = 0; step < steps; step++) {
        size_t first = some_page(model, &seed);
        size_t end = some_page(model, &seed);
        size_t block = next_random(&seed) % model->space->block_count;
        if (first >= end)
            continue;
        switch (next_random(&seed) % 8) {
        case 0:
            set_open(model, block, next_random(&seed) % 2);
            break;
        case 1:
            moat_pages_mix(model->space, block);
            break;
        default: {
            uint8_t state = some_state(&seed);
            moat_pages_set(model->space, model->start + first * PAGE, model->start + end * PAGE,
                           state);
            memset(&model->states[first], state, end - first);
        }
        }
        check(model, next_random(&seed) % end, end);
        check(model, next_random(&seed) % model->pages, model->pages);
    }
}

static struct model model;

Test(region_pages, aligned_spaces_agree_with_an_array) {
    describe(&model, UINT64_C(0x100000000000), UINT64_C(0x100000000000) + 8 * (uintptr_t)BLOCK, 0);
    shuffle(&model, 20000);
}

Test(region_pages, spaces_that_begin_and_end_anywhere_agree_with_an_array) {
    uintptr_t start = UINT64_C(0x100000000000) + 5 * GRANULE;
    describe(&model, start, start + 5 * (uintptr_t)BLOCK + 3 * PAGE, 0);
    shuffle(&model, 20000);
}

Test(region_pages, a_space_within_one_block_agrees_with_an_array) {
    uintptr_t start = UINT64_C(0x100000000000) + 3 * GRANULE;
    describe(&model, start, start + 9 * PAGE, 0);
    shuffle(&model, 5000);
}

Test(region_pages, margins_change_nothing) {
    uintptr_t start = UINT64_C(0x100000000000) + 31 * GRANULE;
    describe(&model, start, start + 3 * (uintptr_t)BLOCK, GRANULE);
    shuffle(&model, 20000);
}

Test(region_pages, fresh_books_are_uncommitted_closed_and_read_write) {
    describe(&model, UINT64_C(0x100000000000), UINT64_C(0x100000000000) + 3 * (uintptr_t)BLOCK, 0);
    for (size_t page = 0; page < model.pages; page += 511)
        check(&model, page, model.pages);
    cr_assert_eq(moat_page_access(0, true), (unsigned)(MOAT_OS_READ | MOAT_OS_WRITE));
    cr_assert_eq(moat_page_access(0, false), (unsigned)MOAT_OS_NONE);
}

/* A quarter of a tebibyte, and the walk over it, in books that a process can afford. */
Test(region_pages, a_huge_space_is_walked_block_by_block) {
    uintptr_t start = UINT64_C(0x100000000000);
    uintptr_t end = start + ((uintptr_t)1 << 38);
    size_t size = moat_space_books_size(start, end, false);
    void *books = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    cr_assert_neq(books, MAP_FAILED);
    struct moat_space *space = moat_space_init(books, start, end, false);
    moat_pages_set(space, start, end, MOAT_PAGE_COMMITTED);
    struct moat_run run = moat_pages_run(space, start, end);
    cr_assert_eq(run.end, end);
    cr_assert_lt(smaps_sum(books, size, "Rss:"), (size_t)1024, "KiB of books for equal pages");
}

Test(region_pages, every_protection_survives_the_state_byte) {
    static const uint32_t basics[] = {MOAT_PAGE_NOACCESS,     MOAT_PAGE_READONLY,
                                      MOAT_PAGE_READWRITE,    MOAT_PAGE_EXECUTE,
                                      MOAT_PAGE_EXECUTE_READ, MOAT_PAGE_EXECUTE_READWRITE};
    static const uint32_t modifiers[] = {0, MOAT_PAGE_GUARD, MOAT_PAGE_WRITECOMBINE};
    for (size_t i = 0; i < sizeof basics / sizeof basics[0]; i++)
        for (size_t j = 0; j < sizeof modifiers / sizeof modifiers[0]; j++) {
            uint32_t protection = basics[i] | modifiers[j];
            uint8_t state = moat_page_state(protection);
            cr_assert(state & MOAT_PAGE_COMMITTED);
            cr_assert_neq(state, MOAT_UNIFORM_MIXED);
            cr_assert_eq(moat_page_protection(state), protection, "%#x", protection);
        }
}

Test(region_pages, rights_follow_the_protection_and_a_guard_has_none) {
    static const struct {
        uint32_t protection;
        unsigned access;
    } rows[] = {
        {MOAT_PAGE_NOACCESS, MOAT_OS_NONE},
        {MOAT_PAGE_READONLY, MOAT_OS_READ},
        {MOAT_PAGE_READWRITE, MOAT_OS_READ | MOAT_OS_WRITE},
        {MOAT_PAGE_EXECUTE, MOAT_OS_READ | MOAT_OS_EXECUTE},
        {MOAT_PAGE_EXECUTE_READ, MOAT_OS_READ | MOAT_OS_EXECUTE},
        {MOAT_PAGE_EXECUTE_READWRITE, MOAT_OS_READ | MOAT_OS_WRITE | MOAT_OS_EXECUTE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert_eq(moat_page_access(moat_page_state(rows[i].protection), true), rows[i].access);
        uint8_t guard = moat_page_state(rows[i].protection | MOAT_PAGE_GUARD);
        cr_assert_eq(moat_page_access(guard, true), (unsigned)MOAT_OS_NONE);
    }
}
