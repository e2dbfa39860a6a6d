/* SPDX-License-Identifier: MIT */
/*
 * The arrays of the table: where they are as large as a huge page they begin with one and are asked
 * for as such, and a kernel that has none to give costs time and nothing else.
 */
#define _GNU_SOURCE
#include "region/registry.h"
#include "support/inject.h"

#include <moat/moat.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/mman.h>

/* More than 2.5 for each of the 2^14 lines of the last array that is smaller. */
enum { SIZE = 65536, REGIONS = 42000 };

TestSuite(region_table, .fini = inject_clear, .timeout = 300);

/* The kernel answers this, and does nothing. */
static void grown_without_huge_pages(int error) {
    struct moat_manager *manager;
    static void *base[REGIONS];

    cr_assert_eq(moat_manager_create(NULL, &manager), MOAT_OK);
    inject_only(INJECT_MADVISE, MADV_HUGEPAGE);
    inject_fail_from(INJECT_MADVISE, 1, error);
    for (unsigned i = 0; i < REGIONS; i++)
        cr_assert_eq(moat_reserve(manager, NULL, SIZE, MOAT_PAGE_READWRITE, 0, &base[i]), MOAT_OK);
    cr_assert_geq(inject_count(INJECT_MADVISE), 1);

    const struct moat_region_table *table = moat_registry()->table;
    cr_assert_eq(moat_region_table_lines_log2(table), 15u);
    cr_assert_eq((uintptr_t)moat_region_table_lines(table->current) % MOAT_OS_LARGE_PAGE, 0u);
    for (unsigned i = 0; i < REGIONS; i++)
        cr_assert_eq(moat_release(manager, base[i]), MOAT_OK, "region %u is lost", i);
}

Test(region_table, large_arrays_ask_for_huge_pages) {
    grown_without_huge_pages(0);
}

Test(region_table, a_kernel_that_has_none_changes_nothing) {
    grown_without_huge_pages(EINVAL);
}
