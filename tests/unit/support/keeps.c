/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "keeps.h"

#include "os/os.h"
#include "region/powers.h"
#include "region/retain_budget.h"
#include "region/watch.h"

#include <criterion/criterion.h>
#include <sys/mman.h>

/* What the tests would have kept at most. */
#define ENOUGH ((uint64_t)64 << 20)

enum { PAGES = 4, SIZE = PAGES * 4096 };

static void *mapped(void) {
    void *start = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(start, MAP_FAILED);
    return start;
}

/* Whether the kernel tells which pages were touched. */
static bool touch_is_told(void) {
    char *start = mapped();
    size_t held = 0;

    start[0] = start[SIZE - 1] = 1;
    int error = moat_watch_count((uintptr_t)start, (uintptr_t)start + SIZE, PAGES, &held);
    munmap(start, SIZE);
    return !error && held == 2;
}

bool memory_can_be_kept(void) {
    return moat_powers()->guard_markers && moat_retain_most(UINT64_MAX) >= ENOUGH &&
           touch_is_told();
}

bool memory_can_move(void) {
    if (!memory_can_be_kept() || moat_powers_lacking() || moat_os_strict_overcommit())
        return false;
    void *from = mapped(), *to = mapped();
    int error = moat_os_move(from, to, SIZE);
    munmap(from, SIZE);
    munmap(to, SIZE);
    return !error;
}
