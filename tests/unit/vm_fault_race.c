/* SPDX-License-Identifier: MIT */
/*
 * fault, when others are at work: the thread that lost a race for a guard, pages that are busy, and
 * a handler that interrupted Moat itself. Could fail by two threads being told of one guard, by
 * calling a lost race a violation, and by waiting for oneself.
 */
#define _GNU_SOURCE
#include "support/regions.h"

#include "region/region.h"

#include <moat/fault.h>
#include <moat/lock.h>

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

enum { RW = MOAT_PAGE_READWRITE, RO = MOAT_PAGE_READONLY, GUARD = MOAT_PAGE_GUARD };

static atomic_uint told_count;

static void count(const struct moat_fault *fault, void *context) {
    (void)fault;
    (void)context;
    atomic_fetch_add(&told_count, 1);
}

static void protect(void *address, size_t size, uint32_t protection) {
    uint32_t old;
    cr_assert_eq(moat_protect(NULL, address, size, protection, &old), MOAT_OK, "%s",
                 moat_last_error_text());
}

/* The case of a lost race, made by hand: the fault is about a page that is open by now. */
static void make_fault(siginfo_t *info, ucontext_t *context, void *address, bool write) {
    memset(info, 0, sizeof *info);
    memset(context, 0, sizeof *context);
    info->si_code = SEGV_ACCERR;
    info->si_addr = address;
#if defined(__x86_64__)
    context->uc_mcontext.gregs[REG_TRAPNO] = 14;
    context->uc_mcontext.gregs[REG_ERR] = write ? 6 : 4;
#elif defined(__aarch64__)
    /* Behind the record of the vector registers, as the kernel puts it: a data abort. */
    const struct { uint32_t vectors, vectors_size; } first = {0x46508001, 528};
    const struct {
        uint32_t magic, size;
        uint64_t syndrome;
    } second = {0x45535201, 16, UINT64_C(0x24) << 26 | (write ? 1 << 6 : 0)};
    memcpy(context->uc_mcontext.__reserved, &first, sizeof first);
    memcpy(context->uc_mcontext.__reserved + 528, &second, sizeof second);
#else
    (void)write;
#endif
}

/* A machine that does not tell what was tried. */
static void untell(ucontext_t *context) {
#if defined(__x86_64__)
    context->uc_mcontext.gregs[REG_TRAPNO] = 0;
#else
    memset(&context->uc_mcontext, 0, sizeof context->uc_mcontext);
#endif
}

Test(vm_fault_race, who_lost_the_race_for_a_guard_tries_again) {
#if defined(__x86_64__) || defined(__aarch64__)
    struct moat_manager *manager = manager_with("trap=auto");
    unsigned char *base = reserved(manager, 2 * PAGE, true);
    struct moat_fault fault;
    siginfo_t info;
    ucontext_t context;
    protect(base, PAGE, RO | GUARD);
    make_fault(&info, &context, base + 3, false);
    cr_assert(moat_fault_resolve(SIGSEGV, &info, &context, &fault));
    cr_assert_eq(fault.kind, MOAT_FAULT_GUARD_PAGE);
    cr_assert_eq(fault.address, base + 3);
    cr_assert_eq(fault.protection, RO);
    cr_assert(moat_fault_resolve(SIGSEGV, &info, &context, &fault));
    cr_assert_eq(fault.kind, MOAT_FAULT_NONE, "the other reader has nothing to tell");
    cr_assert(moat_fault_resolve(SIGSEGV, &info, &context, NULL));
    make_fault(&info, &context, base, true);
    cr_assert_not(moat_fault_resolve(SIGSEGV, &info, &context, &fault), "a writer violates");
    protect(base, PAGE, RW);
    cr_assert(moat_fault_resolve(SIGSEGV, &info, &context, &fault));
    cr_assert_not(moat_fault_resolve(SIGBUS, &info, &context, &fault), "not that signal");
    untell(&context);
    cr_assert_not(moat_fault_resolve(SIGSEGV, &info, &context, &fault), "it could be a violation");
    cr_assert_eq(fault.access, MOAT_FAULT_UNKNOWN);
    protect(base, PAGE, MOAT_PAGE_EXECUTE_READWRITE);
    cr_assert(moat_fault_resolve(SIGSEGV, &info, &context, &fault), "it could not");
    protect(base, PAGE, RW | GUARD);
    cr_assert(moat_fault_resolve(SIGSEGV, &info, &context, &fault), "whatever it was");
    cr_assert_eq(fault.kind, MOAT_FAULT_GUARD_PAGE);
    info.si_code = SI_USER;
    cr_assert_not(moat_fault_resolve(SIGSEGV, &info, &context, &fault), "somebody sent it");
    info.si_code = SI_KERNEL;
    cr_assert_not(moat_fault_resolve(SIGSEGV, &info, &context, &fault), "not about a page");
#else
    cr_skip_test("registers are made up for two machines only");
#endif
}

