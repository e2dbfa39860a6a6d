/* SPDX-License-Identifier: MIT */
/*
 * vm_defer: traps that were put off, and that the kernel refuses when their time has come: the next
 * rung is tried, and what will not trap is nobody's, is counted and is tried again.
 */
#define _GNU_SOURCE
#include "region/powers.h"
#include "support/inject.h"
#include "support/keeps.h"

#include <moat/moat.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>

enum { SIZE = 65536, COUNT = 12, TURNS = 300, RW = MOAT_PAGE_READWRITE };

TestSuite(vm_defer_calls, .fini = inject_clear);

static struct moat_manager *manager_with(const char *text) {
    struct moat_options options;
    struct moat_manager *manager = NULL;
    moat_options_init(&options);
    cr_assert_eq(moat_options_parse(&options, text, NULL, 0), MOAT_OK);
    cr_assert_eq(moat_manager_create(&options, &manager), MOAT_OK, "%s", moat_last_error_text());
    if (!moat_powers()->guard_markers)
        cr_skip("without guard markers no release is put off");
    return manager;
}

static struct moat_stats stats_of(const struct moat_manager *manager) {
    struct moat_stats stats;
    cr_assert_eq(moat_stats_read(manager, &stats), MOAT_OK);
    return stats;
}

static unsigned char *come(struct moat_manager *manager) {
    void *base;
    cr_assert_eq(moat_reserve(manager, NULL, SIZE, RW, MOAT_RESERVE_COMMIT, &base), MOAT_OK, "%s",
                 moat_last_error_text());
    for (size_t at = 0; at < SIZE; at++)
        cr_assert_eq(((unsigned char *)base)[at], 0);
    memset(base, 'x', SIZE);
    return base;
}

static void go_all(struct moat_manager *manager, unsigned char *bases[COUNT]) {
    for (unsigned i = 0; i < COUNT; i++)
        bases[i] = come(manager);
    for (unsigned i = 0; i < COUNT; i++)
        cr_assert_eq(moat_release(manager, bases[i]), MOAT_OK);
}

/* Whether anything but a refusal of the kernel is behind it. */
static void check_all_trap(struct moat_manager *manager) {
    struct moat_stats stats = stats_of(manager);
    cr_assert_eq(stats.deferred_regions, 0u);
    cr_assert_eq(stats.bytes_committed, 0u);
    cr_assert_eq(stats.stranded_bytes, 0u);
}

/* Each call of a kind alone, and all from it on. */
static void refuse_each(struct moat_manager *manager, enum inject_kind kind, long argument) {
    unsigned char *bases[COUNT];

    for (int nth = 1; nth < 40; nth++)
        for (int on = 0; on < 2; on++) {
            go_all(manager, bases);
            inject_clear();
            inject_only(kind, argument);
            if (on)
                inject_fail_from(kind, nth, ENOMEM);
            else
                inject_fail(kind, nth, ENOMEM);
            enum moat_status status = moat_flush(manager);
            cr_assert(status == MOAT_OK || status == MOAT_NO_MEMORY);
            cr_assert_eq(status == MOAT_OK, stats_of(manager).deferred_regions == 0);
            inject_clear();
            cr_assert_eq(moat_flush(manager), MOAT_OK);
            check_all_trap(manager);
        }
}

static void teach(struct moat_manager *manager) {
    unsigned char *bases[COUNT];
    for (unsigned i = 0; i < TURNS / COUNT; i++) {
        go_all(manager, bases);
        cr_assert_eq(moat_flush(manager), MOAT_OK);
    }
}

#define LONG "defer_ms=100000000,defer=64,"

Test(vm_defer_calls, rights_are_refused) {
    struct moat_manager *manager = manager_with(LONG "quarantine=0");
    teach(manager);
    refuse_each(manager, INJECT_MPROTECT, PROT_NONE);
    moat_manager_destroy(manager);
}

Test(vm_defer_calls, markers_are_refused) {
    struct moat_manager *manager = manager_with(LONG "quarantine=0,retain=0");
    refuse_each(manager, INJECT_MADVISE, 102);
    moat_manager_destroy(manager);
}

Test(vm_defer_calls, mappings_of_their_own_are_refused) {
    struct moat_manager *manager = manager_with(LONG "quarantine=16");
    teach(manager);
    refuse_each(manager, INJECT_MADVISE, MADV_RANDOM);
    refuse_each(manager, INJECT_MADVISE, MADV_NORMAL);
    moat_manager_destroy(manager);
}

/* They lie in one block, or in two, with a granule between any two. */
static void flush_in_few_calls(struct moat_manager *manager, enum inject_kind kind, long argument) {
    unsigned char *bases[COUNT];

    go_all(manager, bases);
    inject_only(kind, argument);
    inject_fail(kind, INT_MAX, ENOMEM);
    cr_assert_eq(moat_flush(manager), MOAT_OK);
    int calls = inject_count(kind);
    cr_assert(calls == 1 || calls == 2, "%d calls", calls);
    inject_clear();
    check_all_trap(manager);
}

Test(vm_defer_calls, neighbours_are_marked_together) {
    struct moat_manager *manager = manager_with(LONG "quarantine=0,retain=0,placing=packed");
    flush_in_few_calls(manager, INJECT_MADVISE, 102);
    moat_manager_destroy(manager);
}

Test(vm_defer_calls, neighbours_lose_their_rights_together) {
    struct moat_manager *manager = manager_with(LONG "quarantine=0,placing=packed");
    if (!memory_can_be_kept())
        cr_skip("no memory can be retained here");
    teach(manager);
    flush_in_few_calls(manager, INJECT_MPROTECT, PROT_NONE);
    moat_manager_destroy(manager);
}

/* Nothing at all: the pages stay accessible, and nobody gets them. */
Test(vm_defer_calls, what_will_not_trap_stays) {
    struct moat_manager *manager = manager_with(LONG "quarantine=0,retain=0");
    unsigned char *bases[COUNT];

    go_all(manager, bases);
    inject_only(INJECT_MPROTECT, PROT_NONE);
    inject_fail_from(INJECT_MPROTECT, 1, ENOMEM);
    inject_only(INJECT_MADVISE, 102);
    inject_fail_from(INJECT_MADVISE, 1, ENOMEM);
    cr_assert_eq(moat_flush(manager), MOAT_NO_MEMORY);
    struct moat_stats stats = stats_of(manager);
    cr_assert_gt(stats.deferred_regions, 0u);
    cr_assert_gt(stats.guard_failures, 0u);
    inject_clear();
    cr_assert_eq(moat_flush(manager), MOAT_OK);
    check_all_trap(manager);
    moat_manager_destroy(manager);
}
