/* SPDX-License-Identifier: MIT */
/*
 * vm_watch_fork: what the kernel records belongs to one process, and so do the descriptors it is
 * asked through. A child must not reset the records of its parent; and whoever loses a descriptor
 * must report too much rather than too little.
 */
#define _GNU_SOURCE
#include "support/regions.h"
#include "support/watched.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COUNT = 64, SIZE = COUNT * PAGE };

static struct moat_manager *manager;
static unsigned char *base, *other;

static void expect(bool holds, int number) {
    if (!holds)
        _exit(number);
}

/* Descriptors of this process that lead to a name which ends so. */
static unsigned descriptors(const char *end) {
    DIR *folder = opendir("/proc/self/fd");
    struct dirent *entry;
    unsigned count = 0;
    char name[512];

    while ((entry = readdir(folder))) {
        ssize_t length = readlinkat(dirfd(folder), entry->d_name, name, sizeof(name));
        size_t wanted = strlen(end);
        count += length >= (ssize_t)wanted && memcmp(name + length - wanted, end, wanted) == 0;
    }
    closedir(folder);
    return count;
}

static unsigned ours(void) {
    return descriptors("/pagemap") + descriptors("anon_inode:[userfaultfd]");
}

/* A scene: pages 0 to 9 are written, of which 0 to 4 have been reset. */
static void set_scene(const char *options) {
    manager = watching(options);
    base = watched(manager, SIZE, true);
    other = watched(manager, SIZE, true);
    memset(base, 1, 10 * PAGE);
    cr_assert_eq(moat_watch_reset(manager, base, 5 * PAGE), MOAT_OK);
    other[PAGE] = 1;
}

static void check_scene(void) {
    cr_assert_eq(written(base, SIZE, 0, NULL), 5);
    cr_assert(only_written(other, SIZE, other + PAGE));
    cr_assert_eq(written(base, SIZE, MOAT_WATCH_RESET, NULL), 5);
    base[20 * PAGE] = 1;
    cr_assert(only_written(base, SIZE, base + 20 * PAGE));
}

/* What the child finds of the past: what it has to, or everything that holds something. */
static void use_in_child(bool knows) {
    expect(written(base, SIZE, 0, NULL) == (knows ? 5 : 10), 1);
    base[30 * PAGE] = 1;
    expect(written(base, SIZE, MOAT_WATCH_RESET, NULL) == (knows ? 6 : 11), 2);
    expect(written(base, SIZE, 0, NULL) == 0, 3);
    base[3 * PAGE] = 1;
    base[40 * PAGE] = 1;
    expect(written(base, SIZE, 0, NULL) == 2, 4);
    expect(moat_watch_reset(manager, base, SIZE) == MOAT_OK, 5);
    expect(written(base, SIZE, 0, NULL) == 0, 6);
    unsigned char *fresh = watched(manager, SIZE, true);
    expect(written(fresh, SIZE, 0, NULL) == 0, 7);
    fresh[PAGE] = 1;
    expect(only_written(fresh, SIZE, fresh + PAGE), 8);
    expect(moat_release(manager, fresh) == MOAT_OK, 9);
    expect(moat_release(manager, other) == MOAT_OK, 10);
}

static void wait_for(pid_t child, const char *what) {
    int status;
    cr_assert_gt(child, 0);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status), "%s: signal %d", what, WTERMSIG(status));
    cr_assert_eq(WEXITSTATUS(status), 0, "%s: check %d", what, WEXITSTATUS(status));
}

Test(vm_watch_fork, a_child_reports_for_itself_and_leaves_its_parent_alone, .timeout = 120) {
    for (unsigned i = 0; i < WATCHES; i++) {
        bool knows = strstr(watches[i], "fault") != NULL;
        set_scene(watches[i]);
        unsigned held = ours();
        pid_t child = fork();
        if (child == 0) {
            expect(ours() == 0, 20);
            use_in_child(knows);
            expect(ours() == (knows ? 0 : held), 21);
            pid_t grandchild = fork();
            if (grandchild == 0) {
                expect(ours() == 0, 30);
                expect(written(base, SIZE, MOAT_WATCH_RESET, NULL) == (knows ? 0u : 12u), 31);
                base[50 * PAGE] = 1;
                expect(only_written(base, SIZE, base + 50 * PAGE), 32);
                _exit(0);
            }
            int status;
            expect(waitpid(grandchild, &status, 0) == grandchild && status == 0, 22);
            expect(written(base, SIZE, 0, NULL) == 0, 23);
            _exit(0);
        }
        wait_for(child, watches[i]);
        check_scene();
        moat_manager_destroy(manager);
    }
}

