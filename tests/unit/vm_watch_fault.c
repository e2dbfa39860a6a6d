/* SPDX-License-Identifier: MIT */
/*
 * vm_watch_fault: write watch where faults record, and beside guards, which are faults as well.
 *
 * Could fail by mistaking one kind of fault for the other, or a race for a loop.
 */
#define _GNU_SOURCE
#include "support/regions.h"
#include "support/touch.h"
#include "support/watched.h"

#include <moat/fault.h>

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#define RW    MOAT_PAGE_READWRITE
#define RESET MOAT_WATCH_RESET

static void protect(void *start, size_t size, uint32_t protection) {
    uint32_t old;
    cr_assert_eq(moat_protect(NULL, start, size, protection, &old), MOAT_OK, "%s",
                 moat_last_error_text());
}

Test(vm_watch_fault, faults_record_only_where_somebody_handles_them) {
    struct moat_manager *manager = manager_with("watch=fault");
    void *base;

    cr_assert_eq(moat_reserve(manager, NULL, PAGE, RW, MOAT_RESERVE_WRITE_WATCH, &base),
                 MOAT_NOT_SUPPORTED);
    cr_assert(strstr(moat_last_error_text(), "moat_fault_handler_install"));
    cr_assert_null(base);
    cr_assert_eq(moat_fault_handler_install(NULL, NULL), MOAT_OK);
    cr_assert_eq(moat_reserve(manager, NULL, PAGE, RW, MOAT_RESERVE_WRITE_WATCH, &base), MOAT_OK);
    cr_assert_eq(moat_fault_handler_remove(), MOAT_OK);
}

/* Fails when a page is called written that the kernel refused to write. */
Test(vm_watch_fault, a_system_call_cannot_write_to_a_clean_page) {
    struct moat_manager *manager = watching("watch=fault");
    unsigned char *base = watched(manager, 2 * PAGE, true);

    cr_assert_not(touch_writes(base));
    cr_assert_eq(written(base, 2 * PAGE, 0, NULL), 0);
    *(volatile unsigned char *)base = 1;
    cr_assert(touch_writes(base));
    cr_assert(only_written(base, 2 * PAGE, base));
}

static volatile unsigned guards; /* changed by a handler */

static void count_guard(const struct moat_fault *fault, void *context) {
    (void)context;
    if (fault->kind == MOAT_FAULT_GUARD_PAGE)
        guards++;
}

/* Fails when a first write drops no guard, tells the host of a write that is none of its business,
 * or when a refused write is noted. */
static void guarded(struct moat_manager *manager) {
    unsigned char *base = watched(manager, 8 * PAGE, true);

    enum moat_status removed = moat_fault_handler_remove();
    cr_assert(removed == MOAT_OK || removed == MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_fault_handler_install(count_guard, NULL), MOAT_OK);
    guards = 0;
    *(volatile unsigned char *)(base + PAGE) = 1;
    cr_assert_eq(guards, 0);
    protect(base, 8 * PAGE, RW | MOAT_PAGE_GUARD);
    cr_assert(only_written(base, 8 * PAGE, base + PAGE), "a guard changes no record");
    (void)*(volatile unsigned char *)(base + 2 * PAGE);
    cr_assert_eq(guards, 1);
    cr_assert(only_written(base, 8 * PAGE, base + PAGE), "read through a guard");
    *(volatile unsigned char *)(base + 3 * PAGE) = 1;
    cr_assert_eq(guards, 2);
    cr_assert_eq(written(base, 8 * PAGE, 0, NULL), 2, "written through a guard");
    *(volatile unsigned char *)(base + 2 * PAGE) = 1;
    cr_assert_eq(guards, 2);
    cr_assert_eq(written(base, 8 * PAGE, RESET, NULL), 3);
    cr_assert_eq(info_of(base + PAGE).protection, RW | MOAT_PAGE_GUARD);
    cr_assert_eq(moat_fault_handler_remove(), MOAT_OK);
}

Test(vm_watch_fault, a_guard_fires_before_a_write_is_noted) {
    for (unsigned i = 0; i < WATCHES; i++) {
        struct moat_manager *manager = watching(watches[i]);
        guarded(manager);
        moat_manager_destroy(manager);
    }
}

/* A thread that comes second finds the write let through already, time and again, with first
 * writes of others in between. Fails when that is taken for a fault that never ends. */
Test(vm_watch_fault, who_comes_second_is_let_through_each_time) {
    struct moat_manager *manager = watching("watch=fault");
    unsigned char *base = watched(manager, PAGE, true);
    siginfo_t info = {.si_signo = SIGSEGV, .si_code = SEGV_ACCERR, .si_addr = base};
    ucontext_t context;

    memset(&context, 0, sizeof(context)); /* it does not tell what was tried: everything */
    protect(base, PAGE, MOAT_PAGE_EXECUTE_READWRITE);
    for (unsigned i = 0; i < 3000; i++) {
        *(volatile unsigned char *)base = 1;
        cr_assert(moat_fault_resolve(SIGSEGV, &info, &context, NULL), "time %u", i);
        cr_assert_eq(written(base, PAGE, RESET, NULL), 1);
    }
    *(volatile unsigned char *)base = 1;
    unsigned times = 0;
    while (times < 10000 && moat_fault_resolve(SIGSEGV, &info, &context, NULL))
        times++;
    cr_assert_lt(times, 10000, "with nothing in between it is a fault that never ends");
}
