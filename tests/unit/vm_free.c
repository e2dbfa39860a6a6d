/* SPDX-License-Identifier: MIT */
/*
 * decommit and release: who owns what, which range, and the counters that must agree with it.
 */
#define _GNU_SOURCE
#include "support/regions.h"
#include "support/touch.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

static struct moat_manager *manager;

static void start(void) {
    manager = manager_with("");
}

TestSuite(vm_free, .init = start);

static enum moat_status decommit(const void *address, size_t size) {
    enum moat_status status = moat_decommit(manager, (void *)(uintptr_t)address, size);
    if (status)
        cr_assert_neq(moat_last_error_text()[0], '\0', "a failure is explained");
    return status;
}

static enum moat_status release(const void *address) {
    enum moat_status status = moat_release(manager, (void *)(uintptr_t)address);
    if (status)
        cr_assert_neq(moat_last_error_text()[0], '\0', "a failure is explained");
    return status;
}

/* Addresses of every kind that this manager does not own. None of them is read: some cannot be. */
static size_t strangers(const void *list[static 16]) {
    static char data;
    size_t count = 0;
    struct moat_manager *other = manager_with("");
    unsigned char *mine = reserved(manager, 3 * PAGE, true);
    list[count++] = NULL;
    list[count++] = (void *)1;
    list[count++] = (void *)GRANULE;
    list[count++] = &data;
    list[count++] = &count;
    list[count++] = (void *)(uintptr_t)&strangers;
    list[count++] = manager;
    list[count++] = reserved(other, GRANULE, true);
    list[count++] = mine - PAGE;
    list[count++] = mine + 3 * PAGE;
    list[count++] = (void *)0x7FFFFFFF0000;
    list[count++] = (void *)UINT64_C(0x0000800000000000);
    list[count++] = (void *)UINT64_C(0xFFFF800000000000);
    list[count++] = (void *)UINTPTR_MAX;
    /* What a truncated key would take for ours. */
    list[count++] = (void *)((uintptr_t)mine | (uintptr_t)1 << 48);
    list[count++] = (void *)((uintptr_t)mine | (uintptr_t)1 << 63);
    return count;
}

Test(vm_free, what_is_not_ours_is_refused_and_counted) {
    const void *list[16];
    size_t count = strangers(list);
    struct moat_stats before = stats_of(manager);
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(release(list[i]), MOAT_NOT_OURS, "release of %p", list[i]);
        cr_assert_eq(decommit(list[i], 0), MOAT_NOT_OURS, "decommit of %p", list[i]);
        if ((uintptr_t)list[i] != UINTPTR_MAX)
            cr_assert_eq(decommit(list[i], 1), MOAT_NOT_OURS, "decommit of %p", list[i]);
    }
    struct moat_stats after = stats_of(manager);
    cr_assert_eq(after.refused - before.refused, (uint64_t)(3 * count - 1));
    after.refused = before.refused;
    cr_assert_arr_eq(&before, &after, sizeof before, "nothing else changed");
}

Test(vm_free, release_takes_any_address_of_the_first_page_and_no_other) {
    for (int rung = 0; rung < RUNGS; rung++) {
        manager = manager_with(rungs[rung]);
        unsigned char *base = reserved(manager, 3 * GRANULE, true);
        cr_assert_eq(release(base + PAGE), MOAT_NOT_OURS);
        cr_assert_eq(release(base + GRANULE), MOAT_NOT_OURS);
        cr_assert_eq(release(base - 1), MOAT_NOT_OURS);
        *base = 1;
        cr_assert_eq(release(base + PAGE - 1), MOAT_OK);
        cr_assert_eq(release(base), MOAT_NOT_OURS, "twice");
        cr_assert_eq(decommit(base, 0), MOAT_NOT_OURS);
        for (size_t at = 0; at < 3 * GRANULE; at += PAGE)
            cr_assert_not(touch_reads(base + at));
        cr_assert_eq(info_of(base).state, MOAT_STATE_FREE);
    }
}

