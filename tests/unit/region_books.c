/* SPDX-License-Identifier: MIT */
/*
 * The books: where chance has them, and that neither their owner nor anybody else can take them
 * apart. Each test is a process of its own, in which the books are set up once.
 */
#define _GNU_SOURCE
#include "region/books.h"

#include "os/os.h"
#include "region/powers.h"
#include "region/registry.h"
#include "support/regions.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PARTS = 8 };

/* A page of each kind of book that is open. */
struct parts {
    void *part[PARTS];
};

static struct parts parts(void) {
    const struct moat_registry *registry = moat_registry();
    return (struct parts){{
        registry->table,
        registry->table_storage,
        registry->records,
        registry->extras,
        registry->births,
        registry->directory,
        registry->nodes,
        moat_books_take(PAGE),
    }};
}

/* With a region, so that whatever opens with the first one is open. */
static void start(void) {
    struct moat_manager *manager = manager_with("");
    (void)reserved(manager, PAGE, true);
}

TestSuite(region_books, .timeout = 600);

static void expect_refused(int result, const char *what, const void *where) {
    cr_assert_eq(result, -1, "%s at %p", what, where);
    cr_assert_eq(errno, EPERM, "%s at %p: errno %d", what, where, errno);
}

/* What nobody may do to a page that is sealed. */
static void expect_sealed(void *page) {
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;

    expect_refused(munmap(page, PAGE), "munmap", page);
    expect_refused(mprotect(page, PAGE, PROT_READ), "mprotect", page);
    expect_refused(mprotect(page, PAGE, PROT_READ | PROT_WRITE), "mprotect", page);
    expect_refused(mremap(page, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED ? -1 : 0, "mremap",
                   page);
    expect_refused(mmap(page, PAGE, PROT_READ, flags, -1, 0) == MAP_FAILED ? -1 : 0, "mmap", page);
}

static void start_sealed(void) {
    start();
    if (!moat_powers()->seal)
        cr_skip_test("this kernel does not seal (mseal, Linux 6.10)");
    cr_assert_eq(moat_books_unsealed(), UINT64_C(0));
}

Test(region_books, what_is_open_is_sealed) {
    start_sealed();
    struct parts open = parts();
    for (unsigned i = 0; i < PARTS; i++)
        expect_sealed((void *)((uintptr_t)open.part[i] / PAGE * PAGE));
}

Test(region_books, margins_are_sealed_and_cannot_be_emptied) {
    uintptr_t from, to;
    start_sealed();
    struct parts open = parts();
    for (unsigned i = 0; i < PARTS; i++) {
        cr_assert(moat_books_contain((uintptr_t)open.part[i], &from, &to));
        expect_sealed((void *)from);
        expect_sealed((void *)(to - PAGE));
        expect_refused(madvise((void *)from, PAGE, MADV_DONTNEED), "madvise", (void *)from);
    }
}

Test(region_books, the_page_of_constants_is_sealed_and_read_only) {
    start_sealed();
    cr_assert(page_is(&moat_registry_page, true, false));
    expect_sealed(&moat_registry_page);
    expect_refused(madvise(&moat_registry_page, PAGE, MADV_DONTNEED), "madvise",
                   &moat_registry_page);
}

/* Where nothing can be sealed it is read-only all the same. */
Test(region_books, the_page_of_constants_is_read_only) {
    cr_assert(page_is(&moat_registry_page, true, true), "not yet");
    start();
    cr_assert(page_is(&moat_registry_page, true, false));
    cr_assert_eq(memcmp(moat_registry()->table_seed, moat_registry()->table->seed,
                        sizeof moat_registry()->table_seed),
                 0);
}

/* Growth seals what it opens, step by step, up to more than one step of every array. */
Test(region_books, growth_is_sealed) {
    enum { REGIONS = 9000 };
    struct moat_manager *manager = manager_with("");
    start_sealed();
    for (unsigned i = 0; i < REGIONS; i++)
        (void)reserved(manager, PAGE, false);
    const struct moat_registry *registry = moat_registry();
    cr_assert_gt(moat_region_count_ever(), REGIONS);
    expect_sealed((void *)((uintptr_t)&registry->records[REGIONS] / PAGE * PAGE));
    expect_sealed((void *)((uintptr_t)&registry->extras[REGIONS] / PAGE * PAGE));
    cr_assert_eq(moat_books_unsealed(), UINT64_C(0));
}

Test(region_books, a_child_inherits_the_seals) {
    int state;
    start_sealed();
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        void *page = (void *)((uintptr_t)moat_registry()->records / PAGE * PAGE);
        _exit(munmap(page, PAGE) == -1 && errno == EPERM ? 0 : 1);
    }
    cr_assert_eq(waitpid(child, &state, 0), child);
    cr_assert(WIFEXITED(state) && WEXITSTATUS(state) == 0);
}

/* Where a process that forks off here has its books. */
static struct parts parts_of_a_child(void) {
    struct parts found;
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        start();
        found = parts();
        _exit(write(ends[1], &found, sizeof found) == sizeof found ? 0 : 1);
    }
    cr_assert_eq(read(ends[0], &found, sizeof found), (ssize_t)sizeof found);
    (void)waitpid(child, NULL, 0);
    return found;
}

/* Two processes whose mappings are the same until then: the kernel would put both at one place.
 * Equal by chance is one in 2^30 for each pair. */
Test(region_books, chance_has_where_each_part_lies) {
    if (moat_os_reserve_at((void *)0x300000000000, PAGE) != 0)
        cr_skip_test("only some addresses can be had here, as under ThreadSanitizer");
    struct parts one = parts_of_a_child(), other = parts_of_a_child();
    for (unsigned i = 0; i < PARTS; i++) {
        cr_assert_neq(one.part[i], other.part[i], "part %u", i);
        for (unsigned j = 0; j < i; j++) {
            if (j == 0 && i == 1)
                continue;
            intptr_t apart = (intptr_t)one.part[i] - (intptr_t)one.part[j];
            cr_assert_neq(apart, (intptr_t)other.part[i] - (intptr_t)other.part[j],
                          "%u tells where %u is", i, j);
        }
    }
}

/* 9 MiB of directory are open, and steps of 4096 records. Pieces are left out: what takes them
 * decides what it touches. */
Test(region_books, what_nobody_needed_yet_is_not_resident) {
    uintptr_t from, to;
    size_t resident = 0;

    start();
    struct parts open = parts();
    for (unsigned i = 0; i < PARTS - 1; i++) {
        cr_assert(moat_books_contain((uintptr_t)open.part[i], &from, &to));
        size_t kib = smaps_sum((void *)from, to - from, "Rss:");
        if (kib == SIZE_MAX)
            cr_skip_test("no /proc/self/smaps");
        resident += kib;
    }
    cr_assert_lt(resident, (size_t)128);
}
