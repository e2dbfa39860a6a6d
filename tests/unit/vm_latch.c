/* SPDX-License-Identifier: MIT */
/*
 * Corruption, by real causes: the call that meets it says so, every later one does nothing. Each
 * test ends its process with everything latched, which is why none shares one.
 */
#define _GNU_SOURCE
#include "region/region.h"
#include "region/registry.h"
#include "support/regions.h"

#include <moat/lock.h>
#include <moat/mscoree.h>
#include <moat/space.h>
#include <moat/win32.h>

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <string.h>
#include <sys/mman.h>

TestSuite(vm_latch, .init = cr_redirect_stderr, .timeout = 600);

static struct moat_manager *manager;
static unsigned char *base, *other;

static void scene(const char *options) {
    manager = manager_with(options);
    if (manager == NULL)
        cr_skip_test("this machine cannot do %s", options);
    base = reserved(manager, 16 * PAGE, true);
    other = reserved(manager, 16 * PAGE, true);
}

/* Every native call, and what it touched before. */
static void expect_nothing_is_done(void) {
    struct moat_page_info info;
    struct moat_stats stats;
    void *start;
    uint32_t old;

    other[0] = 42;
    cr_assert_eq(moat_reserve(manager, NULL, PAGE, MOAT_PAGE_READWRITE, 0, &start),
                 MOAT_UNAVAILABLE);
    cr_assert_null(start);
    cr_assert_eq(moat_commit(manager, other, PAGE, MOAT_PAGE_READONLY, NULL), MOAT_UNAVAILABLE);
    cr_assert_eq(moat_reset(manager, other, PAGE, MOAT_PAGE_READONLY, NULL), MOAT_UNAVAILABLE);
    cr_assert_eq(moat_protect(manager, other, PAGE, MOAT_PAGE_READONLY, &old), MOAT_UNAVAILABLE);
    cr_assert_eq(moat_decommit(manager, other, PAGE), MOAT_UNAVAILABLE);
    cr_assert_eq(moat_release(manager, other), MOAT_UNAVAILABLE);
    cr_assert_eq(moat_query(other, &info), MOAT_UNAVAILABLE);
    cr_assert_eq(moat_lock(manager, other), MOAT_UNAVAILABLE);
    cr_assert_eq(moat_unlock(manager, other), MOAT_UNAVAILABLE);
    cr_assert(strstr(moat_last_error_text(), "corruption was found before"));
    cr_assert_eq(moat_stats_read(manager, &stats), MOAT_OK, "counters can be read for a report");
    cr_assert_eq(other[0], 42);
    cr_assert_null(VirtualAlloc(NULL, PAGE, MEM_RESERVE, PAGE_NOACCESS));
    cr_assert_eq(GetLastError(), ERROR_INTERNAL_ERROR);
}

Test(vm_latch, pages_that_somebody_unmapped_are_found_by_a_release) {
    scene("trap=protect");
    cr_assert_eq(munmap(base + 4 * PAGE, PAGE), 0);
    cr_assert_eq(moat_release(manager, base), MOAT_CORRUPT);
    cr_assert(strstr(moat_last_error_text(), "not mapped: somebody unmapped them"), "%s",
              moat_last_error_text());
    expect_nothing_is_done();
}

Test(vm_latch, pages_that_somebody_unmapped_are_found_by_a_decommit) {
    scene("trap=auto");
    cr_assert_eq(munmap(base + 4 * PAGE, PAGE), 0);
    cr_assert_eq(moat_decommit(manager, base, 16 * PAGE), MOAT_CORRUPT);
    expect_nothing_is_done();
}

Test(vm_latch, pages_that_somebody_unmapped_are_found_by_a_commit) {
    scene("trap=auto");
    cr_assert_eq(moat_decommit(manager, base, 16 * PAGE), MOAT_OK);
    cr_assert_eq(munmap(base + 4 * PAGE, PAGE), 0);
    cr_assert_eq(moat_commit(manager, base, 16 * PAGE, MOAT_PAGE_READWRITE, NULL), MOAT_CORRUPT);
    expect_nothing_is_done();
}

Test(vm_latch, pages_that_somebody_unmapped_are_found_by_a_protect) {
    uint32_t old;
    scene("trap=auto");
    cr_assert_eq(munmap(base + 4 * PAGE, PAGE), 0);
    cr_assert_eq(moat_protect(manager, base, 16 * PAGE, MOAT_PAGE_READONLY, &old), MOAT_CORRUPT);
    expect_nothing_is_done();
}

