/* SPDX-License-Identifier: MIT */
/*
 * misuse besides single wrong calls (tests/misuse has those): texts that are read late, threads
 * that race to free, what a host's function may do, and what is told when a manager ends.
 */
#define _GNU_SOURCE
#include "support/heaps.h"

#include <moat/describe.h>
#include <moat/lock.h>
#include <moat/report.h>

#include <criterion/criterion.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RW MOAT_PAGE_READWRITE

enum { FINDINGS_MAX = 256 };

static struct {
    unsigned count;
    struct moat_finding list[FINDINGS_MAX];
    char text[FINDINGS_MAX][MOAT_REPORT_SIZE];
} told;

static void note(const struct moat_finding *finding, void *context) {
    cr_assert_eq(context, &told);
    cr_assert_lt(told.count, FINDINGS_MAX);
    cr_assert_eq(finding->length, strlen(finding->text));
    cr_assert_eq(finding->text[finding->length - 1], '\n', "lines have ends");
    told.list[told.count] = *finding;
    strcpy(told.text[told.count++], finding->text);
}

static struct moat_manager *telling(const char *words,
                                    void (*function)(const struct moat_finding *, void *)) {
    struct moat_options options;
    struct moat_manager *manager;
    moat_options_init(&options);
    cr_assert_eq(moat_options_parse(&options, words, NULL, 0), MOAT_OK);
    options.report_function = function;
    options.report_context = &told;
    cr_assert_eq(moat_manager_create(&options, &manager), MOAT_OK);
    return manager;
}

static bool begins(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

/* --- Texts --- */

/* The text is put together when it is read: of what is there by then, and honestly. */
Test(vm_misuse, a_text_that_is_read_late_says_what_has_changed) {
    struct moat_manager *manager = manager_with("");
    void *base = reserved(manager, GRANULE, false), *again;
    char expected[400];
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    cr_assert_eq(moat_release(manager, base), MOAT_NOT_OURS);
    cr_assert_eq(moat_reserve(manager, base, GRANULE, RW, 0, &again), MOAT_OK);
    snprintf(expected, sizeof expected,
             "release at %#lx: in no region of this manager when it was called; the region of "
             "65536 bytes at %#lx is there since",
             (unsigned long)base, (unsigned long)base);
    cr_assert_str_eq(moat_last_error_text(), expected);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    cr_assert_str_eq(moat_last_error_text(), expected, "read once, it stays");
}

/* The owner is compared and never read: he may be gone. */
Test(vm_misuse, a_text_outlives_its_manager_and_its_heap) {
    struct moat_manager *manager = manager_with(""), *other = manager_with("");
    struct moat_heap *heap = heap_of(manager, 0);
    void *base = reserved(other, GRANULE, false);
    unsigned char *block = allocated(heap, 100);
    cr_assert_eq(moat_release(manager, base), MOAT_NOT_OURS);
    moat_manager_destroy(other);
    cr_assert(strstr(moat_last_error_text(), "which another manager reserved"), "%s",
              moat_last_error_text());
    cr_assert_eq(moat_heap_free(heap, block + 16), MOAT_NOT_OURS);
    moat_heap_destroy(heap);
    moat_manager_destroy(manager);
    cr_assert(strstr(moat_last_error_text(), "which held it, was released"), "%s",
              moat_last_error_text());
}

/* Longer ago than is remembered, it is still not called something else. */
Test(vm_misuse, what_is_forgotten_is_free_space) {
    struct moat_manager *manager = manager_with("");
    void *first = reserved(manager, GRANULE, false);
    cr_assert_eq(moat_release(manager, first), MOAT_OK);
    for (unsigned i = 0; i < 100000; i++)
        cr_assert_eq(moat_release(manager, reserved(manager, 2 * GRANULE, false)), MOAT_OK);
    cr_assert_eq(moat_release(manager, first), MOAT_NOT_OURS);
    const char *text = moat_last_error_text();
    cr_assert(strstr(text, "free space of Moat") || strstr(text, "was released"), "%s", text);
}

/* Far from any region, where no guard was ever. */
Test(vm_misuse, free_space_is_called_so) {
    struct moat_manager *manager = manager_with("");
    unsigned char *base = reserved(manager, GRANULE, false);
    struct moat_description there;
    unsigned char *far = base + ((size_t)100 << 20);
    cr_assert_eq(moat_describe_address(far, &there), MOAT_OK);
    if (there.kind != MOAT_ADDRESS_HELD)
        far = base - ((size_t)100 << 20);
    cr_assert_eq(moat_release(manager, far), MOAT_NOT_OURS);
    cr_assert(strstr(moat_last_error_text(), "free space of Moat"), "%s", moat_last_error_text());
}

/* --- Threads --- */

enum { RACERS = 4, ROUNDS = 200 };

static struct {
    struct moat_manager *manager;
    void *base;
    pthread_barrier_t start;
    atomic_uint won, lost;
} race;

static void *run_race(void *unused) {
    char expected[200];
    (void)unused;
    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&race.start);
        enum moat_status status = moat_release(race.manager, race.base);
        if (status == MOAT_OK) {
            atomic_fetch_add(&race.won, 1);
        } else if (status == MOAT_NOT_OURS) {
            snprintf(expected, sizeof expected,
                     "release at %#lx: the region of 65536 bytes at %#lx was released ",
                     (unsigned long)race.base, (unsigned long)race.base);
            if (begins(moat_last_error_text(), expected))
                atomic_fetch_add(&race.lost, 1);
            else
                fprintf(stderr, "%s\n", moat_last_error_text());
        }
        if (pthread_barrier_wait(&race.start) == PTHREAD_BARRIER_SERIAL_THREAD)
            race.base = reserved(race.manager, GRANULE, false);
        pthread_barrier_wait(&race.start);
    }
    return NULL;
}

