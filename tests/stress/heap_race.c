/* SPDX-License-Identifier: MIT */
/*
 * heap_race: threads that allocate, free each other's blocks, free twice, free what never was, and
 * look, all at once.
 *
 * Every block is filled with its owner's number and looked at before it is freed, so a block that
 * two threads were given is noticed; racing frees of one block have one winner; and at the end
 * nothing is live and nothing is lost.
 */
#include "support/core.h"

#include <moat/heap.h>

#include <stdatomic.h>
#include <string.h>

enum { THREADS = 4, SHELF = 512, RACED = 64 };

static unsigned rounds;
static struct moat_manager *manager;
static struct moat_heap *heap;

/* Blocks that anybody may take away and free. The first word of each holds its size. */
static void *_Atomic shelf[SHELF];

static void *allocate(size_t size) {
    void *block;
    CHECK(moat_heap_alloc(heap, size, &block) == MOAT_OK, "%s", moat_last_error_text());
    return block;
}

static void release(void *block) {
    CHECK(moat_heap_free(heap, block) == MOAT_OK, "%p: %s", block, moat_last_error_text());
}

static size_t random_size(uint64_t *state) {
    unsigned drawn = core_below(state, 100);
    if (drawn < 70)
        return 8 + core_below(state, 200);
    if (drawn < 97)
        return 8 + core_below(state, 32760);
    return 32768 + core_below(state, 100000);
}

static void look_and_free(unsigned char *block) {
    size_t size;
    memcpy(&size, block, sizeof size);
    for (size_t i = sizeof size; i < size; i++)
        CHECK(block[i] == (unsigned char)size, "%p: byte %zu of %zu", (void *)block, i, size);
    release(block);
}

/* Put a block on the shelf and free what was in its place, whoever's it was. */
static void swap(unsigned number) {
    uint64_t state = number;
    for (unsigned round = 0; round < rounds * 400; round++) {
        size_t size = random_size(&state);
        unsigned char *block = allocate(size);
        memset(block, (int)size, size);
        memcpy(block, &size, sizeof size);
        unsigned char *old = atomic_exchange(&shelf[core_below(&state, SHELF)], block);
        if (old)
            look_and_free(old);
    }
}

/* The same where memory is short: allocations fail, and empty spans are taken from under others. */
static void swap_at_the_quota(unsigned number) {
    uint64_t state = number;
    unsigned failures = 0;
    for (unsigned round = 0; round < rounds * 400; round++) {
        size_t size = random_size(&state);
        void *fresh;
        enum moat_status status = moat_heap_alloc(heap, size, &fresh);
        CHECK(status == MOAT_OK || status == MOAT_COMMIT_LIMIT, "%s", moat_last_error_text());
        failures += status != MOAT_OK;
        if (fresh) {
            memset(fresh, (int)size, size);
            memcpy(fresh, &size, sizeof size);
        }
        unsigned char *old = atomic_exchange(&shelf[core_below(&state, SHELF)], fresh);
        if (old)
            look_and_free(old);
    }
    CHECK(failures > 0, "memory was not short");
}

static void empty_shelf(void) {
    for (unsigned i = 0; i < SHELF; i++) {
        unsigned char *old = atomic_exchange(&shelf[i], NULL);
        if (old)
            look_and_free(old);
    }
}

static void *raced[RACED];
static atomic_uint winners;

/* All threads free the same blocks. Nobody allocates meanwhile, so that no address comes back. */
static void race(unsigned number) {
    static const size_t sizes[] = {16, 100, 4096, 32768, 100000};
    for (unsigned round = 0; round < rounds * 10; round++) {
        if (number == 0) {
            for (unsigned i = 0; i < RACED; i++)
                raced[i] = allocate(sizes[(round + i) % 5]);
            atomic_store(&winners, 0);
        }
        core_meet();
        for (unsigned i = 0; i < RACED; i++) {
            unsigned which = (i + number * 16) % RACED;
            enum moat_status status = moat_heap_free(heap, raced[which]);
            CHECK(status == MOAT_OK || status == MOAT_NOT_OURS, "%s", moat_last_error_text());
            if (status == MOAT_OK)
                atomic_fetch_add(&winners, 1);
            CHECK(moat_heap_free(heap, (char *)raced[which] + 1) == MOAT_NOT_OURS, "misaligned");
        }
        core_meet();
        CHECK(atomic_load(&winners) == RACED, "%u winners", atomic_load(&winners));
        core_meet();
    }
}

/* Frees of wrong addresses beside allocations: none may succeed, and nobody's block may go. */
static void disturb(unsigned number) {
    uint64_t state = number;
    if (number % 2 == 0) {
        swap(number);
        return;
    }
    unsigned char *own = allocate(1000);
    memset(own, 0x77, 1000);
    for (unsigned round = 0; round < rounds * 400; round++) {
        size_t offset = 1 + core_below(&state, 999);
        CHECK(moat_heap_free(heap, own + offset) == MOAT_NOT_OURS, "inside, at %zu", offset);
        CHECK(moat_heap_free(heap, &state) == MOAT_NOT_OURS, "a stack");
        if (round % 64 == 0) {
            struct moat_heap_stats stats;
            CHECK(moat_heap_stats_read(heap, &stats) == MOAT_OK, "stats");
        }
    }
    for (unsigned i = 0; i < 1000; i++)
        CHECK(own[i] == 0x77, "byte %u", i);
    release(own);
}

static void check_empty(void) {
    struct moat_heap_stats stats;
    struct moat_stats of_manager;
    CHECK(moat_heap_stats_read(heap, &stats) == MOAT_OK, "stats");
    CHECK(moat_stats_read(manager, &of_manager) == MOAT_OK, "stats");
    CHECK(stats.blocks == 0, "%lu blocks are live", (unsigned long)stats.blocks);
    CHECK(stats.region_bytes == of_manager.bytes_committed, "%lu bytes of %lu",
          (unsigned long)stats.region_bytes, (unsigned long)of_manager.bytes_committed);
    CHECK(stats.regions == of_manager.regions_live, "%lu regions of %lu",
          (unsigned long)stats.regions, (unsigned long)of_manager.regions_live);
}

static struct moat_manager *manager_at_the_quota(void) {
    struct moat_manager *made = NULL;
    struct moat_options options;
    moat_options_init(&options);
    options.quota_bytes = 3 << 20;
    CHECK(moat_manager_create(&options, &made) == MOAT_OK, "%s", moat_last_error_text());
    return made;
}

static void begin(struct moat_manager *with) {
    manager = with;
    CHECK(moat_heap_create(manager, 0, &heap) == MOAT_OK, "%s", moat_last_error_text());
}

static void end(void) {
    struct moat_stats stats;
    moat_heap_destroy(heap);
    CHECK(moat_stats_read(manager, &stats) == MOAT_OK && stats.regions_live == 0, "left over");
    moat_manager_destroy(manager);
}

int main(int argc, char **argv) {
    rounds = core_scale(argc, argv, 25);
    for (unsigned mechanism = 0; mechanism < CORE_MECHANISMS; mechanism++) {
        begin(core_manager(mechanism));
        core_run(THREADS, swap);
        empty_shelf();
        check_empty();
        core_run(THREADS, race);
        check_empty();
        core_run(THREADS, disturb);
        empty_shelf();
        check_empty();
        end();
    }
    begin(manager_at_the_quota());
    core_run(THREADS, swap_at_the_quota);
    empty_shelf();
    check_empty();
    end();
    return 0;
}
