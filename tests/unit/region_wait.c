/* SPDX-License-Identifier: MIT */
/*
 * Waits by themselves: how long they last, what ends them, and how they are counted, which is what
 * a manager that goes relies on: nobody may sleep on its words any more.
 */
#include "region/wait.h"

#include "os/os.h"
#include "support/records.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(region_wait, .timeout = 600);

static struct moat_waits waits;

static uint32_t counted(void) {
    return (uint32_t)atomic_load(&waits.waiting);
}

static struct moat_patience patience_with_waits(uint64_t ms) {
    return moat_patience_of(&waits, ms * MS);
}

static _Atomic bool drained;

static void *drain(void *unused) {
    moat_waits_drain(&waits);
    atomic_store(&drained, true);
    return unused;
}

Test(region_wait, a_drain_waits_until_the_last_has_left) {
    pthread_t thread;
    uint32_t first = moat_waits_enter(&waits);
    uint32_t second = moat_waits_enter(&waits);
    cr_assert_eq(counted(), 2u);
    cr_assert_eq(pthread_create(&thread, NULL, drain, NULL), 0);
    pause_ms(30);
    cr_assert_not(atomic_load(&drained), "two wait");
    moat_waits_leave(&waits, first);
    pause_ms(30);
    cr_assert_not(atomic_load(&drained), "one waits");
    moat_waits_leave(&waits, second);
    pthread_join(thread, NULL); /* woken */
    cr_assert_eq(counted(), 0u);
    moat_waits_drain(&waits);
}

static void *come_and_go(void *unused) {
    for (unsigned i = 0; i < 100000; i++)
        moat_waits_leave(&waits, moat_waits_enter(&waits));
    return unused;
}

Test(region_wait, nobody_is_lost_among_many) {
    pthread_t threads[4];
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, come_and_go, NULL), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(counted(), 0u);
}

/* The parent's threads are not in the child, and a wait that a handler interrupted to fork is not
 * one of the child's. */
Test(region_wait, a_child_counts_for_itself) {
    uint32_t parent = moat_waits_enter(&waits);
    int status;
    pid_t child = fork();
    if (child == 0) {
        alarm(300); /* a drain that hangs */
        moat_waits_drain(&waits);
        uint32_t own = moat_waits_enter(&waits);
        if (own == parent || counted() != 1)
            _exit(1);
        moat_waits_leave(&waits, parent);
        if (counted() != 1)
            _exit(2);
        moat_waits_leave(&waits, own);
        _exit(counted() == 0 ? 0 : 3);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    moat_waits_leave(&waits, parent);
    cr_assert_eq(counted(), 0u);
}

Test(region_wait, a_call_is_counted_once_from_its_first_wait_until_it_leaves) {
    static _Atomic uint64_t life = 1;
    struct moat_patience patience = patience_with_waits(600000);
    struct moat_queue queue = {&patience, 0};
    cr_assert_eq(moat_queue_leave(&queue, MOAT_TIMEOUT), MOAT_TIMEOUT, "there was no wait");
    cr_assert_eq(counted(), 0u);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(moat_queue_wait(&queue, &life, 2), MOAT_OK, "the word is another by now");
        cr_assert_eq(counted(), 1u, "wait %d", i);
    }
    cr_assert_eq(moat_queue_leave(&queue, MOAT_NOT_OURS), MOAT_NOT_OURS);
    cr_assert_eq(counted(), 0u);
    cr_assert_eq(moat_queue_leave(&queue, MOAT_OK), MOAT_OK);
    cr_assert_eq(counted(), 0u, "left twice");
}

/* Counted in rounds, because time says nothing on a busy machine: who sleeps looks a few times. */
Test(region_wait, who_waits_sleeps) {
    static _Atomic uint64_t life = UINT64_C(0xDEADBEEF) << 32 | 5;
    struct moat_patience patience = patience_with_waits(100);
    struct moat_queue queue = {&patience, 0};
    unsigned rounds = 0;
    while (moat_queue_wait(&queue, &life, 5) == MOAT_OK)
        rounds++;
    cr_assert_leq(rounds, 10u);
    cr_assert_eq(moat_queue_wait(&queue, &life, 5), MOAT_TIMEOUT);
    moat_queue_leave(&queue, MOAT_OK);
}

static _Atomic uint64_t watched = UINT64_C(0xDEADBEEF) << 32 | 5;

static void *sleep_on_it(void *unused) {
    struct moat_patience patience = patience_with_waits(300000);
    struct moat_queue queue = {&patience, 0};
    enum moat_status status = MOAT_OK;
    while (!status && (uint32_t)atomic_load(&watched) == 5)
        status = moat_queue_wait(&queue, &watched, 5);
    return moat_queue_leave(&queue, status) ? &watched : unused;
}

Test(region_wait, who_sleeps_is_woken) {
    pthread_t thread;
    void *failed;
    cr_assert_eq(pthread_create(&thread, NULL, sleep_on_it, NULL), 0);
    await_waiting(&waits, 1);
    pause_ms(20);
    atomic_fetch_add(&watched, 1);
    moat_life_wake(&watched);
    pthread_join(thread, &failed);
    cr_assert_null(failed);
}

Test(region_wait, waits_that_are_called_off_end_and_later_ones_do_not) {
    static _Atomic uint64_t life = 1;
    struct moat_patience before = patience_with_waits(600000);
    moat_waits_cancel(&waits);
    struct moat_patience after = patience_with_waits(600000);
    struct moat_queue queue = {&before, 0};
    cr_assert_eq(moat_queue_wait(&queue, &life, 1), MOAT_ABANDONED);
    moat_queue_leave(&queue, MOAT_OK);
    queue = (struct moat_queue){&after, 0};
    cr_assert_eq(moat_queue_wait(&queue, &life, 2), MOAT_OK);
    moat_queue_leave(&queue, MOAT_OK);
    cr_assert_eq(counted(), 0u);
}

Test(region_wait, patience_begins_with_the_first_wait_and_is_not_renewed) {
    struct moat_patience none = patience(0), some = patience(40);
    cr_assert_not(moat_patience_left(&none));
    pause_ms(50);
    cr_assert(moat_patience_left(&some), "it begins now");
    uint64_t deadline = some.deadline;
    pause_ms(50);
    cr_assert_not(moat_patience_left(&some));
    cr_assert_eq(some.deadline, deadline);
}
