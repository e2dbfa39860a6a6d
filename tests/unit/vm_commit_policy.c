/* SPDX-License-Identifier: MIT */
/*
 * vm_commit_policy: when committed pages get their memory, and in pages of which size.
 *
 * Could fail by faulting on pages that were to be there, by supplying pages that are not to be, by
 * calling them written, by a guard that lies in a huge page, and by mappings that are split.
 */
#define _GNU_SOURCE
#include "support/regions.h"
#include "support/smaps.h"
#include "support/watched.h"

#include "base/align.h"
#include "os/os.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum { RW = MOAT_PAGE_READWRITE, RO = MOAT_PAGE_READONLY, PAGES = 300, REGIONS = 64 };

static const char *const populating[RUNGS] = {"trap=auto,commit=populate,quarantine=0",
                                              "trap=protect,commit=populate,quarantine=0"};
static const char *const huge[RUNGS] = {"trap=auto,commit=huge", "trap=protect,commit=huge"};

static void commit(struct moat_manager *manager, void *start, size_t size, uint32_t protection) {
    cr_assert_eq(moat_commit(manager, start, size, protection, NULL), MOAT_OK, "%s",
                 moat_last_error_text());
}

static void decommit(struct moat_manager *manager, void *start, size_t size) {
    cr_assert_eq(moat_decommit(manager, start, size), MOAT_OK, "%s", moat_last_error_text());
}

/* Faults that a write to each page of a range takes. */
static long faults_of(unsigned char *start, size_t size) {
    struct rusage before, after;

    getrusage(RUSAGE_THREAD, &before);
    for (size_t at = 0; at < size; at += PAGE)
        *(volatile unsigned char *)(start + at) = 1;
    getrusage(RUSAGE_THREAD, &after);
    return after.ru_minflt - before.ru_minflt;
}

/* Decommit and commit pages that were written: what AddressSanitizer notes of them beside them is
 * there from then on, and takes no more faults. */
static void renew(struct moat_manager *manager, unsigned char *start, size_t size) {
    (void)faults_of(start, size);
    decommit(manager, start, size);
    commit(manager, start, size, RW);
}

/* Pages of a range, 1024 at most, that have memory. */
static size_t present(void *start, size_t size) {
    unsigned char vector[1024];
    size_t count = 0;

    cr_assert_leq(size, sizeof vector * PAGE);
    cr_assert_eq(mincore(start, size, vector), 0);
    for (size_t i = 0; i < size / PAGE; i++)
        count += vector[i] & 1;
    return count;
}

static bool can_populate(void) {
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool can = moat_os_populate(page, PAGE) == 0;
    munmap(page, PAGE);
    return can;
}

Test(vm_commit_policy, lazy_pages_come_by_faults) {
    for (int rung = 0; rung < RUNGS; rung++) {
        struct moat_manager *manager = manager_with(rungs[rung]);
        unsigned char *base = reserved(manager, PAGES * PAGE, true);
        cr_assert_eq(present(base, PAGES * PAGE), (size_t)0);
        cr_assert_gt(faults_of(base, PAGES * PAGE), 0L);
        moat_manager_destroy(manager);
    }
}

Test(vm_commit_policy, populated_pages_take_no_fault) {
    if (!can_populate())
        cr_skip_test("this kernel does not populate");
    for (int rung = 0; rung < RUNGS; rung++) {
        struct moat_manager *manager = manager_with(populating[rung]);
        unsigned char *base = reserved(manager, PAGES * PAGE, true);
        cr_assert_eq(present(base, PAGES * PAGE), PAGES);
        cr_assert_eq(base[7 * PAGE], 0);
        renew(manager, base, PAGES * PAGE);
        cr_assert_eq(faults_of(base, PAGES * PAGE), 0L, "rung %d", rung);
        decommit(manager, base + 10 * PAGE, 100 * PAGE);
        base[9 * PAGE] = 7;
        commit(manager, base + 5 * PAGE, 50 * PAGE, RW);
        cr_assert_eq(base[9 * PAGE], 7, "what was committed keeps its content");
        cr_assert_eq(base[10 * PAGE], 0);
        cr_assert_eq(faults_of(base, 55 * PAGE), 0L, "again, rung %d", rung);
        cr_assert(page_is(base + 55 * PAGE, false, false));
        moat_manager_destroy(manager);
    }
}

