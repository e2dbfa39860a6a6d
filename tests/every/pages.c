/* SPDX-License-Identifier: MIT */
/*
 * pages: what moat.h does with regions, with every call of every operation failing in every way, on
 * both rungs of the ladder.
 */
#include "support/product.h"

#include <string.h>

#define BLOCK  ((size_t)2 << 20)
#define WINDOW (2 * BLOCK)

enum { RW = MOAT_PAGE_READWRITE, RO = MOAT_PAGE_READONLY, START = 16, COUNT = 560 };

static uintptr_t window; /* a multiple of a block */
static void *base;

static void *page(size_t number) {
    return (void *)(window + number * PAGE);
}

/* Two pages in five, the fifth and the one before it, for what begins and ends there; the others
 * read as zero. */
static void fill(size_t first, size_t count) {
    for (size_t i = first; i < first + count; i++)
        if (i % 5 == 0 || i % 5 == 4)
            memset(page(i), (int)(i % 251 + 1), PAGE);
}

/* Addresses of an arena that nothing uses, every block of which is closed. */
static void find_window(void) {
    void *found;
    must(moat_reserve(the_manager, NULL, WINDOW, RW, MOAT_RESERVE_COMMIT, &found));
    must(moat_release(the_manager, found));
    window = (uintptr_t)found;
    if (window % BLOCK)
        wrong("the window is no block");
}

/* Far from all arenas. */
static void find_outside(void) {
    find_window();
    window = window - ((uintptr_t)512 << 30);
}

static void reserve(size_t first, size_t count, uint32_t flags) {
    must(moat_reserve(the_manager, page(first), count * PAGE, RW, flags, &base));
}

static void commit(size_t first, size_t count, uint32_t protection) {
    must(moat_commit(the_manager, page(first), count * PAGE, protection, NULL));
}

static void empty_region(void) {
    find_window();
    reserve(START, COUNT, 0);
}

static void empty_outside(void) {
    find_outside();
    reserve(START, COUNT, 0);
}

static void full_region(void) {
    find_window();
    reserve(START, COUNT, MOAT_RESERVE_COMMIT);
    fill(START, COUNT);
}

/* Every state that a page can have, in and across blocks. */
static void mix(void) {
    uint32_t old;
    reserve(START, COUNT, MOAT_RESERVE_COMMIT);
    fill(START, COUNT);
    commit(30, 10, RO);
    must(moat_protect(the_manager, page(50), 10 * PAGE, RW | MOAT_PAGE_GUARD, &old));
    must(moat_decommit(the_manager, page(35), 20 * PAGE));
    must(moat_decommit(the_manager, page(100), 5 * PAGE));
    must(moat_protect(the_manager, page(500), 30 * PAGE, RO, &old));
    must(moat_decommit(the_manager, page(520), 20 * PAGE));
    must(moat_protect(the_manager, page(550), 5 * PAGE, MOAT_PAGE_EXECUTE_READ, &old));
    must(moat_protect(the_manager, page(560), 3 * PAGE, MOAT_PAGE_NOACCESS, &old));
}

static void mixed_region(void) {
    find_window();
    mix();
}

static void mixed_outside(void) {
    find_outside();
    mix();
}

/* Neighbours that share a block. */
static void mixed_neighbours(void) {
    void *other;
    mixed_region();
    must(
        moat_reserve(the_manager, page(START + COUNT), 40 * PAGE, RW, MOAT_RESERVE_COMMIT, &other));
    memset(other, 'o', 40 * PAGE);
}

/* All is committed, with rights of all kinds. */
static void rights(void) {
    uint32_t old;
    full_region();
    must(moat_protect(the_manager, page(30), 10 * PAGE, RO, &old));
    must(moat_protect(the_manager, page(60), 100 * PAGE, MOAT_PAGE_EXECUTE_READ, &old));
    must(moat_protect(the_manager, page(510), 6 * PAGE, MOAT_PAGE_NOACCESS, &old));
}

static enum moat_status reserve_few(void) {
    return moat_reserve(the_manager, page(32), 5 * PAGE, RW, 0, &base);
}

static enum moat_status reserve_commit_few(void) {
    return moat_reserve(the_manager, page(32), 5 * PAGE, RO, MOAT_RESERVE_COMMIT, &base);
}

static enum moat_status reserve_commit_many(void) {
    return moat_reserve(the_manager, page(32), 600 * PAGE, RW, MOAT_RESERVE_COMMIT, &base);
}

static enum moat_status reserve_anywhere(void) {
    return moat_reserve(the_manager, NULL, 77 * PAGE, RW, MOAT_RESERVE_COMMIT, &base);
}

static enum moat_status reserve_large_anywhere(void) {
    return moat_reserve(the_manager, NULL, 700 * PAGE, RW, MOAT_RESERVE_COMMIT, &base);
}

static enum moat_status reserve_alone(void) {
    return moat_reserve(the_manager, NULL, (size_t)300 << 20, RO, MOAT_RESERVE_COMMIT, &base);
}

static enum moat_status reserve_top_down(void) {
    return moat_reserve(the_manager, NULL, 9 * PAGE, RW, MOAT_RESERVE_TOP_DOWN, &base);
}

