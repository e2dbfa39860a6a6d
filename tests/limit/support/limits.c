/* SPDX-License-Identifier: MIT */
/*
 * limits: each is set a little above what is used and then used up, so that it is really met.
 *
 * Strict overcommit is a switch of the whole machine: it is thrown only where its owner says so
 * with MOAT_TEST_STRICT_OVERCOMMIT=1, and thrown back.
 */
#define _GNU_SOURCE
#include "limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

enum { SYSTEM_PAGE = 4096, STRICT = 2 };

/* Sanitizers need address space of their own, and end a process that has none. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = true };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { SANITIZED = true };
#else
enum { SANITIZED = false };
#endif
#else
enum { SANITIZED = false };
#endif

static bool skip(const char *why) {
    printf("skipped: %s\n", why);
    return false;
}

/* Mappings: every other page of a long stretch. */

static unsigned char *stretch;
static size_t next_page = 1;

static void press_mappings(void) {
    while (mprotect(stretch + next_page * SYSTEM_PAGE, SYSTEM_PAGE, PROT_READ) == 0)
        next_page += 2;
}

static bool reach_mappings(void) {
    unsigned long limit = number_in("/proc/sys/vm/max_map_count");
    if (limit == 0 || limit > 500000)
        return skip("vm.max_map_count is too high to be reached");
    stretch = mmap(NULL, (4 * limit + 4) * SYSTEM_PAGE, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(stretch != MAP_FAILED, "mmap");
    press_mappings();
    return true;
}

/* Bytes that /proc/self/status has under a name. */
static size_t status_of(const char *name) {
    char line[256];
    size_t kib = 0;
    FILE *file = fopen("/proc/self/status", "re");

    CHECK(file, "/proc/self/status");
    while (fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0)
            (void)sscanf(line + strlen(name), " %zu", &kib);
    fclose(file);
    return kib * 1024;
}

/* Compilers disagree on the type of the name of a limit. */
#define limit_to(resource, bytes)                                                                  \
    CHECK(setrlimit(resource, &(struct rlimit){bytes, RLIM_INFINITY}) == 0 ||                      \
              setrlimit(resource, &(struct rlimit){bytes, bytes}) == 0,                            \
          "setrlimit")

static void press_address_space(void) {
    for (size_t size = MIB; size >= 16 * SYSTEM_PAGE; size /= 2)
        while (mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
            continue;
}

static bool reach_address_space(void) {
    if (SANITIZED)
        return skip("a sanitizer needs more");
    limit_to(RLIMIT_AS, status_of("VmSize:") + 4 * MIB);
    return true;
}

/* Little enough that there is no room for a whole arena, and not all of it is for Moat. */
static bool reach_little_space(void) {
    if (SANITIZED)
        return skip("a sanitizer needs more");
    limit_to(RLIMIT_AS, status_of("VmSize:") + 256 * MIB);
    return true;
}

static bool reach_data(void) {
    if (SANITIZED)
        return skip("a sanitizer needs more");
    limit_to(RLIMIT_DATA, status_of("VmData:") + MIB / 4);
    return true;
}

static bool reach_little_data(void) {
    if (SANITIZED)
        return skip("a sanitizer needs more");
    limit_to(RLIMIT_DATA, status_of("VmData:") + 64 * MIB);
    return true;
}

static bool reach_locked(void) {
    if (geteuid() == 0 && setuid(65534) != 0)
        return skip("the right to lock memory without a limit cannot be given up");
    struct rlimit most;
    CHECK(getrlimit(RLIMIT_MEMLOCK, &most) == 0, "getrlimit");
    if (most.rlim_max < 256 * MIB)
        return skip("RLIMIT_MEMLOCK cannot be set high enough to start at all");
    limit_to(RLIMIT_MEMLOCK, 256 * MIB);
    if (mlockall(MCL_FUTURE) != 0)
        return skip("mlockall is not allowed");
    return true;
}

static bool reach_locked_freely(void) {
    if (mlockall(MCL_FUTURE) != 0)
        return skip("mlockall is not allowed");
    if (!mmap(NULL, 64 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))
        return skip("RLIMIT_MEMLOCK is too low to lock all memory");
    return true;
}

/* A group of our own, below the one we are in. */

static char group[1200];

static bool write_to(const char *folder, const char *name, const char *text) {
    char path[1300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int file = open(path, O_WRONLY | O_CLOEXEC);
    bool written = file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text);
    if (file >= 0)
        close(file);
    return written;
}

/* The folder of the group that limits our memory, and the name of its limit. */
static bool find_group(char *folder, size_t size, const char **name) {
    char line[512];
    FILE *file = fopen("/proc/self/cgroup", "re");
    bool found = false;

    while (file && !found && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        char *path = strstr(line, ":memory:");
        if (path) {
            snprintf(folder, size, "/sys/fs/cgroup/memory%s", path + 8);
            *name = "memory.limit_in_bytes";
            found = true;
        } else if (strncmp(line, "0::", 3) == 0 &&
                   access("/sys/fs/cgroup/cgroup.procs", F_OK) == 0) {
            snprintf(folder, size, "/sys/fs/cgroup%s", line + 3);
            *name = "memory.max";
            found = true;
        }
    }
    if (file)
        fclose(file);
    return found;
}

void limits_clean_up(void) {
    char folder[1024];
    const char *name;

    /* Named after the process that waits for those who are in it. */
    if (!find_group(folder, sizeof folder, &name))
        return;
    snprintf(group, sizeof group, "%s/moat_limit_%ld", folder, (long)getpid());
    (void)rmdir(group);
}

static bool reach_group(void) {
    char folder[1024], pid[32];
    const char *name;

    if (!find_group(folder, sizeof folder, &name))
        return skip("no control group limits memory here");
    snprintf(group, sizeof group, "%s/moat_limit_%ld", folder, (long)getppid());
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    if (mkdir(group, 0755) != 0 && errno != EEXIST)
        return skip("control groups cannot be made here");
    if (!write_to(group, name, "33554432") || !write_to(group, "cgroup.procs", pid))
        return skip("control groups cannot be used here");
    return true;
}

static bool reach_strict(void) {
    const char *allowed = getenv("MOAT_TEST_STRICT_OVERCOMMIT");
    if (!allowed || strcmp(allowed, "1") != 0)
        return skip("strict overcommit is the whole machine's; MOAT_TEST_STRICT_OVERCOMMIT=1");
    if (number_in("/proc/sys/vm/overcommit_memory") != STRICT)
        return skip("vm.overcommit_memory is not 2: set it for the time of this test");
    return true;
}

static void press_strict(void) {
    static size_t held;
    /* Never touched: promises alone. */
    for (size_t size = (size_t)1 << 36; size >= 4 * MIB; size /= 2)
        while (held < (size_t)1 << 42 && mmap(NULL, size, PROT_READ | PROT_WRITE,
                                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
            held += size;
}

const struct limit limits[LIMITS] = {
    {"mapping limit", MOAT_LIMIT_MAPPINGS, reach_mappings, press_mappings, false},
    {"address space", MOAT_LIMIT_ADDRESS_SPACE, reach_address_space, press_address_space, false},
    {"little address space", MOAT_LIMIT_ADDRESS_SPACE, reach_little_space, NULL, true},
    {"data", MOAT_LIMIT_DATA, reach_data, NULL, false},
    {"little data", MOAT_LIMIT_DATA, reach_little_data, NULL, true},
    {"locked memory", MOAT_LIMIT_LOCKED, reach_locked, NULL, true},
    {"memory locked from birth", MOAT_LIMIT_LOCKED, reach_locked_freely, NULL, true},
    {"control group", MOAT_LIMIT_CGROUP, reach_group, NULL, true},
    {"strict overcommit", MOAT_LIMIT_COMMIT, reach_strict, press_strict, false},
};