/* Stripes of the thread's own, as a handler meets them that interrupted a call. */
Test(vm_fault_race, a_thread_does_not_wait_for_itself, .timeout = 600) {
    struct moat_manager *manager = manager_with("trap=auto,timeout=100000000");
    unsigned char *base = reserved(manager, 3 * BLOCK, true);
    struct moat_patience none = {0};
    struct moat_region_ref ref;
    uint32_t stripes;
    protect(base, PAGE, RW | GUARD);
    protect(base + 2 * BLOCK, PAGE, RW | GUARD);
    cr_assert(moat_region_find((uintptr_t)base, &ref));
    cr_assert_eq(moat_region_enter(&ref, ref.base, ref.base + PAGE, &none, &stripes), MOAT_OK);
    cr_assert_eq(moat_guard_fault(base), 0, "at once");
    cr_assert_eq(moat_guard_fault(base + 2 * BLOCK), 1, "another stripe");
    moat_region_leave(&ref, stripes);
    cr_assert_eq(info_of(base).protection, RW | GUARD);
    cr_assert_eq(moat_guard_fault(base), 1);
    protect(base, PAGE, RW | GUARD);
    cr_assert_eq(moat_region_close(&ref, &none), MOAT_OK);
    cr_assert_eq(moat_guard_fault(base), 0, "in the middle of its own release");
    moat_region_reopen(&ref);
    cr_assert_eq(moat_guard_fault(base), 1);
}

static atomic_int touched;

static void *touch_in_thread(void *address) {
    *(volatile unsigned char *)address = 5;
    atomic_store(&touched, 1);
    return NULL;
}

Test(vm_fault_race, a_guard_waits_for_another_thread, .timeout = 600) {
    struct moat_manager *manager = manager_with("trap=auto,timeout=100000000");
    unsigned char *base = reserved(manager, 2 * PAGE, true);
    struct moat_patience none = {0};
    struct moat_region_ref ref;
    pthread_t thread;
    uint32_t stripes;
    protect(base, PAGE, RW | GUARD);
    cr_assert_eq(moat_fault_handler_install(count, NULL), MOAT_OK);
    cr_assert(moat_region_find((uintptr_t)base, &ref));
    cr_assert_eq(moat_region_enter(&ref, ref.base, ref.base + PAGE, &none, &stripes), MOAT_OK);
    cr_assert_eq(pthread_create(&thread, NULL, touch_in_thread, base), 0);
    usleep(50000);
    cr_assert_eq(atomic_load(&touched), 0);
    cr_assert_eq(info_of(base).protection, RW | GUARD);
    moat_region_leave(&ref, stripes);
    pthread_join(thread, NULL);
    cr_assert_eq(atomic_load(&told_count), 1);
    cr_assert_eq(base[0], 5);
    cr_assert_eq(moat_fault_handler_remove(), MOAT_OK);
}

static void *ask_in_thread(void *address) {
    atomic_store(&touched, moat_guard_fault(address) + 10);
    return NULL;
}

Test(vm_fault_race, a_busy_page_is_given_up_at_the_deadline, .timeout = 600) {
    struct moat_manager *manager = manager_with("trap=auto,timeout=20");
    unsigned char *base = reserved(manager, 2 * PAGE, true);
    struct moat_patience none = {0};
    struct moat_region_ref ref;
    pthread_t thread;
    uint32_t stripes;
    protect(base, PAGE, RW | GUARD);
    cr_assert(moat_region_find((uintptr_t)base, &ref));
    cr_assert_eq(moat_region_enter(&ref, ref.base, ref.base + PAGE, &none, &stripes), MOAT_OK);
    cr_assert_eq(pthread_create(&thread, NULL, ask_in_thread, base), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(atomic_load(&touched), 10);
    moat_region_leave(&ref, stripes);
    cr_assert_eq(info_of(base).protection, RW | GUARD);
}

/* The result of a protect may lie in a guard page of the region that is worked on. */
Test(vm_fault_race, a_result_goes_off_a_guard_with_nothing_held, .timeout = 600) {
    struct moat_manager *manager = manager_with("trap=auto,timeout=100000000");
    unsigned char *base = reserved(manager, 4 * PAGE, true);
    uint32_t old;
    cr_assert_eq(moat_fault_handler_install(count, NULL), MOAT_OK);
    cr_assert_eq(moat_protect(manager, base, PAGE, RW | MOAT_PAGE_GUARD, &old), MOAT_OK);
    uint32_t *inside = (uint32_t *)(void *)(base + 8);
    cr_assert_eq(moat_protect(manager, base + PAGE, PAGE, RO, inside), MOAT_OK);
    cr_assert_eq(*inside, RW);
    cr_assert_eq(info_of(base).protection, RW);
    cr_assert_eq(moat_fault_handler_remove(), MOAT_OK);
}

/* A lock keeps out calls, not accesses: nobody has to wait for it to touch a page. */
Test(vm_fault_race, a_guard_of_a_locked_region, .timeout = 600) {
    struct moat_manager *manager = manager_with("trap=auto,timeout=100000000");
    unsigned char *base = reserved(manager, 2 * PAGE, true);
    pthread_t thread;
    protect(base, 2 * PAGE, RW | GUARD);
    cr_assert_eq(moat_fault_handler_install(count, NULL), MOAT_OK);
    cr_assert_eq(moat_lock(manager, base), MOAT_OK);
    *(volatile unsigned char *)base = 1;
    cr_assert_eq(atomic_load(&told_count), 1, "its own");
    cr_assert_eq(pthread_create(&thread, NULL, touch_in_thread, base + PAGE), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(atomic_load(&told_count), 2, "another thread's");
    cr_assert_eq(moat_unlock(manager, base), MOAT_OK);
    cr_assert_eq(moat_fault_handler_remove(), MOAT_OK);
}
