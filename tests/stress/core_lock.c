/* SPDX-License-Identifier: MIT */
/*
 * core_lock: threads lock, unlock, work on, release and abandon the same few regions while waits
 * are called off. What a lock guards is plain memory, so under ThreadSanitizer a lock that lets two
 * in is a report; a lock that is lost, or a wait that never ends, is a hang.
 */
#include "support/core.h"

#include <moat/lock.h>

#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 4, REGIONS = 3, SIZE = 4 << 20 };

static unsigned rounds;
static struct moat_manager *manager;
static void *regions[REGIONS];
static unsigned long guarded[REGIONS]; /* plain: each guarded by the lock of its region */
static _Atomic unsigned long locked, called_off, timed_out;
static atomic_uint finished;

static void note(enum moat_status status) {
    if (status == MOAT_ABANDONED)
        atomic_fetch_add(&called_off, 1);
    else if (status == MOAT_TIMEOUT)
        atomic_fetch_add(&timed_out, 1);
    else
        CHECK(status == MOAT_OK, "%s", moat_last_error_text());
}

/* While it is locked nobody else changes a page of it: what is committed stays, also in between. */
static void work_as_holder(unsigned which, uint64_t *state) {
    char *page = (char *)regions[which] + (size_t)core_below(state, SIZE / PAGE) * PAGE;
    struct moat_page_info info;

    guarded[which]++;
    CHECK(moat_commit(manager, page, PAGE, MOAT_PAGE_READWRITE, NULL) == MOAT_OK, "%s",
          moat_last_error_text());
    *page = (char)which;
    if (core_below(state, 4) == 0)
        CHECK(moat_decommit(manager, regions[which], 0) == MOAT_OK, "%s", moat_last_error_text());
    else
        CHECK(*page == (char)which, "somebody else worked on a locked region");
    CHECK(moat_query(page, &info) == MOAT_OK && info.owner == manager, "not ours");
    guarded[which]++;
}

static void lock_and_work(unsigned which, uint64_t *state) {
    enum moat_status status = moat_lock(manager, (char *)regions[which] + core_below(state, SIZE));
    note(status);
    if (status != MOAT_OK)
        return;
    atomic_fetch_add(&locked, 1);
    if (core_below(state, 8) == 0) {
        CHECK(moat_lock(manager, regions[which]) == MOAT_OK, "%s", moat_last_error_text());
        CHECK(moat_unlock(manager, regions[which]) == MOAT_OK, "%s", moat_last_error_text());
    }
    work_as_holder(which, state);
    CHECK(moat_unlock(manager, regions[which]) == MOAT_OK, "%s", moat_last_error_text());
}

static void work_without(unsigned which, uint64_t *state) {
    char *page = (char *)regions[which] + (size_t)core_below(state, SIZE / PAGE) * PAGE;
    /* The content of pages is the business of holders: only the states change here. */
    note(moat_commit(manager, page, PAGE, MOAT_PAGE_READWRITE, NULL));
}

static void *end_as_holder(void *region) {
    note(moat_lock(manager, region));
    return NULL;
}

static void abandon(unsigned which) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, end_as_holder, regions[which]) == 0, "no thread");
    pthread_join(thread, NULL);
}

static void mix(unsigned number) {
    uint64_t state = number + 1;

    for (unsigned round = 0; round < rounds; round++) {
        unsigned which = core_below(&state, REGIONS);
        unsigned what = core_below(&state, 100);
        if (what < 60)
            lock_and_work(which, &state);
        else if (what < 95)
            work_without(which, &state);
        else if (what < 98)
            moat_cancel_waits(manager);
        else
            abandon(which);
    }
    atomic_fetch_add(&finished, 1);
    /* Nobody may be left who waits for one that is gone. */
    while (atomic_load(&finished) < THREADS)
        moat_cancel_waits(manager);
}

static void *_Atomic shared;
static atomic_uint winners;

/* One has it locked and releases it; the others try to lock, to work and to release. */
static void race_release(unsigned number) {
    uint64_t state = number;

    for (unsigned round = 0; round < rounds / 4; round++) {
        if (number == 0) {
            void *base;
            CHECK(moat_reserve(manager, NULL, SIZE, MOAT_PAGE_READWRITE, 0, &base) == MOAT_OK, "%s",
                  moat_last_error_text());
            atomic_store(&shared, base);
            atomic_store(&winners, 0);
        }
        core_meet();
        void *base = atomic_load(&shared);
        enum moat_status status = moat_lock(manager, base);
        if (status == MOAT_OK) {
            if (core_below(&state, 2) == 0)
                CHECK(moat_commit(manager, base, PAGE, MOAT_PAGE_READWRITE, NULL) == MOAT_OK, "%s",
                      moat_last_error_text());
            CHECK(moat_release(manager, base) == MOAT_OK, "%s", moat_last_error_text());
            atomic_fetch_add(&winners, 1);
        } else {
            CHECK(status == MOAT_NOT_OURS, "%s", moat_last_error_text());
        }
        status = moat_release(manager, base);
        CHECK(status == MOAT_NOT_OURS || status == MOAT_NOT_OWNER, "%s", moat_last_error_text());
        core_meet();
        CHECK(atomic_load(&winners) == 1, "%u winners", atomic_load(&winners));
        core_meet();
    }
}

int main(int argc, char **argv) {
    struct moat_options options;

    rounds = core_scale(argc, argv, 6000);
    moat_options_init(&options);
    options.report = MOAT_REPORT_OFF;
    CHECK(moat_manager_create(&options, &manager) == MOAT_OK, "%s", moat_last_error_text());
    for (unsigned i = 0; i < REGIONS; i++)
        CHECK(moat_reserve(manager, NULL, SIZE, MOAT_PAGE_READWRITE, 0, &regions[i]) == MOAT_OK,
              "%s", moat_last_error_text());
    core_run(THREADS, mix);
    core_run(THREADS, race_release);
    unsigned long sum = 0;
    for (unsigned i = 0; i < REGIONS; i++)
        sum += guarded[i];
    CHECK(sum == 2 * atomic_load(&locked), "%lu is not twice %lu", sum, atomic_load(&locked));
    CHECK(atomic_load(&timed_out) == 0, "a lock was lost");
    printf("%lu locks, %lu waits called off\n", atomic_load(&locked), atomic_load(&called_off));
    moat_manager_destroy(manager);
    return 0;
}
