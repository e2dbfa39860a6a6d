/* SPDX-License-Identifier: MIT */
/*
 * fault: guards that go off once. Could fail by a guard that goes off twice or not at all, by one
 * that takes its neighbours with it, by a violation that is swallowed, or by waiting for oneself.
 *
 * Where signals go is tested in vm_fault_chain.c.
 */
#define _GNU_SOURCE
#include "support/regions.h"
#include "support/touch.h"

#include <moat/fault.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

enum { RW = MOAT_PAGE_READWRITE, RO = MOAT_PAGE_READONLY, GUARD = MOAT_PAGE_GUARD };

#define KINDS 3
static const char *const kinds[KINDS] = {"trap=auto", "trap=protect", "backend=mimalloc"};

static struct moat_fault told[64];
static volatile unsigned told_count;
static void *told_context;

static void listen_here(const struct moat_fault *fault, void *context) {
    if (told_count < 64)
        told[told_count] = *fault;
    told_count++;
    told_context = context;
}

static void install(void) {
    told_count = 0;
    cr_assert_eq(moat_fault_handler_install(listen_here, told), MOAT_OK, "%s",
                 moat_last_error_text());
}

static void uninstall(void) {
    cr_assert_eq(moat_fault_handler_remove(), MOAT_OK);
}

/* Violations end here. */
static sigjmp_buf escape;
static volatile sig_atomic_t violations;
static void *volatile violated;

static void on_violation(int number, siginfo_t *info, void *context) {
    (void)number;
    (void)context;
    violations = violations + 1;
    violated = info->si_addr;
    siglongjmp(escape, 1);
}

static void catch_violations(void) {
    struct sigaction action = {.sa_sigaction = on_violation, .sa_flags = SA_SIGINFO};
    cr_assert_eq(sigaction(SIGSEGV, &action, NULL), 0);
    violations = 0;
}

/* Whether an access goes through, after whatever it sets off. */
static bool reads(const void *address) {
    if (sigsetjmp(escape, 1) != 0)
        return false;
    (void)*(const volatile unsigned char *)address;
    return true;
}

static bool writes(void *address, unsigned char value) {
    if (sigsetjmp(escape, 1) != 0)
        return false;
    *(volatile unsigned char *)address = value;
    return true;
}

static bool executes(void *address) {
    int (*volatile function)(void);
    memcpy((void *)&function, &address, sizeof function);
    if (sigsetjmp(escape, 1) != 0)
        return false;
    return function() == 42;
}

static void protect(void *address, size_t size, uint32_t protection) {
    uint32_t old;
    cr_assert_eq(moat_protect(NULL, address, size, protection, &old), MOAT_OK, "%s",
                 moat_last_error_text());
}

static void check_told(unsigned at, const void *address, enum moat_fault_access access) {
    cr_assert_gt(told_count, at);
    cr_assert_eq(told[at].kind, MOAT_FAULT_GUARD_PAGE);
    cr_assert_eq(told[at].address, address, "%p instead of %p", told[at].address, address);
#if defined(__x86_64__) || defined(__aarch64__)
    cr_assert_eq(told[at].access, access, "access %d", told[at].access);
#else
    (void)access;
#endif
}

Test(vm_fault, the_first_access_is_told_and_goes_on) {
    for (unsigned kind = 0; kind < KINDS; kind++) {
        struct moat_manager *manager = manager_with(kinds[kind]);
        if (!manager)
            continue;
        unsigned char *base = reserved(manager, 8 * PAGE, true);
        base[2 * PAGE + 7] = 0x42;
        protect(base + PAGE, 4 * PAGE, RW | GUARD);
        install();
        cr_assert(reads(base + 2 * PAGE + 7));
        cr_assert_eq(base[2 * PAGE + 7], 0x42, "content is kept");
        cr_assert_eq(told_count, 1);
        check_told(0, base + 2 * PAGE + 7, MOAT_FAULT_READ);
        cr_assert_eq(told[0].owner, manager);
        cr_assert_eq(told[0].protection, RW);
        cr_assert_eq(told_context, told);
        cr_assert_eq(info_of(base + 2 * PAGE).protection, RW);
        cr_assert_eq(info_of(base + 2 * PAGE).size, PAGE, "the neighbours are guards still");
        cr_assert_eq(info_of(base + PAGE).protection, RW | GUARD);
        cr_assert_eq(info_of(base + 3 * PAGE).protection, RW | GUARD);
        cr_assert_eq(info_of(base + 3 * PAGE).size, 2 * PAGE);

        cr_assert(writes(base + 4 * PAGE + 4095, 9));
        cr_assert_eq(told_count, 2);
        check_told(1, base + 4 * PAGE + 4095, MOAT_FAULT_WRITE);
        cr_assert_eq(base[4 * PAGE + 4095], 9);

        protect(base + 2 * PAGE, PAGE, RW | GUARD);
        cr_assert(writes(base + 2 * PAGE, 1));
        cr_assert_eq(told_count, 3, "armed again, it goes off again");
        uninstall();
        moat_manager_destroy(manager);
    }
}

