/* SPDX-License-Identifier: MIT */
/*
 * placeholder_race: threads that split, join, replace, give back and commit the same pages at
 * random, while others query them. No page is ever a hole, no page is in two regions for longer
 * than a call lasts, and what each call is told fits with what the others were told: nothing is
 * lost, and nothing is counted twice.
 */
#include "support/core.h"

#include <moat/placeholder.h>

#include <stdatomic.h>
#include <stdbool.h>

enum { MUTATORS = 3, WATCHERS = 2, THREADS = MUTATORS + WATCHERS, PAGES = 600, SPAN_MAX = 12 };

static unsigned rounds;
static struct moat_manager *manager;
static unsigned char *base;
static atomic_uint working;
static atomic_ulong done[5]; /* calls that succeeded, by kind */

static void *page_at(size_t page) {
    return base + page * PAGE;
}

/* The region of a page as queries see it, which may be another one by now: what a caller would name
 * to hit it whole. A page that is free is one alone. */
static void region_of(size_t page, size_t *first, size_t *count) {
    struct moat_page_info info;
    CHECK(moat_query(page_at(page), &info) == MOAT_OK, "query failed");
    *first = page;
    *count = 1;
    if (info.owner != manager)
        return;
    unsigned char *start = info.allocation_base;
    *first = (size_t)(start - base) / PAGE;
    *count = 0;
    while (*first + *count < PAGES) {
        CHECK(moat_query(page_at(*first + *count), &info) == MOAT_OK, "query failed");
        if (info.allocation_base != start)
            break;
        *count += info.size / PAGE;
    }
    if (*count == 0)
        *count = 1;
}

static void replace(uint64_t *state, size_t first, size_t count) {
    void *at;
    enum moat_status status =
        moat_placeholder_replace(manager, page_at(first), count * PAGE, MOAT_PAGE_READWRITE,
                                 core_below(state, 2) ? MOAT_RESERVE_COMMIT : 0, &at);
    CHECK(status == MOAT_OK || status == MOAT_INVALID_ADDRESS, "%s", moat_last_error_text());
    if (!status)
        atomic_fetch_add(&done[2], 1);
}

static void mutate(uint64_t *state, bool release) {
    size_t first = core_below(state, PAGES), count, more;
    enum moat_status status;

    region_of(first, &first, &count);
    switch (core_below(state, 6)) {
    case 0:
        if (count > 1 && core_below(state, 2)) {
            first += core_below(state, (unsigned)count);
            count = 1 + core_below(state, SPAN_MAX);
        }
        status = moat_placeholder_preserve(manager, page_at(first), count * PAGE);
        atomic_fetch_add(&done[0], !status);
        break;
    case 1:
        for (unsigned parts = core_below(state, 4); parts > 0 && first + count < PAGES; parts--) {
            size_t next;
            region_of(first + count, &next, &more);
            count += more;
        }
        status = moat_placeholder_coalesce(manager, page_at(first), count * PAGE);
        atomic_fetch_add(&done[1], !status);
        break;
    case 2:
        replace(state, first, count);
        return;
    case 3:
        status = moat_commit(manager, page_at(first), PAGE, MOAT_PAGE_READWRITE, NULL);
        atomic_fetch_add(&done[3], !status);
        break;
    case 4:
        status = moat_decommit(manager, page_at(first), PAGE);
        break;
    default:
        if (!release || core_below(state, 8))
            return;
        status = moat_release(manager, page_at(first));
        atomic_fetch_add(&done[4], !status);
    }
    CHECK(status == MOAT_OK || status == MOAT_INVALID_ADDRESS || status == MOAT_NOT_OURS ||
              status == MOAT_LEAVES_REGION,
          "%d: %s", status, moat_last_error_text());
}

static void watch(uint64_t *state) {
    while (atomic_load(&working) > 0) {
        size_t page = core_below(state, PAGES);
        struct moat_page_info info;
        CHECK(moat_query(page_at(page), &info) == MOAT_OK, "query failed");
        CHECK(info.owner == manager && info.state != MOAT_STATE_FREE,
              "page %zu: state %d, owner %p", page, info.state, (const void *)info.owner);
        unsigned char *start = info.allocation_base;
        CHECK(start >= base && start <= (unsigned char *)page_at(page), "page %zu: base %p", page,
              info.allocation_base);
        CHECK(info.size > 0 && (unsigned char *)page_at(page) + info.size <= base + PAGES * PAGE,
              "page %zu: %zu bytes", page, info.size);
        CHECK(info.allocation_protection == MOAT_PAGE_NOACCESS ||
                  info.allocation_protection == MOAT_PAGE_READWRITE,
              "page %zu", page);
        CHECK(info.allocation_protection != MOAT_PAGE_NOACCESS || info.state == MOAT_STATE_RESERVED,
              "page %zu of a placeholder is committed", page);
    }
}

static void play(unsigned number) {
    uint64_t state = number + 1;

    if (number >= MUTATORS) {
        watch(&state);
        return;
    }
    for (unsigned round = 0; round < rounds; round++)
        mutate(&state, false);
    atomic_fetch_sub(&working, 1);
}

