/* SPDX-License-Identifier: MIT */
/*
 * fork_anywhere: threads are stopped by a signal at whatever instruction they are, inside Moat or
 * not, and the process forks. In every other round it is not another thread that forks but the
 * handler itself, on top of a call that it has interrupted: there the child first goes back into
 * that call, and finishes it.
 */
#define _GNU_SOURCE
#include "support/core.h"
#include "support/fork_child.h"

#include <moat/heap.h>
#include <moat/lock.h>
#include <moat/placeholder.h>

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RW MOAT_PAGE_READWRITE

enum { WORKERS = 4, PLACES = 6, BLOCK = 2097152 };

static unsigned rounds;
static struct moat_manager *managers[3]; /* the last one of the heap, in arenas of its own */
static struct moat_heap *heap;

/* Where each worker has its regions: always the same addresses, so that the child can ask. */
static struct place {
    uintptr_t base;
    size_t size;
    struct moat_manager *manager;
} places[WORKERS][PLACES];

static uintptr_t calm;
static pthread_t workers[WORKERS];
static _Atomic uint32_t stopped, released, ready;
static _Atomic bool stop;
static _Atomic int forker; /* the worker whose handler is to fork; -1: none */
static _Atomic int child;
static _Thread_local int number = -1;
static _Thread_local volatile bool is_child; /* forked in a handler */

static void wait_for(_Atomic uint32_t *word, uint32_t value) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void handle(int signal_number) {
    int interrupted = errno;
    uint32_t before = atomic_load(&released);

    (void)signal_number;
    if (atomic_load(&forker) == number) {
        /* The others stand already. */
        while (atomic_load(&stopped) != WORKERS - 1)
            sched_yield();
        int made = child_make(before % 4 == 3);
        if (made == 0) {
            is_child = true;
            errno = interrupted;
            return;
        }
        atomic_store(&child, made);
    }
    atomic_fetch_add(&stopped, 1);
    while (atomic_load(&released) == before)
        wait_for(&released, before);
    errno = interrupted;
}

/* --- The child --- */

static void use_heap(void) {
    void *many[40];
    for (unsigned i = 0; i < 40; i++) {
        size_t bytes = i % 8 == 7 ? (size_t)3 << 20 : i * 997 + 1;
        EXPECT(moat_heap_alloc(heap, bytes, &many[i]) == MOAT_OK, "%s", moat_last_error_text());
        memset(many[i], 'n', bytes);
    }
    for (unsigned i = 0; i < 40; i++)
        EXPECT(moat_heap_free(heap, many[i]) == MOAT_OK, "%s", moat_last_error_text());
}

static _Noreturn void be_child(void) {
    struct moat_stats stats;
    void *at;

    alarm(60);
    for (unsigned i = 0; i < 64; i++)
        EXPECT(((volatile unsigned char *)calm)[i * 64] == 'c', "content has changed");
    for (unsigned i = 0; i < 2; i++) {
        EXPECT(moat_reserve(managers[i], NULL, PAGE, RW, 0, &at) == MOAT_OK, "%s",
               moat_last_error_text());
        EXPECT(moat_release(managers[i], at) == MOAT_OK, "%s", moat_last_error_text());
    }
    for (unsigned w = 0; w < WORKERS; w++)
        for (unsigned i = 0; i < PLACES; i++) {
            const struct place *place = &places[w][i];
            child_check_books(place->base, place->base + place->size + 2 * GRANULE);
        }
    for (unsigned w = 0; w < WORKERS; w++)
        for (unsigned i = 0; i < PLACES; i++)
            child_use_up(places[w][i].manager, places[w][i].base, places[w][i].size, true);
    EXPECT(moat_release(managers[0], (void *)calm) == MOAT_OK, "%s", moat_last_error_text());
    use_heap();
    moat_heap_destroy(heap);
    EXPECT(moat_stats_read(managers[1], &stats) == MOAT_OK, "no statistics");
    /* What the interrupted call counts, and a placeholder of a thread, are not told apart here. */
    EXPECT(is_child || stats.bytes_committed == 0, "%lu bytes are left",
           (unsigned long)stats.bytes_committed);
    EXPECT(moat_stats_read(managers[2], &stats) == MOAT_OK, "no statistics");
    EXPECT(is_child || stats.regions_live == 0, "%lu regions of a heap are left",
           (unsigned long)stats.regions_live);
    for (unsigned i = 0; i < 3; i++)
        moat_manager_destroy(managers[i]);
    _exit(0);
}

/* --- The workers --- */

/* In the child that a handler forked, the call that was interrupted has come to its end. */
static void check(enum moat_status status, const char *what) {
    if (is_child) {
        EXPECT(status == MOAT_OK || status == MOAT_INVALID_ADDRESS || status == MOAT_NOT_OURS,
               "%s, interrupted: %d, %s", what, status, moat_last_error_text());
        be_child();
    }
    CHECK(status == MOAT_OK, "%s: %d, %s", what, status, moat_last_error_text());
}

static void use_place(const struct place *place, uint64_t *chance) {
    struct moat_manager *manager = place->manager;
    void *base = (void *)place->base, *at;
    uint32_t old;

    bool commit = core_below(chance, 2) != 0;
    check(moat_reserve(manager, base, place->size, RW, commit ? MOAT_RESERVE_COMMIT : 0, &at),
          "reserve");
    check(moat_commit(manager, (char *)base + 2 * PAGE, 5 * PAGE, RW, NULL), "commit");
    check(moat_protect(manager, (char *)base + 2 * PAGE, PAGE, MOAT_PAGE_READONLY, &old),
          "protect");
    check(moat_lock(manager, base), "lock");
    check(moat_decommit(manager, base, core_below(chance, 2) ? 0 : 4 * PAGE), "decommit");
    check(moat_unlock(manager, base), "unlock");
    check(moat_commit(manager, base, place->size, RW, NULL), "commit all");
    memset(base, 1, PAGE);
    check(moat_release(manager, base), "release");
}

