/* SPDX-License-Identifier: MIT */
/*
 * linux_fault: a handler of SIGSEGV that asks first and passes on what it does not know.
 *
 * Whoever was there before must see what he would have seen without us. Faults are repeated by
 * returning: where the handler before is the default one, it is restored and the fault comes again,
 * so that the kernel kills, and dumps, at the very instruction. A signal that somebody sent does
 * not come again, and is sent again.
 *
 * A handler that is removed while another lies on top of it stays in that one's chain, where it
 * must go on passing to the same handler. So each installation has a place of its own, a function
 * and what was there before it, and a place that may be beneath others is not used again.
 *
 * Edges
 *   place   what was there before is written, then the handler installed -> whoever runs it, in
 *           any thread, knows where to pass to
 *   ask     whom to ask is written before the handler can run -> the handler calls a whole function
 */
#define _GNU_SOURCE
#include "os/linux_internal.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/* The handler that was there before, and those of its flags that matter, in one word: a thread that
 * is still in a handler which was removed must not read half of the next one. User addresses leave
 * the upper bits free. */
#define TAKES_INFO   ((uint64_t)1 << 63)
#define TAKES_ITSELF ((uint64_t)1 << 62) /* SA_NODEFER */
#define FIRES_ONCE   ((uint64_t)1 << 61) /* SA_RESETHAND */
#define FUNCTION     (FIRES_ONCE - 1)

enum { PLACES = 4, SIGNALS = 64 };

struct place {
    _Atomic uint64_t before;
    _Atomic uint64_t mask; /* a bit a signal, the first is signal 1 */
};

static struct place places[PLACES];
/* For install and remove alone: */
static bool taken[PLACES]; /* on top, or perhaps beneath others */
static struct sigaction befores[PLACES];
static _Atomic(bool (*)(const struct moat_os_fault *)) ask;

static uint64_t word_of(const struct sigaction *action) {
    bool info = (action->sa_flags & SA_SIGINFO) != 0;
    uint64_t word =
        info ? (uintptr_t)action->sa_sigaction | TAKES_INFO : (uintptr_t)action->sa_handler;
    if ((action->sa_flags & SA_NODEFER) != 0)
        word |= TAKES_ITSELF;
    if (((unsigned)action->sa_flags & (unsigned)SA_RESETHAND) != 0)
        word |= FIRES_ONCE;
    return word;
}

static uint64_t mask_of(const sigset_t *set) {
    uint64_t mask = 0;
    for (int number = 1; number <= SIGNALS; number++)
        if (sigismember(set, number) == 1)
            mask |= (uint64_t)1 << (number - 1);
    return mask;
}

static void set_of(uint64_t mask, sigset_t *set) {
    sigemptyset(set);
    for (int number = 1; number <= SIGNALS; number++)
        if (mask >> (number - 1) & 1)
            sigaddset(set, number);
}

/* Whether a process sent the signal; else the kernel did, and the cause is still there. */
static bool was_sent(const siginfo_t *info) {
    return info->si_code <= 0;
}

static void die(int number, siginfo_t *info) {
    struct sigaction usual;
    memset(&usual, 0, sizeof usual);
    usual.sa_handler = SIG_DFL;
    sigaction(number, &usual, NULL);
    if (was_sent(info))
        syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), number, info);
}

/* Call a handler as the kernel would have. */
static void call(uint64_t before, uint64_t mask, int number, siginfo_t *info, void *context) {
    union {
        uintptr_t address;
        void (*plain)(int);
        void (*informed)(int, siginfo_t *, void *);
    } function = {.address = (uintptr_t)(before & FUNCTION)};
    sigset_t blocked, current;

    set_of(mask, &blocked);
    if (!(before & TAKES_ITSELF))
        sigaddset(&blocked, number);
    pthread_sigmask(SIG_BLOCK, &blocked, &current);
    if (before & TAKES_INFO)
        function.informed(number, info, context);
    else
        function.plain(number);
    pthread_sigmask(SIG_SETMASK, &current, NULL);
}

