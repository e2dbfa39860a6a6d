/* SPDX-License-Identifier: MIT */
/*
 * buffer_pool: blocks of a file in memory, no more than a quota allows, as databases keep them.
 *
 * One region has room for the whole file, so block N is always at the same place: to find it is
 * arithmetic, without a hash table. In memory is what is committed. When the quota refuses a commit
 * another block is written back and decommitted, and who kept a pointer to that one traps, instead
 * of reading another block's bytes.
 */
#include "support/must.h"

#include <moat/moat.h>

#include <inttypes.h>
#include <string.h>

#define BLOCK (4 * MOAT_PAGE_SIZE)
enum { BLOCKS = 512, IN_MEMORY = 64, UPDATES = 20000 };

struct block {
    unsigned pins;
    bool in_memory;
    bool dirty;
    bool recent; /* was asked for since the hand of the clock came by */
};

static struct moat_manager *manager;
static char *region;
static struct block blocks[BLOCKS];
static FILE *file;
static unsigned hand, evictions;

static void *at(unsigned number) {
    return region + number * BLOCK;
}

static void move(unsigned number, bool out) {
    must(fseek(file, (long)(number * BLOCK), SEEK_SET) == 0, "seek");
    size_t count = out ? fwrite(at(number), BLOCK, 1, file) : fread(at(number), BLOCK, 1, file);
    must(count == 1, out ? "write a block" : "read a block");
}

/* Second chance: who was asked for since the last round stays for another one. */
static void evict(void) {
    for (unsigned tries = 0; tries < 2 * BLOCKS + 1; tries++) {
        unsigned number = hand++ % BLOCKS;
        struct block *block = &blocks[number];
        if (!block->in_memory || block->pins > 0)
            continue;
        if (block->recent) {
            block->recent = false;
            continue;
        }
        if (block->dirty)
            move(number, true);
        must(moat_decommit(manager, at(number), BLOCK) == MOAT_OK, "decommit");
        block->in_memory = block->dirty = false;
        evictions++;
        return;
    }
    must(false, "every block is pinned");
}

/* Its content, which stays where it is until it is unpinned. */
static void *pin(unsigned number) {
    struct block *block = &blocks[number];
    if (!block->in_memory) {
        enum moat_status status;
        while ((status = moat_commit(manager, at(number), BLOCK, MOAT_PAGE_READWRITE, NULL)) ==
               MOAT_COMMIT_LIMIT)
            evict();
        must(status == MOAT_OK, "commit");
        move(number, false);
        block->in_memory = true;
    }
    block->recent = true;
    block->pins++;
    return at(number);
}

static void unpin(unsigned number, bool dirty) {
    blocks[number].pins--;
    blocks[number].dirty |= dirty;
}

static void create(void) {
    struct moat_options options;
    static const char zero[BLOCK];
    void *base;

    moat_options_init(&options);
    options.quota_bytes = IN_MEMORY * BLOCK;
    must(moat_manager_create(&options, &manager) == MOAT_OK, "create");
    must(moat_reserve(manager, NULL, BLOCKS * BLOCK, MOAT_PAGE_READWRITE, 0, &base) == MOAT_OK,
         "reserve");
    region = base;
    file = tmpfile();
    must(file != NULL, "a temporary file");
    for (unsigned number = 0; number < BLOCKS; number++)
        must(fwrite(zero, BLOCK, 1, file) == 1, "fill the file");
}

int main(void) {
    static uint64_t expected[BLOCKS];
    uint64_t state = 1;
    struct moat_stats stats;
    struct moat_page_info info;

    create();
    for (unsigned i = 0; i < UPDATES; i++) {
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
        unsigned number = (unsigned)(state >> 33) % BLOCKS;
        uint64_t *counter = pin(number);
        counter[i % 8] += i; /* a transaction */
        expected[number] += i;
        unpin(number, true);
    }
    must(moat_stats_read(manager, &stats) == MOAT_OK, "stats");
    must(stats.bytes_committed == IN_MEMORY * BLOCK, "the pool is as large as the quota");
    must(stats.quota_refusals > 0 && evictions == stats.decommits, "the quota made room");
    for (unsigned number = 0; number < BLOCKS; number++) {
        const uint64_t *counter = pin(number);
        uint64_t sum = 0;
        for (unsigned i = 0; i < 8; i++)
            sum += counter[i];
        must(sum == expected[number], "a block has what was written to it");
        unpin(number, false);
    }
    must(moat_query(at(0), &info) == MOAT_OK && info.state == MOAT_STATE_RESERVED,
         "what was evicted traps");
    printf("%u updates of %u blocks in room for %u: %u evictions\n", UPDATES, BLOCKS, IN_MEMORY,
           evictions);
    fclose(file);
    must(moat_release(manager, region) == MOAT_OK, "release");
    moat_manager_destroy(manager);
    return 0;
}
