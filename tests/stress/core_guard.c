/* SPDX-License-Identifier: MIT */
/*
 * core_guard: a storm on guard pages. All threads touch the same guards at once, round after round:
 * each guard goes off exactly once, and every access goes through. Then with threads that arm,
 * protect and decommit the same pages all the time, where an access may also be a violation, but
 * nothing hangs and no guard is told of that was not armed.
 */
#define _GNU_SOURCE
#include "support/core.h"

#include <moat/fault.h>

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

enum { THREADS = 4, PAGES = 64, RW = MOAT_PAGE_READWRITE, GUARDED = RW | MOAT_PAGE_GUARD };

static unsigned rounds;
static struct moat_manager *manager;
static unsigned char *base;
static atomic_uint told[PAGES];
static atomic_uint armed[PAGES]; /* how often, in the second part */
static atomic_bool stop;
static atomic_uint finished;
static _Thread_local sigjmp_buf escape;
static _Thread_local volatile bool in_touch;

/* Not instrumented: the fault must not come inside ThreadSanitizer, which is not reentrant, and the
 * races on these bytes are meant. */
__attribute__((no_sanitize("thread"))) static void access_byte(unsigned page, bool write) {
    volatile unsigned char *byte = base + page * PAGE;
    if (write)
        *byte = 1;
    else
        (void)*byte;
}

static void count(const struct moat_fault *fault, void *context) {
    size_t page = (size_t)((unsigned char *)fault->address - base) / PAGE;
    CHECK(context == manager && fault->owner == manager, "page %zu", page);
    CHECK(page < PAGES && fault->kind == MOAT_FAULT_GUARD_PAGE, "page %zu", page);
    atomic_fetch_add(&told[page], 1);
}

static void on_violation(int number, siginfo_t *info, void *context) {
    (void)number;
    (void)context;
    CHECK(in_touch, "a violation at %p", info->si_addr);
    siglongjmp(escape, 1);
}

static void storm(unsigned number) {
    uint64_t state = number + 1;
    uint32_t old;
    for (unsigned round = 0; round < rounds; round++) {
        if (number == 0) {
            for (unsigned page = 0; page < PAGES; page++)
                atomic_store(&told[page], 0);
            CHECK(moat_protect(manager, base, PAGES * PAGE, GUARDED, &old) == MOAT_OK, "%s",
                  moat_last_error_text());
        }
        core_meet();
        unsigned first = round & 1 ? core_below(&state, PAGES) : 0;
        for (unsigned i = 0; i < PAGES; i++)
            access_byte((first + i) % PAGES, ((i ^ number) & 1) != 0);
        core_meet();
        for (unsigned page = number; page < PAGES; page += THREADS)
            CHECK(atomic_load(&told[page]) == 1, "page %u went off %u times in round %u", page,
                  atomic_load(&told[page]), round);
        core_meet();
    }
}

static void touch(unsigned page, bool write) {
    in_touch = true;
    if (sigsetjmp(escape, 1) == 0)
        access_byte(page, write);
    in_touch = false;
}

static void change(uint64_t *state) {
    static const uint32_t protections[] = {RW, MOAT_PAGE_READONLY, MOAT_PAGE_NOACCESS};
    unsigned page = core_below(state, PAGES - 4);
    void *start = base + page * PAGE;
    unsigned count_of = 1 + core_below(state, 4);
    uint32_t old;
    unsigned what = core_below(state, 8);

    if (what < 5) {
        /* Counted before: it may go off before the call returns. */
        for (unsigned i = 0; i < count_of; i++)
            atomic_fetch_add(&armed[page + i], 1);
        CHECK(moat_commit(manager, start, count_of * PAGE, GUARDED, NULL) == MOAT_OK, "%s",
              moat_last_error_text());
    } else if (what < 7) {
        enum moat_status status =
            moat_protect(manager, start, count_of * PAGE, protections[core_below(state, 3)], &old);
        CHECK(status == MOAT_OK || status == MOAT_INVALID_ADDRESS, "%s", moat_last_error_text());
    } else {
        CHECK(moat_decommit(manager, start, count_of * PAGE) == MOAT_OK, "%s",
              moat_last_error_text());
    }
}

static void mix(unsigned number) {
    uint64_t state = number + 100;
    if (number < THREADS / 2) {
        for (unsigned i = 0; i < rounds * 20; i++)
            change(&state);
        if (atomic_fetch_add(&finished, 1) + 1 == THREADS / 2)
            atomic_store(&stop, true);
        return;
    }
    while (!atomic_load(&stop))
        touch(core_below(&state, PAGES), core_below(&state, 2) != 0);
}

int main(int argc, char **argv) {
    struct sigaction action = {.sa_sigaction = on_violation, .sa_flags = SA_SIGINFO};
    rounds = core_scale(argc, argv, 1000);
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0, "sigaction");
    for (unsigned mechanism = 0; mechanism < 2; mechanism++) {
        void *made;
        manager = core_manager(mechanism);
        CHECK(moat_fault_handler_install(count, manager) == MOAT_OK, "%s", moat_last_error_text());
        CHECK(moat_reserve(manager, NULL, PAGES * PAGE, RW, MOAT_RESERVE_COMMIT, &made) == MOAT_OK,
              "%s", moat_last_error_text());
        base = made;
        core_run(THREADS, storm);

        memset(told, 0, sizeof told);
        memset(armed, 0, sizeof armed);
        atomic_store(&stop, false);
        atomic_store(&finished, 0);
        uint32_t old;
        CHECK(moat_protect(manager, base, PAGES * PAGE, RW, &old) == MOAT_OK, "to begin with");
        core_run(THREADS, mix);
        unsigned all = 0;
        for (unsigned page = 0; page < PAGES; page++) {
            CHECK(atomic_load(&told[page]) <= atomic_load(&armed[page]), "page %u: %u of %u", page,
                  atomic_load(&told[page]), atomic_load(&armed[page]));
            all += atomic_load(&told[page]);
        }
        CHECK(all > 0, "no guard went off");
        CHECK(moat_fault_handler_remove() == MOAT_OK, "%s", moat_last_error_text());
        moat_manager_destroy(manager);
    }
    return 0;
}
