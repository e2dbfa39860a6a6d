/* SPDX-License-Identifier: MIT */
/*
 * what wakes the thread that watches memory: which file is chosen, what is written to it, how a
 * wait ends, and that nothing stays open.
 */
#define _GNU_SOURCE
#include "os/linux_memory.h"
#include "support/fake_root.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)
#define SOON   (moat_os_clock() + SECOND / 20)
#define NEVER  (moat_os_clock() + 600 * SECOND) /* only a hang comes so far */

#define CGROUP                                                                                     \
    { "/proc/thread-self/cgroup", "0::/a\n" }
#define MOUNTS                                                                                     \
    { "/proc/thread-self/mountinfo", "35 24 0:30 / /cg rw - cgroup2 x rw\n" }
#define GROUP_STALLS                                                                               \
    { "/cg/a/memory.pressure", "" }
#define MACHINE_STALLS                                                                             \
    { "/proc/pressure/memory", "" }
#define COUNTS                                                                                     \
    { "/cg/a/memory.events", "low 0\nhigh 0\nmax 0\noom 0\n" }
#define END                                                                                        \
    { NULL, NULL }

static unsigned open_files(void) {
    unsigned count = 0;
    for (int file = 0; file < 256; file++)
        count += fcntl(file, F_GETFD) >= 0;
    return count;
}

/* The path of an open file, from the root on. */
static const char *name_of(int file, const char *root) {
    static char name[PATH_MAX];
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, name, sizeof name - 1);
    cr_assert_gt(length, 0);
    name[length] = '\0';
    return strncmp(name, root, strlen(root)) == 0 ? name + strlen(root) : name;
}

static void assert_text(const char *root, const char *path, const char *text) {
    char got[256] = "";
    cr_assert_eq(moat_linux_read_text(root, path, got, sizeof got), 0);
    cr_assert_str_eq(got, text);
}

static struct moat_os_pressure opened(const char *root, const char *watch, const char *write) {
    struct moat_os_pressure source;
    memset(&source, 0x55, sizeof source);
    moat_linux_pressure_open(root, watch, write, &source);
    return source;
}

Test(os_pressure, the_group_comes_before_the_machine) {
    const char *root =
        fake_root((struct fake_file[]){CGROUP, MOUNTS, GROUP_STALLS, MACHINE_STALLS, COUNTS, END});
    unsigned before = open_files();
    struct moat_os_pressure source = opened(root, NULL, NULL);
    cr_assert(moat_os_pressure_tells(&source));
    cr_assert_not(source.counts);
    cr_assert_str_eq(name_of(source.event, root), "/cg/a/memory.pressure");
    assert_text(root, "/cg/a/memory.pressure", "some 150000 2000000");
    cr_assert_eq(open_files(), before + 2);
    cr_assert(fcntl(source.event, F_GETFD) & FD_CLOEXEC);
    cr_assert(fcntl(source.wake, F_GETFD) & FD_CLOEXEC);
    moat_os_pressure_close(&source);
    cr_assert_eq(open_files(), before);
    moat_os_pressure_close(&source);
    cr_assert_eq(open_files(), before, "a second time does nothing");
}

Test(os_pressure, then_the_machine_then_the_counts_then_nothing) {
    unsigned before = open_files();
    const char *root = fake_root((struct fake_file[]){CGROUP, MOUNTS, MACHINE_STALLS, COUNTS, END});
    struct moat_os_pressure source = opened(root, NULL, NULL);
    cr_assert_str_eq(name_of(source.event, root), "/proc/pressure/memory");
    assert_text(root, "/proc/pressure/memory", "some 150000 2000000");
    moat_os_pressure_close(&source);

    root = fake_root((struct fake_file[]){CGROUP, MOUNTS, COUNTS, END});
    source = opened(root, NULL, NULL);
    cr_assert_str_eq(name_of(source.event, root), "/cg/a/memory.events");
    cr_assert(source.counts);
    moat_os_pressure_close(&source);

    root = fake_root((struct fake_file[]){CGROUP, MOUNTS, END});
    source = opened(root, NULL, NULL);
    cr_assert_not(moat_os_pressure_tells(&source));
    cr_assert_eq(source.wake, -1, "and nothing to wake it by is open");
    moat_os_pressure_close(&source);
    cr_assert_eq(open_files(), before);
}