Test(vm_misuse, who_loses_a_race_to_free_has_freed_it_again) {
    pthread_t threads[RACERS];
    race.manager = manager_with("");
    race.base = reserved(race.manager, GRANULE, false);
    pthread_barrier_init(&race.start, NULL, RACERS);
    for (unsigned i = 0; i < RACERS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, run_race, NULL), 0);
    for (unsigned i = 0; i < RACERS; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(race.won, ROUNDS);
    cr_assert_eq(race.lost, ROUNDS * (RACERS - 1));
}

/* --- The host's function --- */

/* It may call Moat, also wrongly: its own errors are not those of the call that found something,
 * and a finding of its own goes to standard error instead of around in circles. */
static void misuse_more(const struct moat_finding *finding, void *context) {
    struct moat_manager *manager = telling("misuse=report", misuse_more);
    note(finding, context);
    cr_assert_eq(moat_release(manager, (void *)1), MOAT_NOT_OURS);
    cr_assert_eq(moat_commit(manager, NULL, 0, RW, NULL), MOAT_INVALID_ARGUMENT);
    moat_manager_destroy(manager);
}

Test(vm_misuse, the_hosts_function_may_err_itself) {
    struct moat_manager *manager = telling("misuse=report", misuse_more);
    char said[MOAT_REPORT_SIZE] = "";
    int ends[2], before = dup(2);
    cr_assert_eq(pipe(ends), 0);
    fflush(stderr);
    dup2(ends[1], 2);
    enum moat_status status = moat_release(manager, (void *)GRANULE);
    dup2(before, 2);
    cr_assert_gt(read(ends[0], said, sizeof said - 1), 0);
    cr_assert_eq(status, MOAT_NOT_OURS);
    cr_assert_eq(told.count, 1);
    cr_assert(begins(told.text[0], "moat: foreign: release at 0x10000: "), "%s", told.text[0]);
    cr_assert(begins(said, "moat: foreign: release at 0x1: "), "%s", said);
    cr_assert(begins(moat_last_error_text(), "release at 0x10000: "), "%s", moat_last_error_text());
}

static jmp_buf away;

static void note_and_leave(const struct moat_finding *finding, void *context) {
    note(finding, context);
    longjmp(away, 1);
}

/* As from the report of a trap. */
Test(vm_misuse, a_host_whose_function_jumped_away_is_told_again) {
    struct moat_manager *manager = telling("misuse=report", note_and_leave);
    for (volatile unsigned time = 1; time <= 3; time++) {
        if (setjmp(away) == 0) {
            (void)!moat_release(manager, (void *)GRANULE);
            cr_assert_fail("it does not return");
        }
        cr_assert_eq(told.count, time);
    }
}

/* Nothing is held: the function can release the very region, and another thread's calls go on. */
static void release_it(const struct moat_finding *finding, void *context) {
    note(finding, context);
    cr_assert_eq(moat_release(race.manager, race.base), MOAT_OK);
}

Test(vm_misuse, nothing_is_held_while_a_host_is_told) {
    unsigned old;
    race.manager = telling("misuse=report,timeout=0", release_it);
    race.base = reserved(race.manager, 16 * GRANULE, false);
    cr_assert_eq(moat_protect(race.manager, race.base, PAGE, RW, &old), MOAT_INVALID_ADDRESS);
    cr_assert_eq(told.list[0].kind, MOAT_FOUND_PROTECT_UNCOMMITTED);
    race.base = reserved(race.manager, 16 * GRANULE, false);
    cr_assert_eq(moat_decommit(race.manager, race.base, 17 * GRANULE), MOAT_LEAVES_REGION);
    cr_assert_eq(told.count, 2);
    cr_assert_eq(stats_of(race.manager).regions_live, 0);
}

Test(vm_misuse, report_off_says_nothing) {
    struct moat_manager *manager = telling("misuse=report,report=off,leaks=report", note);
    reserved(manager, GRANULE, false);
    cr_assert_eq(moat_release(manager, &told), MOAT_NOT_OURS);
    cr_assert(begins(moat_last_error_text(), "release at "));
    moat_manager_destroy(manager);
    cr_assert_eq(told.count, 0);
}

/* --- Endings --- */

