/* SPDX-License-Identifier: MIT */
/*
 * core_flush: what was released before moat_flush traps when that returns, also where other threads
 * have it in hand at that moment: other flushes, or the thread of the manager.
 *
 * In turns: all release, then all flush, and nobody reserves before all have looked.
 */
#include "../fuzz/support/probe.h"
#include "support/core.h"

#include <string.h>

enum { THREADS = 4, REGIONS = 8, SIZE = GRANULE };

static unsigned rounds;
static struct moat_manager *manager;

static void *release_one(void) {
    void *base;

    CHECK(moat_reserve(manager, NULL, SIZE, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT, &base) ==
              MOAT_OK,
          "%s", moat_last_error_text());
    memset(base, 'x', SIZE);
    CHECK(moat_release(manager, base) == MOAT_OK, "%s", moat_last_error_text());
    return base;
}

static void work(unsigned number) {
    void *bases[REGIONS];
    struct moat_stats stats;

    (void)number;
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < REGIONS; i++)
            bases[i] = release_one();
        core_meet();
        CHECK(moat_flush(manager) == MOAT_OK, "%s", moat_last_error_text());
        for (unsigned i = 0; i < REGIONS; i++)
            CHECK(probe_readable((uintptr_t)bases[i], 1) == 0, "%p was flushed and can be read",
                  bases[i]);
        CHECK(moat_stats_read(manager, &stats) == MOAT_OK && stats.deferred_regions == 0,
              "%llu regions are left after a flush", (unsigned long long)stats.deferred_regions);
        core_meet();
    }
}

int main(int argc, char **argv) {
    struct moat_options options;
    struct moat_stats stats;

    rounds = core_scale(argc, argv, 1000);
    moat_options_init(&options);
    options.defer_regions = 4 * THREADS * REGIONS;
    options.defer_ms = 1;
    CHECK(moat_manager_create(&options, &manager) == MOAT_OK, "%s", moat_last_error_text());
    core_run(THREADS, work);
    CHECK(moat_stats_read(manager, &stats) == MOAT_OK && stats.regions_live == 0, "left");
    printf("%u rounds on %u threads, %llu flushes\n", rounds, (unsigned)THREADS,
           (unsigned long long)stats.deferred_flushes);
    moat_manager_destroy(manager);
    return 0;
}
