/* SPDX-License-Identifier: MIT */
/* fork_child: probes go through the kernel, which answers EFAULT where a thread would be killed. */
#define _GNU_SOURCE
#include "fork_child.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = MOAT_PAGE_BYTES, SECONDS_MAX = 20 };

#define RW MOAT_PAGE_READWRITE

void child_fail(const char *file, int line, const char *condition, const char *format, ...) {
    char text[512];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    dprintf(STDERR_FILENO, "%s:%d: %s: %s\n", file, line, condition, text);
    _exit(1);
}

int child_make(bool bare) {
    return bare ? (int)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0) : fork();
}

/* A pipe that is emptied after each byte. */
static int *ends(void) {
    static int pair[2];
    static pid_t owner;
    if (owner != getpid()) {
        if (pipe(pair) != 0)
            abort();
        owner = getpid();
    }
    return pair;
}

bool child_reads(uintptr_t page) {
    char byte;
    if (write(ends()[1], (void *)page, 1) != 1)
        return false;
    if (read(ends()[0], &byte, 1) != 1)
        abort();
    return true;
}

bool child_writes(uintptr_t page) {
    char byte = 0;
    if (child_reads(page))
        byte = *(volatile char *)page;
    if (write(ends()[1], &byte, 1) != 1)
        abort();
    if (read(ends()[0], (void *)page, 1) == 1)
        return true;
    if (read(ends()[0], &byte, 1) != 1)
        abort();
    return false;
}

/* Large ranges are looked at here and there. */
static uintptr_t stride_of(size_t size) {
    return size > 128 * PAGE ? size / 64 / PAGE * PAGE : PAGE;
}

void child_check_books(uintptr_t start, uintptr_t end) {
    for (uintptr_t page = start; page < end; page += stride_of(end - start)) {
        struct moat_page_info info;
        EXPECT(moat_query((void *)page, &info) == MOAT_OK, "%#lx", (unsigned long)page);
        bool committed = info.state == MOAT_STATE_COMMITTED;
        bool reads = committed && info.protection != MOAT_PAGE_NOACCESS &&
                     !(info.protection & MOAT_PAGE_GUARD);
        bool writes = reads && (info.protection & (RW | MOAT_PAGE_EXECUTE_READWRITE));
        if (committed && !info.owner)
            continue; /* somebody else's memory */
        EXPECT(child_reads(page) == reads, "%#lx: state %d, protection %#x, yet %s",
               (unsigned long)page, info.state, info.protection, reads ? "it traps" : "it reads");
        EXPECT(child_writes(page) == writes, "%#lx: state %d, protection %#x, yet %s",
               (unsigned long)page, info.state, info.protection, writes ? "it traps" : "it writes");
    }
}

static void check_trap(uintptr_t start, uintptr_t end, const char *what) {
    for (uintptr_t page = start; page < end; page += PAGE)
        EXPECT(!child_reads(page) && !child_writes(page), "%#lx after %s", (unsigned long)page,
               what);
}

static void check_zero_and_write(uintptr_t base, size_t size) {
    for (uintptr_t page = base; page < base + size; page += stride_of(size)) {
        for (unsigned i = 0; i < PAGE / 8; i++)
            EXPECT(((volatile uint64_t *)page)[i] == 0, "%#lx is not fresh", (unsigned long)page);
        *(volatile uint64_t *)page = UINT64_C(0x1122334455667788);
    }
}

static bool exists(struct moat_manager *manager, uintptr_t base) {
    struct moat_page_info info;
    EXPECT(moat_query((void *)base, &info) == MOAT_OK, "%#lx", (unsigned long)base);
    return info.allocation_base == (void *)base && info.owner == manager;
}

static void use_region(struct moat_manager *manager, uintptr_t base, size_t size) {
    uint32_t old;
    EXPECT(moat_decommit(manager, (void *)base, 0) == MOAT_OK, "%s", moat_last_error_text());
    check_trap(base, base + (size < 64 * PAGE ? size : 64 * PAGE), "a decommit");
    EXPECT(moat_commit(manager, (void *)base, size, RW, NULL) == MOAT_OK, "%s",
           moat_last_error_text());
    check_zero_and_write(base, size);
    EXPECT(moat_protect(manager, (void *)base, PAGE, MOAT_PAGE_READONLY, &old) == MOAT_OK, "%s",
           moat_last_error_text());
    EXPECT(child_reads(base) && !child_writes(base), "%#lx is not read-only", (unsigned long)base);
    EXPECT(moat_release(manager, (void *)base) == MOAT_OK, "%s", moat_last_error_text());
}

void child_use_up(struct moat_manager *manager, uintptr_t base, size_t size, bool kernel) {
    struct timespec before, after;
    void *again;

    clock_gettime(CLOCK_MONOTONIC, &before);
    enum moat_status status = moat_commit(manager, (void *)base, PAGE, RW, NULL);
    if (status == MOAT_OK)
        EXPECT(child_writes(base), "%#lx", (unsigned long)base);
    else
        EXPECT(status == MOAT_INVALID_ADDRESS, "%s", moat_last_error_text());
    if (exists(manager, base)) {
        struct moat_page_info info;
        uintptr_t at = base;
        for (size_t left = size; left;
             left = left > info.size ? left - info.size : 0, at += info.size)
            EXPECT(moat_query((void *)at, &info) == MOAT_OK && info.owner == manager &&
                       info.allocation_base == (void *)base,
                   "%#lx, of %#lx and %zu bytes, is of %p, %p", (unsigned long)at,
                   (unsigned long)base, size, info.allocation_base, (void *)info.owner);
        use_region(manager, base, size);
    }
    EXPECT(moat_release(manager, (void *)base) == MOAT_NOT_OURS, "%#lx", (unsigned long)base);
    if (!kernel)
        return;
    check_trap(base, base + (size < 64 * PAGE ? size : 64 * PAGE), "a release");
    status = moat_reserve(manager, (void *)base, size, RW, 0, &again);
    EXPECT(status == MOAT_OK, "the same place again, %#lx: %s", (unsigned long)base,
           moat_last_error_text());
    use_region(manager, base, size);
    check_trap(base, base + (size < 64 * PAGE ? size : 64 * PAGE), "the end");
    clock_gettime(CLOCK_MONOTONIC, &after);
    EXPECT(after.tv_sec - before.tv_sec < SECONDS_MAX, "waited for nobody");
}

void child_reap(int child, const char *what, unsigned step) {
    int state = 0;
    if (child < 0 || waitpid(child, &state, 0) != child || state != 0) {
        fprintf(stderr, "%s, step %u: the child %d ended with %#x\n", what, step, child,
                (unsigned)state);
        exit(1);
    }
}
