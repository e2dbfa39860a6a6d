/* SPDX-License-Identifier: MIT */
/*
 * core_mix: threads commit, protect, decommit, query and release pages of shared regions in any
 * order. Each region is cut in lanes; a lane has a lock of its own, outside Moat, and a small model
 * of its pages. Whoever holds the lock finds its pages as the model says, whatever others do to the
 * lanes and regions beside it: many regions share a block of the arena, and lanes share stripes.
 *
 * One thread more holds no lock: it queries, and frees what it must not, and is always refused.
 */
#define _GNU_SOURCE
#include "support/core.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { THREADS = 4, REGIONS = 48, LANES = 4, LANE_PAGES_MAX = 700, WORDS = PAGE / 8 };

struct lane {
    pthread_mutex_t lock;
    uint32_t protection[LANE_PAGES_MAX]; /* 0: not committed */
    uint64_t content[LANE_PAGES_MAX];    /* first and last word; 0: fresh */
};

struct region {
    pthread_rwlock_t life;
    struct moat_manager *owner;
    _Atomic uintptr_t base; /* 0: none; read by the intruder without a lock */
    size_t lane_pages;
    struct lane lanes[LANES];
};

static unsigned rounds;
static struct moat_manager *managers[CORE_MECHANISMS + 1];
static struct region regions[REGIONS];
static _Atomic uint64_t next_content = 1;
static atomic_uint busy;

static volatile uint64_t *words(uintptr_t page) {
    return (volatile uint64_t *)page;
}

static bool readable(uint32_t protection) {
    return protection == MOAT_PAGE_READWRITE || protection == MOAT_PAGE_READONLY;
}

static void check_page(uintptr_t page, uint64_t content) {
    CHECK(words(page)[0] == content && words(page)[WORDS - 1] == content,
          "page %#lx holds %#lx and %#lx, not %#lx", (unsigned long)page,
          (unsigned long)words(page)[0], (unsigned long)words(page)[WORDS - 1],
          (unsigned long)content);
    for (unsigned i = 1; content == 0 && i < WORDS; i += 61)
        CHECK(words(page)[i] == 0, "page %#lx is not fresh", (unsigned long)page);
}

static void check_lane(const struct region *region, unsigned number) {
    const struct lane *lane = &region->lanes[number];
    uintptr_t start = region->base + number * region->lane_pages * PAGE;

    for (size_t i = 0; i < region->lane_pages; i++) {
        struct moat_page_info info;
        uintptr_t page = start + i * PAGE;
        uint32_t should = lane->protection[i];
        CHECK(moat_query((void *)page, &info) == MOAT_OK, "query of %#lx", (unsigned long)page);
        core_check_info(&info, page);
        CHECK(info.allocation_base == (void *)region->base && info.owner == region->owner &&
                  info.protection == should,
              "%#lx of %#lx: query tells %p, protection %#x, not %#x", (unsigned long)page,
              (unsigned long)region->base, info.allocation_base, info.protection, should);
        /* The rest of the run is as true as its first page, as far as this lane goes. */
        for (size_t run = info.size / PAGE; run > 1 && i + 1 < region->lane_pages; run--)
            CHECK(lane->protection[++i] == should, "page %zu of a run of %#x is %#x", i, should,
                  lane->protection[i]);
    }
    for (size_t i = 0; i < region->lane_pages; i++)
        if (readable(lane->protection[i]))
            check_page(start + i * PAGE, lane->content[i]);
}

static void change_lane(struct region *region, unsigned number, uint64_t *state) {
    static const uint32_t protections[] = {MOAT_PAGE_READWRITE, MOAT_PAGE_READWRITE,
                                           MOAT_PAGE_READONLY, MOAT_PAGE_NOACCESS,
                                           MOAT_PAGE_READWRITE | MOAT_PAGE_GUARD};
    struct lane *lane = &region->lanes[number];
    uint32_t protection = protections[core_below(state, 5)];
    size_t from = core_below(state, (unsigned)region->lane_pages);
    size_t count = 1 + core_below(state, (unsigned)(region->lane_pages - from));
    uintptr_t start = region->base + (number * region->lane_pages + from) * PAGE;
    unsigned choice = core_below(state, 8);
    enum moat_status status;

    if (core_below(state, 8) == 0) {
        from = 0;
        count = region->lane_pages;
        start = region->base + number * region->lane_pages * PAGE;
    }
    if (choice < 3) {
        status = moat_commit(region->owner, (void *)start, count * PAGE, protection, NULL);
        CHECK(status == MOAT_OK, "%s", moat_last_error_text());
        for (size_t i = from; i < from + count; i++) {
            if (!lane->protection[i])
                lane->content[i] = 0;
            lane->protection[i] = protection;
        }
    } else if (choice < 5) {
        status = moat_decommit(region->owner, (void *)start, count * PAGE);
        CHECK(status == MOAT_OK, "%s", moat_last_error_text());
        for (size_t i = from; i < from + count; i++)
            lane->protection[i] = 0;
    } else if (choice < 6) {
        uint32_t old;
        bool committed = true;
        for (size_t i = from; i < from + count; i++)
            committed = committed && lane->protection[i];
        status = moat_protect(region->owner, (void *)start, count * PAGE, protection, &old);
        CHECK(status == (committed ? MOAT_OK : MOAT_INVALID_ADDRESS), "%s", moat_last_error_text());
        CHECK(!committed || old == lane->protection[from], "old %#x", old);
        for (size_t i = from; committed && i < from + count; i++)
            lane->protection[i] = protection;
    } else {
        for (size_t i = from; i < from + count; i++)
            if (lane->protection[i] == MOAT_PAGE_READWRITE) {
                uintptr_t page = start + (i - from) * PAGE;
                check_page(page, lane->content[i]);
                lane->content[i] = atomic_fetch_add(&next_content, 1);
                words(page)[0] = words(page)[WORDS - 1] = lane->content[i];
            }
    }
}

