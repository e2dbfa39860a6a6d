/* SPDX-License-Identifier: MIT */
/*
 * placeholder_signal: a query finds a page of a placeholder at whatever instruction a split, join,
 * replacement or return of it stands, and at whatever instruction the query itself stands while one
 * of them happens. A handler interrupts the one and does the other.
 */
#define _GNU_SOURCE
#include "support/core.h"

#include <moat/placeholder.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

enum { PAGES = 16, MIDDLE = 5, MIDDLE_PAGES = 4, STEPS = 6 };

static unsigned rounds;
static struct moat_manager *manager;
static unsigned char *base;
static pthread_t worker;
static atomic_bool ready, stop, wrong;
static atomic_uint handled;
static unsigned next_step;
static void (*in_handler)(void);

static void *page_at(size_t page) {
    return base + page * PAGE;
}

/* One of the calls that make a round trip. */
static bool change(void) {
    void *middle = page_at(MIDDLE), *at;
    size_t size = MIDDLE_PAGES * PAGE;

    switch (next_step++ % STEPS) {
    case 1:
        return !moat_placeholder_replace(manager, middle, size, MOAT_PAGE_READWRITE,
                                         MOAT_RESERVE_COMMIT, &at);
    case 0: /* split */
    case 2: /* give back */
    case 4: /* split */
        return !moat_placeholder_preserve(manager, middle, size);
    default:
        return !moat_placeholder_coalesce(manager, base, PAGES * PAGE);
    }
}

static void changes(void) {
    if (!change())
        atomic_store(&wrong, true);
}

static bool is_ours(size_t page) {
    struct moat_page_info info;
    if (moat_query(page_at(page), &info) || info.owner != manager ||
        info.state == MOAT_STATE_FREE || info.allocation_base > page_at(page) || info.size == 0)
        return false;
    return info.state == MOAT_STATE_RESERVED || info.allocation_protection == MOAT_PAGE_READWRITE;
}

static void queries(void) {
    for (size_t page = 0; page < PAGES; page++)
        if (!is_ours(page))
            atomic_store(&wrong, true);
}

static void handle(int number) {
    (void)number;
    in_handler();
    atomic_fetch_add(&handled, 1);
}

/* One thread works and the other interrupts it. */
static void interrupt(void) {
    while (!atomic_load(&ready))
        usleep(100);
    while (!atomic_load(&stop)) {
        CHECK(!pthread_kill(worker, SIGUSR1), "pthread_kill");
        for (volatile unsigned wait = 0; wait < 2000; wait++)
            ;
    }
}

static void start(void) {
    worker = pthread_self();
    atomic_store(&ready, true);
}

static void queries_interrupt_changes(unsigned number) {
    if (number != 0) {
        interrupt();
        return;
    }
    start();
    for (unsigned round = 0; round < rounds * STEPS; round++)
        CHECK(change(), "%s", moat_last_error_text());
    atomic_store(&stop, true);
}

/* What interrupts here holds nothing that a query could wait for, though no call but a query is
 * made for handlers: nothing else runs in this thread. */
static void changes_interrupt_queries(unsigned number) {
    if (number != 0) {
        interrupt();
        return;
    }
    start();
    while (atomic_load(&handled) < rounds * STEPS && !atomic_load(&wrong))
        queries();
    atomic_store(&stop, true);
}

static void play(void (*handler)(void), void (*body)(unsigned)) {
    in_handler = handler;
    next_step = 0;
    atomic_store(&ready, false);
    atomic_store(&stop, false);
    atomic_store(&handled, 0);
    core_run(2, body);
    CHECK(!atomic_load(&wrong), "a page was nobody's, or a call failed");
    CHECK(atomic_load(&handled) > 0, "no signal came");
    while (next_step % STEPS != 0)
        CHECK(change(), "%s", moat_last_error_text());
}

int main(int argc, char **argv) {
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
    void *start_of;

    rounds = core_scale(argc, argv, 4000);
    CHECK(!sigaction(SIGUSR1, &action, NULL), "sigaction");
    for (unsigned mechanism = 0; mechanism < 2; mechanism++) {
        manager = core_manager(mechanism);
        CHECK(!moat_placeholder_reserve(manager, NULL, PAGES * PAGE, 0, NULL, &start_of), "%s",
              moat_last_error_text());
        base = start_of;
        play(queries, queries_interrupt_changes);
        play(changes, changes_interrupt_queries);
        moat_manager_destroy(manager);
    }
    return 0;
}