Test(vm_fault, one_page_of_a_block_of_guards) {
    for (unsigned kind = 0; kind < KINDS; kind++) {
        struct moat_manager *manager = manager_with(kinds[kind]);
        void *made;
        if (!manager)
            continue;
        cr_assert_eq(moat_reserve(manager, NULL, 4 * BLOCK, RW | GUARD, MOAT_RESERVE_COMMIT, &made),
                     MOAT_OK);
        unsigned char *base = made;
        size_t middle = 2 * BLOCK + 77 * PAGE;
        install();
        cr_assert(writes(base + middle, 3));
        cr_assert_eq(told_count, 1);
        cr_assert_eq(info_of(base).size, middle);
        cr_assert_eq(info_of(base + middle).size, PAGE);
        cr_assert_eq(info_of(base + middle + PAGE).size, 4 * BLOCK - middle - PAGE);
        cr_assert_not(touch_reads(base + middle - 1));
        cr_assert_not(touch_reads(base + middle + PAGE));
        cr_assert_eq(base[middle], 3);
        cr_assert(touch_all_bytes(base + middle + 1, PAGE - 1, 0));
        uninstall();
        moat_manager_destroy(manager);
    }
}

Test(vm_fault, execution_is_told_apart) {
#if defined(__x86_64__) || defined(__aarch64__)
#ifdef __x86_64__
    static const unsigned char code[] = {0xB8, 42, 0, 0, 0, 0xC3}; /* mov eax, 42; ret */
#else
    static const uint32_t code[] = {0x52800540, 0xD65F03C0}; /* mov w0, #42; ret */
#endif
    for (int rung = 0; rung < RUNGS; rung++) {
        struct moat_manager *manager = manager_with(rungs[rung]);
        unsigned char *base = reserved(manager, 2 * PAGE, true);
        memcpy(base, code, sizeof code);
        __builtin___clear_cache((char *)base, (char *)base + sizeof code);
        protect(base, PAGE, MOAT_PAGE_EXECUTE_READ | GUARD);
        catch_violations();
        install();
        cr_assert(executes(base));
        cr_assert_eq(told_count, 1);
        check_told(0, base, MOAT_FAULT_EXECUTE);
        protect(base, PAGE, RW | GUARD);
        cr_assert_not(executes(base), "a guard fault, then a violation");
        cr_assert_eq(told_count, 2);
        cr_assert_eq(violations, 1);
        uninstall();
        moat_manager_destroy(manager);
    }
#else
    cr_skip_test("code is at hand for two machines only");
#endif
}

Test(vm_fault, after_the_guard_comes_the_basic_protection) {
    for (unsigned kind = 0; kind < KINDS; kind++) {
        struct moat_manager *manager = manager_with(kinds[kind]);
        if (!manager)
            continue;
        unsigned char *base = reserved(manager, 3 * PAGE, true);
        protect(base + PAGE, PAGE, RO | GUARD);
        catch_violations();
        install();
        cr_assert_not(writes(base + PAGE, 1), "the repeated write is a violation");
        cr_assert_eq(told_count, 1);
        check_told(0, base + PAGE, MOAT_FAULT_WRITE);
        cr_assert_eq(violations, 1);
        cr_assert_eq(violated, base + PAGE);
        cr_assert(reads(base + PAGE));
        cr_assert_not(writes(base + PAGE + 8, 1));
        cr_assert_eq(violations, 2);
        cr_assert_eq(told_count, 1);
        uninstall();
        moat_manager_destroy(manager);
    }
}

