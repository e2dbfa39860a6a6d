/* SPDX-License-Identifier: MIT */
/*
 * world: random calls, each followed by what must be true of the pages it was about.
 *
 * Every region is of one of two kinds: in an arena, or with a mapping of its own. All that was
 * given back is asked about at once, page by page.
 */
#define _GNU_SOURCE
#include "world.h"

#include "oracle.h"

#include <moat/heap.h>

#include <string.h>

enum { SLOTS = 64, BLOCKS = 64, PAGES_MAX = 48, EVERYTHING_EVERY = 500, WARM_UP = 1000 };

struct slot {
    unsigned char *base; /* NULL: none */
    size_t pages;
};

struct world {
    struct moat_manager *manager;
    struct moat_heap *heap;
    const struct limit *limit;
    struct tally *tally;
    uint64_t seed;
    struct slot slots[SLOTS];
    void *blocks[BLOCKS];
};

uint32_t next_random(uint64_t *seed) {
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 32);
}

static unsigned below(struct world *world, unsigned bound) {
    return next_random(&world->seed) % bound;
}

unsigned long number_in(const char *path) {
    unsigned long number = 0;
    FILE *file = fopen(path, "re");
    if (file) {
        if (fscanf(file, "%lu", &number) != 1)
            number = 0;
        fclose(file);
    }
    return number;
}

struct moat_manager *manager_with(const char *text) {
    struct moat_options options;
    struct moat_manager *manager;

    moat_options_init(&options);
    CHECK(moat_options_parse(&options, text, NULL, 0) == MOAT_OK, "%s", text);
    enum moat_status status = moat_manager_create(&options, &manager);
    CHECK(status == MOAT_OK || status == MOAT_NOT_SUPPORTED, "%s", text);
    return status ? NULL : manager;
}

/* A refusal names the limit that was met, and how much of it was used. */
static void check_refusal(struct world *world, enum moat_status status) {
    char expected[64];
    const char *text = moat_last_error_text();

    CHECK(status == MOAT_MAP_LIMIT || status == MOAT_NO_MEMORY || status == MOAT_COMMIT_LIMIT,
          "status %d", status);
    snprintf(expected, sizeof expected, "%s: ", moat_limit_name(world->limit->kind));
    const char *named = strstr(text, expected);
    unsigned long long used, max;
    CHECK(named && sscanf(named + strlen(expected), "%llu of at most %llu", &used, &max) == 2,
          "no %s in the text", expected);
    world->tally->refused++;
}

static void check_trap(const unsigned char *start, size_t pages) {
    uintptr_t page = 0;
    CHECK(oracle_all_trap((uintptr_t)start, pages, &page), "%#lx was given back",
          (unsigned long)page);
}

static void check_slot(const struct slot *slot) {
    CHECK(oracle_books_hold((uintptr_t)slot->base, slot->pages), "books");
}

static void reserve(struct world *world, struct slot *slot) {
    bool alone = below(world, 3) == 0;
    uint32_t flags =
        (alone ? MOAT_RESERVE_TOP_DOWN : 0) | (below(world, 2) ? MOAT_RESERVE_COMMIT : 0);
    size_t pages = 1 + below(world, PAGES_MAX);
    void *base;
    enum moat_status status =
        moat_reserve(world->manager, NULL, pages * PAGE, MOAT_PAGE_READWRITE, flags, &base);

    if (status) {
        check_refusal(world, status);
        return;
    }
    *slot = (struct slot){base, pages};
    if (flags & MOAT_RESERVE_COMMIT)
        memset(base, 'r', pages * PAGE);
}

static void commit(struct world *world, const struct slot *slot, size_t first, size_t count) {
    static const uint32_t protections[] = {MOAT_PAGE_READWRITE, MOAT_PAGE_READWRITE,
                                           MOAT_PAGE_READONLY, MOAT_PAGE_EXECUTE_READ,
                                           MOAT_PAGE_NOACCESS};
    uint32_t protection = protections[below(world, 5)];
    unsigned char *start = slot->base + first * PAGE;
    enum moat_status status = moat_commit(world->manager, start, count * PAGE, protection, NULL);

    if (status)
        check_refusal(world, status);
    else if (protection == MOAT_PAGE_READWRITE)
        memset(start, 'c', count * PAGE);
}

