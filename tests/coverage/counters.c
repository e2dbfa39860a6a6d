/* SPDX-License-Identifier: MIT */
/*
 * counters: what a process has counted for coverage is written before it is killed.
 *
 * gcc's counters are written by exit(). Half of the tests play in children that end by _exit or by
 * a signal, and whatever led there would count as never run. So these functions stand before those
 * of the C library: the ends, and whoever gives a deadly signal back to the kernel, which is what a
 * handler does before the instruction that kills comes again. What SIGKILL takes stays uncounted.
 *
 * They are looked up before main: a handler, or a test that replaces dlsym, is no place for that.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void __gcov_dump(void);
void __gcov_reset(void);

static struct {
    void (*exit)(int status);
    void (*abort)(void);
    int (*sigaction)(int number, const struct sigaction *action, struct sigaction *before);
    void (*(*signal)(int number, void (*handler)(int)))(int);
} library;

static void look_up(const char *name, void *function, size_t size) {
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(function, &found, size);
}

__attribute__((constructor(101))) static void find_library(void) {
    look_up("_exit", &library.exit, sizeof library.exit);
    look_up("abort", &library.abort, sizeof library.abort);
    look_up("sigaction", &library.sigaction, sizeof library.sigaction);
    look_up("signal", &library.signal, sizeof library.signal);
}

static void write_counters(void) {
    int saved = errno;
    __gcov_dump();
    __gcov_reset(); /* else it would not be written a second time */
    errno = saved;
}

static bool is_deadly(int number) {
    return number == SIGSEGV || number == SIGABRT || number == SIGBUS || number == SIGILL;
}

void _exit(int status) {
    write_counters();
    library.exit(status);
    __builtin_unreachable();
}

void _Exit(int status) {
    _exit(status);
}

void abort(void) {
    write_counters();
    library.abort();
    __builtin_unreachable();
}

int sigaction(int number, const struct sigaction *action, struct sigaction *before) {
    if (action && is_deadly(number) && action->sa_handler == SIG_DFL)
        write_counters();
    return library.sigaction(number, action, before);
}

void (*signal(int number, void (*handler)(int)))(int) {
    if (is_deadly(number) && handler == SIG_DFL)
        write_counters();
    return library.signal(number, handler);
}
