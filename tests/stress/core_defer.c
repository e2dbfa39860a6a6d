/* SPDX-License-Identifier: MIT */
/*
 * core_defer: threads release while traps are put off, flush, name places that are in limbo, and
 * let memory be given back. What anybody gets reads as zero, and stays his own.
 */
#define _GNU_SOURCE
#include "support/core.h"

#include <moat/space.h>

#include <stdatomic.h>
#include <string.h>

enum { THREADS = 4, TURNS = 60, LIVE = 4 };

static unsigned rounds;
static struct moat_manager *managers[2];
static _Atomic uintptr_t places[THREADS];

static void fill(volatile unsigned char *pages, size_t size, unsigned char value) {
    for (size_t at = 0; at < size; at += PAGE / 4) {
        CHECK(pages[at] == 0, "%p is not fresh", (volatile void *)(pages + at));
        pages[at] = value;
    }
}

static void check(const volatile unsigned char *pages, size_t size, unsigned char value) {
    for (size_t at = 0; at < size; at += PAGE / 4)
        CHECK(pages[at] == value, "%p has another's content", (const volatile void *)(pages + at));
}

/* Somewhere, or exactly where something was released last; NULL: that is somebody else's. */
static void *reserve(struct moat_manager *manager, size_t size, uint64_t *state) {
    uintptr_t wish = atomic_load(&places[core_below(state, THREADS)]);
    void *base = NULL;

    if (core_below(state, 3) == 0) {
        enum moat_status status = moat_reserve(manager, (void *)wish, size, MOAT_PAGE_READWRITE,
                                               MOAT_RESERVE_COMMIT, &base);
        CHECK(status == MOAT_OK || (wish && status == MOAT_INVALID_ADDRESS), "%s",
              moat_last_error_text());
        return base;
    }
    CHECK(moat_reserve(manager, NULL, size, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT, &base) ==
              MOAT_OK,
          "%s", moat_last_error_text());
    return base;
}

static void work(unsigned number, uint64_t *state) {
    struct {
        struct moat_manager *manager;
        void *base;
        size_t size;
        unsigned char value;
    } live[LIVE] = {{0}};

    for (unsigned turn = 0; turn < TURNS * LIVE; turn++) {
        unsigned slot = core_below(state, LIVE);
        if (live[slot].base) {
            check(live[slot].base, live[slot].size, live[slot].value);
            CHECK(moat_release(live[slot].manager, live[slot].base) == MOAT_OK, "%s",
                  moat_last_error_text());
            atomic_store(&places[number], (uintptr_t)live[slot].base);
            live[slot].base = NULL;
        } else {
            live[slot].manager = managers[core_below(state, 2)];
            live[slot].size = core_below(state, 3) == 0 ? GRANULE - PAGE : GRANULE;
            live[slot].value = (unsigned char)(1 + core_below(state, 255));
            live[slot].base = reserve(live[slot].manager, live[slot].size, state);
            if (live[slot].base)
                fill(live[slot].base, live[slot].size, live[slot].value);
        }
        if (core_below(state, 64) == 0)
            CHECK(moat_flush(managers[core_below(state, 2)]) == MOAT_OK, "%s",
                  moat_last_error_text());
        if (core_below(state, 256) == 0)
            (void)!moat_trim(NULL, 0, NULL);
    }
    for (unsigned slot = 0; slot < LIVE; slot++)
        if (live[slot].base)
            CHECK(moat_release(live[slot].manager, live[slot].base) == MOAT_OK, "%s",
                  moat_last_error_text());
}

static void body(unsigned number) {
    uint64_t state = 31 + number;
    for (unsigned round = 0; round < rounds; round++)
        work(number, &state);
}

static struct moat_manager *deferring(const char *text) {
    struct moat_options options;
    struct moat_manager *manager;

    moat_options_init(&options);
    CHECK(moat_options_parse(&options, text, NULL, 0) == MOAT_OK, "%s", moat_last_error_text());
    CHECK(moat_manager_create(&options, &manager) == MOAT_OK, "%s", moat_last_error_text());
    return manager;
}

int main(int argc, char **argv) {
    struct moat_stats stats;

    rounds = core_scale(argc, argv, 20);
    managers[0] = deferring("defer=8,defer_ms=2");
    managers[1] = deferring("defer=64,defer_ms=1,quarantine=2,retain=1M");
    core_run(THREADS, body);
    for (unsigned i = 0; i < 2; i++) {
        CHECK(moat_flush(managers[i]) == MOAT_OK, "%s", moat_last_error_text());
        CHECK(moat_stats_read(managers[i], &stats) == MOAT_OK, "stats");
        CHECK(stats.deferred_regions == 0 && stats.deferred_bytes == 0, "some are left");
        CHECK(stats.bytes_committed == 0 && stats.stranded_bytes == 0, "sums");
        moat_manager_destroy(managers[i]);
    }
    return 0;
}