static void decommit(struct world *world, const struct slot *slot, size_t first, size_t count) {
    unsigned char *start = slot->base + first * PAGE;
    enum moat_status status = moat_decommit(world->manager, start, count * PAGE);

    if (!status) {
        check_trap(start, count);
        return;
    }
    check_refusal(world, status);
    world->tally->kept++;
}

static void release(struct world *world, struct slot *slot) {
    enum moat_status status = moat_release(world->manager, slot->base);

    if (status) {
        check_refusal(world, status);
        world->tally->kept++;
        return;
    }
    check_trap(slot->base, slot->pages);
    slot->base = NULL;
}

static void use_heap(struct world *world) {
    void **block = &world->blocks[below(world, BLOCKS)];
    size_t size = 1 + below(world, 3 * PAGE);

    if (*block) {
        CHECK(moat_heap_free(world->heap, *block) == MOAT_OK, "a block");
        *block = NULL;
        return;
    }
    enum moat_status status = moat_heap_alloc(world->heap, size, block);
    if (status)
        check_refusal(world, status);
    else
        memset(*block, 'h', size);
}

/* More than an arena holds: there is room for it, or the limit is named. */
static void reserve_much(struct world *world) {
    void *base;
    enum moat_status status =
        moat_reserve(world->manager, NULL, (size_t)1 << 30, MOAT_PAGE_READWRITE, 0, &base);

    if (status)
        check_refusal(world, status);
    else
        CHECK(moat_release(world->manager, base) == MOAT_OK, "what was never used");
}

static void act(struct world *world) {
    if (below(world, 50) == 0)
        reserve_much(world);
    struct slot *slot = &world->slots[below(world, SLOTS)];

    if (world->heap && below(world, 6) == 0) {
        use_heap(world);
        return;
    }
    if (!slot->base) {
        reserve(world, slot);
    } else {
        size_t first = below(world, (unsigned)slot->pages);
        size_t count = 1 + below(world, (unsigned)(slot->pages - first));
        switch (below(world, 5)) {
        case 0:
        case 1:
            commit(world, slot, first, count);
            break;
        case 2:
        case 3:
            decommit(world, slot, first, count);
            break;
        default:
            release(world, slot);
        }
    }
    if (slot->base)
        check_slot(slot);
    world->tally->done++;
}

/* What was refused is tried again when others have been given back. */
static void give_back(struct world *world) {
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < SLOTS; i++)
            if (world->slots[i].base)
                release(world, &world->slots[i]);
    for (unsigned i = 0; i < BLOCKS; i++)
        if (world->blocks[i])
            CHECK(moat_heap_free(world->heap, world->blocks[i]) == MOAT_OK, "a block");
}

/* Before the limit is reached: what a host has when it gets there. Nothing is refused. */
static void warm_up(struct world *world) {
    for (unsigned i = 0; i < WARM_UP; i++)
        act(world);
    CHECK(world->tally->refused == 0, "%u refusals before there is a limit", world->tally->refused);
}

bool cycles(struct moat_manager *manager, const struct limit *limit, unsigned count, uint64_t seed,
            struct tally *tally) {
    struct world world = {.manager = manager, .limit = limit, .tally = tally, .seed = seed};
    struct moat_stats stats;

    *tally = (struct tally){0};
    enum moat_status status = moat_heap_create(manager, 0, &world.heap);
    if (status)
        check_refusal(&world, status);
    if (!limit->before_start) {
        warm_up(&world);
        if (!limit->reach())
            return false;
    }
    for (unsigned i = 0; i < count; i++) {
        if (limit->press)
            limit->press();
        act(&world);
        if (i % EVERYTHING_EVERY == 0)
            for (unsigned slot = 0; slot < SLOTS; slot++)
                if (world.slots[slot].base)
                    check_slot(&world.slots[slot]);
    }
    give_back(&world);
    moat_heap_destroy(world.heap);
    CHECK(moat_stats_read(manager, &stats) == MOAT_OK, "stats");
    CHECK(stats.regions_live == 0 && stats.bytes_committed == 0 && stats.bytes_reserved == 0,
          "%llu regions, %llu bytes are left", (unsigned long long)stats.regions_live,
          (unsigned long long)stats.bytes_committed);
    CHECK(stats.stranded_bytes == 0, "%llu bytes are stranded",
          (unsigned long long)stats.stranded_bytes);
    return true;
}