static void play_and_release(unsigned number) {
    uint64_t state = number + 1;
    for (unsigned round = 0; round < rounds; round++)
        mutate(&state, true);
}

static void reserve(void) {
    void *start;
    CHECK(!moat_placeholder_reserve(manager, NULL, PAGES * PAGE, 0, NULL, &start), "%s",
          moat_last_error_text());
    base = start;
}

/* Release whatever stands where; then nothing may be left by any count. */
static void release_all(void) {
    struct moat_stats stats;
    for (size_t page = 0; page < PAGES; page++) {
        enum moat_status status = moat_release(manager, page_at(page));
        CHECK(status == MOAT_OK || status == MOAT_NOT_OURS, "%s", moat_last_error_text());
    }
    CHECK(!moat_stats_read(manager, &stats), "stats");
    CHECK(stats.regions_live == 0 && stats.bytes_reserved == 0 && stats.bytes_committed == 0 &&
              stats.stranded_bytes == 0,
          "%llu regions, %llu bytes, %llu committed, %llu stranded",
          (unsigned long long)stats.regions_live, (unsigned long long)stats.bytes_reserved,
          (unsigned long long)stats.bytes_committed, (unsigned long long)stats.stranded_bytes);
}

/* --- All threads want the same, or what goes with it, of four parts --- */

enum { RIVALS = 4, PART = 4 };

static atomic_uint winners;

static enum moat_status split_second(void) {
    return moat_placeholder_preserve(manager, page_at(PART), PART * PAGE);
}

static enum moat_status join(size_t parts) {
    return moat_placeholder_coalesce(manager, base, parts * PART * PAGE);
}

static enum moat_status replace_first(void) {
    void *at;
    return moat_placeholder_replace(manager, base, PART * PAGE, MOAT_PAGE_READWRITE,
                                    MOAT_RESERVE_COMMIT, &at);
}

/* Of those who do the same exactly one succeeds. */
static void one_wins(unsigned number, enum moat_status status) {
    CHECK(status == MOAT_OK || status == MOAT_INVALID_ADDRESS || status == MOAT_NOT_OURS, "%s",
          moat_last_error_text());
    atomic_fetch_add(&winners, status == MOAT_OK);
    core_meet();
    CHECK(atomic_load(&winners) == 1, "%u winners", atomic_load(&winners));
    core_meet();
    if (number == 0)
        atomic_store(&winners, 0);
    core_meet();
}

static void race_same(unsigned number) {
    for (unsigned round = 0; round < rounds; round++) {
        core_meet();
        one_wins(number, split_second());
        one_wins(number, replace_first());
        one_wins(number, moat_placeholder_preserve(manager, base, PART * PAGE));
        one_wins(number, join(2));
        one_wins(number, moat_placeholder_coalesce(manager, base, PAGES * PAGE));
    }
}

/* What can be done before and after another call can be done during it. */
static void race_compatible(unsigned number) {
    for (unsigned round = 0; round < rounds; round++) {
        if (number == 0)
            for (size_t part = 0; part < 3; part++)
                CHECK(!moat_placeholder_preserve(manager, page_at(part * PART), PART * PAGE), "%s",
                      moat_last_error_text());
        core_meet();
        if (number == 0)
            CHECK(!moat_placeholder_coalesce(manager, base, PAGES * PAGE), "%s",
                  moat_last_error_text());
        else
            (void)join(1 + number);
        core_meet();
    }
}

static void split_after(size_t parts) {
    enum moat_status status =
        moat_placeholder_preserve(manager, page_at(parts * PART), PART * PAGE);
    CHECK(status == MOAT_OK || status == MOAT_INVALID_ADDRESS || status == MOAT_NOT_OURS, "%s",
          moat_last_error_text());
}

/* There is a region with that base at any time, cut or not: whoever releases it first gets it. */
static void race_release(unsigned number) {
    for (unsigned round = 0; round < rounds / 2; round++) {
        if (number == 0)
            reserve();
        core_meet();
        if (number == 0)
            CHECK(!moat_release(manager, base), "%s", moat_last_error_text());
        else
            split_after(number);
        core_meet();
        if (number == 0)
            release_all();
        core_meet();
    }
}

int main(int argc, char **argv) {
    rounds = core_scale(argc, argv, 4000);
    for (unsigned mechanism = 0; mechanism < 2; mechanism++) {
        manager = core_manager(mechanism);
        reserve();
        atomic_store(&working, MUTATORS);
        core_run(THREADS, play);
        core_run(MUTATORS, play_and_release);
        release_all();
        for (size_t kind = 0; kind < sizeof(done) / sizeof(done[0]); kind++)
            CHECK(atomic_load(&done[kind]) > 0, "nothing of kind %zu ever succeeded", kind);
        reserve();
        core_run(RIVALS, race_same);
        core_run(RIVALS, race_compatible);
        release_all();
        core_run(RIVALS, race_release);
        moat_manager_destroy(manager);
    }
    return 0;
}
