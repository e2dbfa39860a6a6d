/* SPDX-License-Identifier: MIT */
/*
 * low-resource simulation: so many calls of a kind fail, always the same ones for a seed, with the
 * status and the words of a lack of memory; none before the grace period is over, and never one
 * that gives memory back.
 */
#define _GNU_SOURCE
#include "support/heaps.h"

#include "vm/deny.h"

#include <moat/mscoree.h>
#include <moat/placeholder.h>
#include <moat/win32.h>

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define RW     MOAT_PAGE_READWRITE
#define COMMIT MOAT_RESERVE_COMMIT
#define DRAWS  200000u

static const uint32_t shares[] = {1, 1000, 50000, 500000, 999999};

/* The number of calls that fail is binomial: five standard deviations and one call around its mean.
 * The seeds are fixed, so this holds always or never. */
Test(vm_deny, the_share_is_what_the_option_says) {
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        for (uint32_t seed = 0; seed < 5; seed++) {
            for (enum moat_deny_kind kind = 0; kind < MOAT_DENY_KINDS; kind++) {
                double part = shares[i] / 1e6, mean = DRAWS * part;
                double variance = mean * (1 - part), denied = 0;
                for (uint64_t number = 1; number <= DRAWS; number++)
                    denied += moat_deny_chosen(seed, kind, number, shares[i]);
                double off = denied - mean;
                off = off < 0 ? -off : off;
                cr_assert(off <= 1 || (off - 1) * (off - 1) <= 25 * variance,
                          "share %u, seed %u, kind %d: %.0f of %.0f", shares[i], seed, (int)kind,
                          denied, mean);
            }
        }
    }
}

Test(vm_deny, all_or_nothing_means_that) {
    for (uint64_t number = 1; number <= DRAWS; number++) {
        cr_assert(moat_deny_chosen(7, MOAT_DENY_COMMIT, number, 1000000));
        cr_assert_not(moat_deny_chosen(7, MOAT_DENY_COMMIT, number, 0));
    }
}

/* These numbers are part of what the option promises: a failure that was met once can be met again
 * with the next version. */
Test(vm_deny, the_same_seed_denies_the_same_calls_for_ever) {
    static const uint64_t expected[] = {1495, 1546, 2190, 2386, 4117, 5258, 5924, 7448};
    size_t found = 0;

    for (uint64_t number = 1; found < sizeof expected / sizeof expected[0]; number++)
        if (moat_deny_chosen(7, MOAT_DENY_COMMIT, number, 1000))
            cr_assert_eq(number, expected[found++], "%lu", (unsigned long)number);
}

Test(vm_deny, seeds_and_kinds_differ) {
    unsigned same_seed = 0, same_kind = 0;
    for (uint64_t number = 1; number <= DRAWS; number++) {
        bool chosen = moat_deny_chosen(1, MOAT_DENY_COMMIT, number, 1000);
        same_seed += chosen && moat_deny_chosen(2, MOAT_DENY_COMMIT, number, 1000);
        same_kind += chosen && moat_deny_chosen(1, MOAT_DENY_PROTECT, number, 1000);
    }
    cr_assert_lt(same_seed, 5u);
    cr_assert_lt(same_kind, 5u);
}

static void expect_text(const char *part) {
    cr_assert_not_null(strstr(moat_last_error_text(), part), "%s", moat_last_error_text());
}

