/* SPDX-License-Identifier: MIT */
/*
 * dead: each death is played in a process of its own: the next child would find the dead of this
 * one too.
 */
#define _GNU_SOURCE
#include "dead.h"

#include "region/lock.h"
#include "regions.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct moat_manager *manager;
struct moat_region_ref ref;
struct moat_fork_report found;
uint32_t taken;

static void note(const struct moat_fork_report *report) {
    found = *report;
}

unsigned char *base(void) {
    return (unsigned char *)ref.base;
}

void expect(bool holds, const char *what) {
    if (holds)
        return;
    fprintf(stderr, "the child: %s does not hold\n", what);
    _exit(1);
}

void expect_nothing_else(struct moat_fork_report report) {
    EXPECT(found.locks == report.locks);
    EXPECT(found.reopened == report.reopened);
    EXPECT(found.released == report.released);
    EXPECT(found.discarded == report.discarded);
    EXPECT(found.granules == report.granules);
    EXPECT(found.refusals == report.refusals);
}

static sem_t stopped;

static void (*to_take)(void);

static void *take_and_stop(void *unused) {
    to_take();
    sem_post(&stopped);
    for (;;)
        pause();
    return unused;
}

static int ending_of(pid_t child) {
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    return status;
}

static _Noreturn void die(const struct death *death) {
    pthread_t thread;

    moat_fork_follow(MOAT_FORK_HEAPS, note);
    sem_init(&stopped, 0, 0);
    to_take = death->take;
    if (death->take) {
        cr_assert_eq(pthread_create(&thread, NULL, take_and_stop, NULL), 0);
        sem_wait(&stopped);
    }
    if (death->keep)
        death->keep();
    pid_t child = fork();
    if (child == 0) {
        alarm(300);
        if (death->damage)
            death->damage();
        moat_fork_mend();
        death->look();
        _exit(0);
    }
    _exit(ending_of(child) == 0 ? 0 : 1);
}

void play_with(const struct death *death, const char *options, size_t size) {
    pid_t child = fork();
    if (child == 0) {
        death->scene(options, size);
        die(death);
    }
    cr_assert_eq(ending_of(child), 0, "%s, %zu bytes", options, size);
}

void play(const struct death *death, size_t size) {
    for (unsigned i = 0; i < RUNGS; i++)
        play_with(death, rungs[i], size);
}

void scene(const char *options, size_t size) {
    manager = manager_with(options);
    unsigned char *start = reserved(manager, size, false);
    for (size_t at = 0; at < size - BLOCK; at += BLOCK) {
        cr_assert_eq(moat_commit(manager, start + at, BLOCK / 2, MOAT_PAGE_READWRITE, NULL),
                     MOAT_OK);
        memset(start + at, 'p', PAGE);
    }
    cr_assert(moat_region_find_base((uintptr_t)start, &ref));
}

bool opens(uintptr_t start, uintptr_t end) {
    struct moat_patience patience = {0};
    uint32_t stripes;
    if (moat_region_enter(&ref, start, end, &patience, &stripes))
        return false;
    moat_region_leave(&ref, stripes);
    return true;
}

void take_pages(size_t offset, size_t size) {
    struct moat_patience patience = {0};
    uintptr_t start = ref.base + offset;
    cr_assert_eq(moat_region_enter(&ref, start, start + size, &patience, &taken), MOAT_OK);
}
