/* SPDX-License-Identifier: MIT */
/*
 * vm_residency: locking, unlocking, undoing a reset and discarding while the kernel refuses, on
 * both rungs. What failed has changed nothing, says why, and succeeds when asked again.
 */
#define _GNU_SOURCE
#include "support/inject.h"
#include "vm/facts.h"

#include <moat/residency.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

enum { PAGES = 20, RW = MOAT_PAGE_READWRITE, RO = MOAT_PAGE_READONLY, PATTERN = 0x5A };

static struct moat_manager *manager;
static unsigned char *base;
static struct facts before, after;

static void ok(enum moat_status status) {
    cr_assert_eq(status, MOAT_OK, "%s: %s", moat_status_describe(status)->name,
                 moat_last_error_text());
}

static void set_up(enum moat_trap trap) {
    struct moat_options options;
    void *made;
    moat_options_init(&options);
    options.trap = trap;
    ok(moat_manager_create(&options, &manager));
    ok(moat_reserve(manager, NULL, PAGES * PAGE, RW, MOAT_RESERVE_COMMIT, &made));
    base = made;
    memset(base, PATTERN, PAGES * PAGE);
    facts_take(&before, manager, (uintptr_t)base, PAGES);
}

static void check_unchanged(void) {
    inject_clear();
    cr_assert_neq(moat_last_error_text()[0], '\0');
    facts_take(&after, manager, (uintptr_t)base, PAGES);
    cr_assert(facts_same(&before, &after));
}

TestSuite(vm_residency, .fini = inject_clear);

Test(vm_residency, a_refused_lock_leaves_nothing_locked) {
    static const struct {
        int error;
        enum moat_status status;
    } cases[] = {{ENOMEM, MOAT_LOCK_LIMIT}, {EPERM, MOAT_LOCK_LIMIT}, {EAGAIN, MOAT_NO_MEMORY}};
    set_up(MOAT_TRAP_AUTO);
    ok(moat_lock_pages(NULL, base + 5 * PAGE, PAGE));
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        inject_fail(INJECT_MLOCK, 1, cases[i].error);
        inject_fail(INJECT_MUNLOCK, 1, 0); /* counted, and not made */
        cr_assert_eq(moat_lock_pages(NULL, base, 10 * PAGE), cases[i].status, "errno %d",
                     cases[i].error);
        cr_assert_eq(inject_count(INJECT_MUNLOCK), 2, "all but the page that was locked before");
        check_unchanged();
        cr_assert_eq(moat_unlock_pages(NULL, base, PAGE), MOAT_NOT_LOCKED);
    }
    ok(moat_unlock_pages(NULL, base + 5 * PAGE, PAGE));
    ok(moat_lock_pages(NULL, base, 10 * PAGE));
    ok(moat_unlock_pages(NULL, base, 10 * PAGE));
}

Test(vm_residency, a_refused_unlock_leaves_all_locked) {
    set_up(MOAT_TRAP_AUTO);
    ok(moat_lock_pages(NULL, base, 10 * PAGE));
    inject_fail(INJECT_MUNLOCK, 1, ENOMEM);
    inject_fail(INJECT_MLOCK, 1, 0);
    cr_assert_eq(moat_unlock_pages(NULL, base, 4 * PAGE), MOAT_NO_MEMORY);
    cr_assert_eq(inject_count(INJECT_MLOCK), 1, "what the call may have unlocked");
    check_unchanged();
    ok(moat_unlock_pages(NULL, base, 10 * PAGE));
}

static void refuse_decommits(enum moat_trap trap) {
    set_up(trap);
    ok(moat_lock_pages(NULL, base, 10 * PAGE));
    inject_fail(INJECT_MUNLOCK, 1, ENOMEM);
    cr_assert_eq(moat_decommit(manager, base + 2 * PAGE, 4 * PAGE), MOAT_NO_MEMORY);
    check_unchanged();
    ok(moat_unlock_pages(NULL, base, PAGE));
    ok(moat_lock_pages(NULL, base, PAGE));
    inject_fail(INJECT_MUNLOCK, 1, ENOMEM);
    cr_assert_eq(moat_release(manager, base), MOAT_NO_MEMORY);
    check_unchanged();
    ok(moat_decommit(manager, base + 2 * PAGE, 4 * PAGE));
    ok(moat_release(manager, base));
}

