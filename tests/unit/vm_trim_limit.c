/* SPDX-License-Identifier: MIT */
/*
 * trim: when address space is scarce, which is when somebody asks for it.
 *
 * Each test is a process of its own, with a limit of its own.
 */
#define _GNU_SOURCE
#include "region/arena.h"
#include "support/regions.h"

#include <moat/space.h>

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define GIB ((size_t)1 << 30)

enum { RW = MOAT_PAGE_READWRITE };

static size_t trim_all(void) {
    size_t given = 1;
    enum moat_status status = moat_trim(NULL, 0, &given);
    cr_assert_eq(status, given ? MOAT_OK : MOAT_NO_MEMORY);
    return given;
}

static unsigned char *used(struct moat_manager *manager) {
    unsigned char *region = reserved(manager, 3 * BLOCK + 5 * PAGE, true);
    memset(region, 'u', 3 * BLOCK + 5 * PAGE);
    return region;
}

static size_t address_space(void) {
    size_t pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    cr_assert(statm && fscanf(statm, "%zu", &pages) == 1);
    fclose(statm);
    return pages * PAGE;
}

static void *map(size_t size) {
    void *memory = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static atomic_bool trimming, started;

static void *keep_trimming(void *unused) {
    (void)unused;
    atomic_store(&started, true);
    while (atomic_load(&trimming))
        (void)trim_all();
    return NULL;
}

/* With no address space but that of the arena, a reserve that comes while it goes waits for it. */
Test(vm_trim_limit, a_reserve_is_not_refused_for_a_trim) {
    struct moat_manager *manager = manager_with("timeout=60000");
    pthread_t trimmer;
    struct rlimit limit;
    void *base;

    atomic_store(&trimming, true);
    unsigned char *first = reserved(manager, GRANULE, false);
    cr_assert_eq(pthread_create(&trimmer, NULL, keep_trimming, NULL), 0);
    while (!atomic_load(&started))
        sched_yield();
    cr_assert_eq(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur = address_space() + GIB / 16; /* for whom the test is run under */
    cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
    cr_assert_eq(moat_release(manager, first), MOAT_OK);
    for (int turn = 0; turn < 3000; turn++) {
        /* Too large for what is left beside the arena, or beside a smaller one. */
        cr_assert_eq(moat_reserve(manager, NULL, GIB / 5, RW, 0, &base), MOAT_OK, "turn %d: %s",
                     turn, moat_last_error_text());
        cr_assert_eq(moat_release(manager, base), MOAT_OK);
    }
    atomic_store(&trimming, false);
    pthread_join(trimmer, NULL);
}

/* What the runtime does: a map fails, it says what it needs, and tries once more. */
Test(vm_trim_limit, under_a_limit_of_address_space) {
    for (int rung = 0; rung < RUNGS; rung++) {
        struct moat_manager *manager = manager_with(rungs[rung]);
        struct rlimit before, limit;

        unsigned char *region = used(manager);
        cr_assert_eq(getrlimit(RLIMIT_AS, &before), 0);
        limit = (struct rlimit){address_space() + GIB / 2, before.rlim_max};
        cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
        size_t given = 1;
        cr_assert_null(map(GIB));
        cr_assert_eq(moat_trim(NULL, GIB, &given), MOAT_NO_MEMORY);
        cr_assert_eq(moat_release(manager, region), MOAT_OK);
        for (int round = 0; round < 5; round++) {
            cr_assert_null(map(GIB));
            cr_assert_eq(moat_trim(NULL, GIB, &given), MOAT_OK);
            cr_assert_geq(given, GIB / 2);
            void *memory = map(GIB);
            cr_assert_not_null(memory);
            /* What is left does for Moat all the same. */
            cr_assert_eq(moat_release(manager, used(manager)), MOAT_OK);
            munmap(memory, GIB);
            cr_assert_eq(moat_release(manager, used(manager)), MOAT_OK);
            cr_assert_null(map(GIB + GIB / 2));
            (void)trim_all();
            cr_assert_eq(moat_release(manager, used(manager)), MOAT_OK);
        }
        cr_assert_eq(setrlimit(RLIMIT_AS, &before), 0);
        moat_manager_destroy(manager);
        (void)trim_all();
    }
}