Test(os_pressure, what_systemd_names_comes_first) {
    char named[PATH_MAX];
    const char *root = fake_root(
        (struct fake_file[]){CGROUP, MOUNTS, GROUP_STALLS, MACHINE_STALLS, {"/named", ""}, END});
    unsigned before = open_files();
    snprintf(named, sizeof named, "%s/named", root);
    /* "some 200000 2000000" and a NUL, as systemd sets it. */
    struct moat_os_pressure source = opened(root, named, "c29tZSAyMDAwMDAgMjAwMDAwMAA=");
    cr_assert_str_eq(name_of(source.event, root), "/named");
    assert_text(root, "/named", "some 200000 2000000");
    assert_text(root, "/cg/a/memory.pressure", "");
    moat_os_pressure_close(&source);

    source = opened(root, "/dev/null", NULL);
    cr_assert_not(moat_os_pressure_tells(&source), "nothing is to be watched");
    moat_os_pressure_close(&source);
    cr_assert_eq(open_files(), before);
}

Test(os_pressure, a_name_that_is_of_no_use_is_passed_over) {
    char path[PATH_MAX], fifo[PATH_MAX];
    const char *root = fake_root((struct fake_file[]){MACHINE_STALLS, {"/named", ""}, END});
    unsigned before = open_files();
    snprintf(path, sizeof path, "%s/named", root);
    snprintf(fifo, sizeof fifo, "%s/fifo", root);
    cr_assert_eq(mkfifo(fifo, 0600), 0);
    const char *const names[][2] = {
        {"", NULL},  {"relative", NULL}, {"/no/such/file", NULL}, {path, "not base64"},
        {"/", NULL}, {fifo, NULL},       {path, "===="},          {path, "c29"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct moat_os_pressure source = opened(root, names[i][0], names[i][1]);
        cr_assert_str_eq(name_of(source.event, root), "/proc/pressure/memory", "name %zu", i);
        moat_os_pressure_close(&source);
        cr_assert_eq(open_files(), before, "name %zu", i);
    }
}

Test(os_pressure, base64) {
    static const struct {
        const char *text;
        size_t size;
        const char *bytes;
    } rows[] = {
        {"", 0, ""},
        {"Zg==", 1, "f"},
        {"Zm8=", 2, "fo"},
        {"Zm9v", 3, "foo"},
        {"Zm9vYmE=", 5, "fooba"},
        {"+/+/", 3, "\xfb\xff\xbf"},
        {"AAAA", 3, "\0\0\0"},
        {"Z", SIZE_MAX, ""},
        {"Zg=", SIZE_MAX, ""},
        {"Zg\n=", SIZE_MAX, ""},
        {"Z===", SIZE_MAX, ""},
        {"=Zg=", SIZE_MAX, ""},
        {"Zm9vYmFy", SIZE_MAX, ""}, /* six do not fit into five */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned char bytes[6] = {[5] = 0xEE};
        size_t size = moat_linux_base64(rows[i].text, bytes, 5);
        cr_expect_eq(size, rows[i].size, "row %zu: %zu", i, size);
        if (size == rows[i].size && size <= 5)
            cr_expect_eq(memcmp(bytes, rows[i].bytes, size), 0, "row %zu", i);
        cr_expect_eq(bytes[5], 0xEE, "row %zu", i);
    }
}

struct waker {
    struct moat_os_pressure source;
    _Atomic uint32_t word;
    atomic_bool returned;
};

static void *wait_long(void *argument) {
    struct waker *waker = argument;
    while (atomic_load(&waker->word) == 0)
        moat_os_pressure_wait(&waker->source, &waker->word, 0, NEVER);
    atomic_store(&waker->returned, true);
    return NULL;
}

static void assert_wakes(const char *root) {
    struct waker waker = {.source = opened(root, NULL, NULL)};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, wait_long, &waker), 0);
    usleep(20000);
    cr_assert_not(atomic_load(&waker.returned));
    atomic_store(&waker.word, 1);
    errno = 4711;
    moat_os_pressure_wake(&waker.source, &waker.word);
    moat_os_pressure_wake(&waker.source, &waker.word);
    cr_assert_eq(errno, 4711);
    pthread_join(thread, NULL);
    moat_os_pressure_close(&waker.source);
}

Test(os_pressure, a_wait_can_be_ended, .timeout = 900) {
    assert_wakes(fake_root((struct fake_file[]){MACHINE_STALLS, END}));
    assert_wakes(fake_root((struct fake_file[]){END}));
}

Test(os_pressure, a_wait_ends_at_its_deadline) {
    const char *const roots[] = {fake_root((struct fake_file[]){MACHINE_STALLS, END}),
                                 fake_root((struct fake_file[]){END})};
    uint32_t word = 0;
    for (unsigned i = 0; i < 2; i++) {
        struct moat_os_pressure source = opened(roots[i], NULL, NULL);
        uint64_t deadline = SOON;
        while (moat_os_clock() < deadline)
            moat_os_pressure_wait(&source, &word, 0, deadline);
        moat_os_pressure_wait(&source, &word, 0, 0); /* long past */
        moat_os_pressure_close(&source);
    }
}