Test(vm_free, decommit_ranges) {
    for (int rung = 0; rung < RUNGS; rung++) {
        manager = manager_with(rungs[rung]);
        unsigned char *base = reserved(manager, 4 * PAGE, true);
        cr_assert_eq(decommit(base, 4 * PAGE + 1), MOAT_LEAVES_REGION);
        cr_assert_eq(decommit(base + 3 * PAGE, PAGE + 1), MOAT_LEAVES_REGION);
        cr_assert_eq(decommit(base, (size_t)1 << 46), MOAT_LEAVES_REGION);
        cr_assert_eq(decommit(base, SIZE_MAX), MOAT_INVALID_ARGUMENT);
        cr_assert_eq(decommit(base + 1, SIZE_MAX - (uintptr_t)base), MOAT_INVALID_ARGUMENT);
        cr_assert_eq(decommit(base + PAGE, 0), MOAT_INVALID_ADDRESS);
        cr_assert_eq(decommit(base + 4 * PAGE - 1, 0), MOAT_INVALID_ADDRESS);
        for (unsigned page = 0; page < 4; page++)
            cr_assert(page_is(base + page * PAGE, true, true), "nothing changed");
        cr_assert_eq(decommit(base + 2 * PAGE - 1, 2), MOAT_OK);
        for (unsigned page = 0; page < 4; page++) {
            bool kept = page == 0 || page == 3;
            cr_assert(page_is(base + page * PAGE, kept, kept), "page %u", page);
        }
        cr_assert_eq(decommit(base, 4 * PAGE), MOAT_OK, "committed or not");
        cr_assert_eq(decommit(base + PAGE - 1, 0), MOAT_OK, "all of it, though nothing is left");
        cr_assert_eq(stats_of(manager).bytes_committed, UINT64_C(0));
        cr_assert_eq(info_of(base).size, (size_t)4 * PAGE, "one run");
        cr_assert_eq(info_of(base).state, MOAT_STATE_RESERVED);
    }
}

Test(vm_free, size_zero_takes_the_whole_region) {
    unsigned char *base = reserved(manager, 3 * BLOCK + PAGE, true);
    base[3 * BLOCK] = 1;
    cr_assert_eq(decommit(base + 7, 0), MOAT_OK);
    cr_assert_eq(info_of(base).size, (size_t)3 * BLOCK + PAGE);
    cr_assert_not(touch_reads(base + 3 * BLOCK));
}

/* What the counters say must be what the calls did: on each rung, and with mimalloc. */
Test(vm_free, statistics_reconcile) {
    static const char *const kinds[] = {"trap=auto", "trap=protect", "backend=mimalloc"};
    for (unsigned kind = 0; kind < 3; kind++) {
        manager = manager_with(kinds[kind]);
        if (!manager)
            continue;
        unsigned char *a = reserved(manager, 10 * PAGE, true);
        unsigned char *b = reserved(manager, 3 * BLOCK, false);
        cr_assert_eq(moat_commit(manager, b + PAGE, BLOCK, MOAT_PAGE_READWRITE, NULL), MOAT_OK);
        cr_assert_eq(moat_commit(manager, b, 2 * PAGE, MOAT_PAGE_READWRITE, NULL), MOAT_OK);
        cr_assert_eq(decommit(b + BLOCK, 5 * PAGE), MOAT_OK);
        cr_assert_eq(decommit(b + BLOCK, 5 * PAGE), MOAT_OK);
        cr_assert_eq(release(a + PAGE), MOAT_NOT_OURS);
        struct moat_stats now = stats_of(manager);
        cr_assert_eq(now.regions_live, UINT64_C(2), "%s", kinds[kind]);
        cr_assert_eq(now.reserves, UINT64_C(2));
        cr_assert_eq(now.commits, UINT64_C(2));
        cr_assert_eq(now.decommits, UINT64_C(2));
        cr_assert_eq(now.refused, UINT64_C(1));
        cr_assert_eq(now.bytes_reserved, (uint64_t)10 * PAGE + 3 * BLOCK);
        cr_assert_eq(now.bytes_committed, (uint64_t)10 * PAGE + BLOCK, "%s", kinds[kind]);
        cr_assert_eq(release(a), MOAT_OK);
        cr_assert_eq(release(b), MOAT_OK);
        now = stats_of(manager);
        cr_assert_eq(now.releases, UINT64_C(2));
        cr_assert_eq(now.regions_live, UINT64_C(0));
        cr_assert_eq(now.bytes_reserved, UINT64_C(0));
        cr_assert_eq(now.bytes_committed, UINT64_C(0), "%s", kinds[kind]);
        cr_assert_eq(now.stranded_bytes + now.guard_failures + now.poison_damage, UINT64_C(0));
    }
}

