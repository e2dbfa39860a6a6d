/* SPDX-License-Identifier: MIT */
/*
 * Sleeping and waking: no lost wake, no wait past its deadline, none cut short without a reason.
 */
#define _GNU_SOURCE
#include "os/os.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

enum { MILLISECOND = 1000000 };

Test(os_sync, the_clock_goes_on_and_counts_nanoseconds) {
    uint64_t before = moat_os_clock();
    usleep(20000);
    uint64_t after = moat_os_clock();
    cr_assert_geq(after - before, 20 * MILLISECOND);
    cr_assert_lt(after - before, UINT64_C(60000) * MILLISECOND);
}

Test(os_sync, a_wait_for_another_value_returns_at_once) {
    uint32_t word = 5;
    errno = 4711;
    cr_assert_eq(moat_os_wait(&word, 6, UINT64_MAX), 0);
    cr_assert_eq(moat_os_wait(&word, 6, 0), 0, "the value is looked at before the deadline");
    cr_assert_eq(errno, 4711);
}

Test(os_sync, a_deadline_that_has_passed_times_out_at_once) {
    uint32_t word = 5;
    errno = 4711;
    uint64_t before = moat_os_clock();
    cr_assert_eq(moat_os_wait(&word, 5, 0), ETIMEDOUT);
    cr_assert_eq(moat_os_wait(&word, 5, before), ETIMEDOUT);
    cr_assert_lt(moat_os_clock() - before, UINT64_C(60000) * MILLISECOND);
    cr_assert_eq(errno, 4711);
}

Test(os_sync, a_wait_times_out_at_its_deadline_and_not_before) {
    uint32_t word = 5;
    uint64_t deadline = moat_os_clock() + 50 * MILLISECOND;
    cr_assert_eq(moat_os_wait(&word, 5, deadline), ETIMEDOUT);
    cr_assert_geq(moat_os_clock(), deadline);
    cr_assert_lt(moat_os_clock(), deadline + UINT64_C(60000) * MILLISECOND);
}

struct sleepers {
    _Atomic uint32_t word;
    _Atomic uint32_t asleep;
    _Atomic uint32_t woken;
    uint64_t deadline;
};

static void *sleep_on_word(void *argument) {
    struct sleepers *sleepers = argument;
    atomic_fetch_add(&sleepers->asleep, 1);
    while (atomic_load(&sleepers->word) == 0)
        if (moat_os_wait(&sleepers->word, 0, sleepers->deadline) != 0)
            return NULL;
    atomic_fetch_add(&sleepers->woken, 1);
    return NULL;
}

static void wake_sleepers(uint64_t deadline) {
    enum { COUNT = 4 };
    struct sleepers sleepers = {.deadline = deadline};
    pthread_t threads[COUNT];
    for (int i = 0; i < COUNT; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, sleep_on_word, &sleepers), 0);
    while (atomic_load(&sleepers.asleep) < COUNT)
        usleep(1000);
    usleep(20000);
    atomic_store(&sleepers.word, 1);
    errno = 4711;
    moat_os_wake(&sleepers.word);
    cr_assert_eq(errno, 4711);
    for (int i = 0; i < COUNT; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(atomic_load(&sleepers.woken), COUNT);
}

Test(os_sync, a_wake_reaches_every_sleeper_without_a_deadline, .timeout = 600) {
    wake_sleepers(UINT64_MAX);
}

/* Seconds and nanoseconds are split by hand: the last moment before never must not wrap. */
Test(os_sync, a_wake_reaches_every_sleeper_until_the_end_of_time, .timeout = 600) {
    wake_sleepers(UINT64_MAX - 1);
}

Test(os_sync, a_wake_reaches_every_sleeper_with_a_deadline, .timeout = 600) {
    wake_sleepers(moat_os_clock() + UINT64_C(15000) * MILLISECOND);
}

/* The word may be unmapped by the time of the wake. */
Test(os_sync, a_wake_of_nobody_does_nothing) {
    uint32_t word = 0;
    errno = 4711;
    moat_os_wake(&word);
    moat_os_wake((const void *)4096);
    cr_assert_eq(errno, 4711);
}

static void on_signal(int number) {
    (void)number;
}

static _Atomic int interrupted = -1;

static void *wait_once(void *word) {
    atomic_store(&interrupted,
                 moat_os_wait(word, 0, moat_os_clock() + UINT64_C(15000) * MILLISECOND));
    return NULL;
}

Test(os_sync, a_signal_is_a_spurious_wake, .timeout = 600) {
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    uint32_t word = 0;
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, wait_once, &word), 0);
    while (atomic_load(&interrupted) == -1) {
        pthread_kill(thread, SIGUSR1);
        usleep(1000);
    }
    pthread_join(thread, NULL);
    cr_assert_eq(atomic_load(&interrupted), 0);
}