Test(vm_fault, what_is_no_guard_is_not_resolved) {
    struct moat_manager *manager = manager_with("trap=auto");
    unsigned char *base = reserved(manager, 4 * PAGE, true);
    int own = 0;
    protect(base, PAGE, RW | GUARD);
    protect(base + PAGE, PAGE, MOAT_PAGE_NOACCESS);
    cr_assert_eq(moat_decommit(manager, base + 2 * PAGE, PAGE), MOAT_OK);
    cr_assert_eq(moat_guard_fault(base + PAGE), 0, "no access");
    cr_assert_eq(moat_guard_fault(base + 2 * PAGE), 0, "not committed");
    cr_assert_eq(moat_guard_fault(base + 3 * PAGE), 0, "an ordinary page");
    cr_assert_eq(moat_guard_fault(base + 4 * PAGE), 0, "behind the region");
    cr_assert_eq(moat_guard_fault(&own), 0, "nobody's");
    cr_assert_eq(moat_guard_fault(NULL), 0);
    cr_assert_eq(moat_guard_fault((void *)UINTPTR_MAX), 0);
    cr_assert_eq(info_of(base).protection, RW | GUARD, "still armed");
    cr_assert_eq(moat_guard_fault(base + 4095), 1, "any byte of the page");
    cr_assert_eq(moat_guard_fault(base), 0, "once only");
    cr_assert(touch_writes(base));
    catch_violations();
    install();
    cr_assert_not(reads(base + PAGE));
    cr_assert_not(reads(base + 2 * PAGE));
    cr_assert_not(reads(base + 4 * PAGE));
    cr_assert_eq(violations, 3);
    cr_assert_eq(told_count, 0);
    uninstall();
}

Test(vm_fault, what_forgets_a_guard_tells_nobody) {
    for (int rung = 0; rung < RUNGS; rung++) {
        struct moat_manager *manager = manager_with(rungs[rung]);
        unsigned char *base = reserved(manager, 4 * PAGE, true);
        uint32_t old = 0;
        protect(base, 4 * PAGE, RW | GUARD);
        install();
        cr_assert_eq(moat_protect(manager, base, PAGE, RW, &old), MOAT_OK);
        cr_assert_eq(old, RW | GUARD);
        cr_assert(writes(base, 1));
        cr_assert_eq(moat_decommit(manager, base + PAGE, PAGE), MOAT_OK);
        cr_assert_eq(moat_commit(manager, base + PAGE, PAGE, RW, NULL), MOAT_OK);
        cr_assert(writes(base + PAGE, 1));
        cr_assert_eq(told_count, 0);
        cr_assert_eq(info_of(base + 2 * PAGE).protection, RW | GUARD, "a query leaves it armed");
        cr_assert_eq(info_of(base + 2 * PAGE).allocation_protection, RW);
        errno = 0;
        cr_assert_not(touch_reads(base + 2 * PAGE), "a system call fails");
        cr_assert_not(touch_writes(base + 2 * PAGE));
        cr_assert_eq(errno, EFAULT);
        cr_assert_eq(told_count, 0);
        cr_assert_eq(info_of(base + 2 * PAGE).protection, RW | GUARD, "and leaves it armed");
        cr_assert(reads(base + 2 * PAGE));
        cr_assert_eq(told_count, 1);
        uninstall();
        moat_manager_destroy(manager);
    }
}

static void spoil_errors(const struct moat_fault *fault, void *context) {
    struct moat_manager *manager = context;
    errno = 4711;
    cr_assert_eq(moat_release(manager, (unsigned char *)fault->address + PAGE), MOAT_NOT_OURS);
    told_count++;
}

Test(vm_fault, errors_of_the_interrupted_code_stay_as_they_were) {
    struct moat_manager *manager = manager_with("trap=auto");
    unsigned char *base = reserved(manager, 2 * PAGE, true);
    protect(base, PAGE, RW | GUARD);
    told_count = 0;
    cr_assert_eq(moat_fault_handler_install(spoil_errors, manager), MOAT_OK);
    cr_assert_eq(moat_commit(manager, base, PAGE, 0, NULL), MOAT_INVALID_ARGUMENT);
    char text[400];
    strncpy(text, moat_last_error_text(), sizeof text - 1);
    text[sizeof text - 1] = '\0';
    errno = 17;
    cr_assert(writes(base, 1));
    cr_assert_eq(errno, 17);
    cr_assert_eq(told_count, 1);
    cr_assert_str_eq(moat_last_error_text(), text);
    protect(base, PAGE, RW | GUARD);
    cr_assert_eq(moat_commit(manager, base, PAGE, 0, NULL), MOAT_INVALID_ARGUMENT);
    cr_assert(writes(base, 1));
    cr_assert_str_eq(moat_last_error_text(), text, "one that was only noted, too");
}

