/* SPDX-License-Identifier: MIT */
/* vm_page: kernels whose pages are larger than those that Moat was built for, and smaller ones. */
#define _GNU_SOURCE
#include <moat/moat.h>
#include <moat/residency.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

static unsigned long page;

unsigned long __real_getauxval(unsigned long type);
unsigned long __wrap_getauxval(unsigned long type);

unsigned long __wrap_getauxval(unsigned long type) {
    return type == AT_PAGESZ && page != 0 ? page : __real_getauxval(type);
}

/* Nothing works there: each change of rights would be refused, or be for a neighbour as well. */
Test(vm_page, larger_ones_are_refused_in_words_that_help) {
    struct moat_manager *manager = NULL;
    struct moat_options options;
    char expected[256];

    moat_options_init(&options);
    for (page = 2 * MOAT_PAGE_SIZE; page <= 64 * MOAT_PAGE_SIZE; page *= 2) {
        cr_assert_eq(moat_manager_create(&options, &manager), MOAT_NOT_SUPPORTED);
        cr_assert_null(manager);
        (void)snprintf(expected, sizeof expected,
                       "create: the pages of this kernel are of %lu bytes, and this build of Moat "
                       "is for %lu; configure it with -DMOAT_PAGE_SIZE=%lu",
                       page, (unsigned long)MOAT_PAGE_SIZE, page);
        cr_assert_str_eq(moat_last_error_text(), expected);
        cr_assert_eq(moat_manager_default(&manager), MOAT_NOT_SUPPORTED);
    }
    page = 0;
    cr_assert_eq(moat_manager_create(&options, &manager), MOAT_OK, "%s", moat_last_error_text());
    moat_manager_destroy(manager);
}

/* Such a kernel is asked for several at a time; it cannot tell of parts of a page. */
Test(vm_page, smaller_ones_will_do) {
    struct moat_manager *manager;
    struct moat_options options;
    void *base;

    if (getauxval(AT_PAGESZ) == MOAT_PAGE_SIZE)
        page = MOAT_PAGE_SIZE / 4;
    moat_options_init(&options);
    cr_assert_eq(moat_manager_create(&options, &manager), MOAT_OK, "%s", moat_last_error_text());
    cr_assert_eq(moat_reserve(manager, NULL, 5 * MOAT_PAGE_SIZE, MOAT_PAGE_READWRITE,
                              MOAT_RESERVE_COMMIT, &base),
                 MOAT_OK);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    moat_manager_destroy(manager);
}

/* The kernel drops pages of its own: the last one, here, of one of ours. */
Test(vm_page, a_part_of_a_page_that_is_gone_is_told) {
    const size_t part = (size_t)sysconf(_SC_PAGESIZE);
    struct moat_manager *manager;
    struct moat_options options;
    void *base, *start;

    moat_options_init(&options);
    cr_assert_eq(moat_manager_create(&options, &manager), MOAT_OK, "%s", moat_last_error_text());
    cr_assert_eq(moat_reserve(manager, NULL, MOAT_PAGE_SIZE, MOAT_PAGE_READWRITE,
                              MOAT_RESERVE_COMMIT, &base),
                 MOAT_OK);
    memset(base, 1, MOAT_PAGE_SIZE);
    cr_assert_eq(moat_reset(manager, base, MOAT_PAGE_SIZE, MOAT_PAGE_READWRITE, &start), MOAT_OK);
    cr_assert_eq(madvise((char *)base + MOAT_PAGE_SIZE - part, part, MADV_DONTNEED), 0);
    cr_assert_eq(moat_reset_undo(manager, base, MOAT_PAGE_SIZE, MOAT_PAGE_READWRITE, &start),
                 MOAT_CONTENT_LOST);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    moat_manager_destroy(manager);
}
