/* SPDX-License-Identifier: MIT */
/* What rests while somebody has it in hand: others wait for it, and it is never lost. */
#define _GNU_SOURCE
#include "region/resting.h"

#include "os/os.h"
#include "region/geometry.h"
#include "support/regions.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PIECES = 4, SIZE = 2 * PIECES * MOAT_GRANULE };

int __real_moat_os_unreserve(void *base, size_t size);
int __wrap_moat_os_unreserve(void *base, size_t size);
int __real_moat_os_reserve_at(void *base, size_t size);
int __wrap_moat_os_reserve_at(void *base, size_t size);

/* Done once, in the middle of a call that has something in hand. */
static void (*meanwhile)(void);
static uintptr_t at; /* of the window */
static int outcome;
static pthread_t other;

static void step_aside(void) {
    void (*body)(void) = meanwhile;
    meanwhile = NULL;
    if (body)
        body();
}

static bool unmaps_nothing;

int __wrap_moat_os_unreserve(void *base, size_t size) {
    step_aside();
    if (unmaps_nothing)
        return ENOMEM;
    return __real_moat_os_unreserve(base, size);
}

/* The first hole is behind the first piece. */
int __wrap_moat_os_reserve_at(void *base, size_t size) {
    step_aside();
    return __real_moat_os_reserve_at(base, size);
}

static void have_window(void) {
    at = (uintptr_t)hole(SIZE, MOAT_GRANULE);
}

/* Every other granule of the window rests, from the first. */
static void have_pieces(void) {
    have_window();
    for (unsigned i = 0; i < PIECES; i++) {
        uintptr_t start = at + 2 * i * MOAT_GRANULE;
        cr_assert_eq(__real_moat_os_reserve_at((void *)start, MOAT_GRANULE), 0);
        cr_assert(moat_resting_enter(start, start + MOAT_GRANULE));
    }
}

static void give_back(void) {
    cr_assert_eq(__real_moat_os_unreserve((void *)at, SIZE), 0);
}

static void expect_pieces_alone(void) {
    uintptr_t start, end, from = at;
    for (unsigned i = 0; i < PIECES; i++, from = end) {
        cr_assert(moat_resting_meets(from, at + SIZE, &start, &end));
        cr_assert_eq(start, at + 2 * i * MOAT_GRANULE);
        cr_assert_eq(end, start + MOAT_GRANULE);
        cr_assert_eq(__real_moat_os_reserve_at((void *)end, MOAT_GRANULE), 0, "hole %u", i);
        cr_assert_eq(__real_moat_os_unreserve((void *)end, MOAT_GRANULE), 0);
    }
    cr_assert_not(moat_resting_meets(from, at + SIZE, &start, &end));
}

static void *take_it(void *unused) {
    outcome = moat_resting_take(at, at + SIZE);
    return unused;
}

static void take_elsewhere(void) {
    cr_assert_eq(pthread_create(&other, NULL, take_it, NULL), 0);
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); /* or the test shows less */
}

/* As a signal handler would. */
static void take_in_between(void) {
    take_it(NULL);
}

Test(region_resting, pieces_and_holes_become_one) {
    uintptr_t start, end;
    have_pieces();
    cr_assert_eq(moat_resting_take(at, at + SIZE), 0);
    cr_assert_not(moat_resting_meets(at, at + SIZE, &start, &end));
    give_back();
}

Test(region_resting, where_nothing_rests_a_hole_is_had) {
    have_window();
    cr_assert_eq(moat_resting_take(at, at + SIZE), 0);
    cr_assert_eq(moat_resting_take(at, at + SIZE), EEXIST);
    give_back();
}

Test(region_resting, too_much_of_a_piece_is_given_back) {
    have_window();
    cr_assert_eq(__real_moat_os_reserve_at((void *)at, SIZE), 0);
    cr_assert(moat_resting_enter(at, at + SIZE));
    cr_assert_eq(moat_resting_take(at + MOAT_GRANULE, at + 2 * MOAT_GRANULE), 0);
    cr_assert_eq(__real_moat_os_reserve_at((void *)at, MOAT_GRANULE), 0);
    cr_assert_eq(
        __real_moat_os_reserve_at((void *)(at + 2 * MOAT_GRANULE), SIZE - 2 * MOAT_GRANULE), 0);
    give_back();
}

Test(region_resting, too_much_that_cannot_be_given_back_rests_on) {
    uintptr_t start, end;
    have_window();
    cr_assert_eq(__real_moat_os_reserve_at((void *)at, SIZE), 0);
    cr_assert(moat_resting_enter(at, at + SIZE));
    unmaps_nothing = true;
    cr_assert_eq(moat_resting_take(at + MOAT_GRANULE, at + 2 * MOAT_GRANULE), 0);
    unmaps_nothing = false;
    cr_assert(moat_resting_meets(at, at + SIZE, &start, &end));
    cr_assert(start == at && end == at + MOAT_GRANULE);
    cr_assert(moat_resting_meets(end, at + SIZE, &start, &end));
    cr_assert(start == at + 2 * MOAT_GRANULE && end == at + SIZE);
    cr_assert_eq(moat_resting_end_all(), (size_t)SIZE - MOAT_GRANULE);
    cr_assert_eq(__real_moat_os_unreserve((void *)(at + MOAT_GRANULE), MOAT_GRANULE), 0);
}

