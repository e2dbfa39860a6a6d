/* SPDX-License-Identifier: MIT */
/*
 * vm_retain: memory that a release would keep while the kernel refuses: rights to be taken or
 * given, a mapping of its own, markers where it is given back. A release succeeds all the same,
 * traps, and what comes to lie there reads as zero.
 */
#define _GNU_SOURCE
#include "os/os.h"
#include "region/retain.h"
#include "support/inject.h"
#include "support/keeps.h"

#include <moat/moat.h>
#include <moat/space.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum { SIZE = 65536, PAGE = MOAT_PAGE_BYTES, LIVE = 6, WARM = 200, RW = MOAT_PAGE_READWRITE };

TestSuite(vm_retain_calls, .fini = inject_clear);

static struct moat_manager *manager;

static struct moat_stats stats(void) {
    struct moat_stats stats;
    cr_assert_eq(moat_stats_read(manager, &stats), MOAT_OK);
    return stats;
}

static bool traps(const unsigned char *base) {
    for (size_t at = 0; at < SIZE; at += PAGE)
        if (moat_os_look(base + at) == MOAT_OS_LOOK_READABLE)
            return false;
    return true;
}

/* NULL: the reserve itself was refused. */
static unsigned char *come(void) {
    void *base;
    enum moat_status status = moat_reserve(manager, NULL, SIZE, RW, MOAT_RESERVE_COMMIT, &base);
    if (status)
        return NULL;
    for (size_t at = 0; at < SIZE; at++)
        cr_assert_eq(((unsigned char *)base)[at], 0, "byte %zu", at);
    memset(base, 'x', SIZE);
    return base;
}

static unsigned char *last[LIVE]; /* that were released */

static void lives(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        for (unsigned j = 0; j < LIVE; j++)
            last[j] = come();
        for (unsigned j = 0; j < LIVE; j++)
            if (last[j]) {
                cr_assert_eq(moat_release(manager, last[j]), MOAT_OK, "%s", moat_last_error_text());
                cr_assert(traps(last[j]));
            }
    }
}

static void begin(const char *text) {
    struct moat_options options;
    moat_options_init(&options);
    cr_assert_eq(moat_options_parse(&options, text, NULL, 0), MOAT_OK);
    cr_assert_eq(moat_manager_create(&options, &manager), MOAT_OK, "%s", moat_last_error_text());
    lives(WARM / LIVE);
    if (!memory_can_be_kept())
        cr_skip("no memory can be retained here");
    cr_assert_gt(stats().retained_bytes, 0u);
}

/* Each call of a kind alone, and all from it on, while regions come and go, and all is given
 * back. */
static void refuse_each(enum inject_kind kind, long argument, int error) {
    for (int nth = 1; nth < 25; nth++)
        for (int on = 0; on < 2; on++) {
            lives(2);
            inject_only(kind, argument);
            if (on)
                inject_fail_from(kind, nth, error);
            else
                inject_fail(kind, nth, error);
            lives(3);
            (void)moat_retain_empty_all(false);
            cr_assert_eq(stats().retained_bytes, 0u, "the books follow what was tried");
            for (unsigned i = 0; i < LIVE; i++)
                cr_assert(!last[i] || traps(last[i]));
            lives(1);
            inject_clear();
            lives(2);
            cr_assert_eq(stats().bytes_committed, 0u);
            (void)moat_retain_empty_all(false);
            cr_assert_eq(stats().retained_bytes, 0u);
        }
    moat_manager_destroy(manager);
}

Test(vm_retain_calls, rights_are_not_taken) {
    begin("quarantine=0");
    refuse_each(INJECT_MPROTECT, PROT_NONE, ENOMEM);
}

Test(vm_retain_calls, rights_are_not_given) {
    begin("quarantine=0");
    refuse_each(INJECT_MPROTECT, PROT_READ | PROT_WRITE, ENOMEM);
}

Test(vm_retain_calls, no_mapping_of_its_own) {
    begin("quarantine=2");
    refuse_each(INJECT_MADVISE, MADV_RANDOM, EAGAIN);
}

Test(vm_retain_calls, no_part_of_its_neighbours_again) {
    begin("quarantine=2");
    refuse_each(INJECT_MADVISE, MADV_NORMAL, EAGAIN);
}

Test(vm_retain_calls, no_markers) {
    begin("quarantine=2,retain=256K");
    refuse_each(INJECT_MADVISE, 102, ENOMEM);
}

Test(vm_retain_calls, no_content_dropped) {
    begin("quarantine=2,retain=256K");
    refuse_each(INJECT_MADVISE, MADV_DONTNEED, EINVAL);
}
