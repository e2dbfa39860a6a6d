/* SPDX-License-Identifier: MIT */
/*
 * region_books: sealing and protecting fail, or succeed without doing anything: the books work, and
 * what is not sealed is counted.
 */
#define _GNU_SOURCE
#include "region/books.h"

#include "region/powers.h"
#include "region/registry.h"
#include "support/inject.h"

#include <moat/moat.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_mseal
#define SYS_mseal 462
#endif

enum { PAGE = MOAT_PAGE_BYTES };

static void use(void) {
    struct moat_manager *manager;
    struct moat_stats stats;
    void *base;

    cr_assert_eq(moat_manager_create(NULL, &manager), MOAT_OK, "%s", moat_last_error_text());
    cr_assert_eq(moat_reserve(manager, NULL, PAGE, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT, &base),
                 MOAT_OK);
    *(char *)base = 1;
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    cr_assert_eq(moat_stats_read(manager, &stats), MOAT_OK);
    cr_assert_eq(stats.books_unsealed, moat_books_unsealed(), "a host can read it");
    moat_manager_destroy(manager);
}

TestSuite(region_books, .fini = inject_clear);

Test(region_books, a_kernel_without_the_call_seals_nothing_and_that_is_counted) {
    inject_only(INJECT_SYSCALL, SYS_mseal);
    inject_fail_from(INJECT_SYSCALL, 1, ENOSYS);
    use();
    cr_assert_not(moat_powers()->seal);
    cr_assert_eq(inject_count(INJECT_SYSCALL), 1, "asked once");
    cr_assert_gt(moat_books_unsealed(), UINT64_C(8));
    inject_clear();
    cr_assert_eq(mprotect(moat_registry()->records, PAGE, PROT_READ | PROT_WRITE), 0);
}

static void need_seals(void) {
    if (syscall(SYS_mseal, 0, 0, 0) != 0)
        cr_skip_test("this kernel does not seal (mseal, Linux 6.10)");
}

Test(region_books, each_refusal_is_counted) {
    need_seals();
    inject_only(INJECT_SYSCALL, SYS_mseal);
    inject_fail_from(INJECT_SYSCALL, 2, ENOMEM);
    use();
    cr_assert(moat_powers()->seal);
    cr_assert_eq(moat_books_unsealed(), (uint64_t)inject_count(INJECT_SYSCALL) - 1);
}

Test(region_books, one_refusal_is_counted) {
    need_seals();
    inject_only(INJECT_SYSCALL, SYS_mseal);
    inject_fail(INJECT_SYSCALL, 5, ENOMEM);
    use();
    cr_assert_eq(moat_books_unsealed(), UINT64_C(1));
}

Test(region_books, success_without_effect_is_found_out) {
    inject_only(INJECT_SYSCALL, SYS_mseal);
    inject_fail_from(INJECT_SYSCALL, 1, 0);
    use();
    cr_assert_eq(moat_books_unsealed(), (uint64_t)inject_count(INJECT_SYSCALL) - 1);
}

Test(region_books, constants_that_cannot_be_protected_are_counted) {
    need_seals();
    inject_only(INJECT_MPROTECT, PROT_READ);
    inject_fail_from(INJECT_MPROTECT, 1, ENOMEM);
    use();
    cr_assert_geq(moat_books_unsealed(), UINT64_C(1));
    inject_clear();
    cr_assert_eq(mprotect(&moat_registry_page, PAGE, PROT_READ), 0, "nor was it sealed");
}

/* Chance comes from nowhere: then the kernel has the choice; and the seed of the table is missing,
 * without which nothing starts. */
Test(region_books, without_chance_nothing_starts) {
    struct moat_manager *manager;
    inject_only(INJECT_SYSCALL, SYS_getrandom);
    inject_fail_from(INJECT_SYSCALL, 1, ENOSYS);
    inject_fail_from(INJECT_OPEN, 1, ENOENT);
    cr_assert_eq(moat_manager_create(NULL, &manager), MOAT_NO_MEMORY);
    inject_clear();
    use();
}

Test(region_books, options_that_cannot_be_protected_are_counted_and_given_back) {
    struct moat_manager *manager, *next;
    use();
    uint64_t before = moat_books_unsealed();
    inject_only(INJECT_MPROTECT, PROT_READ);
    inject_fail_from(INJECT_MPROTECT, 1, ENOMEM);
    cr_assert_eq(moat_manager_create(NULL, &manager), MOAT_OK);
    cr_assert_eq(moat_books_unsealed(), before + 1);
    inject_clear();
    moat_manager_destroy(manager);
    cr_assert_eq(moat_manager_create(NULL, &next), MOAT_OK);
    cr_assert_eq(next, manager);
}

/* At the limit of mappings, for instance: a little memory is lost, and the next manager is another
 * one. */
Test(region_books, options_that_cannot_be_given_back_stay) {
    struct moat_manager *manager, *next;
    cr_assert_eq(moat_manager_create(NULL, &manager), MOAT_OK);
    inject_only(INJECT_MPROTECT, PROT_READ | PROT_WRITE);
    inject_fail_from(INJECT_MPROTECT, 1, ENOMEM);
    moat_manager_destroy(manager);
    inject_clear();
    cr_assert_eq(moat_manager_create(NULL, &next), MOAT_OK);
    cr_assert_neq(next, manager);
}