Test(vm_deny, each_call_fails_as_for_lack_of_memory_and_changes_nothing) {
    struct moat_manager *manager = manager_with("deny_seed=7");
    struct moat_manager *none = manager_with("deny_reserve=1000000,deny_seed=7");
    struct moat_manager *bare = manager_with("deny_commit=1000000,deny_protect=1000000");
    void *base = manager;
    uint32_t old = 0;

    cr_assert_eq(stats_of(manager).denied, UINT64_C(0));
    cr_assert_eq(moat_reserve(none, NULL, PAGE, RW, 0, &base), MOAT_NO_MEMORY);
    cr_assert_null(base);
    expect_text("denied by deny_reserve=1000000, a simulation: reserve 1 since the manager was "
                "made, seed 7");
    cr_assert_eq(moat_placeholder_reserve(none, NULL, GRANULE, 0, NULL, &base), MOAT_NO_MEMORY);
    expect_text("reserve 2 since");
    cr_assert_eq(stats_of(none).denied, UINT64_C(2));
    cr_assert_eq(stats_of(none).reserves, UINT64_C(0));

    cr_assert_eq(moat_reserve(bare, NULL, PAGE, RW, COMMIT, &base), MOAT_COMMIT_LIMIT);
    cr_assert_eq(stats_of(bare).reserves, UINT64_C(0));
    unsigned char *mine = reserved(bare, PAGE, false);
    cr_assert_eq(moat_commit(bare, mine, PAGE, RW, NULL), MOAT_COMMIT_LIMIT);
    expect_text("commit 2 since");
    cr_assert_eq(info_of(mine).state, MOAT_STATE_RESERVED);
    cr_assert_eq(moat_protect(bare, mine, PAGE, RW, &old), MOAT_INVALID_ADDRESS,
                 "what is wrong is said before it is denied");
    cr_assert_eq(stats_of(bare).denied, UINT64_C(2));
    cr_assert_eq(moat_placeholder_reserve(bare, NULL, GRANULE, 0, NULL, &base), MOAT_OK);
    void *placed = NULL;
    cr_assert_eq(moat_placeholder_replace(bare, base, GRANULE, RW, COMMIT, &placed),
                 MOAT_COMMIT_LIMIT);
    cr_assert_null(placed);
    cr_assert_eq(moat_placeholder_replace(bare, base, GRANULE, RW, 0, &placed), MOAT_OK);
    cr_assert_eq(moat_decommit(bare, mine, 0), MOAT_OK);
    cr_assert_eq(moat_release(bare, mine), MOAT_OK);
    cr_assert_eq(moat_release(bare, placed), MOAT_OK);
    cr_assert_eq(stats_of(bare).denied, UINT64_C(3));
    moat_manager_destroy(none);
    moat_manager_destroy(bare);
    moat_manager_destroy(manager);
}

Test(vm_deny, protect_is_denied_for_the_owner_whoever_calls) {
    struct moat_manager *manager = manager_with("deny_protect=1000000");
    unsigned char *base = reserved(manager, PAGE, true);
    uint32_t old = 99;

    cr_assert_eq(moat_protect(NULL, base, PAGE, MOAT_PAGE_READONLY, &old), MOAT_NO_MEMORY);
    expect_text("protect 1 since");
    cr_assert_eq(old, 99u);
    cr_assert_eq(info_of(base).protection, RW);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    moat_manager_destroy(manager);
}

Test(vm_deny, blocks_of_heaps_have_a_share_of_their_own) {
    struct moat_manager *manager = manager_with("deny_heap=1000000");
    struct moat_heap *heap = heap_of(manager, 0);
    void *block = heap;

    cr_assert_eq(moat_heap_alloc(heap, 1, &block), MOAT_NO_MEMORY);
    cr_assert_null(block);
    expect_text("heap alloc 1 since");
    cr_assert_eq(moat_heap_alloc(heap, 100000, &block), MOAT_NO_MEMORY);
    cr_assert_eq(moat_heap_alloc_debug(heap, 1, "a.c", 1, &block), MOAT_NO_MEMORY);
    cr_assert_eq(stats_of(manager).denied, UINT64_C(3));
    moat_heap_destroy(heap);
    moat_manager_destroy(manager);

    manager = manager_with("deny_reserve=1000000,deny_commit=1000000");
    heap = heap_of(manager, 0);
    freed(heap, allocated(heap, 100));
    freed(heap, allocated(heap, 100000));
    cr_assert_eq(stats_of(manager).denied, UINT64_C(0), "regions of heaps do not count");
    moat_heap_destroy(heap);
    moat_manager_destroy(manager);
}

Test(vm_deny, nothing_is_denied_while_the_grace_period_lasts) {
    struct moat_manager *manager = manager_with("deny_commit=1000000,deny_grace=4294967295");
    unsigned char *base = reserved(manager, PAGE, true);

    cr_assert_eq(stats_of(manager).denied, UINT64_C(0));
    manager->denials.grace_end = 1; /* the clock has passed that long ago */
    cr_assert_eq(moat_commit(manager, base, PAGE, RW, NULL), MOAT_COMMIT_LIMIT);
    expect_text("commit 2 since");
    manager->denials.grace_end = UINT64_MAX;
    cr_assert_eq(moat_commit(manager, base, PAGE, RW, NULL), MOAT_OK);
    moat_manager_destroy(manager);
}