Test(vm_residency, pages_that_cannot_be_unlocked_are_not_decommitted) {
    refuse_decommits(MOAT_TRAP_AUTO);
}

Test(vm_residency, pages_that_cannot_be_unlocked_are_not_decommitted_by_protection) {
    refuse_decommits(MOAT_TRAP_PROTECT);
}

Test(vm_residency, an_undo_that_may_not_look_changes_nothing) {
    set_up(MOAT_TRAP_AUTO);
    ok(moat_commit(manager, base + 3 * PAGE, 2 * PAGE, RO, NULL));
    facts_take(&before, manager, (uintptr_t)base, PAGES);
    ok(moat_reset(manager, base, PAGES * PAGE, RW, NULL));
    inject_fail(INJECT_MPROTECT, 1, ENOMEM);
    cr_assert_eq(moat_reset_undo(manager, base, PAGES * PAGE, RW, NULL), MOAT_NO_MEMORY);
    check_unchanged();
    ok(moat_reset_undo(manager, base, PAGES * PAGE, RW, NULL));
    /* Refused afterwards, the rights stay, and a query says so; the next protect takes them. */
    inject_fail(INJECT_MPROTECT, 2, ENOMEM);
    cr_assert_eq(moat_reset_undo(manager, base, PAGES * PAGE, RW, NULL), MOAT_NO_MEMORY);
    inject_clear();
    struct moat_page_info info;
    ok(moat_query(base + 3 * PAGE, &info));
    cr_assert_eq(info.protection, RW);
    uint32_t old;
    ok(moat_protect(manager, base + 3 * PAGE, 2 * PAGE, RO, &old));
    cr_assert_eq(old, RW);
    facts_take(&after, manager, (uintptr_t)base, PAGES);
    cr_assert(facts_same(&before, &after));
}

Test(vm_residency, zeroes_that_cannot_be_looked_up_count_as_lost) {
    set_up(MOAT_TRAP_AUTO);
    memset(base + 7 * PAGE, 0, PAGE);
    ok(moat_reset_undo(manager, base, PAGES * PAGE, RW, NULL));
    inject_fail_from(INJECT_OPEN, 1, EMFILE);
    cr_assert_eq(moat_reset_undo(manager, base, PAGES * PAGE, RW, NULL), MOAT_CONTENT_LOST);
    cr_assert_eq(inject_count(INJECT_OPEN), 1);
    inject_clear();
    inject_fail(INJECT_OPEN, 1, ENOENT);
    ok(moat_reset_undo(manager, base, PAGES * PAGE, RW, NULL)); /* the other path */
    inject_clear();
    inject_fail(INJECT_READ, 1, EIO);
    cr_assert_eq(moat_reset_undo(manager, base, PAGES * PAGE, RW, NULL), MOAT_CONTENT_LOST);
    inject_fail(INJECT_READ, 1, 0);
    cr_assert_eq(moat_reset_undo(manager, base, PAGES * PAGE, RW, NULL), MOAT_CONTENT_LOST);
    inject_fail(INJECT_READ, 1, EINTR);
    ok(moat_reset_undo(manager, base, PAGES * PAGE, RW, NULL));
    cr_assert_eq(inject_count(INJECT_READ), 2);
}

Test(vm_residency, a_refused_discard_says_so) {
    set_up(MOAT_TRAP_AUTO);
    inject_fail_from(INJECT_MADVISE, 1, ENOMEM);
    cr_assert_eq(moat_discard(manager, base, 4 * PAGE), MOAT_NO_MEMORY);
    check_unchanged();
    ok(moat_discard(manager, base, 4 * PAGE));
    cr_assert_eq(base[0], 0);
}