static void pass_on(struct place *place, int number, siginfo_t *info, void *context) {
    /* A(place) */
    uint64_t before = atomic_load_explicit(&place->before, memory_order_acquire);
    /* A(place) */
    uint64_t mask = atomic_load_explicit(&place->mask, memory_order_acquire);
    uint64_t function = before & FUNCTION;

    if (function == (uintptr_t)SIG_IGN && was_sent(info))
        return;
    if (function == (uintptr_t)SIG_DFL || function == (uintptr_t)SIG_IGN) {
        die(number, info);
        return;
    }
    /* relaxed: of several threads one calls it; whoever reads the default needs nothing else. */
    if ((before & FIRES_ONCE) &&
        !atomic_compare_exchange_strong_explicit(&place->before, &before, (uintptr_t)SIG_DFL,
                                                 memory_order_relaxed, memory_order_relaxed)) {
        die(number, info);
        return;
    }
    call(before, mask, number, info, context);
}

static void handle(size_t at, int number, siginfo_t *info, void *context) {
    struct moat_os_fault fault;
    int saved = errno;
    /* A(ask) */
    bool (*resolve)(const struct moat_os_fault *) =
        atomic_load_explicit(&ask, memory_order_acquire);
    bool resolved =
        moat_os_fault_read(number, info, context, &fault) && resolve != NULL && resolve(&fault);
    errno = saved;
    if (!resolved)
        pass_on(&places[at], number, info, context);
    errno = saved;
}

static void handle_first(int number, siginfo_t *info, void *context) {
    handle(0, number, info, context);
}

static void handle_second(int number, siginfo_t *info, void *context) {
    handle(1, number, info, context);
}

static void handle_third(int number, siginfo_t *info, void *context) {
    handle(2, number, info, context);
}

static void handle_fourth(int number, siginfo_t *info, void *context) {
    handle(3, number, info, context);
}

static void (*const handlers[PLACES])(int, siginfo_t *, void *) = {handle_first, handle_second,
                                                                   handle_third, handle_fourth};

#if defined(__x86_64__)

enum { PAGE_FAULT = 14, WAS_WRITE = 2, WAS_FETCH = 16 };

static unsigned access_of(const ucontext_t *context) {
    const greg_t *registers = context->uc_mcontext.gregs;
    if (registers[REG_TRAPNO] != PAGE_FAULT)
        return MOAT_OS_NONE;
    if (registers[REG_ERR] & WAS_FETCH)
        return MOAT_OS_EXECUTE;
    return registers[REG_ERR] & WAS_WRITE ? MOAT_OS_WRITE : MOAT_OS_READ;
}