static void use_blocks(uint64_t *chance) {
    void *blocks[12];
    for (unsigned i = 0; i < 12; i++)
        check(moat_heap_alloc(heap, 1 + core_below(chance, 60000), &blocks[i]), "alloc");
    for (unsigned i = 0; i < 12; i++)
        check(moat_heap_free(heap, blocks[i]), "free");
}

static void use_placeholder(void) {
    void *at, *in;
    check(moat_placeholder_reserve(managers[0], NULL, 8 * GRANULE, 0, NULL, &at), "placeholder");
    check(moat_placeholder_preserve(managers[0], (char *)at + GRANULE, 2 * GRANULE), "split");
    check(moat_placeholder_replace(managers[0], (char *)at + GRANULE, 2 * GRANULE, RW,
                                   MOAT_RESERVE_COMMIT, &in),
          "replace");
    check(moat_placeholder_preserve(managers[0], in, 2 * GRANULE), "preserve");
    check(moat_placeholder_coalesce(managers[0], at, 8 * GRANULE), "coalesce");
    check(moat_release(managers[0], at), "release");
}

static void *work(void *argument) {
    number = (int)(intptr_t)argument;
    uint64_t chance = (uint64_t)number;
    atomic_fetch_add(&ready, 1);
    while (!atomic_load(&stop)) {
        use_place(&places[number][core_below(&chance, PLACES)], &chance);
        if (core_below(&chance, 4) == 0)
            use_blocks(&chance);
        if (core_below(&chance, 6) == 0)
            use_placeholder();
        if (is_child)
            be_child();
    }
    return NULL;
}

/* --- The parent --- */

static void round_of(unsigned round, uint64_t *chance) {
    struct timespec pause = {.tv_nsec = (long)core_below(chance, 300000)};
    int made;

    nanosleep(&pause, NULL);
    atomic_store(&stopped, 0);
    atomic_store(&child, 0);
    atomic_store(&forker, round % 2 ? (int)core_below(chance, WORKERS) : -1);
    for (unsigned i = 0; i < WORKERS; i++)
        CHECK(pthread_kill(workers[i], SIGUSR1) == 0, "no signal");
    while (atomic_load(&stopped) != WORKERS)
        sched_yield();
    if (round % 2 == 0) {
        made = child_make(round % 4 == 2);
        if (made == 0)
            be_child();
    } else {
        made = atomic_load(&child);
    }
    child_reap(made, round % 2 ? "forked in a handler" : "forked beside", round);
    atomic_fetch_add(&released, 1);
    syscall(SYS_futex, &released, FUTEX_WAKE_PRIVATE, WORKERS, NULL, NULL, 0);
}

static void find_places(void) {
    static const size_t sizes[PLACES] = {16 * PAGE, 9 * PAGE,         40 * PAGE,
                                         16 * PAGE, BLOCK + 5 * PAGE, 2 * BLOCK};
    void *at;
    for (unsigned w = 0; w < WORKERS; w++)
        for (unsigned i = 0; i < PLACES; i++) {
            struct place *place = &places[w][i];
            *place = (struct place){.size = sizes[i], .manager = managers[i % 2]};
            CHECK(moat_reserve(place->manager, NULL, place->size, RW, 0, &at) == MOAT_OK, "%s",
                  moat_last_error_text());
            place->base = (uintptr_t)at;
        }
    CHECK(moat_reserve(managers[0], NULL, GRANULE, RW, MOAT_RESERVE_COMMIT, &at) == MOAT_OK, "%s",
          moat_last_error_text());
    calm = (uintptr_t)at;
    memset(at, 'c', PAGE);
    for (unsigned w = 0; w < WORKERS; w++)
        for (unsigned i = 0; i < PLACES; i++)
            CHECK(moat_release(places[w][i].manager, (void *)places[w][i].base) == MOAT_OK, "%s",
                  moat_last_error_text());
}

int main(int argc, char **argv) {
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
    uint64_t chance = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;

    rounds = core_scale(argc, argv, 100);
    struct moat_options options;
    for (unsigned i = 0; i < 2; i++)
        managers[i] = core_manager_with(i, 0);
    moat_options_init(&options);
    options.dump = MOAT_DUMP_NONE;
    options.timeout_ms = 60000;
    CHECK(moat_manager_create(&options, &managers[2]) == MOAT_OK, "%s", moat_last_error_text());
    CHECK(moat_heap_create(managers[2], 0, &heap) == MOAT_OK, "no heap");
    find_places();
    sigaction(SIGUSR1, &action, NULL);
    for (unsigned i = 0; i < WORKERS; i++)
        CHECK(pthread_create(&workers[i], NULL, work, (void *)(intptr_t)i) == 0, "no thread");
    while (atomic_load(&ready) != WORKERS)
        sched_yield();
    for (unsigned round = 0; round < rounds; round++)
        round_of(round, &chance);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);
    moat_heap_destroy(heap);
    for (unsigned i = 0; i < 3; i++)
        moat_manager_destroy(managers[i]);
    return 0;
}
