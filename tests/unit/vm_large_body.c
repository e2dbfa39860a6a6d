/* SPDX-License-Identifier: MIT */
/*
 * Regions of 256 KiB and more that are committed as they are reserved: they have blocks without
 * markers, and where they are used in full their memory moves on to the next one of that size.
 *
 * What may never happen is the same whatever way they go: content that is seen again, and pages
 * that do not trap once they were released.
 */
#define _GNU_SOURCE
#include "region/pages.h"
#include "region/powers.h"
#include "support/regions.h"
#include "support/shadow.h"
#include "support/touch.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KIB = 1024, CYCLES = 60 };

static struct moat_manager *manager;

static void start(void) {
    stay_on_one_processor();
    manager = manager_with("");
}

TestSuite(vm_large_body, .init = start);

static bool is_zero(const unsigned char *memory, size_t size) {
    return touch_all_bytes(memory, size, 0);
}

static void release(void *memory) {
    cr_assert_eq(moat_release(manager, memory), MOAT_OK, "%s", moat_last_error_text());
}

static bool traps(const unsigned char *from, size_t size) {
    for (size_t at = 0; at < size; at += PAGE)
        if (!page_is(from + at, false, false))
            return false;
    return true;
}

/* One region from birth to end, used from end to end. */
static void live(size_t size, unsigned char pattern) {
    unsigned char *memory = reserved(manager, size, true);

    cr_assert(is_zero(memory, size), "%zu KiB come with content", size / KIB);
    cr_assert(traps(memory - PAGE, PAGE), "before");
    cr_assert(traps(memory + size, PAGE), "behind");
    memset(memory, pattern, size);
    release(memory);
    cr_assert(traps(memory, size), "%zu KiB do not trap", size / KIB);
}

static long faults(void) {
    struct rusage usage;
    cr_assert_eq(getrusage(RUSAGE_THREAD, &usage), 0);
    return usage.ru_minflt;
}

static const size_t sizes[] = {256 * KIB,  320 * KIB,  512 * KIB,  1024 * KIB, 1088 * KIB,
                               2048 * KIB, 3072 * KIB, 4096 * KIB, 8192 * KIB};

Test(vm_large_body, memory_moves_on_without_its_content) {
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (unsigned cycle = 0; cycle < CYCLES; cycle++)
            live(sizes[i], (unsigned char)(cycle + 1));
        if (!moat_powers()->guard_markers || SHADOWED)
            continue;
        long before = faults();
        live(sizes[i], 0xFF);
        live(sizes[i], 0xFF);
        long pages = (long)(2 * sizes[i] / PAGE);
        cr_assert_lt(faults() - before, pages / 8, "%zu KiB were faulted in", sizes[i] / KIB);
    }
}

Test(vm_large_body, what_is_used_at_its_ends_is_dropped) {
    for (unsigned cycle = 0; cycle < CYCLES; cycle++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            unsigned char *memory = reserved(manager, sizes[i], true);
            cr_assert(is_zero(memory, sizes[i]));
            if (cycle % 7 < 4)
                memory[0] = memory[sizes[i] - 1] = 1;
            release(memory);
            cr_assert(traps(memory, sizes[i]));
        }
}

/* The rest of a block that automatic placement keeps out of can be had by who names it. */
Test(vm_large_body, neighbours_by_name_share_a_block) {
    unsigned char *memory = reserved(manager, 512 * KIB, true);
    unsigned char *rest = memory + 512 * KIB;
    void *got;

    memset(memory, 1, 512 * KIB);
    cr_assert_eq(moat_reserve(manager, rest, 3 * GRANULE, MOAT_PAGE_READWRITE, 0, &got), MOAT_OK,
                 "%s", moat_last_error_text());
    cr_assert_eq(got, rest);
    cr_assert(traps(rest, 3 * GRANULE));
    cr_assert_eq(moat_commit(manager, rest + PAGE, PAGE, MOAT_PAGE_READWRITE, NULL), MOAT_OK);
    rest[PAGE] = 2;
    cr_assert(traps(rest, PAGE) && traps(rest + 2 * PAGE, PAGE));
    release(memory);
    cr_assert(traps(memory, 512 * KIB));
    cr_assert_eq(rest[PAGE], 2);
    cr_assert_eq(moat_decommit(manager, rest + PAGE, PAGE), MOAT_OK);
    cr_assert(traps(rest, 3 * GRANULE));
    cr_assert_eq(moat_commit(manager, rest, 3 * GRANULE, MOAT_PAGE_READWRITE, NULL), MOAT_OK);
    cr_assert(is_zero(rest, 3 * GRANULE));
    release(rest);
    cr_assert(traps(rest, 3 * GRANULE));
}

Test(vm_large_body, parts_of_it_come_and_go) {
    for (unsigned cycle = 0; cycle < CYCLES; cycle++) {
        unsigned char *memory = reserved(manager, 1024 * KIB, true);
        cr_assert(is_zero(memory, 1024 * KIB));
        memset(memory, 3, 1024 * KIB);
        unsigned char *hole = memory + 64 * KIB;
        cr_assert_eq(moat_decommit(manager, hole, 2 * PAGE), MOAT_OK);
        cr_assert(traps(hole, 2 * PAGE));
        cr_assert_eq(hole[-1] + hole[2 * PAGE], 6);
        if (cycle % 2) {
            cr_assert_eq(moat_commit(manager, hole, 2 * PAGE, MOAT_PAGE_READWRITE, NULL), MOAT_OK);
            cr_assert(is_zero(hole, 2 * PAGE));
        }
        if (cycle % 3 == 0) {
            uint32_t old;
            cr_assert_eq(moat_protect(manager, memory, PAGE, MOAT_PAGE_READONLY, &old), MOAT_OK);
        }
        release(memory);
        cr_assert(traps(memory, 1024 * KIB));
    }
}

/* Many of them at once: when mappings would get scarce they have markers again. */
Test(vm_large_body, there_are_never_too_many_mappings) {
    size_t most = moat_powers_mappings() / 8;
    unsigned char *memory = NULL;

    if (!moat_powers()->guard_markers || most > 20000)
        cr_skip_test("without markers, or with no limit worth naming");
    for (size_t i = 0; i < most + 1000; i++)
        memory = reserved(manager, 256 * KIB, true);
    cr_assert_leq(moat_pages_bare(), most);
    memset(memory, 1, 256 * KIB);
    cr_assert(traps(memory - PAGE, PAGE) && traps(memory + 256 * KIB, PAGE));
    release(memory);
    cr_assert(traps(memory, 256 * KIB));
}

/* A child has what is stashed as well, and takes nothing from its parent by it. */
Test(vm_large_body, a_child_goes_on_alone) {
    for (unsigned cycle = 0; cycle < CYCLES; cycle++)
        live(1024 * KIB, 1);
    unsigned char *kept = reserved(manager, 1024 * KIB, true);
    memset(kept, 9, 1024 * KIB);
    pid_t child = fork();
    if (child == 0) {
        for (unsigned cycle = 0; cycle < CYCLES; cycle++)
            live(1024 * KIB, 2);
        memset(kept, 8, 1024 * KIB);
        release(kept);
        live(1024 * KIB, 2);
        _exit(0);
    }
    int status = 1;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    for (unsigned cycle = 0; cycle < 4; cycle++)
        live(1024 * KIB, 1);
    cr_assert(touch_all_bytes(kept, 1024 * KIB, 9));
}