Test(vm_commit_policy, whole_blocks_are_populated) {
    if (!can_populate())
        cr_skip_test("this kernel does not populate");
    for (int rung = 0; rung < RUNGS; rung++) {
        struct moat_manager *manager = manager_with(populating[rung]);
        unsigned char *base = reserved(manager, 3 * BLOCK + PAGE, false);
        commit(manager, base + PAGE, 3 * BLOCK, RW);
        renew(manager, base + PAGE, 3 * BLOCK);
        cr_assert_eq(faults_of(base + PAGE, 3 * BLOCK), 0L, "rung %d", rung);
        cr_assert(page_is(base, false, false));
        moat_manager_destroy(manager);
    }
}

Test(vm_commit_policy, pages_that_cannot_be_written_are_not_populated) {
    static const uint32_t others[] = {RO, MOAT_PAGE_NOACCESS, RW | MOAT_PAGE_GUARD,
                                      MOAT_PAGE_EXECUTE_READ};
    for (int rung = 0; rung < RUNGS; rung++)
        for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
            struct moat_manager *manager = manager_with(populating[rung]);
            unsigned char *base = reserved(manager, PAGES * PAGE, false);
            commit(manager, base, PAGES * PAGE, others[i]);
            cr_assert_eq(present(base, PAGES * PAGE), (size_t)0, "%#x", others[i]);
            moat_manager_destroy(manager);
        }
}

Test(vm_commit_policy, populated_pages_are_not_called_written) {
    for (unsigned i = 0; i < WATCHES; i++) {
        char text[128];
        snprintf(text, sizeof text, "%s,commit=populate", watches[i]);
        struct moat_manager *manager = watching(text);
        unsigned char *base = watched(manager, PAGES * PAGE, true);
        cr_assert_eq(written(base, PAGES * PAGE, 0, NULL), (size_t)0, "%s", text);
        decommit(manager, base, 9 * PAGE);
        commit(manager, base, 9 * PAGE, RW);
        cr_assert_eq(written(base, PAGES * PAGE, 0, NULL), (size_t)0, "%s", text);
        base[3 * PAGE] = 1;
        cr_assert(only_written(base, PAGES * PAGE, base + 3 * PAGE));
        moat_manager_destroy(manager);
    }
}

