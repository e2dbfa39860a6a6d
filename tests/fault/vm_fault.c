/* SPDX-License-Identifier: MIT */
/*
 * vm_fault: the kernel refuses to open a guard page, or to set a handler. A guard that cannot be
 * dropped stays armed and the access counts as a violation; a handler that cannot be set leaves
 * everything as it was.
 */
#define _GNU_SOURCE
#include "support/inject.h"

#include <moat/fault.h>
#include <moat/moat.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>

enum {
    PAGE = MOAT_PAGE_BYTES,
    RW = MOAT_PAGE_READWRITE,
    GUARDED = MOAT_PAGE_READWRITE | MOAT_PAGE_GUARD
};

static struct moat_manager *manager;
static unsigned char *base;
static unsigned told;
static sigjmp_buf escape;

static void count(const struct moat_fault *fault, void *context) {
    (void)fault;
    (void)context;
    told++;
}

static void jump(int number) {
    (void)number;
    siglongjmp(escape, 1);
}

static void set_up(void) {
    struct sigaction action = {.sa_handler = jump};
    void *made;
    cr_assert_eq(sigaction(SIGSEGV, &action, NULL), 0);
    cr_assert_eq(moat_manager_create(NULL, &manager), MOAT_OK);
    cr_assert_eq(moat_reserve(manager, NULL, 4 * PAGE, GUARDED, MOAT_RESERVE_COMMIT, &made),
                 MOAT_OK);
    base = made;
}

TestSuite(vm_fault, .init = set_up, .fini = inject_clear);

static bool touch(unsigned char *address) {
    if (sigsetjmp(escape, 1) != 0)
        return false;
    *(volatile unsigned char *)address = 1;
    return true;
}

static uint32_t protection_of(const void *address) {
    struct moat_page_info info;
    cr_assert_eq(moat_query(address, &info), MOAT_OK);
    return info.protection;
}

static uint64_t failures(void) {
    struct moat_stats stats;
    cr_assert_eq(moat_stats_read(manager, &stats), MOAT_OK);
    return stats.guard_failures;
}

Test(vm_fault, a_guard_that_cannot_be_dropped_stays_armed) {
    static const int errors[] = {ENOMEM, EACCES};
    for (unsigned i = 0; i < 2; i++) {
        uint64_t before = failures();
        inject_fail(INJECT_MPROTECT, 1, errors[i]);
        errno = 17;
        cr_assert_eq(moat_guard_fault(base), 0);
        cr_assert_eq(errno, 17);
        cr_assert_eq(inject_count(INJECT_MPROTECT), 1);
        cr_assert_eq(protection_of(base), GUARDED);
        cr_assert_eq(failures(), before + 1);
    }
    cr_assert_eq(moat_guard_fault(base), 1);
    cr_assert_eq(protection_of(base), RW);
}

Test(vm_fault, an_access_whose_guard_cannot_be_dropped_is_a_violation) {
    cr_assert_eq(moat_fault_handler_install(count, NULL), MOAT_OK);
    inject_fail_from(INJECT_MPROTECT, 1, ENOMEM);
    cr_assert_not(touch(base));
    cr_assert_eq(told, 0);
    cr_assert_eq(protection_of(base), GUARDED);
    inject_clear();
    cr_assert(touch(base));
    cr_assert_eq(told, 1);
}

Test(vm_fault, a_handler_that_cannot_be_set_changes_nothing) {
    inject_only(INJECT_SIGACTION, SIGSEGV);
    for (int nth = 1; nth <= 2; nth++) {
        inject_fail(INJECT_SIGACTION, nth, EINVAL);
        cr_assert_eq(moat_fault_handler_install(count, NULL), MOAT_NOT_SUPPORTED);
        cr_assert_eq(inject_count(INJECT_SIGACTION), nth);
        cr_assert_neq(moat_last_error_text()[0], '\0');
        cr_assert_eq(moat_fault_handler_remove(), MOAT_INVALID_ARGUMENT);
        inject_clear();
        inject_only(INJECT_SIGACTION, SIGSEGV);
        cr_assert_not(touch(base), "the handler of before");
        cr_assert_eq(told, 0);
    }
    for (unsigned i = 0; i < 10; i++) {
        cr_assert_eq(moat_fault_handler_install(count, NULL), MOAT_OK, "no place was lost");
        cr_assert_eq(moat_fault_handler_remove(), MOAT_OK);
    }
}

Test(vm_fault, a_handler_that_cannot_be_taken_away_passes_everything_on) {
    inject_only(INJECT_SIGACTION, SIGSEGV);
    for (int nth = 1; nth <= 2; nth++) {
        cr_assert_eq(moat_fault_handler_install(count, NULL), MOAT_OK);
        inject_fail(INJECT_SIGACTION, nth, EINVAL);
        cr_assert_eq(moat_fault_handler_remove(), MOAT_OK);
        inject_clear();
        inject_only(INJECT_SIGACTION, SIGSEGV);
        cr_assert_not(touch(base));
        cr_assert_eq(told, 0);
    }
    cr_assert_eq(moat_fault_handler_install(count, NULL), MOAT_OK);
    cr_assert(touch(base));
    cr_assert_eq(told, 1);
}

/* A reporter that cannot be set is none, and a manager that was to set it is none either. */
Test(vm_fault, a_reporter_that_cannot_be_set_changes_nothing) {
    struct moat_options options;
    struct moat_manager *made = manager;
    moat_options_init(&options);
    options.faults = MOAT_FAULTS_REPORT;
    inject_only(INJECT_SIGACTION, SIGSEGV);
    for (int nth = 1; nth <= 2; nth++) {
        inject_fail(INJECT_SIGACTION, nth, EINVAL);
        cr_assert_eq(moat_fault_reporter_install(NULL), MOAT_NOT_SUPPORTED);
        cr_assert_neq(moat_last_error_text()[0], '\0');
        cr_assert_eq(moat_fault_reporter_remove(), MOAT_INVALID_ARGUMENT);
        inject_fail(INJECT_SIGACTION, nth, EINVAL);
        cr_assert_eq(moat_manager_create(&options, &made), MOAT_NOT_SUPPORTED);
        cr_assert_null(made);
        cr_assert_eq(moat_fault_reporter_remove(), MOAT_INVALID_ARGUMENT);
    }
    inject_clear();
    cr_assert_not(touch(base), "the handler of before");
    cr_assert_eq(moat_fault_reporter_install(NULL), MOAT_OK);
    cr_assert_eq(moat_fault_reporter_remove(), MOAT_OK);
}

/* Whether our handler is the first one cannot be told: it is set once more, which does no harm. */
Test(vm_fault, handler_and_reporter_share_a_place) {
    inject_only(INJECT_SIGACTION, SIGSEGV);
    cr_assert_eq(moat_fault_reporter_install(NULL), MOAT_OK);
    inject_fail(INJECT_SIGACTION, 1, EINVAL);
    cr_assert_eq(moat_fault_handler_install(count, NULL), MOAT_OK);
    cr_assert(touch(base));
    cr_assert_eq(told, 1);
    inject_clear();
    for (unsigned i = 0; i < 10; i++) {
        cr_assert_eq(moat_fault_handler_remove(), MOAT_OK);
        cr_assert_eq(moat_fault_handler_install(count, NULL), MOAT_OK, "no place was lost");
    }
    cr_assert_eq(moat_fault_handler_remove(), MOAT_OK);
    cr_assert_eq(moat_fault_reporter_remove(), MOAT_OK);
}
