/* SPDX-License-Identifier: MIT */
/*
 * vm_watch_model: random calls and writes beside a plain model of three facts a page: committed,
 * protection, written.
 *
 * Could fail wherever one call changes a record that belongs to another: at the edges of blocks,
 * between runs, under markers.
 */
#define _GNU_SOURCE
#include "support/regions.h"
#include "support/touch.h"
#include "support/watched.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAGES_MAX = 3 * 512 + 77, STEPS = 6000 };

static const uint32_t protections[] = {
    MOAT_PAGE_READWRITE, MOAT_PAGE_NOACCESS,          MOAT_PAGE_READONLY,
    MOAT_PAGE_READWRITE, MOAT_PAGE_EXECUTE_READWRITE, MOAT_PAGE_READWRITE | MOAT_PAGE_WRITECOMBINE,
};

struct page {
    bool committed;
    bool written;
    uint32_t protection;
};

static struct {
    struct moat_manager *manager;
    unsigned char *base;
    size_t count;
    struct page pages[PAGES_MAX];
    bool kernel_writes; /* system calls may write to clean pages */
    uint64_t seed;
} world;

static uint32_t below(uint32_t bound) {
    return next_random(&world.seed) % bound;
}

/* Mostly short ranges, sometimes all. */
static void any_range(size_t *first, size_t *count) {
    *first = below((uint32_t)world.count);
    size_t most = world.count - *first;
    *count = 1 + below((uint32_t)(below(4) ? most < 9 ? most : 9 : most));
    if (below(40) == 0) {
        *first = 0;
        *count = world.count;
    }
}

static void *at(size_t page) {
    return world.base + page * PAGE;
}

static bool has_access(size_t page, bool write) {
    const struct page *it = &world.pages[page];
    uint32_t writable = MOAT_PAGE_READWRITE | MOAT_PAGE_EXECUTE_READWRITE;
    return it->committed && it->protection != MOAT_PAGE_NOACCESS &&
           (!write || it->protection & writable);
}

static void write_somewhere(void) {
    size_t page = below((uint32_t)world.count);
    unsigned char *byte = (unsigned char *)at(page) + below(PAGE);

    if (!has_access(page, true))
        return;
    if (world.kernel_writes && below(4) == 0)
        cr_assert(touch_writes(byte));
    else
        *(volatile unsigned char *)byte = (unsigned char)below(256);
    world.pages[page].written = true;
}

static void read_somewhere(void) {
    size_t page = below((uint32_t)world.count);
    if (has_access(page, false))
        (void)*(volatile unsigned char *)at(page);
}

static void commit_some(void) {
    uint32_t protection = protections[below(sizeof(protections) / sizeof(protections[0]))];
    size_t first, count;

    any_range(&first, &count);
    cr_assert_eq(moat_commit(world.manager, at(first), count * PAGE, protection, NULL), MOAT_OK);
    for (size_t i = first; i < first + count; i++)
        world.pages[i] =
            (struct page){true, world.pages[i].committed && world.pages[i].written, protection};
}

static void protect_some(void) {
    uint32_t protection = protections[below(sizeof(protections) / sizeof(protections[0]))];
    size_t first, count;
    bool all = true;
    uint32_t old;

    any_range(&first, &count);
    for (size_t i = first; i < first + count; i++)
        all = all && world.pages[i].committed;
    enum moat_status status =
        moat_protect(world.manager, at(first), count * PAGE, protection, &old);
    cr_assert_eq(status, all ? MOAT_OK : MOAT_INVALID_ADDRESS);
    for (size_t i = first; all && i < first + count; i++)
        world.pages[i].protection = protection;
}

static void decommit_some(void) {
    size_t first, count;
    any_range(&first, &count);
    cr_assert_eq(moat_decommit(world.manager, at(first), count * PAGE), MOAT_OK);
    memset(&world.pages[first], 0, count * sizeof(world.pages[0]));
}

static void reset_some(void) {
    size_t first, count;
    any_range(&first, &count);
    /* Not by whole pages: a part of a page stands for the page. */
    size_t inset = below(2) ? below(PAGE) : 0;
    size_t size = count * PAGE - inset - (below(2) && count > 1 ? below(PAGE) : 0);
    cr_assert_eq(moat_watch_reset(world.manager, (unsigned char *)at(first) + inset, size),
                 MOAT_OK);
    for (size_t i = first; i < first + count; i++)
        world.pages[i].written = false;
}

static void get_some(void) {
    static void *pages[PAGES_MAX];
    size_t first, count, expected = 0;
    uint32_t flags = below(2) ? MOAT_WATCH_RESET : 0;

    any_range(&first, &count);
    size_t room = below(3) ? PAGES_MAX : 1 + below(20);
    size_t found = room;
    cr_assert_eq(moat_watch_get(world.manager, flags, at(first), count * PAGE, pages, &found),
                 MOAT_OK);
    for (size_t i = first; i < first + count && expected < room; i++) {
        if (!world.pages[i].written)
            continue;
        cr_assert(expected < found && pages[expected] == at(i), "page %zu is missing", i);
        expected++;
        if (flags)
            world.pages[i].written = false;
    }
    cr_assert_eq(found, expected, "%zu of %zu", found, expected);
}

static void renew(void) {
    bool commit = below(2);
    if (world.base)
        cr_assert_eq(moat_release(world.manager, world.base), MOAT_OK);
    void *where = NULL;
    if (below(2)) { /* in an arena */
        where = reserved(world.manager, PAGES_MAX * PAGE, false);
        cr_assert_eq(moat_release(world.manager, where), MOAT_OK);
    }
    world.count = 1 + below(below(2) ? 40 : PAGES_MAX);
    world.base = watched_at(world.manager, where, world.count * PAGE, commit);
    for (size_t i = 0; i < world.count; i++)
        world.pages[i] = (struct page){commit, false, MOAT_PAGE_READWRITE};
}

static void step(void) {
    uint32_t dice = below(400);

    if (dice == 0)
        renew();
    else if (dice < 30)
        commit_some();
    else if (dice < 50)
        protect_some();
    else if (dice < 60)
        decommit_some();
    else if (dice < 80)
        reset_some();
    else if (dice < 130)
        get_some();
    else if (dice < 180)
        read_somewhere();
    else
        write_somewhere();
}

static void run(const char *options, uint64_t seed) {
    memset(&world, 0, sizeof(world));
    world.manager = watching(options);
    world.kernel_writes = !strstr(options, "fault");
    world.seed = seed;
    renew();
    for (unsigned i = 0; i < STEPS; i++)
        step();
    moat_manager_destroy(world.manager);
}

Test(vm_watch_model, random_calls_leave_the_records_of_a_plain_model) {
    for (unsigned i = 0; i < WATCHES; i++)
        for (uint64_t seed = 1; seed <= 24; seed++)
            run(watches[i], seed);
}
