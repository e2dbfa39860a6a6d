/* SPDX-License-Identifier: MIT */
/*
 * linux_limits: what the kernel counts before it refuses memory.
 *
 * ENOMEM names none of them, so all are read when a call was refused. What cannot be read counts as
 * no limit. Everything but RLIMIT_* is read below a root, which is "" but in tests.
 */
#define _GNU_SOURCE
#include "os/linux_limits.h"

#include "os/linux_memory.h"

#include <sys/resource.h>

/* Of a file: /proc/meminfo and /proc/self/status have about 1.5 KiB. */
enum { TEXT_SIZE = 4096, STRICT = 2, MAP_LIMIT_DEFAULT = 65530 };

static const struct moat_os_limit no_limit = {0, UINT64_MAX};

static uint64_t key(const char *text, const char *name) {
    uint64_t kib;
    return moat_linux_parse_key(text, name, &kib) && kib < UINT64_MAX / 1024 ? kib * 1024 : 0;
}

/* The text of /proc/self/status has a tab behind its keys. */
static void blank_tabs(char *text) {
    for (; *text != '\0'; text++)
        if (*text == '\t')
            *text = ' ';
}

/* The name of a resource is of another type in each C library, so the callers ask. */
static void add_limit(struct moat_os_limit *limit, int outcome, const struct rlimit *given,
                      uint64_t used) {
    limit->used = used;
    if (outcome == 0 && given->rlim_cur != RLIM_INFINITY)
        limit->max = given->rlim_cur;
}

static void add_process(const char *root, struct moat_os_limits *limits) {
    char text[TEXT_SIZE];
    struct rlimit of;

    if (moat_linux_read_text(root, "/proc/thread-self/status", text, sizeof text) != 0 &&
        moat_linux_read_text(root, "/proc/self/status", text, sizeof text) != 0)
        return;
    blank_tabs(text);
    add_limit(&limits->address_space, getrlimit(RLIMIT_AS, &of), &of, key(text, "VmSize:"));
    add_limit(&limits->data, getrlimit(RLIMIT_DATA, &of), &of, key(text, "VmData:"));
    add_limit(&limits->locked, getrlimit(RLIMIT_MEMLOCK, &of), &of, key(text, "VmLck:"));
}

static uint64_t setting(const char *root, const char *path, uint64_t otherwise) {
    char text[64];
    uint64_t value;

    return moat_linux_read_text(root, path, text, sizeof text) == 0 &&
                   moat_linux_parse_number(text, &value)
               ? value
               : otherwise;
}

static void add_machine(const char *root, struct moat_os_limits *limits) {
    char text[TEXT_SIZE];
    uint64_t strictness = setting(root, "/proc/sys/vm/overcommit_memory", 0);

    if (moat_linux_read_text(root, "/proc/meminfo", text, sizeof text) != 0)
        return;
    if (strictness == STRICT)
        limits->commit =
            (struct moat_os_limit){key(text, "Committed_AS:"), key(text, "CommitLimit:")};
    /* By the usual heuristics one call may ask for all there is, and no more. */
    if (strictness == 0)
        limits->at_once.max = key(text, "MemTotal:") + key(text, "SwapTotal:");
}

void moat_linux_limits(const char *root, struct moat_os_limits *limits) {
    struct moat_load groups;

    *limits = (struct moat_os_limits){no_limit, no_limit, no_limit, no_limit, no_limit, no_limit};
    add_process(root, limits);
    add_machine(root, limits);
    moat_load_init(&groups);
    moat_linux_groups(root, &groups);
    if (moat_load_known(&groups))
        limits->group = (struct moat_os_limit){groups.limit - groups.available, groups.limit};
}

void moat_os_limits(struct moat_os_limits *limits) {
    int saved = errno;

    moat_linux_limits("", limits);
    errno = saved;
}

uint64_t moat_os_map_limit(void) {
    int saved = errno;
    uint64_t limit = setting("", "/proc/sys/vm/max_map_count", MAP_LIMIT_DEFAULT);

    errno = saved;
    return limit;
}

bool moat_os_strict_overcommit(void) {
    int saved = errno;
    bool strict = setting("", "/proc/sys/vm/overcommit_memory", 0) == STRICT;

    errno = saved;
    return strict;
}

uint64_t moat_os_address_room(void) {
    int saved = errno;
    struct rlimit given;
    char text[64];
    uint64_t pages, room = UINT64_MAX;

    if (getrlimit(RLIMIT_AS, &given) == 0 && given.rlim_cur != RLIM_INFINITY) {
        room = given.rlim_cur;
        if ((moat_linux_read_text("", "/proc/thread-self/statm", text, sizeof text) == 0 ||
             moat_linux_read_text("", "/proc/self/statm", text, sizeof text) == 0) &&
            moat_linux_parse_number(text, &pages))
            room -= pages * moat_os_page() < room ? pages * moat_os_page() : room;
    }
    errno = saved;
    return room;
}
