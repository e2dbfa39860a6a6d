/* SPDX-License-Identifier: MIT */
/*
 * vm_backend: regions of the mimalloc backend, and managers that cannot give a region back, while
 * calls on access rights fail.
 */
#include "support/inject.h"
#include "vm/facts.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

enum { PAGES = 40, RW = MOAT_PAGE_READWRITE, RO = MOAT_PAGE_READONLY };

static void ok(enum moat_status status) {
    cr_assert_eq(status, MOAT_OK, "%s", moat_last_error_text());
}

static struct moat_manager *create(enum moat_backend backend) {
    struct moat_options options;
    struct moat_manager *manager;
    moat_options_init(&options);
    options.backend = backend;
    enum moat_status status = moat_manager_create(&options, &manager);
    if (status == MOAT_NOT_SUPPORTED)
        cr_skip_test("mimalloc is not installed");
    ok(status);
    return manager;
}

TestSuite(vm_backend, .fini = inject_clear);

/* A page is filled with poison before it is protected: its content may be lost, its rights not. */
Test(vm_backend, a_decommit_that_is_refused_keeps_rights_and_books) {
    static struct facts before, after;
    struct moat_manager *manager = create(MOAT_BACKEND_MIMALLOC);
    uint32_t old;
    void *base;

    for (int nth = 1, reached = 1; reached; nth++) {
        ok(moat_reserve(manager, NULL, PAGES * PAGE, RW, MOAT_RESERVE_COMMIT, &base));
        memset(base, 'x', PAGES * PAGE);
        ok(moat_protect(manager, (char *)base + 8 * PAGE, 8 * PAGE, RO, &old));
        ok(moat_protect(manager, (char *)base + 24 * PAGE, 4 * PAGE, MOAT_PAGE_NOACCESS, &old));
        facts_take(&before, manager, (uintptr_t)base, PAGES);
        inject_fail(INJECT_MPROTECT, nth, ENOMEM);
        enum moat_status status = moat_decommit(manager, base, 0);
        reached = inject_count(INJECT_MPROTECT) >= nth;
        inject_clear();
        facts_take(&after, manager, (uintptr_t)base, PAGES);
        for (size_t i = 0; i < PAGES; i++)
            before.pages[i].readable = false; /* compares no content */
        cr_assert(facts_agree(&before, &after), "mprotect %d", nth);
        cr_assert_eq(status == MOAT_OK, !reached);
        ok(moat_decommit(manager, base, 0));
        ok(moat_commit(manager, base, PAGES * PAGE, RW, NULL));
        for (size_t i = 0; i < PAGES * PAGE; i++)
            cr_assert_eq(((char *)base)[i], 0, "byte %zu", i);
        ok(moat_release(manager, base));
        cr_assert_lt(nth, 20);
    }
    ok(moat_stats_read(manager, &after.stats));
    cr_assert_eq(after.stats.poison_damage, 0);
    cr_assert_eq(after.stats.bytes_committed, 0);
    moat_manager_destroy(manager);
}

/* The rights of a page stay what a protect has made them, and nobody can find that out. */
Test(vm_backend, a_decommit_does_not_fault_where_an_undo_was_refused) {
    struct moat_manager *manager = create(MOAT_BACKEND_MIMALLOC);
    uint32_t old;
    void *base;

    ok(moat_reserve(manager, NULL, 2 * PAGE, RW, MOAT_RESERVE_COMMIT, &base));
    ok(moat_protect(manager, (char *)base + PAGE, PAGE, MOAT_PAGE_NOACCESS, &old));
    inject_fail_from(INJECT_MPROTECT, 2, ENOMEM);
    inject_fail_from(INJECT_OPEN, 1, EACCES);
    cr_assert_neq(moat_protect(manager, base, 2 * PAGE, RO, &old), MOAT_OK);
    inject_clear();
    ok(moat_decommit(manager, base, PAGE));
    ok(moat_release(manager, base));
    moat_manager_destroy(manager);
}

/* A commit that fails leaves markers behind, and they cannot be taken away. */
Test(vm_backend, a_commit_meets_no_marker_of_one_that_failed) {
    enum { SIZE = 3 * 512 * PAGE };
    struct moat_manager *manager = create(MOAT_BACKEND_OS);
    void *base;

    ok(moat_reserve(manager, NULL, SIZE, RW, 0, &base));
    inject_fail_from(INJECT_MPROTECT, 1, ENOMEM);
    inject_fail_from(INJECT_MADVISE, 2, ENOMEM);
    cr_assert_neq(moat_commit(manager, base, PAGE, RW, NULL), MOAT_OK);
    inject_clear();
    ok(moat_commit(manager, base, SIZE, RW, NULL));
    memset(base, 'x', SIZE);
    ok(moat_release(manager, base));
    moat_manager_destroy(manager);
}

/* What it could not give back belongs to nobody, the next manager least of all. */
Test(vm_backend, a_region_left_behind_has_no_heir) {
    struct moat_manager *manager = create(MOAT_BACKEND_OS);
    struct moat_page_info info;
    void *base;

    ok(moat_reserve(manager, NULL, PAGES * PAGE, RW, MOAT_RESERVE_COMMIT, &base));
    inject_fail_from(INJECT_MPROTECT, 1, ENOMEM);
    inject_fail_from(INJECT_MADVISE, 1, ENOMEM);
    moat_manager_destroy(manager);
    inject_clear();
    for (int i = 0; i < 4; i++) {
        struct moat_manager *next = create(MOAT_BACKEND_OS);
        ok(moat_query(base, &info));
        cr_assert_neq(info.owner, next);
        cr_assert_eq(moat_release(next, base), MOAT_NOT_OURS);
        cr_assert_eq(moat_decommit(next, base, 0), MOAT_NOT_OURS);
        moat_manager_destroy(next);
    }
}
