/* SPDX-License-Identifier: MIT */
/*
 * defer: what is released is nobody's at once, and traps when a bound is reached or somebody asks.
 *
 * Where a test says that a page is accessible still, the time that is allowed is longer than the
 * test. Each is a process of its own.
 */
#define _GNU_SOURCE
#include "region/powers.h"
#include "support/regions.h"
#include "support/touch.h"

#include <moat/describe.h>
#include <moat/space.h>

#include <criterion/criterion.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LONG "defer_ms=100000000,"

enum { SIZE = GRANULE, COUNT = 8, RW = MOAT_PAGE_READWRITE, SECONDS_MAX = 60 };

static struct moat_manager *deferring(const char *options) {
    stay_on_one_processor();
    struct moat_manager *manager = manager_with(options);
    if (!manager || !moat_powers()->guard_markers)
        cr_skip("without guard markers no release is put off");
    return manager;
}

static unsigned char *filled(struct moat_manager *manager) {
    unsigned char *base = reserved(manager, SIZE, true);
    for (size_t at = 0; at < SIZE; at++)
        cr_assert_eq(base[at], 0, "byte %zu", at);
    memset(base, 'x', SIZE);
    return base;
}

static unsigned char *gone(struct moat_manager *manager) {
    unsigned char *base = filled(manager);
    cr_assert_eq(moat_release(manager, base), MOAT_OK, "%s", moat_last_error_text());
    return base;
}

static bool traps(const unsigned char *base) {
    bool all = true;
    for (size_t at = 0; at < SIZE; at += PAGE)
        all &= page_is(base + at, false, false);
    return all;
}

Test(vm_defer, is_nobodys_at_once_and_traps_when_asked_for) {
    struct moat_manager *manager = deferring(LONG "defer=64");
    unsigned char *base = gone(manager);

    cr_assert(page_is(base, true, true));
    cr_assert_eq(info_of(base).state, MOAT_STATE_FREE);
    cr_assert_eq(moat_release(manager, base), MOAT_NOT_OURS);
    cr_assert_eq(moat_commit(manager, base, PAGE, RW, NULL), MOAT_INVALID_ADDRESS);
    struct moat_stats stats = stats_of(manager);
    cr_assert_eq(stats.regions_live, 0u);
    cr_assert_eq(stats.bytes_reserved, 0u);
    cr_assert_eq(stats.deferred_regions, 1u);
    cr_assert_eq(stats.deferred_bytes, (uint64_t)SIZE);
    cr_assert_eq(stats.bytes_committed, (uint64_t)SIZE);
    base[1] = 'y'; /* lost */
    cr_assert_eq(moat_flush(manager), MOAT_OK);
    cr_assert(traps(base));
    stats = stats_of(manager);
    cr_assert_eq(stats.deferred_regions + stats.deferred_bytes + stats.bytes_committed, 0u);
    cr_assert_eq(stats.deferred_flushes, 1u);
    cr_assert_eq(moat_flush(NULL), MOAT_NO_ACCESS);
    moat_manager_destroy(manager);
}

Test(vm_defer, is_described_as_what_it_is) {
    struct moat_manager *manager = deferring(LONG "defer=64");
    unsigned char *base = gone(manager);
    struct moat_description told;
    char text[1024];

    cr_assert_eq(moat_describe_address(base + 5, &told), MOAT_OK);
    cr_assert_eq(told.kind, MOAT_ADDRESS_RELEASED);
    cr_assert(told.trap_pending);
    (void)moat_description_print(&told, text, sizeof text);
    cr_assert_neq(strstr(text, "which was released; it does not trap yet (defer)"), NULL, "%s",
                  text);
    cr_assert_eq(moat_flush(manager), MOAT_OK);
    cr_assert_eq(moat_describe_address(base + 5, &told), MOAT_OK);
    cr_assert_eq(told.kind, MOAT_ADDRESS_RELEASED);
    cr_assert_not(told.trap_pending);
    (void)moat_description_print(&told, text, sizeof text);
    cr_assert_neq(strstr(text, "which was released\n"), NULL, "%s", text);
    moat_manager_destroy(manager);
}

Test(vm_defer, nobody_gets_the_address_before) {
    struct moat_manager *manager = deferring(LONG "defer=64,quarantine=0");
    unsigned char *base = gone(manager);
    void *got;

    for (unsigned i = 0; i < 30; i++)
        cr_assert_neq((void *)reserved(manager, SIZE, true), (void *)base);
    cr_assert(page_is(base, true, true));
    cr_assert_eq(moat_reserve(manager, base, SIZE, RW, 0, &got), MOAT_OK);
    cr_assert(traps(base));
    cr_assert_eq(moat_commit(manager, base, SIZE, RW, NULL), MOAT_OK);
    for (size_t at = 0; at < SIZE; at++)
        cr_assert_eq(base[at], 0);
    moat_manager_destroy(manager);
}

