/* SPDX-License-Identifier: MIT */
/*
 * What Moat costs in memory, before anything was reserved and for each region that lives. Page
 * tables are the kernel's and not counted, nor are pages of the library's file, which all processes
 * share.
 */
#include "region/books.h"
#include "region/powers.h"
#include "region/registry.h"
#include "region/spare.h"
#include "support/regions.h"
#include "support/shadow.h"

#include <criterion/criterion.h>
#include <stdbool.h>

enum { START_KIB_MAX = 100, REGION_BYTES_MAX = 200, ENTRY_BYTES_MAX = 64 };

/* Random places lie in one node of the index more or less: pages that are begun, however few
 * entries there are. */
enum { BEGUN_PAGES = 4 };

TestSuite(vm_cost, .timeout = 900);

/* What this process has that is in no file, in KiB. */
static size_t own_kib(void) {
    if (SHADOWED)
        cr_skip_test("a sanitizer's memory would be counted");
    size_t kib = smaps_sum((void *)0, SIZE_MAX, "Anonymous:");
    if (kib == SIZE_MAX)
        cr_skip_test("no /proc/self/smaps");
    return kib;
}

/* Resident bytes of the book that an address is in. */
static size_t resident(const void *book) {
    uintptr_t from, to;
    cr_assert(moat_books_contain((uintptr_t)book, &from, &to));
    return smaps_sum((void *)from, to - from, "Rss:") * 1024;
}

Test(vm_cost, a_manager_is_small_before_its_first_call) {
    (void)own_kib(); /* what reading costs, stdio has from now on */
    size_t before = own_kib();
    struct moat_manager *manager = manager_with("");
    size_t after = own_kib();
    cr_assert_not_null(manager);
    cr_assert_leq(after - before, (size_t)START_KIB_MAX, "%zu KiB", after - before);
}

/* Books that are opened as a whole are not touched as a whole: not by the next managers either. */
Test(vm_cost, more_managers_cost_their_pages) {
    enum { MANAGERS = 32, KIB_EACH = 16 };
    (void)own_kib();
    (void)manager_with("");
    size_t before = own_kib();
    for (unsigned i = 0; i < MANAGERS; i++)
        (void)manager_with("");
    cr_assert_leq(own_kib() - before, (size_t)MANAGERS * KIB_EACH);
}

/* Bytes of table and index. */
static size_t entries(void) {
    const struct moat_registry *registry = moat_registry();
    return resident(registry->table_storage) + resident(registry->nodes) +
           resident(registry->directory);
}

/* Of so many regions of 64 KiB after the first, bytes for each: of all that was touched for them,
 * and of table and index. */
static void expect_small(size_t count) {
    struct moat_manager *manager = manager_with("");
    (void)reserved(manager, GRANULE, false);
    size_t own_before = own_kib(), entries_before = entries();
    for (size_t i = 0; i < count; i++)
        (void)reserved(manager, GRANULE, false);
    size_t all = (own_kib() - own_before) * 1024 / count;
    size_t entry_bytes = entries() - entries_before;
    size_t entry = entry_bytes / count;
    cr_log_info("%zu regions: %zu bytes each, of these %zu in table and index", count, all, entry);
    cr_assert_leq(all, (size_t)REGION_BYTES_MAX, "%zu regions: %zu", count, all);
    cr_assert_leq(entry_bytes, count * ENTRY_BYTES_MAX + BEGUN_PAGES * PAGE, "%zu regions: %zu",
                  count, entry);
}

Test(vm_cost, a_thousand_regions) {
    expect_small(1000);
}

Test(vm_cost, as_many_regions_as_there_were_addresses_in_the_8086) {
    expect_small(64 << 10);
}

Test(vm_cost, a_million_regions) {
    expect_small(1 << 20);
}

/* Mappings to let go are there as soon as something may need them, and not before. */
Test(vm_cost, nothing_is_spared_before_it_can_be_needed) {
    struct moat_manager *manager = manager_with("");
    cr_assert_eq(moat_spare_count(), 0u);
    (void)reserved(manager, GRANULE, true);
    if (!moat_powers()->guard_markers)
        cr_assert_eq(moat_spare_count(), 2 * MOAT_SPARE_PAGES);
    else
        cr_assert_eq(moat_spare_count(), 2 * MOAT_SPARE_STEP, "with the first block");
}

Test(vm_cost, an_arena_of_protected_pages_has_all_spare_mappings) {
    struct moat_manager *manager = manager_with("trap=protect");
    (void)reserved(manager, PAGE, false);
    cr_assert_eq(moat_spare_count(), 2 * MOAT_SPARE_PAGES);
}

Test(vm_cost, a_region_that_stands_alone_has_all_spare_mappings) {
    struct moat_manager *manager = manager_with("");
    (void)reserved(manager, (size_t)512 << 20, false);
    cr_assert_eq(moat_spare_count(), 2 * MOAT_SPARE_PAGES);
}

Test(vm_cost, blocks_add_up_to_all_spare_mappings) {
    enum { BLOCKS = MOAT_SPARE_PAGES / MOAT_SPARE_STEP };
    struct moat_manager *manager = manager_with("");
    for (unsigned i = 0; i < BLOCKS; i++)
        (void)reserved(manager, BLOCK - GRANULE, true);
    cr_assert_eq(moat_spare_count(), 2 * MOAT_SPARE_PAGES);
}