static void bear(struct region *region, uint64_t *state) {
    unsigned mechanism = core_below(state, CORE_MECHANISMS);
    /* Mostly a few granules, so that many share a block; some of several blocks. */
    size_t pages = 1 + core_below(state, core_below(state, 8) ? 12 : LANE_PAGES_MAX);
    bool commit = core_below(state, 2);
    void *base;

    region->owner = managers[mechanism];
    region->lane_pages = pages;
    CHECK(moat_reserve(region->owner, NULL, pages * LANES * PAGE, MOAT_PAGE_READWRITE,
                       commit ? MOAT_RESERVE_COMMIT : 0, &base) == MOAT_OK,
          "%s", moat_last_error_text());
    for (unsigned lane = 0; lane < LANES; lane++)
        for (size_t i = 0; i < pages; i++) {
            region->lanes[lane].protection[i] = commit ? MOAT_PAGE_READWRITE : 0;
            region->lanes[lane].content[i] = 0;
        }
    atomic_store(&region->base, (uintptr_t)base);
}

static void bury(struct region *region) {
    uintptr_t base = region->base;
    for (unsigned lane = 0; lane < LANES; lane++)
        check_lane(region, lane);
    atomic_store(&region->base, 0);
    CHECK(moat_release(region->owner, (void *)base) == MOAT_OK, "%s", moat_last_error_text());
    CHECK(moat_release(region->owner, (void *)(base + PAGE)) == MOAT_NOT_OURS, "base + a page");
}

static void work(unsigned number) {
    uint64_t state = number + 77;

    for (unsigned round = 0; round < rounds; round++) {
        struct region *region = &regions[core_below(&state, REGIONS)];
        if (core_below(&state, 16) == 0) {
            pthread_rwlock_wrlock(&region->life);
            if (region->base)
                bury(region);
            else
                bear(region, &state);
            pthread_rwlock_unlock(&region->life);
            continue;
        }
        pthread_rwlock_rdlock(&region->life);
        unsigned lane = core_below(&state, LANES);
        if (region->base) {
            pthread_mutex_lock(&region->lanes[lane].lock);
            change_lane(region, lane, &state);
            check_lane(region, lane);
            pthread_mutex_unlock(&region->lanes[lane].lock);
        }
        pthread_rwlock_unlock(&region->life);
    }
    atomic_fetch_sub(&busy, 1);
}

static void intrude(void) {
    struct moat_manager *stranger = managers[CORE_MECHANISMS];
    uint64_t state = 4711;

    while (atomic_load(&busy) > 0) {
        struct moat_page_info info;
        struct region *region = &regions[core_below(&state, REGIONS)];
        uintptr_t base = atomic_load(&region->base);
        void *got;
        if (!base)
            continue;
        uintptr_t at = base + (uintptr_t)core_below(&state, 64) * PAGE - 16 * PAGE;
        CHECK(moat_query((void *)at, &info) == MOAT_OK, "query of %#lx", (unsigned long)at);
        core_check_info(&info, at);
        CHECK(moat_release(stranger, (void *)base) == MOAT_NOT_OURS, "stolen");
        CHECK(moat_decommit(stranger, (void *)base, 0) == MOAT_NOT_OURS, "emptied");
        CHECK(moat_commit(stranger, (void *)base, PAGE, MOAT_PAGE_READWRITE, NULL) ==
                  MOAT_INVALID_ADDRESS,
              "taken");
        CHECK(moat_reserve(stranger, NULL, 3 * PAGE, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT,
                           &got) == MOAT_OK,
              "%s", moat_last_error_text());
        check_page((uintptr_t)got + PAGE, 0);
        words((uintptr_t)got)[0] = 1;
        CHECK(moat_release(stranger, got) == MOAT_OK, "%s", moat_last_error_text());
    }
}

static void body(unsigned number) {
    if (number < THREADS)
        work(number);
    else
        intrude();
}

int main(int argc, char **argv) {
    rounds = core_scale(argc, argv, 4000);
    for (unsigned i = 0; i <= CORE_MECHANISMS; i++)
        managers[i] = core_manager(i % CORE_MECHANISMS);
    for (unsigned i = 0; i < REGIONS; i++) {
        pthread_rwlock_init(&regions[i].life, NULL);
        for (unsigned lane = 0; lane < LANES; lane++)
            pthread_mutex_init(&regions[i].lanes[lane].lock, NULL);
    }
    atomic_store(&busy, THREADS);
    core_run(THREADS + 1, body);
    for (unsigned i = 0; i < REGIONS; i++)
        if (regions[i].base)
            bury(&regions[i]);
    for (unsigned i = 0; i <= CORE_MECHANISMS; i++) {
        struct moat_stats stats;
        CHECK(moat_stats_read(managers[i], &stats) == MOAT_OK, "no counters");
        CHECK(stats.regions_live == 0 && stats.bytes_committed == 0 && stats.bytes_reserved == 0 &&
                  stats.guard_failures == 0 && stats.poison_damage == 0,
              "left: %llu regions, %llu bytes committed", (unsigned long long)stats.regions_live,
              (unsigned long long)stats.bytes_committed);
        moat_manager_destroy(managers[i]);
    }
    return 0;
}