static enum moat_status commit_all(void) {
    return moat_commit(the_manager, page(START), COUNT * PAGE, RW, NULL);
}

static enum moat_status commit_read_only(void) {
    return moat_commit(the_manager, page(20), 520 * PAGE, RO, NULL);
}

static enum moat_status commit_few(void) {
    return moat_commit(the_manager, page(33), 6 * PAGE, RW, NULL);
}

static enum moat_status commit_guards(void) {
    return moat_commit(the_manager, page(20), 520 * PAGE, RW | MOAT_PAGE_GUARD, NULL);
}

static enum moat_status protect_all(void) {
    uint32_t old;
    return moat_protect(the_manager, page(START), COUNT * PAGE, RO, &old);
}

static enum moat_status protect_few(void) {
    uint32_t old;
    return moat_protect(the_manager, page(70), 3 * PAGE, MOAT_PAGE_NOACCESS, &old);
}

static enum moat_status decommit_some(void) {
    return moat_decommit(the_manager, page(25), 500 * PAGE);
}

static enum moat_status decommit_few(void) {
    return moat_decommit(the_manager, page(70), 3 * PAGE);
}

static enum moat_status decommit_all(void) {
    return moat_decommit(the_manager, base, 0);
}

static enum moat_status release(void) {
    return moat_release(the_manager, base);
}

/* Somebody else was faster at that address. */
#define TAKEN SAYS(MOAT_INVALID_ADDRESS)

static const struct operation operations[] = {
    {"reserve", find_window, reserve_few, NULL, 0, TAKEN},
    {"reserve outside", find_outside, reserve_few, NULL, 0, TAKEN},
    {"reserve and commit", find_window, reserve_commit_few, NULL, 0, TAKEN},
    {"reserve and commit blocks", find_window, reserve_commit_many, NULL, 0, TAKEN},
    {"reserve and commit outside", find_outside, reserve_commit_many, NULL, 0, TAKEN},
    {"reserve anywhere", NULL, reserve_anywhere, NULL, OP_ANYWHERE, 0},
    {"reserve a large one anywhere", NULL, reserve_large_anywhere, NULL, OP_ANYWHERE, 0},
    {"reserve a huge one", NULL, reserve_alone, NULL, OP_ANYWHERE, 0},
    {"reserve top down", NULL, reserve_top_down, NULL, OP_ANYWHERE, 0},
    {"commit", empty_region, commit_all, NULL, 0, 0},
    {"commit outside", empty_outside, commit_all, NULL, 0, 0},
    {"commit some read-only", empty_region, commit_read_only, NULL, 0, 0},
    {"commit few", mixed_region, commit_few, NULL, 0, 0},
    {"commit over a mix", mixed_region, commit_all, NULL, 0, 0},
    {"commit over a mix read-only", mixed_region, commit_read_only, NULL, 0, 0},
    {"commit over a mix guards", mixed_neighbours, commit_guards, NULL, 0, 0},
    {"commit over a mix outside", mixed_outside, commit_read_only, NULL, 0, 0},
    {"protect", rights, protect_all, NULL, 0, 0},
    {"protect few", full_region, protect_few, NULL, 0, 0},
    {"decommit", full_region, decommit_some, NULL, OP_TRAPS, 0},
    {"decommit few", full_region, decommit_few, NULL, OP_TRAPS, 0},
    {"decommit of a mix", mixed_region, decommit_some, NULL, OP_TRAPS, 0},
    {"decommit of all", full_region, decommit_all, NULL, OP_TRAPS, 0},
    {"decommit of all, neighbours", mixed_neighbours, decommit_all, NULL, OP_TRAPS, 0},
    {"decommit of all outside", mixed_outside, decommit_all, NULL, OP_TRAPS, 0},
    {"release", full_region, release, NULL, OP_TRAPS, 0},
    {"release of a mix", mixed_region, release, NULL, OP_TRAPS, 0},
    {"release of a mix, neighbours", mixed_neighbours, release, NULL, OP_TRAPS, 0},
    {"release of nothing", empty_region, release, NULL, OP_TRAPS, 0},
    {"release outside", mixed_outside, release, NULL, OP_TRAPS, 0},
};

/* Where memory is given with the commit its refusal comes last, and is to be undone. */
static const struct operation commits[] = {
    {"reserve and commit blocks", find_window, reserve_commit_many, NULL, 0, TAKEN},
    {"commit", empty_region, commit_all, NULL, 0, 0},
    {"commit over a mix", mixed_region, commit_all, NULL, 0, 0},
    {"commit over a mix outside", mixed_outside, commit_read_only, NULL, 0, 0},
};

static const char *const rungs[] = {"trap=auto", "trap=protect", NULL};
static const char *const policies[] = {"commit=populate", "commit=populate,trap=protect", NULL};

int main(int count, char **arguments) {
    static const struct group groups[] = {
        {operations, sizeof operations / sizeof operations[0], rungs},
        {commits, sizeof commits / sizeof commits[0], policies},
    };
    return product_main(count, arguments, groups, sizeof groups / sizeof groups[0]);
}
