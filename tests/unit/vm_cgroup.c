/* SPDX-License-Identifier: MIT */
/*
 * real control groups: a child is put into one that this test makes, meets its limit, and is told
 * when it comes near. Needs the right to make one; skipped with a word where that is missing.
 */
#define _GNU_SOURCE
#include "base/load.h"
#include "os/linux_memory.h"
#include "vm/memory.h"

#include <moat/pressure.h>

#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MIB = 1 << 20, LIMIT = 64 * MIB, CANNOT = 77 };

struct group {
    bool unified;
    char outer[PATH_MAX];
    char inner[PATH_MAX];
};

static bool put(const char *directory, const char *name, const char *text) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    bool written = write(file, text, strlen(text)) == (ssize_t)strlen(text);
    close(file);
    return written;
}

/* A limit on the outer group and, for the members, an inner one without. */
static bool furnish(struct group *group, const char *parent) {
    const char *limit = group->unified ? "memory.max" : "memory.limit_in_bytes";
    char text[32];

    snprintf(group->outer, sizeof group->outer, "%.1000s/moat-test-%d", parent, (int)getpid());
    snprintf(group->inner, sizeof group->inner, "%.1100s/inner", group->outer);
    if (mkdir(group->outer, 0755) != 0)
        return false;
    snprintf(text, sizeof text, "%d", LIMIT);
    bool limited = put(group->outer, limit, text);
    if (limited && mkdir(group->inner, 0755) == 0)
        return true;
    rmdir(group->outer);
    return false;
}

static bool make_group(struct group *group) {
    struct moat_linux_cgroup own;

    if (!moat_linux_cgroup_find("", false, &own))
        return false;
    group->unified = own.unified;
    if (furnish(group, own.path))
        return true;
    own.path[own.mount_length] = '\0';
    return furnish(group, own.path);
}

static void remove_group(const struct group *group) {
    /* Its last process may be on its way out yet. */
    for (unsigned i = 0; i < 1000 && rmdir(group->inner) != 0; i++)
        usleep(10000);
    for (unsigned i = 0; i < 1000 && rmdir(group->outer) != 0; i++)
        usleep(10000);
}

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static void inside(const struct group *group, void (*body)(void)) {
    char number[32];
    int status;

    fflush(NULL);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        snprintf(number, sizeof number, "%d", (int)getpid());
        if (!put(group->inner, "cgroup.procs", number))
            _exit(CANNOT);
        body();
        _exit(0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    remove_group(group);
    if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT)
        cr_skip_test("no process may be moved into a control group here");
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with %#x", status);
}

static void meet_the_limit(void) {
    struct moat_memory_load load;
    REQUIRE(moat_memory_load_read(NULL, &load) == MOAT_OK);
    REQUIRE(load.limit_bytes == LIMIT);
    REQUIRE(load.available_bytes <= LIMIT);
    REQUIRE(load.available_bytes > LIMIT / 2);
}

Test(vm_cgroup, the_limit_of_a_group_above_us) {
    struct group group;
    if (!make_group(&group))
        cr_skip_test("no control group with a memory limit may be made here");
    inside(&group, meet_the_limit);
}

static atomic_int last;

static void note(enum moat_memory_level level, void *context) {
    (void)context;
    atomic_store(&last, (int)level);
}

static bool comes(enum moat_memory_level level) {
    for (unsigned i = 0; i < 60000 && atomic_load(&last) != (int)level; i++)
        usleep(1000);
    return atomic_load(&last) == (int)level;
}

static struct moat_load load_now(void) {
    struct moat_load load;
    uint64_t age;
    REQUIRE(moat_memory_figures(NULL, true, &load, &age) == MOAT_OK);
    return load;
}

static void fill_and_empty(void) {
    struct moat_manager *manager;
    void *memory;

    REQUIRE(moat_manager_create(NULL, &manager) == MOAT_OK);
    REQUIRE(moat_reserve(manager, NULL, LIMIT, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT, &memory) ==
            MOAT_OK);
    REQUIRE(moat_pressure_watch(manager, note, NULL) == MOAT_OK);
    REQUIRE(comes(MOAT_MEMORY_HIGH));
    for (size_t filled = 0; load_now().headroom >= 60; filled += MIB / 4) {
        REQUIRE(filled < LIMIT);
        memset((char *)memory + filled, 1, MIB / 4);
    }
    REQUIRE(load_now().percent >= 95);
    REQUIRE(comes(MOAT_MEMORY_LOW));
    REQUIRE(moat_decommit(manager, memory, LIMIT) == MOAT_OK);
    REQUIRE(comes(MOAT_MEMORY_HIGH));
    moat_manager_destroy(manager);
}

Test(vm_cgroup, told_of_low_and_of_high, .timeout = 900) {
    struct group group;
    if (load_now().headroom < 1000)
        cr_skip_test("this machine itself is short of memory");
    if (!make_group(&group))
        cr_skip_test("no control group with a memory limit may be made here");
    inside(&group, fill_and_empty);
}
