/* SPDX-License-Identifier: MIT */
/*
 * fault, the handler among others: who is asked, in which order, and what he finds. Could fail by
 * a violation that nobody hears of, by one that is told to the wrong handler or in the wrong form,
 * and by handlers that call each other in a circle.
 */
#define _GNU_SOURCE
#include "support/regions.h"

#include <moat/fault.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RW = MOAT_PAGE_READWRITE, GUARD = MOAT_PAGE_GUARD };

static unsigned char *guarded; /* two pages, the first a guard and the second without access */
static sigjmp_buf escape;

/* Who was called, a letter each. */
static char calls[32];
static volatile sig_atomic_t call_count;

static void note(char who) {
    if (call_count < (int)sizeof calls - 1)
        calls[call_count] = who;
    call_count = call_count + 1;
}

static void on_guard(const struct moat_fault *fault, void *context) {
    (void)fault;
    (void)context;
    note('g');
}

static void forget_calls(void) {
    memset(calls, 0, sizeof calls);
    call_count = 0;
}

static void set_up(void) {
    struct moat_manager *manager = manager_with("trap=auto");
    uint32_t old;
    guarded = reserved(manager, 2 * PAGE, true);
    cr_assert_eq(moat_protect(manager, guarded + PAGE, PAGE, MOAT_PAGE_NOACCESS, &old), MOAT_OK);
    forget_calls();
}

TestSuite(vm_fault_chain, .init = set_up, .timeout = 600);

static void install(void) {
    cr_assert_eq(moat_fault_handler_install(on_guard, NULL), MOAT_OK, "%s", moat_last_error_text());
}

static void uninstall(void) {
    cr_assert_eq(moat_fault_handler_remove(), MOAT_OK);
}

static void arm(void) {
    uint32_t old;
    cr_assert_eq(moat_protect(NULL, guarded, PAGE, RW | GUARD, &old), MOAT_OK);
}

static bool touch(unsigned char *address) {
    if (sigsetjmp(escape, 1) != 0)
        return false;
    *(volatile unsigned char *)address = 1;
    return true;
}

static void set_handler(void *function, int flags, int blocked, struct sigaction *before) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    memcpy((flags & SA_SIGINFO) != 0 ? (void *)&action.sa_sigaction : (void *)&action.sa_handler,
           &function, sizeof function);
    action.sa_flags = flags;
    sigemptyset(&action.sa_mask);
    if (blocked)
        sigaddset(&action.sa_mask, blocked);
    cr_assert_eq(sigaction(SIGSEGV, &action, before), 0);
}

static volatile sig_atomic_t number_seen, blocked_seen;
static void *volatile address_seen;

static void see(int number, void *address) {
    sigset_t set;
    sigprocmask(SIG_BLOCK, NULL, &set);
    number_seen = number;
    address_seen = address;
    blocked_seen = sigismember(&set, SIGUSR1) | sigismember(&set, SIGSEGV) << 1;
}

static void informed(int number, siginfo_t *info, void *context) {
    (void)context;
    see(number, info->si_addr);
    note('i');
    siglongjmp(escape, 1);
}

static void plain(int number) {
    see(number, NULL);
    note('p');
    siglongjmp(escape, 1);
}

static void *pointer_to(void (*function)(int, siginfo_t *, void *)) {
    void *pointer;
    memcpy(&pointer, (void *)&function, sizeof pointer);
    return pointer;
}

static void *plain_pointer(void (*function)(int)) {
    void *pointer;
    memcpy(&pointer, (void *)&function, sizeof pointer);
    return pointer;
}

Test(vm_fault_chain, the_handler_of_before_hears_of_violations_alone) {
    set_handler(pointer_to(informed), SA_SIGINFO, SIGUSR1, NULL);
    install();
    arm();
    cr_assert(touch(guarded));
    cr_assert_str_eq(calls, "g");
    cr_assert_not(touch(guarded + PAGE + 9));
    cr_assert_str_eq(calls, "gi");
    cr_assert_eq(number_seen, SIGSEGV);
    cr_assert_eq(address_seen, guarded + PAGE + 9);
    cr_assert_eq(blocked_seen, 3, "its mask, and the signal itself");
    cr_assert_not(touch(guarded + PAGE), "and again: the mask was restored");
    cr_assert_str_eq(calls, "gii");
}

