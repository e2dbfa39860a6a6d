/* SPDX-License-Identifier: MIT */
/*
 * vm_commit_policy: the calls that supply pages are refused, with every errno that they have. What
 * is a matter of speed is done without; where there is no memory the commit has changed nothing.
 */
#define _GNU_SOURCE
#include "support/inject.h"
#include "vm/facts.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum { PAGES = 1100, RW = MOAT_PAGE_READWRITE, PATTERN = 0x5A };

static const enum moat_trap rungs[] = {MOAT_TRAP_AUTO, MOAT_TRAP_PROTECT};
static struct moat_manager *manager;
static unsigned char *base;
static struct facts before, after;

static void ok(enum moat_status status) {
    cr_assert_eq(status, MOAT_OK, "%s: %s", moat_status_describe(status)->name,
                 moat_last_error_text());
}

static void set_up(enum moat_trap trap, enum moat_commit_policy policy) {
    struct moat_options options;
    void *made;

    moat_options_init(&options);
    options.trap = trap;
    options.commit = policy;
    options.quota_bytes = PAGES * PAGE;
    options.quarantine_regions = 0;
    ok(moat_manager_create(&options, &manager));
    ok(moat_reserve(manager, NULL, PAGES * PAGE, RW, 0, &made));
    base = made;
}

/* Pages in the middle are committed and hold something, some before them once did. */
static void fill(void) {
    ok(moat_commit(manager, base + 4 * PAGE, 20 * PAGE, RW, NULL));
    memset(base + 4 * PAGE, PATTERN, 20 * PAGE);
    ok(moat_decommit(manager, base + 4 * PAGE, 6 * PAGE));
    facts_take(&before, manager, (uintptr_t)base, PAGES);
}

static void check_unchanged(void) {
    facts_take(&after, manager, (uintptr_t)base, PAGES);
    cr_assert(facts_same(&before, &after));
    cr_assert(facts_agree(&before, &after));
}

TestSuite(vm_commit_policy, .fini = inject_clear);

Test(vm_commit_policy, where_there_is_no_memory_nothing_has_changed) {
    static const struct {
        int error;
        enum moat_status status;
    } cases[] = {{ENOMEM, MOAT_COMMIT_LIMIT},
                 {EFAULT, MOAT_COMMIT_LIMIT},
                 {EHWPOISON, MOAT_NO_MEMORY},
                 {EAGAIN, MOAT_NO_MEMORY},
                 {EINTR, MOAT_NO_MEMORY}};

    for (unsigned rung = 0; rung < 2; rung++) {
        set_up(rungs[rung], MOAT_COMMIT_POPULATE);
        fill();
        for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++)
            for (int nth = 1; nth <= 2; nth++) {
                inject_only(INJECT_MADVISE, MADV_POPULATE_WRITE);
                inject_fail_from(INJECT_MADVISE, nth, cases[i].error);
                cr_assert_eq(moat_commit(manager, base, PAGES * PAGE, RW, NULL), cases[i].status,
                             "errno %d", cases[i].error);
                cr_assert_geq(inject_count(INJECT_MADVISE), nth);
                inject_clear();
                cr_assert_neq(moat_last_error_text()[0], '\0');
                check_unchanged();
            }
        /* The quota was given back each time. */
        ok(moat_commit(manager, base, PAGES * PAGE, RW, NULL));
        cr_assert_eq(base[9 * PAGE], 0);
        cr_assert_eq(base[10 * PAGE], PATTERN);
        moat_manager_destroy(manager);
    }
}

/* What the commit did cannot be undone the usual way. Pages trap for all that, and nothing that has
 * content has lost it. */
Test(vm_commit_policy, an_undo_that_is_refused_is_done_otherwise) {
    set_up(MOAT_TRAP_PROTECT, MOAT_COMMIT_POPULATE);
    fill();
    inject_only(INJECT_MADVISE, MADV_POPULATE_WRITE);
    inject_fail(INJECT_MADVISE, 1, ENOMEM);
    inject_only(INJECT_MPROTECT, PROT_NONE);
    inject_fail_from(INJECT_MPROTECT, 1, ENOMEM);
    cr_assert_eq(moat_commit(manager, base, 30 * PAGE, RW, NULL), MOAT_COMMIT_LIMIT);
    inject_clear();
    facts_take(&after, manager, (uintptr_t)base, PAGES);
    cr_assert(facts_agree(&before, &after));
    cr_assert_not(after.pages[0].readable);
    ok(moat_commit(manager, base, PAGES * PAGE, RW, NULL));
    cr_assert_eq(base[0], 0);
    cr_assert_eq(base[10 * PAGE], PATTERN);
    moat_manager_destroy(manager);
}

Test(vm_commit_policy, a_reservation_without_memory_is_none) {
    for (unsigned rung = 0; rung < 2; rung++) {
        void *made = &made;

        set_up(rungs[rung], MOAT_COMMIT_POPULATE);
        facts_take(&before, manager, (uintptr_t)base, PAGES);
        inject_only(INJECT_MADVISE, MADV_POPULATE_WRITE);
        inject_fail_from(INJECT_MADVISE, 1, ENOMEM);
        cr_assert_eq(moat_reserve(manager, NULL, 20 * PAGE, RW, MOAT_RESERVE_COMMIT, &made),
                     MOAT_COMMIT_LIMIT);
        inject_clear();
        cr_assert_null(made);
        check_unchanged();
        moat_manager_destroy(manager);
    }
}

Test(vm_commit_policy, what_cannot_be_populated_comes_by_faults) {
    static const int errors[] = {EINVAL, EPERM, ENOSYS};

    for (unsigned rung = 0; rung < 2; rung++)
        for (unsigned i = 0; i < sizeof errors / sizeof errors[0]; i++) {
            unsigned char vector[PAGES];
            set_up(rungs[rung], MOAT_COMMIT_POPULATE);
            inject_only(INJECT_MADVISE, MADV_POPULATE_WRITE);
            inject_fail_from(INJECT_MADVISE, 1, errors[i]);
            ok(moat_commit(manager, base, PAGES * PAGE, RW, NULL));
            cr_assert_geq(inject_count(INJECT_MADVISE), 1);
            inject_clear();
            cr_assert_eq(mincore(base, PAGES * PAGE, vector), 0);
            for (unsigned page = 0; page < PAGES; page++)
                cr_assert_eq(vector[page] & 1, 0);
            memset(base, 1, PAGES * PAGE);
            moat_manager_destroy(manager);
        }
}

Test(vm_commit_policy, without_huge_pages_all_are_small) {
    static const int errors[] = {EINVAL, EPERM, ENOSYS, EAGAIN, ENOMEM};

    for (unsigned rung = 0; rung < 2; rung++)
        for (unsigned i = 0; i < sizeof errors / sizeof errors[0]; i++) {
            inject_only(INJECT_MADVISE, MADV_HUGEPAGE);
            inject_fail_from(INJECT_MADVISE, 1, errors[i]);
            set_up(rungs[rung], MOAT_COMMIT_HUGE);
            void *alone;
            ok(moat_reserve(manager, NULL, (size_t)300 << 20, RW, 0, &alone));
            cr_assert_geq(inject_count(INJECT_MADVISE), 1);
            inject_clear();
            ok(moat_commit(manager, base, 600 * PAGE, RW, NULL));
            ok(moat_commit(manager, alone, 100 * PAGE, RW, NULL));
            memset(base, 1, 600 * PAGE);
            memset(alone, 1, 100 * PAGE);
            moat_manager_destroy(manager);
        }
}