static void bounded(const char *options, unsigned count) {
    struct moat_manager *manager = deferring(options);
    unsigned char *bases[64];

    for (unsigned round = 0; round < 40; round++) {
        for (unsigned i = 0; i < count; i++)
            bases[i] = filled(manager);
        for (unsigned i = 0; i < count; i++) {
            cr_assert_eq(moat_release(manager, bases[i]), MOAT_OK);
            cr_assert_lt(stats_of(manager).deferred_regions, count);
        }
        for (unsigned i = 0; i < count; i++)
            cr_assert(traps(bases[i]));
    }
    cr_assert_eq(stats_of(manager).deferred_flushes, 40u);
    moat_manager_destroy(manager);
}

Test(vm_defer, bounded_by_count) {
    bounded(LONG "defer=8,quarantine=0", 8);
}

Test(vm_defer, bounded_by_bytes) {
    bounded(LONG "defer=4096,defer_bytes=512K", 8);
}

Test(vm_defer, bounded_by_count_and_nothing_is_kept) {
    bounded(LONG "defer=64,retain=0,zero=release", 64);
}

Test(vm_defer, bounded_by_time) {
    struct moat_manager *manager = deferring("defer=4096,defer_ms=20");
    const struct timespec pause = {0, 5000000};
    time_t end = time(NULL) + SECONDS_MAX;

    for (unsigned i = 0; i < 5; i++) {
        unsigned char *base = gone(manager);
        while (!traps(base)) {
            cr_assert_lt(time(NULL), end, "it never traps");
            nanosleep(&pause, NULL);
        }
        cr_assert_eq(stats_of(manager).deferred_regions, 0u);
    }
    moat_manager_destroy(manager);
}

Test(vm_defer, what_is_not_plain_traps_at_once) {
    struct moat_manager *manager = deferring(LONG "defer=64");
    unsigned char *base = filled(manager);
    uint32_t old;

    cr_assert_eq(moat_protect(manager, base, PAGE, MOAT_PAGE_READONLY, &old), MOAT_OK);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    cr_assert(traps(base));
    base = filled(manager);
    cr_assert_eq(moat_decommit(manager, base, PAGE), MOAT_OK);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    cr_assert(traps(base));
    cr_assert_eq(stats_of(manager).deferred_flushes, 0u);
    moat_manager_destroy(manager);
}

Test(vm_defer, trim_and_the_end_flush) {
    struct moat_manager *manager = deferring(LONG "defer=64");
    unsigned char *base = gone(manager);
    cr_assert_eq(moat_trim(NULL, 0, NULL), MOAT_OK);
    cr_assert_eq(stats_of(manager).deferred_regions, 0u);
    /* The arena is gone, with its pages. */
    base = gone(manager);
    moat_manager_destroy(manager);
    cr_assert(traps(base));
    /* Its limbo serves another one. */
    manager = deferring(LONG "defer=64");
    base = gone(manager);
    cr_assert(page_is(base, true, true));
    cr_assert_eq(moat_flush(manager), MOAT_OK);
    cr_assert(traps(base));
    moat_manager_destroy(manager);
}

Test(vm_defer, child_puts_nothing_off) {
    struct moat_manager *manager = deferring(LONG "defer=64");
    unsigned char *base = gone(manager);
    int status;

    pid_t child = fork();
    if (child == 0) {
        unsigned char *other = gone(manager); /* its first call makes all trap */
        bool good = traps(base) && traps(other) && stats_of(manager).deferred_regions == 0 &&
                    stats_of(manager).bytes_committed == 0;
        void *got;
        good &= moat_reserve(manager, base, SIZE, RW, MOAT_RESERVE_COMMIT, &got) == MOAT_OK;
        good &= base[0] == 0 && base[SIZE - 1] == 0;
        moat_manager_destroy(manager);
        _exit(good ? 0 : 1);
    }
    cr_assert_gt(child, 0);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    cr_assert(page_is(base, true, true));
    cr_assert_eq(base[1], 'x');
    cr_assert_eq(moat_flush(manager), MOAT_OK);
    cr_assert(traps(base));
    moat_manager_destroy(manager);
}

Test(vm_defer, options_are_checked) {
    struct moat_options options;
    struct moat_manager *manager;

    moat_options_init(&options);
    cr_assert_eq(options.defer_regions, 0u);
    options.defer_ms = 0;
    cr_assert_eq(moat_manager_create(&options, &manager), MOAT_INVALID_ARGUMENT);
    cr_assert_neq(strstr(moat_last_error_text(), "defer_ms"), NULL);
}