Test(region_resting, after_a_refusal_all_rests_as_it_did) {
    have_pieces();
    void *obstacle = (void *)(at + SIZE - MOAT_GRANULE);
    cr_assert_eq(__real_moat_os_reserve_at(obstacle, MOAT_GRANULE), 0);
    cr_assert_eq(moat_resting_take(at, at + SIZE), EEXIST);
    cr_assert_eq(__real_moat_os_unreserve(obstacle, MOAT_GRANULE), 0);
    expect_pieces_alone();
    cr_assert_eq(moat_resting_end_all(), (size_t)PIECES * MOAT_GRANULE);
}

Test(region_resting, who_comes_while_it_is_unmapped_has_the_hole) {
    have_window();
    cr_assert_eq(__real_moat_os_reserve_at((void *)at, SIZE), 0);
    cr_assert(moat_resting_enter(at, at + SIZE));
    meanwhile = take_elsewhere;
    cr_assert_eq(moat_resting_end(at, at + SIZE), (size_t)SIZE);
    cr_assert_eq(pthread_join(other, NULL), 0);
    cr_assert_eq(outcome, 0, "it was free before and after");
    give_back();
}

/* Both want all of it, and the second comes when the first has the first piece. */
Test(region_resting, of_two_the_first_has_it) {
    have_pieces();
    meanwhile = take_elsewhere;
    cr_assert_eq(moat_resting_take(at, at + SIZE), 0);
    cr_assert_eq(pthread_join(other, NULL), 0);
    cr_assert_eq(outcome, EEXIST);
    give_back();
}

/* Whoever waits for what he has in hand himself waits for a while only. */
Test(region_resting, an_interrupted_thread_is_not_waited_for_forever) {
    have_pieces();
    meanwhile = take_in_between;
    cr_assert_eq(moat_resting_take(at, at + SIZE), 0);
    cr_assert_eq(outcome, EEXIST);
    give_back();
}

/* Whoever wants address space back takes none from under a reservation in the making. */
static size_t ended;

static void end_all_in_between(void) {
    ended = moat_resting_end_all();
}

Test(region_resting, what_is_in_hand_is_not_unmapped) {
    have_pieces();
    meanwhile = end_all_in_between;
    cr_assert_eq(moat_resting_take(at, at + SIZE), 0);
    cr_assert_eq(ended, (size_t)(PIECES - 1) * MOAT_GRANULE, "all but the first piece");
    give_back();
}

Test(region_resting, what_the_kernel_does_not_unmap_rests_on) {
    have_pieces();
    unmaps_nothing = true;
    cr_assert_eq(moat_resting_end(at, at + MOAT_GRANULE), (size_t)0);
    cr_assert_eq(moat_resting_end_all(), (size_t)0);
    unmaps_nothing = false;
    expect_pieces_alone();
    cr_assert_eq(moat_resting_take(at, at + SIZE), 0);
    give_back();
}

/* Somebody has mapped over the last piece: it is his, and the hole before it is free again. */
Test(region_resting, what_is_not_at_rest_any_more_refuses) {
    have_pieces();
    uintptr_t last = at + SIZE - 2 * MOAT_GRANULE, hole_before = last - MOAT_GRANULE;
    void *page = mmap((void *)last, MOAT_GRANULE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    cr_assert_eq(page, (void *)last);
    cr_assert_eq(moat_resting_take(at, at + SIZE), EEXIST);
    cr_assert_eq(__real_moat_os_reserve_at((void *)hole_before, MOAT_GRANULE), 0);
    cr_assert_eq(__real_moat_os_unreserve((void *)hole_before, MOAT_GRANULE), 0);
    *(char *)page = 1;
    cr_assert_eq(moat_resting_end_all(), (size_t)(PIECES - 1) * MOAT_GRANULE);
}

static void take_in_a_child(void) {
    pid_t child = fork();
    if (child == 0) {
        moat_resting_in_child();
        _exit(moat_resting_take(at, at + MOAT_GRANULE));
    }
    cr_assert(child > 0 && waitpid(child, &outcome, 0) == child);
}

Test(region_resting, what_was_in_hand_rests_in_a_child) {
    have_pieces();
    meanwhile = take_in_a_child;
    cr_assert_eq(moat_resting_take(at, at + SIZE), 0);
    cr_assert(WIFEXITED(outcome) && WEXITSTATUS(outcome) == 0, "status %#x", outcome);
    give_back();
}

Test(region_resting, what_others_unmapped_is_forgotten) {
    uintptr_t start, end;
    have_pieces();
    cr_assert_eq(__real_moat_os_unreserve((void *)at, MOAT_GRANULE), 0);
    cr_assert_eq(moat_resting_end(at, at + MOAT_GRANULE), (size_t)0);
    cr_assert(moat_resting_meets(at, at + SIZE, &start, &end));
    cr_assert_eq(start, at + 2 * MOAT_GRANULE);
    (void)moat_resting_end_all();
}
