/* SPDX-License-Identifier: MIT */
/*
 * query in a signal handler: it must answer, and answer the truth, at whatever instruction of Moat
 * the signal came.
 */
#define _GNU_SOURCE
#include "support/regions.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#define RW MOAT_PAGE_READWRITE

static struct moat_manager *manager;
static unsigned char *constant; /* a region that nobody changes */
static unsigned char *volatile moving;
static volatile sig_atomic_t asked, wrong;

static bool constant_is_right(void) {
    struct moat_page_info info;
    return moat_query(constant + GRANULE + 5, &info) == MOAT_OK &&
           info.base == constant + GRANULE && info.size == 2 * GRANULE &&
           info.state == MOAT_STATE_COMMITTED && info.protection == RW &&
           info.allocation_base == constant && info.owner == manager;
}

/* The region that the interrupted code works on: any state it goes through, and no other. */
static bool moving_is_possible(void) {
    unsigned char *base = moving;
    struct moat_page_info info;
    if (!base)
        return true;
    if (moat_query(base + PAGE, &info) != MOAT_OK || info.base != base + PAGE || info.size == 0)
        return false;
    if (info.state == MOAT_STATE_FREE)
        return !info.allocation_base && !info.owner;
    return info.owner == manager;
}

static void on_alarm(int signal) {
    int saved = errno;
    struct moat_page_info info;
    (void)signal;
    asked++;
    if (!constant_is_right() || !moving_is_possible())
        wrong++;
    if (moat_query(&info, &info) != MOAT_OK || info.state != MOAT_STATE_COMMITTED)
        wrong++; /* the stack, which the kernel is asked about */
    errno = saved;
}

static void work(void) {
    for (unsigned i = 0; i < 20; i++) {
        size_t size = (1 + i % 7) * 3 * GRANULE / 2;
        void *base;
        uint32_t old;
        cr_assert_eq(moat_reserve(manager, NULL, size, RW, 0, &base), MOAT_OK);
        moving = base;
        cr_assert_eq(moat_commit(manager, base, size, RW, NULL), MOAT_OK);
        cr_assert_eq(moat_protect(manager, base, PAGE, MOAT_PAGE_READONLY, &old), MOAT_OK);
        cr_assert_eq(moat_decommit(manager, base, size), MOAT_OK);
        cr_assert_eq(moat_release(manager, base), MOAT_OK);
    }
}

static void interrupt_all(const char *options) {
    manager = manager_with(options);
    if (!manager)
        return;
    constant = reserved(manager, 3 * GRANULE, true);
    asked = wrong = 0;
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
    cr_assert_eq(sigaction(SIGALRM, &action, NULL), 0);
    time_t end = time(NULL) + 3;
    cr_assert_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
    while (time(NULL) < end && asked < 3000)
        work();
    cr_assert_eq(setitimer(ITIMER_REAL, &never, NULL), 0);
    cr_assert_gt(asked, 100, "the handler did run");
    cr_assert_eq(wrong, 0, "%s: %d of %d", options, (int)wrong, (int)asked);
}

Test(vm_signal, query_while_the_thread_is_in_moat_with_markers, .timeout = 600) {
    interrupt_all("trap=auto");
}

Test(vm_signal, query_while_the_thread_is_in_moat_without, .timeout = 600) {
    interrupt_all("trap=protect");
}

/* What a crash handler does: ask about the address that was touched. */
static sigjmp_buf back;
static struct moat_page_info found;
static enum moat_status found_status;

static void on_fault(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)context;
    found_status = moat_query(info->si_addr, &found);
    siglongjmp(back, 1);
}

/* Page 0 is one of those touched, which UBSan would not let pass. */
__attribute__((no_sanitize("undefined"))) static void touch(const volatile unsigned char *address) {
    found = (struct moat_page_info){0};
    if (sigsetjmp(back, 1) == 0) {
        (void)*address;
        cr_assert_fail("%p did not trap", (const void *)(uintptr_t)address);
    }
    cr_assert_eq(found_status, MOAT_OK);
}

Test(vm_signal, query_of_the_address_that_trapped) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    cr_assert_eq(sigaction(SIGSEGV, &action, NULL), 0);
    for (int rung = 0; rung < RUNGS; rung++) {
        manager = manager_with(rungs[rung]);
        (void)reserved(manager, GRANULE, true);
        unsigned char *base = reserved(manager, GRANULE + PAGE, true);
        cr_assert_eq(moat_decommit(manager, base + PAGE, PAGE), MOAT_OK);
        touch(base + PAGE + 77);
        cr_assert_eq(found.base, base + PAGE);
        cr_assert_eq(found.state, MOAT_STATE_RESERVED);
        cr_assert_eq(found.allocation_base, base);
        cr_assert_eq(found.owner, manager);
        touch(base + GRANULE + PAGE);
        cr_assert_eq(found.state, MOAT_STATE_FREE, "behind the region");
        cr_assert_eq(moat_release(manager, base), MOAT_OK);
        touch(base);
        cr_assert_eq(found.state, MOAT_STATE_FREE, "released");
        touch(NULL);
        cr_assert_eq(found.state, MOAT_STATE_FREE);
    }
}