Test(vm_fault_chain, a_plain_handler_is_called_plainly) {
    set_handler(plain_pointer(plain), SA_NODEFER, 0, NULL);
    install();
    arm();
    cr_assert(touch(guarded));
    cr_assert_not(touch(guarded + PAGE));
    cr_assert_str_eq(calls, "gp");
    cr_assert_eq(number_seen, SIGSEGV);
    cr_assert_eq(blocked_seen, 0, "not deferred, as it asked");
}

/* A signal that somebody sends is none of ours. */
static void counted(int number) {
    see(number, NULL);
    note('c');
}

Test(vm_fault_chain, a_signal_that_was_sent_is_passed_on) {
    set_handler(plain_pointer(counted), 0, 0, NULL);
    install();
    cr_assert_eq(raise(SIGSEGV), 0);
    cr_assert_eq(kill(getpid(), SIGSEGV), 0);
    cr_assert_str_eq(calls, "cc");
    uninstall();
    set_handler(plain_pointer(SIG_IGN), 0, 0, NULL);
    install();
    cr_assert_eq(raise(SIGSEGV), 0);
    cr_assert_str_eq(calls, "cc", "ignored");
    arm();
    cr_assert(touch(guarded));
    cr_assert_str_eq(calls, "ccg", "and the handler is still there");
}

Test(vm_fault_chain, a_handler_for_one_time_is_called_once) {
    int status;
    set_handler(pointer_to(informed), SA_SIGINFO | (int)SA_RESETHAND, 0, NULL);
    install();
    cr_assert_not(touch(guarded + PAGE));
    cr_assert_str_eq(calls, "i");
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        (void)touch(guarded + PAGE);
        _exit(0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "%#x", (unsigned)status);
}