/* Whether this machine gives huge pages to plain memory that asks for them; the control. */
static bool has_huge_pages(void) {
    unsigned char *plain =
        mmap(NULL, 3 * BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char *block = (unsigned char *)moat_round_up((uintptr_t)plain, BLOCK);
    cr_assert_neq((void *)plain, MAP_FAILED);
    bool advised = madvise(plain, 3 * BLOCK, MADV_HUGEPAGE) == 0;
    block[0] = 1;
    bool has = advised && smaps_sum(block, BLOCK, "AnonHugePages:") >= 2048;
    munmap(plain, 3 * BLOCK);
    return has;
}

/* KiB of huge pages once a byte in each block was written. */
static size_t huge_kib(unsigned char *base, size_t size) {
    for (size_t at = 0; at < size; at += BLOCK)
        *(volatile unsigned char *)(base + at) = 1;
    return smaps_sum(base, size, "AnonHugePages:");
}

static void check_guards(const unsigned char *base, size_t size) {
    cr_assert(page_is(base - PAGE, false, false));
    cr_assert(page_is(base + size, false, false));
}

Test(vm_commit_policy, bodies_get_huge_pages_and_guards_stay) {
    static const size_t sizes[] = {BLOCK, 2 * BLOCK, 5 * BLOCK + PAGE, 3 * BLOCK - PAGE};
    if (!has_huge_pages())
        cr_skip_test("no huge pages here");
    for (int rung = 0; rung < RUNGS; rung++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            struct moat_manager *manager = manager_with(huge[rung]);
            unsigned char *base = reserved(manager, sizes[i], true);
            cr_assert_eq((uintptr_t)base % BLOCK, (uintptr_t)0);
            size_t whole = sizes[i] / BLOCK * (BLOCK / 1024);
            cr_assert_eq(huge_kib(base, sizes[i]), whole, "%zu bytes, rung %d", sizes[i], rung);
            check_guards(base, sizes[i]);
            /* Touching all of it changes nothing of that. */
            memset(base, 1, sizes[i]);
            cr_assert_eq(smaps_sum(base, sizes[i], "AnonHugePages:"), whole);
            check_guards(base, sizes[i]);
            moat_manager_destroy(manager);
        }
}

Test(vm_commit_policy, regions_that_stand_alone_get_huge_pages) {
    const size_t size = ((size_t)256 << 20) + 3 * PAGE;
    if (!has_huge_pages())
        cr_skip_test("no huge pages here");
    for (int rung = 0; rung < RUNGS; rung++) {
        struct moat_manager *manager = manager_with(huge[rung]);
        unsigned char *base = reserved(manager, size, false);
        cr_assert_eq((uintptr_t)base % BLOCK, (uintptr_t)0);
        commit(manager, base, 2 * BLOCK, RW);
        cr_assert_eq(huge_kib(base, 2 * BLOCK), (size_t)4096, "rung %d", rung);
        check_guards(base, size);
        cr_assert(page_is(base + 2 * BLOCK, false, false));
        moat_manager_destroy(manager);
    }
}

/* A page in the middle goes, and comes back: it alone traps, and it alone is empty. */
Test(vm_commit_policy, a_page_of_a_huge_one_can_be_decommitted) {
    if (!has_huge_pages())
        cr_skip_test("no huge pages here");
    for (int rung = 0; rung < RUNGS; rung++) {
        struct moat_manager *manager = manager_with(huge[rung]);
        unsigned char *base = reserved(manager, 4 * BLOCK, true);
        cr_assert_eq(huge_kib(base, 4 * BLOCK), (size_t)8192);
        memset(base, 5, 4 * BLOCK);
        decommit(manager, base + BLOCK + 77 * PAGE, PAGE);
        for (size_t page = 0; page < 1024; page++) {
            bool gone = page == 512 + 77;
            cr_assert(page_is(base + page * PAGE, !gone, !gone), "page %zu, rung %d", page, rung);
            cr_assert(gone || base[page * PAGE] == 0 || base[page * PAGE + 1] == 5);
        }
        cr_assert_geq(smaps_sum(base + 2 * BLOCK, 2 * BLOCK, "AnonHugePages:"), (size_t)4096,
                      "the other blocks stay as they are");
        commit(manager, base + BLOCK + 77 * PAGE, PAGE, RW);
        cr_assert_eq(base[BLOCK + 77 * PAGE + 1], 0);
        cr_assert_eq(base[BLOCK + 78 * PAGE + 1], 5);
        /* All of it anew: all of it huge. */
        decommit(manager, base, 4 * BLOCK);
        commit(manager, base, 4 * BLOCK, RW);
        cr_assert_eq(huge_kib(base, 4 * BLOCK), (size_t)8192, "rung %d", rung);
        moat_manager_destroy(manager);
    }
}

/* How many mappings there are more when so many regions of two blocks are. */
static long mappings_of(const char *options) {
    struct moat_manager *manager = manager_with(options);
    (void)reserved(manager, 2 * BLOCK, true);
    uint64_t before = moat_os_map_count();
    for (unsigned i = 0; i < REGIONS; i++)
        (void)reserved(manager, 2 * BLOCK, true);
    long more = (long)(moat_os_map_count() - before);
    moat_manager_destroy(manager);
    return more;
}

Test(vm_commit_policy, huge_pages_cost_no_mappings) {
    for (int rung = 0; rung < RUNGS; rung++) {
        char packed[2][96];
        snprintf(packed[0], sizeof packed[0], "%s,placing=packed", rungs[rung]);
        snprintf(packed[1], sizeof packed[1], "%s,placing=packed", huge[rung]);
        cr_assert_lt(mappings_of(packed[1]), mappings_of(packed[0]) + REGIONS / 4, "rung %d", rung);
    }
}

Test(vm_commit_policy, the_kernel_is_told_of_the_arena_alone) {
    struct moat_manager *first = manager_with("commit=lazy,quarantine=0");
    struct moat_manager *second = manager_with("commit=huge");
    struct moat_manager *third = manager_with("commit=huge");
    unsigned char *lazy = reserved(first, 4 * BLOCK, true);
    unsigned char *advised = reserved(second, 4 * BLOCK, true);
    unsigned char *beside = reserved(third, GRANULE, true);

    if (!smaps_flag(advised, "hg"))
        cr_skip_test("a kernel without huge pages");
    cr_assert(smaps_flag(beside, "hg"), "of one kind, and so in one arena");
    cr_assert_not(smaps_flag(lazy, "hg"));
    /* An address is an address. */
    void *base;
    cr_assert_eq(moat_release(first, lazy), MOAT_OK);
    cr_assert_eq(moat_reserve(second, lazy, BLOCK, RW, MOAT_RESERVE_COMMIT, &base), MOAT_OK);
    cr_assert_not(smaps_flag(base, "hg"));
    moat_manager_destroy(first);
    moat_manager_destroy(second);
    moat_manager_destroy(third);
}