/* A callback that touches the next guard, which goes off inside it. */
static void touch_next(const struct moat_fault *fault, void *context) {
    unsigned depth = told_count++;
    told[depth] = *fault;
    if (depth < 5)
        ((volatile unsigned char *)fault->address)[PAGE] = 1;
    (void)context;
}

Test(vm_fault, a_callback_may_touch_guards) {
    struct moat_manager *manager = manager_with("trap=auto");
    unsigned char *base = reserved(manager, 8 * PAGE, true);
    protect(base, 8 * PAGE, RW | GUARD);
    told_count = 0;
    cr_assert_eq(moat_fault_handler_install(touch_next, NULL), MOAT_OK);
    cr_assert(writes(base + 5, 1));
    cr_assert_eq(told_count, 6);
    for (unsigned i = 0; i < 6; i++) {
        check_told(i, base + 5 + i * PAGE, MOAT_FAULT_WRITE);
        cr_assert_eq(base[5 + i * PAGE], 1);
    }
    cr_assert_eq(info_of(base + 6 * PAGE).protection, RW | GUARD);
}

/* A stack that grows down by guards, as the stacks of Windows do. */
static unsigned char *stack_low;
static struct moat_manager *stack_manager;
static ucontext_t main_context, stack_context;
static volatile unsigned depth_reached;

static void grow(const struct moat_fault *fault, void *context) {
    uintptr_t next = ((uintptr_t)fault->address & ~(uintptr_t)(PAGE - 1)) - PAGE;
    (void)context;
    told_count++;
    if (next <= (uintptr_t)stack_low)
        return; /* the last page of all stays uncommitted */
    if (moat_commit(stack_manager, (void *)next, PAGE, RW | GUARD, NULL) != MOAT_OK)
        abort();
}

/* Not instrumented: AddressSanitizer would put the frame elsewhere. */
__attribute__((noinline, no_sanitize("address"))) static unsigned recurse(unsigned depth) {
    volatile unsigned char frame[1000];
    memset((void *)frame, (int)depth, sizeof frame);
    depth_reached = depth;
    return depth == 0 ? 0 : recurse(depth - 1) + frame[depth % sizeof frame];
}

static void deep(void) {
    depth_reached = 100;
    (void)recurse(100);
}

Test(vm_fault, a_stack_grows_by_its_guard) {
    static unsigned char alternate[65536];
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    const size_t size = 64 * PAGE;
    stack_manager = manager_with("trap=auto");
    stack_low = reserved(stack_manager, size, false);
    unsigned char *top = stack_low + size - PAGE;
    cr_assert_eq(moat_commit(stack_manager, top, PAGE, RW, NULL), MOAT_OK);
    cr_assert_eq(moat_commit(stack_manager, top - PAGE, PAGE, RW | GUARD, NULL), MOAT_OK);
    cr_assert_eq(sigaltstack(&stack, NULL), 0);
    told_count = 0;
    cr_assert_eq(moat_fault_handler_install(grow, NULL), MOAT_OK);
    cr_assert_eq(getcontext(&stack_context), 0);
    stack_context.uc_stack.ss_sp = stack_low;
    stack_context.uc_stack.ss_size = size;
    stack_context.uc_link = &main_context;
    makecontext(&stack_context, deep, 0);
    cr_assert_eq(swapcontext(&main_context, &stack_context), 0);
    cr_assert_eq(depth_reached, 0);
    cr_assert_gt(told_count, 20, "100 frames of 1000 bytes");
    cr_assert_lt(told_count, 60);
    cr_assert_eq(info_of(stack_low).state, MOAT_STATE_RESERVED);
}

Test(vm_fault, rights_that_somebody_else_took_are_no_endless_loop, .timeout = 600) {
    struct moat_manager *manager = manager_with("trap=protect");
    unsigned char *base = reserved(manager, 2 * PAGE, true);
    catch_violations();
    install();
    cr_assert_eq(mprotect(base, PAGE, PROT_NONE), 0);
    cr_assert_not(reads(base));
    cr_assert_not(reads(base), "again, with a new count");
    cr_assert_eq(violations, 2);
    cr_assert_eq(told_count, 0);
    cr_assert_eq(mprotect(base, PAGE, PROT_READ | PROT_WRITE), 0);
    cr_assert(writes(base, 1));
    uninstall();
}