/* How a child ends that does this. */
static int end_of(void (*act)(void)) {
    int status;
    struct rlimit none = {0, 0};
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &none);
        act();
        _exit(0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

static void touch_guard(void) {
    arm();
    *(volatile unsigned char *)guarded = 1;
}

static void touch_no_access(void) {
    *(volatile unsigned char *)(guarded + PAGE) = 1;
}

static void send_one(void) {
    raise(SIGSEGV);
}

Test(vm_fault_chain, a_violation_kills_where_nobody_handles_it) {
    static void (*const nobody[])(int) = {SIG_DFL, SIG_IGN};
    for (unsigned i = 0; i < 2; i++) {
        set_handler(plain_pointer(nobody[i]), 0, 0, NULL);
        cr_assert_eq(end_of(touch_guard), SIGSEGV, "without the handler a guard kills");
        install();
        cr_assert_eq(end_of(touch_guard), 0);
        cr_assert_eq(end_of(touch_no_access), SIGSEGV);
        cr_assert_eq(end_of(send_one), i == 0 ? SIGSEGV : 0);
        uninstall();
        cr_assert_eq(end_of(touch_guard), SIGSEGV, "removed");
    }
}

/* A host that puts its own handler over Moat's. */
static struct sigaction beneath;

static void over(int number, siginfo_t *info, void *context) {
    note('o');
    if (beneath.sa_flags & SA_SIGINFO)
        beneath.sa_sigaction(number, info, context);
    else
        informed(number, info, context);
}

Test(vm_fault_chain, a_handler_on_top_passes_down) {
    set_handler(pointer_to(informed), SA_SIGINFO, 0, NULL);
    install();
    set_handler(pointer_to(over), SA_SIGINFO, 0, &beneath);
    arm();
    cr_assert(touch(guarded));
    cr_assert_str_eq(calls, "og");
    cr_assert_not(touch(guarded + PAGE));
    cr_assert_str_eq(calls, "ogoi");
}

Test(vm_fault_chain, removed_beneath_another_it_passes_everything_on) {
    set_handler(pointer_to(informed), SA_SIGINFO, 0, NULL);
    install();
    set_handler(pointer_to(over), SA_SIGINFO, 0, &beneath);
    uninstall();
    arm();
    cr_assert_not(touch(guarded));
    cr_assert_str_eq(calls, "oi");
    /* On top of that chain once more: no circle. */
    install();
    cr_assert(touch(guarded));
    cr_assert_str_eq(calls, "oig");
    cr_assert_not(touch(guarded + PAGE));
    cr_assert_str_eq(calls, "oigoi");
    uninstall();
    cr_assert_not(touch(guarded + PAGE));
    cr_assert_str_eq(calls, "oigoioi");
}

static bool is_the_current(void *function) {
    struct sigaction action;
    cr_assert_eq(sigaction(SIGSEGV, NULL, &action), 0);
    return memcmp((void *)&action.sa_sigaction, &function, sizeof function) == 0;
}

Test(vm_fault_chain, removing_restores) {
    set_handler(pointer_to(informed), SA_SIGINFO | SA_NODEFER, SIGUSR1, NULL);
    for (unsigned i = 0; i < 20; i++) {
        install();
        cr_assert_not(is_the_current(pointer_to(informed)));
        uninstall();
        cr_assert(is_the_current(pointer_to(informed)));
    }
    cr_assert_not(touch(guarded + PAGE));
    cr_assert_eq(blocked_seen, 1, "mask and flags, too");
}

Test(vm_fault_chain, places_beneath_others_run_out) {
    for (unsigned i = 0; i < 4; i++) {
        install();
        set_handler(pointer_to(informed), SA_SIGINFO, 0, NULL);
        uninstall();
    }
    cr_assert_eq(moat_fault_handler_install(on_guard, NULL), MOAT_NOT_SUPPORTED);
    cr_assert_neq(moat_last_error_text()[0], '\0');
    cr_assert_eq(moat_fault_handler_remove(), MOAT_INVALID_ARGUMENT, "nothing was installed");
    cr_assert(is_the_current(pointer_to(informed)));
}

Test(vm_fault_chain, it_is_installed_once) {
    cr_assert_eq(moat_fault_handler_remove(), MOAT_INVALID_ARGUMENT);
    install();
    cr_assert_eq(moat_fault_handler_install(NULL, NULL), MOAT_INVALID_ARGUMENT);
    cr_assert_neq(moat_last_error_text()[0], '\0');
    arm();
    cr_assert(touch(guarded));
    cr_assert_str_eq(calls, "g", "the first one stays");
    uninstall();
    cr_assert_eq(moat_fault_handler_install(NULL, NULL), MOAT_OK);
    arm();
    cr_assert(touch(guarded), "nobody is told, and the guard goes all the same");
    cr_assert_str_eq(calls, "g");
    uninstall();
}

/* Hosts with a handler of their own. */
static void asks_short(int number, siginfo_t *info, void *context) {
    int saved = errno;
    errno = 4711;
    note(moat_guard_fault(info->si_addr) ? '1' : '0');
    if (errno != 4711)
        note('!');
    errno = saved;
    if (calls[call_count - 1] != '1')
        informed(number, info, context);
}

static void asks_long(int number, siginfo_t *info, void *context) {
    struct moat_fault fault;
    bool again = moat_fault_resolve(number, info, context, &fault);
    note(again ? fault.kind == MOAT_FAULT_GUARD_PAGE ? 'G' : 'r' : 'v');
    if (!again)
        informed(number, info, context);
}

Test(vm_fault_chain, a_host_may_ask_from_its_own_handler) {
    set_handler(pointer_to(asks_short), SA_SIGINFO, 0, NULL);
    arm();
    cr_assert(touch(guarded));
    cr_assert_not(touch(guarded + PAGE));
    cr_assert_str_eq(calls, "10i");
    forget_calls();
    set_handler(pointer_to(asks_long), SA_SIGINFO, 0, NULL);
    arm();
    cr_assert(touch(guarded));
    cr_assert_not(touch(guarded + PAGE));
    cr_assert_str_eq(calls, "Gvi");
}

/* A callback that leaves for good: nothing may be held or blocked after it. */
static void leave(const struct moat_fault *fault, void *context) {
    (void)fault;
    (void)context;
    note('l');
    siglongjmp(escape, 1);
}

Test(vm_fault_chain, a_callback_may_leave_by_a_jump) {
    cr_assert_eq(moat_fault_handler_install(leave, NULL), MOAT_OK);
    for (unsigned i = 0; i < 20; i++) {
        arm();
        cr_assert_not(touch(guarded));
        cr_assert(touch(guarded));
    }
    cr_assert_eq(call_count, 20);
    uninstall();
}
