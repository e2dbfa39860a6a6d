/* SPDX-License-Identifier: MIT */
/*
 * Who mends a child, when, and how often; and what a child finds that is to have memory empty,
 * before it has called anything. What is mended: region_mend*.c.
 */
#define _GNU_SOURCE
#include "region/lock.h"
#include "support/dead.h"
#include "support/regions.h"
#include "support/touch.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

TestSuite(region_fork, .timeout = 300);

static void prepare(void) {
    cr_assert_eq(moat_region_start(), MOAT_OK);
}

static bool ends_well(pid_t child) {
    int status;
    return waitpid(child, &status, 0) == child && status == 0;
}

/* What layers were called, in their order, a digit each. */
static unsigned called;

static void note_managers(const struct moat_fork_report *report) {
    (void)report;
    called = called * 10 + 1;
}

static void note_heaps(const struct moat_fork_report *report) {
    (void)report;
    called = called * 10 + 2;
}

Test(region_fork, each_child_is_mended_once_and_each_layer_after_the_one_below) {
    prepare();
    moat_fork_follow(MOAT_FORK_MANAGERS, note_managers);
    moat_fork_follow(MOAT_FORK_HEAPS, note_heaps);
    moat_fork_mend();
    cr_assert_eq(called, 0u, "it is nobody's child");
    pid_t child = fork();
    if (child == 0) {
        EXPECT(moat_fork_pending());
        moat_fork_mend();
        EXPECT(called == 12 && !moat_fork_pending());
        moat_fork_mend();
        EXPECT(called == 12);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            moat_fork_mend();
            EXPECT(called == 1212 && !moat_fork_pending());
            _exit(0);
        }
        _exit(ends_well(grandchild) ? 0 : 1);
    }
    cr_assert(ends_well(child));
    cr_assert_eq(called, 0u);
}

static pthread_t other;
static atomic_bool begun, done;

static void *mend_too(void *unused) {
    atomic_store(&begun, true);
    moat_fork_mend();
    atomic_store(&done, true);
    return unused;
}

/* Another thread comes in the middle, and has time to go past it. */
static void let_other_come(const struct moat_fork_report *report) {
    const struct timespec pause = {0, 50000000};

    (void)report;
    EXPECT(pthread_create(&other, NULL, mend_too, NULL) == 0);
    while (!atomic_load(&begun))
        nanosleep(&pause, NULL);
    nanosleep(&pause, NULL);
    EXPECT(!atomic_load(&done));
    moat_fork_mend(); /* as if it was interrupted here: it must not wait for itself */
}

Test(region_fork, nobody_goes_on_before_it_is_done) {
    prepare();
    moat_fork_follow(MOAT_FORK_HEAPS, let_other_come);
    pid_t child = fork();
    if (child == 0) {
        alarm(100);
        moat_fork_mend();
        EXPECT(pthread_join(other, NULL) == 0 && atomic_load(&done));
        _exit(0);
    }
    cr_assert(ends_well(child));
}

/* Memory that a child has, and has empty: its pages trap as in the parent. */
static void look_at_wiped(void) {
    for (size_t block = 0; block < 3; block++) {
        EXPECT(touch_all_bytes(base() + block * BLOCK, PAGE, 0));
        EXPECT(touch_reads(base() + block * BLOCK + BLOCK / 2 - PAGE));
        EXPECT(!touch_reads(base() + block * BLOCK + BLOCK / 2));
    }
}

Test(region_fork, what_a_child_has_empty_traps_before_it_calls_anything) {
    static const size_t sizes[] = {IN_ARENA, ALONE};

    for (unsigned i = 0; i < 2; i++) {
        scene("fork=wipe", sizes[i]);
        pid_t child = fork();
        if (child == 0) {
            look_at_wiped();
            moat_fork_mend();
            look_at_wiped();
            _exit(0);
        }
        cr_assert(ends_well(child), "%zu bytes", sizes[i]);
    }
}

Test(region_fork, what_a_child_of_the_bare_system_call_has_empty_traps_after_its_first) {
    static const size_t sizes[] = {IN_ARENA, ALONE};

    for (unsigned i = 0; i < 2; i++) {
        scene("fork=wipe", sizes[i]);
        pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0);
        if (child == 0) {
            moat_fork_mend();
            look_at_wiped();
            _exit(0);
        }
        cr_assert(ends_well(child), "%zu bytes", sizes[i]);
    }
}

/* What the forking thread worked on is left out at first, and caught up with when it is done. */
static void take_first_block(void) {
    take_pages(0, BLOCK);
}

static void leave_it(void) {
    moat_region_leave(&ref, taken);
}

static void look_at_what_was_held(void) {
    expect_nothing_else((struct moat_fork_report){0});
    look_at_wiped();
}

Test(region_fork, what_the_forking_thread_worked_on_is_caught_up_with) {
    const struct death death = {scene, NULL, take_first_block, leave_it, look_at_what_was_held};
    play_with(&death, "fork=wipe", IN_ARENA);
    play_with(&death, "fork=wipe", ALONE);
}

/* The first call of a child may be any. */
static void lock_it(void) {
    struct moat_patience patience = {0};
    EXPECT(moat_region_lock(&ref, &patience) == MOAT_OK);
}

static void lock_first(void) {
    lock_it();
    EXPECT(!moat_fork_pending() && found.locks == 1);
    EXPECT(moat_region_unlock(&ref) == MOAT_OK);
}

static void unlock_first(void) {
    EXPECT(moat_region_unlock(&ref) == MOAT_OK);
    EXPECT(!moat_fork_pending() && found.locks == 0);
}

static void look_no_further(void) {
    EXPECT(opens(ref.base, ref.base + ref.size));
}

Test(region_fork, the_first_call_may_be_about_a_lock) {
    play(&(struct death){scene, lock_it, NULL, lock_first, look_no_further}, IN_ARENA);
    play(&(struct death){scene, NULL, lock_it, unlock_first, look_no_further}, IN_ARENA);
}
