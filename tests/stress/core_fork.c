/* SPDX-License-Identifier: MIT */
/*
 * core_fork: a process of many threads forks while they are between calls. The child has every
 * region as it was and goes on with all of Moat; the parent notices nothing.
 */
#define _GNU_SOURCE
#include "support/core.h"

#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, REGIONS = 60, PAGES = 24 };

static unsigned rounds;
static struct moat_manager *managers[CORE_MECHANISMS];
static struct {
    uintptr_t base;
    unsigned mechanism;
    unsigned stamp;
} regions[REGIONS];

static volatile unsigned *page(unsigned region, unsigned number) {
    return (volatile unsigned *)(regions[region].base + number * PAGE);
}

/* Pages 0 to 15 are committed and stamped; the rest never was. */
static void check_region(unsigned i) {
    struct moat_page_info info;
    for (unsigned number = 0; number < 16; number++)
        CHECK(*page(i, number) == regions[i].stamp + number, "region %u, page %u", i, number);
    CHECK(moat_query((void *)regions[i].base, &info) == MOAT_OK &&
              info.allocation_base == (void *)regions[i].base && info.size == 16 * PAGE &&
              info.state == MOAT_STATE_COMMITTED && info.owner == managers[regions[i].mechanism],
          "region %u: %zu bytes", i, info.size);
}

static void make_region(unsigned i, unsigned stamp) {
    void *base;
    struct moat_manager *manager = managers[i % CORE_MECHANISMS];
    CHECK(moat_reserve(manager, NULL, PAGES * PAGE, MOAT_PAGE_READWRITE, 0, &base) == MOAT_OK, "%s",
          moat_last_error_text());
    CHECK(moat_commit(manager, base, 16 * PAGE, MOAT_PAGE_READWRITE, NULL) == MOAT_OK, "%s",
          moat_last_error_text());
    regions[i].base = (uintptr_t)base;
    regions[i].mechanism = i % CORE_MECHANISMS;
    regions[i].stamp = stamp;
    for (unsigned number = 0; number < 16; number++) {
        CHECK(*page(i, number) == 0, "region %u, page %u is not fresh", i, number);
        *page(i, number) = stamp + number;
    }
}

static void drop_region(unsigned i) {
    check_region(i);
    CHECK(moat_release(managers[regions[i].mechanism], (void *)regions[i].base) == MOAT_OK, "%s",
          moat_last_error_text());
}

static void use_all(unsigned stamp) {
    for (unsigned i = 0; i < REGIONS; i++) {
        check_region(i);
        CHECK(moat_decommit(managers[regions[i].mechanism], (void *)page(i, 3), PAGE) == MOAT_OK &&
                  moat_commit(managers[regions[i].mechanism], (void *)page(i, 3), PAGE,
                              MOAT_PAGE_READWRITE, NULL) == MOAT_OK,
              "%s", moat_last_error_text());
        CHECK(*page(i, 3) == 0, "region %u is not fresh", i);
        *page(i, 3) = regions[i].stamp + 3;
        drop_region(i);
        make_region(i, stamp + i * 100);
    }
}

static void fork_once(unsigned round) {
    int state;
    pid_t child = fork();
    CHECK(child >= 0, "fork");
    if (child == 0) {
        alarm(30);
        use_all(round * 7);
        for (unsigned i = 0; i < CORE_MECHANISMS; i++)
            moat_manager_destroy(managers[i]);
        _exit(0);
    }
    CHECK(waitpid(child, &state, 0) == child && state == 0, "the child ended with %#x",
          (unsigned)state);
    for (unsigned i = 0; i < REGIONS; i++)
        check_region(i);
}

/* Each thread renews its own regions, all meet, and the first one forks. */
static void body(unsigned number) {
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = number; i < REGIONS; i += THREADS) {
            drop_region(i);
            make_region(i, round * 1000 + i);
        }
        core_meet();
        if (number == 0)
            fork_once(round);
        core_meet();
    }
}

int main(int argc, char **argv) {
    rounds = core_scale(argc, argv, 60);
    for (unsigned i = 0; i < CORE_MECHANISMS; i++)
        managers[i] = core_manager(i);
    for (unsigned i = 0; i < REGIONS; i++)
        make_region(i, i);
    core_run(THREADS, body);
    for (unsigned i = 0; i < CORE_MECHANISMS; i++)
        moat_manager_destroy(managers[i]);
    return 0;
}
