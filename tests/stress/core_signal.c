/* SPDX-License-Identifier: MIT */
/*
 * core_signal: queries in signal handlers, which may interrupt any call of any thread anywhere, and
 * queries in forked children, which have one thread and whatever the others left half done.
 */
#define _GNU_SOURCE
#include "support/core.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MUTATORS = 3, SLOTS = 32, FOREVER = 30 };

static unsigned signals_wanted, forks_wanted;
static struct moat_manager *managers[2];
static _Atomic uintptr_t slots[SLOTS];
static pthread_t mutators[MUTATORS];
static atomic_uint ready;
static atomic_bool stop;
static atomic_uint handled;
static atomic_bool wrong;

static bool query_all(void) {
    for (unsigned i = 0; i < SLOTS; i++) {
        struct moat_page_info info;
        struct moat_stats stats;
        uintptr_t base = atomic_load(&slots[i]);
        uintptr_t at = base + i * PAGE;
        if (!base)
            continue;
        if (moat_query((void *)at, &info) != MOAT_OK || info.base != (void *)at || info.size == 0 ||
            (uintptr_t)info.allocation_base > at ||
            (info.state == MOAT_STATE_COMMITTED) != (info.protection > MOAT_PAGE_NOACCESS))
            return false;
        if (moat_stats_read(managers[i & 1], &stats) != MOAT_OK)
            return false;
    }
    return true;
}

static void handle(int signal_number) {
    int interrupted = errno;
    (void)signal_number;
    errno = 4711;
    if (!query_all() || errno != 4711)
        atomic_store(&wrong, true);
    atomic_fetch_add(&handled, 1);
    errno = interrupted;
}

static void mutate(unsigned number) {
    uint64_t state = number;
    uintptr_t own[SLOTS] = {0};

    mutators[number] = pthread_self();
    atomic_fetch_add(&ready, 1);
    while (!atomic_load(&stop)) {
        unsigned slot = core_below(&state, SLOTS / MUTATORS) * MUTATORS + number;
        struct moat_manager *manager = managers[slot & 1];
        void *base = (void *)own[slot];
        if (!base) {
            CHECK(moat_reserve(manager, NULL, 40 * PAGE, MOAT_PAGE_READWRITE, 0, &base) == MOAT_OK,
                  "%s", moat_last_error_text());
            own[slot] = (uintptr_t)base;
            atomic_store(&slots[slot], own[slot]);
        } else if (core_below(&state, 4) == 0) {
            CHECK(moat_release(manager, base) == MOAT_OK, "%s", moat_last_error_text());
            own[slot] = 0;
        } else if (core_below(&state, 2) == 0) {
            CHECK(moat_commit(manager, base, 36 * PAGE, MOAT_PAGE_READWRITE, NULL) == MOAT_OK, "%s",
                  moat_last_error_text());
            ((volatile unsigned char *)base)[35 * PAGE] = 1;
        } else {
            CHECK(moat_decommit(manager, base, 0) == MOAT_OK, "%s", moat_last_error_text());
        }
    }
}

/* A child asks, and ends; one that hangs is killed by its alarm. */
static void fork_and_query(void) {
    int state;
    pid_t child = fork();
    CHECK(child >= 0, "fork");
    if (child == 0) {
        signal(SIGALRM, SIG_DFL);
        alarm(FOREVER);
        _exit(query_all() ? 0 : 1);
    }
    while (waitpid(child, &state, 0) != child)
        ;
    CHECK(state == 0, "a child ended with %#x", (unsigned)state);
}

static void body(unsigned number) {
    if (number < MUTATORS) {
        mutate(number);
        return;
    }
    while (atomic_load(&ready) < MUTATORS)
        usleep(100);
    for (unsigned i = 0; i < signals_wanted; i++) {
        CHECK(pthread_kill(mutators[i % MUTATORS], SIGUSR1) == 0, "no thread %u", i % MUTATORS);
        if (i % 8 == 0)
            usleep(200);
        if (i % (signals_wanted / forks_wanted + 1) == 0)
            fork_and_query();
    }
    atomic_store(&stop, true);
}

int main(int argc, char **argv) {
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};

    signals_wanted = core_scale(argc, argv, 20000);
    forks_wanted = core_scale(argc, argv, 100);
    managers[0] = core_manager(0);
    managers[1] = core_manager(1);
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0, "sigaction");
    core_run(MUTATORS + 1, body);
    CHECK(!atomic_load(&wrong), "a query in a handler was wrong");
    CHECK(atomic_load(&handled) > signals_wanted / 100, "%u signals", atomic_load(&handled));
    moat_manager_destroy(managers[0]);
    moat_manager_destroy(managers[1]);
    return 0;
}