/* A record that says what no region can be. */
static void corrupt_record(void) {
    struct moat_region_ref ref;
    cr_assert(moat_region_find_base((uintptr_t)base, &ref));
    atomic_store(&ref.region->size, UINT64_C(1) << 60);
}

Test(vm_latch, a_record_that_makes_no_sense_is_found_by_a_release) {
    scene("");
    corrupt_record();
    cr_assert_eq(moat_release(manager, base), MOAT_CORRUPT);
    cr_assert(strstr(moat_last_error_text(), "the record of a region was changed"), "%s",
              moat_last_error_text());
    expect_nothing_is_done();
}

Test(vm_latch, a_record_that_makes_no_sense_is_found_by_a_query) {
    struct moat_page_info info;
    scene("");
    corrupt_record();
    cr_assert_eq(moat_query(base, &info), MOAT_CORRUPT);
    expect_nothing_is_done();
}

Test(vm_latch, a_table_that_names_another_record_is_found) {
    struct moat_region_ref ref;
    scene("");
    cr_assert(moat_region_find_base((uintptr_t)base, &ref));
    atomic_store(&ref.region->base, (uintptr_t)other);
    atomic_store(&ref.region->span_start, (uintptr_t)other);
    atomic_store(&ref.region->span_end, (uintptr_t)other + 16 * PAGE);
    cr_assert_eq(moat_release(manager, base), MOAT_CORRUPT);
    expect_nothing_is_done();
}

/* The record says that the region is larger than all that is mapped: given back by its word, the
 * program itself would go. */
Test(vm_latch, the_end_of_a_manager_leaves_regions_alone) {
    scene("");
    other[0] = 42;
    corrupt_record();
    cr_assert_eq(moat_release(manager, base), MOAT_CORRUPT);
    moat_manager_destroy(manager);
    cr_assert_eq(other[0], 42);
    cr_assert_eq(moat_trim(NULL, 0, NULL), MOAT_UNAVAILABLE, "it was found only once");
}

Test(vm_latch, a_record_that_makes_no_sense_is_found_by_the_end_of_its_manager) {
    struct moat_manager *second = manager_with("");
    void *start;
    scene("");
    other[0] = 42;
    corrupt_record();
    moat_manager_destroy(manager);
    cr_assert_eq(other[0], 42, "what comes after it is left alone too");
    cr_assert_neq(moat_reserve(second, NULL, PAGE, MOAT_PAGE_READWRITE, 0, &start), MOAT_OK);
    cr_assert_eq(moat_reserve(second, NULL, PAGE, MOAT_PAGE_READWRITE, 0, &start),
                 MOAT_UNAVAILABLE);
}

Test(vm_latch, the_hosting_interface_says_fail_once_and_unavailable_ever_after) {
    IHostMemoryManager *host;
    MEMORY_BASIC_INFORMATION info;
    SIZE_T length = 7;
    void *memory;

    cr_assert_eq(moat_create_host_memory_manager(NULL, &host), S_OK);
    cr_assert_eq(host->lpVtbl->VirtualAlloc(host, NULL, 16 * PAGE, MEM_COMMIT, PAGE_READWRITE,
                                            eTaskCritical, &memory),
                 S_OK);
    cr_assert_eq(munmap((char *)memory + 4 * PAGE, PAGE), 0);
    cr_assert_eq(host->lpVtbl->VirtualFree(host, memory, 0, MEM_RELEASE), E_FAIL);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(host->lpVtbl->VirtualFree(host, memory, 0, MEM_RELEASE),
                     HOST_E_CLRNOTAVAILABLE);
        cr_assert_eq(GetLastError(), ERROR_INTERNAL_ERROR);
    }
    cr_assert_eq(host->lpVtbl->VirtualQuery(host, memory, &info, sizeof info, &length),
                 HOST_E_CLRNOTAVAILABLE);
    cr_assert_eq(length, 0);
}

Test(vm_latch, a_refusal_of_the_kernel_alone_is_no_corruption) {
    struct moat_page_info info;
    scene("trap=auto");
    /* Locked memory refuses markers, but it is all there. */
    if (mlock(base, 16 * PAGE) != 0)
        cr_skip_test("no memory may be locked here");
    cr_assert_eq(moat_decommit(manager, base, 16 * PAGE), MOAT_OK);
    cr_assert_eq(moat_query(base, &info), MOAT_OK);
}