static uintptr_t code_of(const ucontext_t *context) {
    return (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
}

#elif defined(__aarch64__)

/* The kernel appends records to the registers, each with a magic number and its size; one of them
 * is the syndrome of the exception. */
enum { SYNDROME = 0x45535201, CLASS_SHIFT = 26, DATA_ABORT = 0x24, FETCH_ABORT = 0x20 };
enum { WAS_WRITE = 1 << 6, WAS_CACHE_CARE = 1 << 8 };

struct record {
    uint32_t magic;
    uint32_t size;
    uint64_t syndrome;
};

static unsigned access_of(const ucontext_t *context) {
    const unsigned char *at = context->uc_mcontext.__reserved;
    const unsigned char *end = at + sizeof context->uc_mcontext.__reserved;
    struct record record;

    while ((size_t)(end - at) >= sizeof record) {
        memcpy(&record, at, sizeof record);
        if (record.magic == SYNDROME) {
            unsigned class = (unsigned)(record.syndrome >> CLASS_SHIFT) & 0x3F;
            if (class == FETCH_ABORT)
                return MOAT_OS_EXECUTE;
            if (class != DATA_ABORT)
                return MOAT_OS_NONE;
            bool wrote = (record.syndrome & WAS_WRITE) && !(record.syndrome & WAS_CACHE_CARE);
            return wrote ? MOAT_OS_WRITE : MOAT_OS_READ;
        }
        if (record.magic == 0 || record.size == 0 || record.size > (size_t)(end - at))
            break;
        at += record.size;
    }
    return MOAT_OS_NONE;
}

static uintptr_t code_of(const ucontext_t *context) {
    return (uintptr_t)context->uc_mcontext.pc;
}

#else

static unsigned access_of(const ucontext_t *context) {
    (void)context;
    return MOAT_OS_NONE;
}

static uintptr_t code_of(const ucontext_t *context) {
    (void)context;
    return 0;
}

#endif

bool moat_os_fault_read(int signal, const void *info, const void *context,
                        struct moat_os_fault *fault) {
    const siginfo_t *told = info;
    if (signal != SIGSEGV || (told->si_code != SEGV_MAPERR && told->si_code != SEGV_ACCERR))
        return false;
    *fault = (struct moat_os_fault){
        .address = (uintptr_t)told->si_addr,
        .access = access_of(context),
        .code = code_of(context),
    };
    return true;
}

/* The place whose handler is the current one; PLACES when none is. */
static size_t place_on_top(const struct sigaction *current) {
    size_t at = 0;
    while (at < PLACES &&
           !((current->sa_flags & SA_SIGINFO) != 0 && current->sa_sigaction == handlers[at]))
        at++;
    return at;
}

bool moat_os_fault_on_top(void) {
    struct sigaction current;
    int saved = errno;
    bool known = sigaction(SIGSEGV, NULL, &current) == 0;
    errno = saved;
    return known && place_on_top(&current) < PLACES;
}

int moat_os_fault_install(bool (*resolve)(const struct moat_os_fault *fault)) {
    struct sigaction current, ours;
    int saved = errno;
    size_t at = 0;

    while (at < PLACES && taken[at])
        at++;
    if (at == PLACES)
        return EBUSY;
    if (sigaction(SIGSEGV, NULL, &current) != 0)
        return moat_linux_result(-1, saved);
    /* R(ask) */
    atomic_store_explicit(&ask, resolve, memory_order_release);
    /* R(place) */
    atomic_store_explicit(&places[at].mask, mask_of(&current.sa_mask), memory_order_release);
    /* R(place) */
    atomic_store_explicit(&places[at].before, word_of(&current), memory_order_release);
    befores[at] = current;
    memset(&ours, 0, sizeof ours);
    ours.sa_sigaction = handlers[at];
    /* On the alternate stack: guards are what stacks grow by. Not deferred: a callback may touch a
     * guard itself. */
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | (current.sa_flags & SA_RESTART);
    sigemptyset(&ours.sa_mask);
    int error = moat_linux_result(sigaction(SIGSEGV, &ours, NULL), saved);
    if (error == 0)
        taken[at] = true;
    return error;
}

int moat_os_fault_remove(void) {
    struct sigaction current, before;
    int saved = errno;
    if (sigaction(SIGSEGV, NULL, &current) != 0)
        return moat_linux_result(-1, saved);
    size_t at = place_on_top(&current);
    if (at == PLACES) /* beneath another: it keeps its place, and is answered false from now on */
        return 0;
    /* relaxed: only what one of its own calls changed matters, and that has been made long ago. */
    uint64_t word = atomic_load_explicit(&places[at].before, memory_order_relaxed);
    before = befores[at];
    if ((word & FUNCTION) == (uintptr_t)SIG_DFL)
        before.sa_handler = SIG_DFL; /* it was to be called once, and was */
    int error = moat_linux_result(sigaction(SIGSEGV, &before, NULL), saved);
    if (error == 0)
        taken[at] = false;
    return error;
}