Test(vm_deny, two_runs_with_one_seed_are_alike) {
    for (unsigned run = 0; run < 2; run++) {
        struct moat_manager *manager = manager_with("deny_commit=100000,deny_seed=3");
        void *base = reserved(manager, PAGE, false);
        uint64_t denied = 0;
        for (uint64_t number = 1; number <= 1000; number++) {
            bool chosen = moat_deny_chosen(3, MOAT_DENY_COMMIT, number, 100000);
            denied += chosen;
            cr_assert_eq(moat_commit(manager, base, PAGE, RW, NULL),
                         chosen ? MOAT_COMMIT_LIMIT : MOAT_OK, "call %lu", (unsigned long)number);
        }
        cr_assert_eq(stats_of(manager).denied, denied);
        moat_manager_destroy(manager);
    }
}

struct crowd {
    struct moat_manager *manager;
    unsigned char *base;
};

static void *commit_often(void *argument) {
    struct crowd *crowd = argument;
    for (unsigned i = 0; i < 1000; i++)
        (void)!moat_commit(crowd->manager, crowd->base, PAGE, RW, NULL);
    return NULL;
}

Test(vm_deny, threads_share_one_run_of_failures) {
    struct crowd crowd = {manager_with("deny_commit=100000,deny_seed=3"), NULL};
    pthread_t threads[4];
    uint64_t expected = 0;

    crowd.base = reserved(crowd.manager, PAGE, false);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, commit_often, &crowd), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (uint64_t number = 1; number <= 4000; number++)
        expected += moat_deny_chosen(3, MOAT_DENY_COMMIT, number, 100000);
    cr_assert_eq(stats_of(crowd.manager).denied, expected);
    moat_manager_destroy(crowd.manager);
}

static IHostMemoryManager *host_with(const char *text) {
    struct moat_options options;
    IHostMemoryManager *host = NULL;
    moat_options_init(&options);
    cr_assert_eq(moat_options_parse(&options, text, NULL, 0), MOAT_OK);
    cr_assert_eq(moat_create_host_memory_manager(&options, &host), S_OK);
    return host;
}

Test(vm_deny, hosts_get_the_results_of_a_lack_of_memory) {
    IHostMemoryManager *host =
        host_with("deny_reserve=1000000,deny_protect=1000000,deny_heap=1000000");
    IHostMalloc *heap = NULL;
    void *memory = NULL;

    cr_assert_eq(host->lpVtbl->VirtualAlloc(host, NULL, PAGE, MEM_RESERVE, PAGE_READWRITE,
                                            eTaskCritical, &memory),
                 E_OUTOFMEMORY);
    cr_assert_eq(GetLastError(), 8u);
    cr_assert_eq(host->lpVtbl->CreateMalloc(host, MALLOC_THREADSAFE, &heap), S_OK);
    cr_assert_eq(heap->lpVtbl->Alloc(heap, 16, eTaskCritical, &memory), E_OUTOFMEMORY);
    heap->lpVtbl->Release(heap);
    host->lpVtbl->Release(host);

    host = host_with("deny_commit=1000000");
    cr_assert_eq(host->lpVtbl->VirtualAlloc(host, NULL, PAGE, MEM_RESERVE | MEM_COMMIT,
                                            PAGE_READWRITE, eProcessCritical, &memory),
                 E_OUTOFMEMORY);
    cr_assert_eq(GetLastError(), 1455u);
    host->lpVtbl->Release(host);
}

Test(vm_deny, win32_has_the_error_codes) {
    setenv("MOAT_OPTIONS", "deny_commit=1000000,deny_protect=1000000", 1);
    cr_assert_null(VirtualAlloc(NULL, PAGE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
    cr_assert_eq(GetLastError(), 1455u);
    void *base = VirtualAlloc(NULL, PAGE, MEM_RESERVE, PAGE_READWRITE);
    cr_assert_not_null(base);
    cr_assert_null(VirtualAlloc(base, PAGE, MEM_COMMIT, PAGE_READWRITE));
    cr_assert_eq(GetLastError(), 1455u);
    cr_assert(VirtualFree(base, 0, MEM_RELEASE));
}
