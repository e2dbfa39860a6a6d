/* SPDX-License-Identifier: MIT */
/* traps: a handler that jumps, and probes by the kernel. */
#define _GNU_SOURCE
#include "traps.h"

#include "../../fuzz/support/probe.h"

#include <moat/fault.h>

#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

enum { PROBES_MAX = 12, TRIES = 1000 };

static _Thread_local sigjmp_buf back;
static _Thread_local volatile sig_atomic_t expected, guards;

static void on_trap(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)context;
    if (!expected)
        soak_fail(ORACLE_TRAP, "an access to %p traps", info->si_addr);
    siglongjmp(back, 1);
}

static void on_guard(const struct moat_fault *fault, void *context) {
    (void)fault;
    (void)context;
    guards++;
    atomic_fetch_add(&tally.guards, 1);
}

void traps_install(void) {
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_NODEFER};

    action.sa_sigaction = on_trap;
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    EXPECT(ORACLE_STATUS, moat_fault_handler_install(on_guard, NULL) == MOAT_OK, "no handler");
}

bool traps_on_access(unsigned char *byte, bool write) {
    volatile unsigned char *there = byte;

    atomic_fetch_add_explicit(&tally.traps, 1, memory_order_relaxed);
    expected = 1;
    if (sigsetjmp(back, 0) != 0) {
        expected = 0;
        return true;
    }
    unsigned char was = *there;
    if (write)
        *there = was;
    expected = 0;
    return false;
}

unsigned traps_guards(void) {
    return (unsigned)guards;
}

static bool is_free(const unsigned char *at) {
    struct moat_page_info info;

    return moat_query(at, &info) == MOAT_OK && info.state == MOAT_STATE_FREE;
}

static void write_through(const unsigned char *at) {
    void *page = (void *)(uintptr_t)at;

    /* As a stale pointer would, if the release had forgotten the page. */
    (void)mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    memset(page, 'w', 1);
}

void traps_expect_gone(const unsigned char *base, size_t pages) {
    size_t step = 1 + pages / PROBES_MAX;

    /* Again and again: the next owner of the place may hide one. */
    if (world.plant == PLANT_WRITTEN_THROUGH)
        write_through(base);
    for (size_t page = 0; page < pages; page += step) {
        const unsigned char *at = base + page * PAGE;
        unsigned tries = 0;

        /* Free before and after it was found accessible, again and again: then it is nobody's. */
        while (tries < TRIES && is_free(at) && probe_readable((uintptr_t)at, 1) == 1 && is_free(at))
            tries++;
        EXPECT(ORACLE_TRAP, tries < TRIES, "%p was released, is free, and can be read",
               (const void *)at);
        atomic_fetch_add_explicit(&tally.probes, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&tally.reused, !is_free(at), memory_order_relaxed);
    }
}