/* A child that no handler of the C library was told of, and in a namespace where it may have any
 * process id, the parent's too. */
Test(vm_watch_fork, a_child_made_by_the_bare_system_call_notices, .timeout = 120) {
    set_scene("watch=kernel");
    for (unsigned i = 0; i < 2; i++) {
        unsigned long flags = SIGCHLD | (i ? (unsigned long)(CLONE_NEWUSER | CLONE_NEWPID) : 0);
        pid_t child = (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, 0);
        if (child < 0)
            continue; /* such namespaces may be forbidden */
        if (child == 0) {
            use_in_child(false);
            expect(ours() == 2, 20);
            _exit(0);
        }
        wait_for(child, "clone");
    }
    check_scene();
}

static void *get_in_thread(void *unused) {
    (void)unused;
    expect(written(base, SIZE, 0, NULL) == 10, 40);
    return NULL;
}

/* Threads of a child that notice at once. */
Test(vm_watch_fork, threads_of_a_child_open_one_pair, .timeout = 120) {
    set_scene("watch=kernel");
    for (unsigned round = 0; round < 20; round++) {
        pid_t child = fork();
        if (child == 0) {
            pthread_t threads[4];
            for (unsigned i = 0; i < 4; i++)
                expect(pthread_create(&threads[i], NULL, get_in_thread, NULL) == 0, 41);
            for (unsigned i = 0; i < 4; i++)
                pthread_join(threads[i], NULL);
            expect(ours() == 2, 42);
            _exit(0);
        }
        wait_for(child, "threads");
    }
    check_scene();
}

/* Daemons close what they do not know, and open files of their own, which must stay open; one of
 * the same file system as a descriptor that was lost. */
static void lose_descriptors(bool reuse) {
    int file_of_theirs = open("/proc/self/stat", O_RDONLY);
    for (int file = 3; file < 1024; file++)
        if (reuse && file != file_of_theirs && fcntl(file, F_GETFD) >= 0)
            expect(dup2(file_of_theirs, file) == file, 50);
        else if (!reuse)
            close(file);
}

Test(vm_watch_fork, lost_descriptors_are_opened_anew, .timeout = 120) {
    for (int reuse = 0; reuse < 2; reuse++) {
        set_scene("watch=kernel");
        pid_t child = fork();
        if (child == 0) {
            (void)written(base, SIZE, 0, NULL);
            expect(moat_watch_reset(manager, base, SIZE) == MOAT_OK, 51);
            base[9 * PAGE] = 1;
            lose_descriptors(reuse);
            unsigned files = descriptors("/stat");
            /* All that holds something: also what had been reset. */
            expect(written(base, SIZE, MOAT_WATCH_RESET, NULL) == 10, 52);
            expect(written(base, SIZE, 0, NULL) == 0, 53);
            base[7 * PAGE] = 1;
            expect(only_written(base, SIZE, base + 7 * PAGE), 54);
            expect(ours() == 2 && descriptors("/stat") == files, 55);
            pid_t grandchild = fork();
            if (grandchild == 0) {
                expect(descriptors("/stat") == files, 60);
                _exit(0);
            }
            int status;
            expect(waitpid(grandchild, &status, 0) == grandchild && status == 0, 56);
            _exit(0);
        }
        wait_for(child, reuse ? "reused" : "closed");
        check_scene();
    }
}

/* Only the descriptor of the scans: nothing is forgotten. */
Test(vm_watch_fork, a_lost_pagemap_loses_no_record, .timeout = 120) {
    set_scene("watch=kernel");
    pid_t child = fork();
    if (child == 0) {
        expect(moat_watch_reset(manager, base, SIZE) == MOAT_OK, 70);
        base[9 * PAGE] = 1;
        char name[64], link[64];
        for (int file = 3; file < 64; file++) {
            snprintf(name, sizeof(name), "/proc/self/fd/%d", file);
            ssize_t length = readlink(name, link, sizeof(link));
            if (length > 8 && memcmp(link + length - 8, "/pagemap", 8) == 0)
                close(file);
        }
        expect(ours() == 1, 71);
        expect(only_written(base, SIZE, base + 9 * PAGE), 72);
        expect(ours() == 2, 73);
        _exit(0);
    }
    wait_for(child, "pagemap");
    check_scene();
}
