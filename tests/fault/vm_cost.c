/* SPDX-License-Identifier: MIT */
/*
 * vm_cost: how many system calls a start makes, and the life of a region. Nothing fails here: the
 * calls are counted where other tests of this kind make them fail.
 */
#define _GNU_SOURCE
#include "region/powers.h"
#include "support/inject.h"

#include <moat/moat.h>

#include <criterion/criterion.h>
#include <sched.h>
#include <sys/mman.h>

#define GUARD_INSTALL 102
#define GUARD_REMOVE  103

enum { SIZE = 65536, LIVES = 500, WARM = 5000 };

static const enum inject_kind every[] = {
    INJECT_MMAP,      INJECT_MUNMAP, INJECT_MPROTECT, INJECT_MADVISE, INJECT_MREMAP,
    INJECT_OPEN,      INJECT_READ,   INJECT_CLOSE,    INJECT_IOCTL,   INJECT_SYSCALL,
    INJECT_FTRUNCATE, INJECT_FCNTL,  INJECT_MLOCK,
};
enum { KINDS = sizeof every / sizeof every[0] };

TestSuite(vm_cost, .fini = inject_clear);

static void begin(void) {
    inject_clear();
    for (unsigned i = 0; i < KINDS; i++)
        inject_fail(every[i], 0, 0);
}

static int calls(void) {
    int sum = 0;
    for (unsigned i = 0; i < KINDS; i++)
        sum += inject_count(every[i]);
    return sum;
}

static void ok(enum moat_status status) {
    cr_assert_eq(status, MOAT_OK, "%s", moat_last_error_text());
}

/* What it was, and a few more: whoever needs more had better put it off until it is needed. */
Test(vm_cost, a_start_makes_few_calls) {
    struct moat_manager *manager;
    begin();
    ok(moat_manager_create(NULL, &manager));
    int start = calls();
    cr_log_info("a start makes %d calls", start);
    cr_assert_leq(start, 64);
    cr_assert_eq(inject_count(INJECT_OPEN), 0, "no file is opened");
    begin();
    ok(moat_manager_create(NULL, &manager));
    cr_assert_leq(calls(), 8, "the second one");
}

static void live(struct moat_manager *manager, unsigned lives) {
    void *base;
    for (unsigned i = 0; i < lives; i++) {
        ok(moat_reserve(manager, NULL, SIZE, MOAT_PAGE_READWRITE, 0, &base));
        ok(moat_commit(manager, base, SIZE, MOAT_PAGE_READWRITE, NULL));
        ok(moat_release(manager, base));
    }
}

/* One that takes the guard markers away, and one that puts them there again. */
Test(vm_cost, a_life_is_two_calls) {
    struct moat_manager *manager;
    cpu_set_t here;

    CPU_ZERO(&here);
    CPU_SET((unsigned)sched_getcpu(), &here);
    (void)sched_setaffinity(0, sizeof here, &here);
    ok(moat_manager_create(NULL, &manager));
    if (!moat_powers()->guard_markers)
        cr_skip_test("no guard markers");
    live(manager, WARM); /* all blocks that chance may choose are open then */
    begin();
    live(manager, LIVES);
    cr_assert_eq(calls() - inject_count(INJECT_IOCTL), 2 * LIVES);
    cr_assert_leq(inject_count(INJECT_IOCTL), LIVES / 32, "once in a while the kernel is asked");
    begin();
    inject_only(INJECT_MADVISE, GUARD_REMOVE);
    live(manager, LIVES);
    cr_assert_eq(inject_count(INJECT_MADVISE), LIVES);
    cr_assert_eq(calls() - inject_count(INJECT_IOCTL), LIVES,
                 "all else are markers that are installed");
}