Test(vm_misuse, regions_that_outlive_their_manager_are_listed) {
    struct moat_manager *manager = telling("leaks=report", note);
    char expected[200];
    unsigned char *first = reserved(manager, 3 * GRANULE, false);
    cr_assert_eq(moat_commit(manager, first, 5 * PAGE, RW, NULL), MOAT_OK);
    cr_assert_eq(moat_release(manager, reserved(manager, GRANULE, true)), MOAT_OK);
    moat_manager_destroy(manager);
    cr_assert_eq(told.count, 2);
    cr_assert_eq(told.list[0].kind, MOAT_FOUND_LEAK);
    cr_assert_eq(told.list[0].address, first);
    cr_assert_eq(told.list[0].status, MOAT_OK);
    snprintf(expected, sizeof expected,
             "moat: leak: the region of 196608 bytes at %#lx, 20480 committed\n  reserved 0.",
             (unsigned long)first);
    cr_assert(begins(told.text[0], expected), "%s", told.text[0]);
    cr_assert(strstr(told.text[0], " s ago by thread "), "%s", told.text[0]);
    cr_assert_str_eq(told.text[1],
                     "moat: leaks: 1 regions, 196608 bytes reserved, 20480 committed\n");
    cr_assert_null(told.list[1].address);
}

Test(vm_misuse, a_hundred_leaks_are_listed_and_the_others_counted) {
    struct moat_manager *manager = telling("leaks=report", note);
    for (unsigned i = 0; i < 130; i++)
        reserved(manager, GRANULE, false);
    moat_manager_destroy(manager);
    cr_assert_eq(told.count, 101);
    cr_assert_str_eq(told.text[100], "moat: leaks: 130 regions, 8519680 bytes reserved, 0 "
                                     "committed; 30 more than were listed\n");
}

Test(vm_misuse, leaks_are_told_when_asked_for_and_never_fatal) {
    struct moat_manager *manager = telling("", note);
    reserved(manager, GRANULE, true);
    moat_manager_destroy(manager);
    cr_assert_eq(told.count, 0);
    manager = telling("leaks=report,misuse=abort", note);
    reserved(manager, GRANULE, true);
    moat_manager_destroy(manager);
    cr_assert_eq(told.count, 2);
}

Test(vm_misuse, blocks_that_outlive_their_heap_are_told_to_the_host) {
    struct moat_manager *manager = telling("leaks=report", note);
    struct moat_heap *heap = heap_of(manager, 0);
    char expected[100];
    void *block;
    cr_assert_eq(moat_heap_alloc_debug(heap, 40, "a.c", 10, &block), MOAT_OK);
    moat_heap_destroy(heap);
    cr_assert_eq(told.count, 2);
    snprintf(expected, sizeof expected, "moat: leak: 40 bytes at %#lx, a.c:10\n",
             (unsigned long)block);
    cr_assert_str_eq(told.text[0], expected);
    cr_assert_eq(told.list[0].address, block);
    cr_assert_str_eq(told.text[1], "moat: leaks: 1 live, 40 bytes\n");
    moat_manager_destroy(manager);
    cr_assert_eq(told.count, 2, "the heap's regions were given back");
}

Test(vm_misuse, a_heap_that_outlives_its_manager_is_a_leak) {
    struct moat_manager *manager = telling("leaks=report", note);
    allocated(heap_of(manager, 0), 100);
    moat_manager_destroy(manager);
    cr_assert_eq(told.count, 2);
    cr_assert(strstr(told.text[0], "65536 committed, of a heap\n"), "%s", told.text[0]);
}

/* --- Locks --- */

static void *lock_and_end(void *unused) {
    (void)unused;
    cr_assert_eq(moat_lock(race.manager, race.base), MOAT_OK);
    return NULL;
}

Test(vm_misuse, a_lock_that_was_left_is_told_to_the_host) {
    pthread_t thread;
    char expected[200];
    race.manager = telling("misuse=abort", note); /* it is no call that is refused */
    race.base = reserved(race.manager, GRANULE, false);
    cr_assert_eq(pthread_create(&thread, NULL, lock_and_end, NULL), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(told.count, 1);
    cr_assert_eq(told.list[0].kind, MOAT_FOUND_LOCK_ABANDONED);
    cr_assert_eq(told.list[0].address, race.base);
    snprintf(expected, sizeof expected,
             " ended and held the lock of the region of 65536 bytes at %#lx; it is unlocked now, "
             "and calls that waited were given up\n  reserved 0.",
             (unsigned long)race.base);
    cr_assert(begins(told.text[0], "moat: lock-abandoned: thread "), "%s", told.text[0]);
    cr_assert(strstr(told.text[0], expected), "%s", told.text[0]);
}

Test(vm_misuse, locks_name_what_they_do_not_find) {
    struct moat_manager *manager = telling("misuse=report", note);
    cr_assert_eq(moat_lock(manager, &told), MOAT_NOT_OURS);
    cr_assert_eq(moat_unlock(manager, NULL), MOAT_NOT_OURS);
    cr_assert_eq(told.count, 2);
    cr_assert(begins(told.text[1], "moat: foreign: unlock at 0: in no region: that is NULL; pass "
                                   "what was reserved\n"),
              "%s", told.text[1]);
}