/* A group that was removed makes its files ready for ever: they are not waited for again. The
 * same descriptor number, shut, is as good as gone. */
Test(os_pressure, a_dead_source_is_given_up) {
    const char *root = fake_root((struct fake_file[]){CGROUP, MOUNTS, COUNTS, END});
    uint32_t word = 0;
    struct moat_os_pressure source = opened(root, NULL, NULL);
    int pipes[2];
    cr_assert_eq(pipe(pipes), 0);
    close(pipes[0]); /* the end that is left is in error, and cannot be read */
    cr_assert_geq(dup2(pipes[1], source.event), 0);
    moat_os_pressure_wait(&source, &word, 0, NEVER);
    cr_assert_not(moat_os_pressure_tells(&source));
    moat_os_pressure_wait(&source, &word, 0, SOON);
    moat_os_pressure_close(&source);

    root = fake_root((struct fake_file[]){MACHINE_STALLS, END});
    source = opened(root, NULL, NULL);
    cr_assert_geq(dup2(pipes[1], source.event), 0);
    moat_os_pressure_wait(&source, &word, 0, NEVER);
    cr_assert_not(moat_os_pressure_tells(&source));
    moat_os_pressure_close(&source);
}

/* Put a process that only waits into the group; its end takes it out again. */
static pid_t occupy(const char *group) {
    char number[32], path[PATH_MAX];
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        pause();
        _exit(0);
    }
    snprintf(path, sizeof path, "%.1100s/cgroup.procs", group);
    snprintf(number, sizeof number, "%d", (int)child);
    int file = open(path, O_WRONLY);
    cr_assert_geq(write(file, number, strlen(number)), 0);
    close(file);
    return child;
}

/* By an event, that is, long before a wait ends by itself. */
static void assert_woken(struct moat_os_pressure *source) {
    uint32_t word = 0;
    uint64_t start = moat_os_clock();
    moat_os_pressure_wait(source, &word, 0, NEVER);
    cr_assert_lt(moat_os_clock() - start, 30 * SECOND);
    cr_assert(moat_os_pressure_tells(source));
}

/* Counts of a real control group. Those of memory cannot be made to change at will, but the kernel
 * tells of a change of cgroup.events in the same way. */
Test(os_pressure, a_change_of_counts_wakes_once, .timeout = 900) {
    struct moat_linux_cgroup own;
    char group[PATH_MAX], target[PATH_MAX], link[PATH_MAX];
    uint32_t word = 0;
    if (!moat_linux_cgroup_find("", true, &own))
        cr_skip_test("no control groups of version 2 here");
    snprintf(group, sizeof group, "%.1000s/moat-test-%d", own.path, (int)getpid());
    if (mkdir(group, 0755) != 0)
        cr_skip_test("no control group may be made here");
    const char *root = fake_root((struct fake_file[]){CGROUP, MOUNTS, {"/cg/a/x", ""}, END});
    snprintf(target, sizeof target, "%.1100s/cgroup.events", group);
    snprintf(link, sizeof link, "%s/cg/a/memory.events", root);
    cr_assert_eq(symlink(target, link), 0);
    struct moat_os_pressure source = opened(root, NULL, NULL);
    cr_assert(source.counts);

    pid_t child = occupy(group);
    assert_woken(&source);
    unsigned wakes = 0;
    for (uint64_t deadline = moat_os_clock() + SECOND / 5; moat_os_clock() < deadline; wakes++)
        moat_os_pressure_wait(&source, &word, 0, deadline);
    cr_assert_leq(wakes, 10, "what was read is not told again");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_woken(&source);
    while (rmdir(group) != 0)
        usleep(1000);
    while (moat_os_pressure_tells(&source))
        moat_os_pressure_wait(&source, &word, 0, NEVER);
    moat_os_pressure_close(&source);
}

/* The real kernel, with a trigger that it accepts or does not. */
Test(os_pressure, this_machine) {
    unsigned before = open_files();
    uint32_t word = 0;
    struct moat_os_pressure source;
    errno = 4711;
    moat_os_pressure_open(&source);
    cr_assert_eq(errno, 4711);
    bool tells = moat_os_pressure_tells(&source);
    moat_os_pressure_wait(&source, &word, 0, SOON);
    cr_assert_eq(moat_os_pressure_tells(&source), tells, "the source is alive");
    moat_os_pressure_close(&source);
    cr_assert_eq(open_files(), before);
    if (!tells)
        cr_skip_test("this kernel tells nobody of pressure");
}