/* Two managers in one process do not accept each other's regions. */
Test(vm_free, managers_refuse_each_other) {
    struct moat_manager *other = manager_with("trap=protect");
    unsigned char *mine = reserved(manager, GRANULE, true);
    unsigned char *its = reserved(other, GRANULE, true);
    uint32_t old = 77;

    *its = 'i';
    cr_assert_eq(release(its), MOAT_NOT_OURS);
    cr_assert_eq(decommit(its, PAGE), MOAT_NOT_OURS);
    cr_assert_eq(decommit(its, 0), MOAT_NOT_OURS);
    cr_assert_eq(moat_commit(manager, its, PAGE, MOAT_PAGE_READONLY, NULL), MOAT_INVALID_ADDRESS);
    cr_assert_eq(moat_reset(manager, its, PAGE, MOAT_PAGE_READONLY, NULL), MOAT_INVALID_ADDRESS);
    cr_assert_eq(moat_protect(manager, its, PAGE, MOAT_PAGE_READONLY, &old), MOAT_INVALID_ADDRESS);
    cr_assert_eq(old, 77u);
    cr_assert_eq(moat_release(other, mine), MOAT_NOT_OURS);
    cr_assert_eq(*its, 'i');
    cr_assert_eq(stats_of(manager).refused, UINT64_C(3));
    cr_assert_eq(stats_of(other).refused, UINT64_C(1));
    cr_assert_eq(info_of(its).owner, other);
    cr_assert_eq(info_of(mine).owner, manager);
    cr_assert_eq(moat_release(other, its), MOAT_OK);
    moat_manager_destroy(other);
    *mine = 1;
    cr_assert_eq(release(mine), MOAT_OK);
}

Test(vm_free, destroying_a_manager_releases_what_it_holds_and_nothing_else) {
    struct moat_manager *other = manager_with("");
    unsigned char *kept = reserved(manager, GRANULE, true);
    unsigned char *gone[300];
    for (unsigned i = 0; i < 300; i++)
        gone[i] = reserved(other, (1 + i % 40) * PAGE, i % 2);
    moat_manager_destroy(other);
    for (unsigned i = 0; i < 300; i++) {
        cr_assert_not(touch_reads(gone[i]));
        cr_assert_eq(info_of(gone[i]).state, MOAT_STATE_FREE);
    }
    *kept = 1;
    cr_assert_eq(stats_of(manager).regions_live, UINT64_C(1));
    moat_manager_destroy(NULL);
}

enum { RACERS = 4, ROUNDS = 3000 };
static unsigned char *raced;
static pthread_barrier_t gate;
static _Atomic unsigned winners, losers, others;

static void *race(void *unused) {
    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&gate);
        switch (moat_release(manager, raced)) {
        case MOAT_OK:
            winners++;
            break;
        case MOAT_NOT_OURS:
            losers++;
            break;
        default:
            others++;
        }
        if (pthread_barrier_wait(&gate) == PTHREAD_BARRIER_SERIAL_THREAD)
            raced = reserved(manager, GRANULE, true);
        pthread_barrier_wait(&gate);
    }
    return unused;
}

Test(vm_free, of_racing_releases_one_wins, .timeout = 600) {
    pthread_t threads[RACERS];
    pthread_barrier_init(&gate, NULL, RACERS);
    raced = reserved(manager, GRANULE, true);
    for (unsigned i = 0; i < RACERS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, race, NULL), 0);
    for (unsigned i = 0; i < RACERS; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(winners, (unsigned)ROUNDS);
    cr_assert_eq(losers, (unsigned)(ROUNDS * (RACERS - 1)));
    cr_assert_eq(others, 0u);
}

/* What a region's pages were allowed is forgotten with it, also where blocks are shared. */
Test(vm_free, the_next_owner_of_a_place_meets_nothing_of_the_last) {
    static const uint32_t protections[] = {MOAT_PAGE_READONLY, MOAT_PAGE_NOACCESS,
                                           MOAT_PAGE_EXECUTE, MOAT_PAGE_EXECUTE_READWRITE,
                                           MOAT_PAGE_READWRITE | MOAT_PAGE_GUARD};
    static const size_t sizes[] = {2 * GRANULE, 2 * BLOCK + GRANULE};
    for (int rung = 0; rung < RUNGS; rung++)
        for (size_t i = 0; i < 2; i++)
            for (size_t j = 0; j < sizeof protections / sizeof protections[0]; j++) {
                manager = manager_with(rungs[rung]);
                unsigned char *base = reserved(manager, sizes[i], true);
                uint32_t old;
                void *again;
                memset(base, 'l', sizes[i]);
                cr_assert_eq(moat_protect(manager, base, sizes[i], protections[j], &old), MOAT_OK);
                cr_assert_eq(release(base), MOAT_OK);
                cr_assert_eq(moat_reserve(manager, base, sizes[i], MOAT_PAGE_READWRITE, 0, &again),
                             MOAT_OK);
                cr_assert(page_is(base, false, false));
                cr_assert_eq(moat_commit(manager, again, sizes[i], MOAT_PAGE_READWRITE, NULL),
                             MOAT_OK);
                cr_assert(touch_all_bytes(base, sizes[i], 0));
                for (size_t at = 0; at < sizes[i]; at += PAGE)
                    cr_assert(touch_writes(base + at), "%#x, rung %d", protections[j], rung);
                cr_assert_eq(release(base), MOAT_OK);
            }
}
