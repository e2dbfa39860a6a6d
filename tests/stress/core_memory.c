/* SPDX-License-Identifier: MIT */
/*
 * core_memory: many threads ask how full memory is while the figures are read anew all the time.
 * Every answer is one reading, whole: the figures of two readings never fit each other.
 */
#define _GNU_SOURCE
#include "support/core.h"
#include "vm/memory.h"

#include <moat/pressure.h>

#include <stdatomic.h>
#include <stdbool.h>

enum { THREADS = 6 };

int __wrap_moat_os_memory(struct moat_load *load);
uint64_t __wrap_moat_os_clock(void);

static unsigned rounds;
static _Atomic uint64_t ticks, reading;

/* Time passes by being asked for, fast enough for most answers to be old. */
uint64_t __wrap_moat_os_clock(void) {
    return (atomic_fetch_add(&ticks, 1) + 1000) * (MOAT_MEMORY_FRESH_NS / 8);
}

/* A quarter is in use, and the limit is another each time. */
int __wrap_moat_os_memory(struct moat_load *load) {
    uint64_t limit = (1000 + atomic_fetch_add(&reading, 1)) << 20;
    moat_load_init(load);
    moat_load_add(load, limit >> 20 & 1 ? MOAT_MEMORY_CGROUP : MOAT_MEMORY_MACHINE, limit,
                  limit / 4);
    return 0;
}

static void ask(unsigned number) {
    core_meet();
    for (unsigned i = 0; i < rounds; i++) {
        struct moat_memory_load load;
        struct moat_load figures;
        uint64_t age;
        CHECK(moat_memory_load_read(NULL, &load) == MOAT_OK, "%s", moat_last_error_text());
        CHECK(load.available_bytes == load.limit_bytes / 4 * 3 && load.percent == 25,
              "thread %u: %llu of %llu, %u %%", number, (unsigned long long)load.available_bytes,
              (unsigned long long)load.limit_bytes, load.percent);
        CHECK(load.source ==
                  (load.limit_bytes >> 20 & 1 ? MOAT_MEMORY_CGROUP : MOAT_MEMORY_MACHINE),
              "thread %u: source %d of another reading", number, (int)load.source);
        CHECK(load.age_ms <= 1000, "%u ms", load.age_ms);
        CHECK(moat_memory_figures(NULL, i % 16 == 0, &figures, &age) == MOAT_OK, "figures");
        CHECK(figures.headroom >= 1000 && figures.available == figures.limit / 4 * 3,
              "thread %u: headroom %u", number, figures.headroom);
    }
}

int main(int argc, char **argv) {
    rounds = core_scale(argc, argv, 1000000);
    core_run(THREADS, ask);
    CHECK(reading > 100, "%llu readings", (unsigned long long)reading);
    return 0;
}
