/* SPDX-License-Identifier: MIT */
/*
 * core_start: the very first calls of a process, made by all threads at once. Each round is a
 * process of its own. Afterwards everything that a query calls used is really mapped: what threads
 * made too many of, and gave back, has left nothing in the books.
 */
#define _GNU_SOURCE
#include "support/core.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 6, REGIONS = 40 };

#define BLOCK    ((uintptr_t)2 << 20)
#define USER_END ((uintptr_t)0x7FFFFFFF0000)

static char maps[1 << 20];
static unsigned mechanism; /* of this round; one round in three, of each thread another */

static size_t size_of(unsigned region) {
    return (size_t)(region % 20 ? 3 : 600) * PAGE;
}

static void first_calls(unsigned number) {
    struct moat_manager *manager;
    void *bases[REGIONS];

    core_meet();
    if (mechanism == 2 && number & 1)
        CHECK(moat_manager_default(&manager) == MOAT_OK, "%s", moat_last_error_text());
    else
        manager = core_manager(mechanism == 2 ? number / 2 % 2 : mechanism);
    for (unsigned i = 0; i < REGIONS; i++) {
        CHECK(moat_reserve(manager, NULL, size_of(i), MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT,
                           &bases[i]) == MOAT_OK,
              "%s", moat_last_error_text());
        *(volatile unsigned *)bases[i] = number;
    }
    core_meet();
    for (unsigned i = 0; i < REGIONS; i++) {
        struct moat_page_info info;
        CHECK(*(volatile unsigned *)bases[i] == number, "two regions share pages");
        CHECK(moat_query(bases[i], &info) == MOAT_OK && info.allocation_base == bases[i] &&
                  info.state == MOAT_STATE_COMMITTED && info.size == size_of(i),
              "%p: state %d, %zu bytes", bases[i], info.state, info.size);
        if (i % 3)
            CHECK(moat_release(manager, bases[i]) == MOAT_OK, "%s", moat_last_error_text());
    }
}

/* Neighbours in a block that nobody has used, all committed in one moment. */
static void first_commits(unsigned number) {
    static struct moat_manager *manager;
    static uintptr_t start;
    struct moat_page_info info;
    void *base;

    for (uintptr_t block = 1; block <= 32; block++) {
        if (number == 0 && block == 1) {
            manager = core_manager(mechanism % 2);
            start = core_window_inside(manager, PAGE) / BLOCK * BLOCK;
            /* Where the regions that first_calls left alive are not. */
            do {
                start += BLOCK;
                CHECK(moat_query((void *)start, &info) == MOAT_OK, "%#lx", (unsigned long)start);
            } while (info.state != MOAT_STATE_FREE || info.size < 34 * BLOCK);
        }
        core_meet();
        uintptr_t at = start + block * BLOCK + number * GRANULE;
        CHECK(moat_reserve(manager, (void *)at, GRANULE, MOAT_PAGE_READWRITE, 0, &base) == MOAT_OK,
              "%s", moat_last_error_text());
        core_meet();
        CHECK(moat_commit(manager, base, 2 * PAGE, MOAT_PAGE_READWRITE, NULL) == MOAT_OK, "%s",
              moat_last_error_text());
        *(volatile unsigned *)base = number;
        core_meet();
        CHECK(moat_query(base, &info) == MOAT_OK && info.state == MOAT_STATE_COMMITTED &&
                  info.size == 2 * PAGE && *(volatile unsigned *)base == number,
              "%p: state %d, %zu bytes", base, info.state, info.size);
    }
}

static void read_maps(void) {
    size_t length = 0;
    ssize_t got;
    int file = open("/proc/self/maps", O_RDONLY);
    CHECK(file >= 0, "no /proc");
    while ((got = read(file, maps + length, sizeof(maps) - 1 - length)) > 0)
        length += (size_t)got;
    close(file);
    maps[length] = '\0';
}

/* The end of the mapped stretch that holds `address`, or 0. */
static uintptr_t mapped_until(uintptr_t address) {
    uintptr_t end = 0;
    for (const char *line = maps; line && *line; line = strchr(line, '\n'), line += line != NULL) {
        uintptr_t from = strtoul(line, NULL, 16);
        uintptr_t to = strtoul(strchr(line, '-') + 1, NULL, 16);
        if (from <= address && address < to)
            end = address = to;
    }
    return end;
}

/* What the query of `at` says, and whether /proc agrees that it is in use to its end. */
static bool agreed(uintptr_t at, struct moat_page_info *info) {
    CHECK(moat_query((void *)at, info) == MOAT_OK, "query of %#lx", (unsigned long)at);
    core_check_info(info, at);
    uintptr_t end = at + info->size < USER_END ? at + info->size : USER_END;
    return info->state == MOAT_STATE_FREE || mapped_until(at) >= end;
}

static void walk(void) {
    struct moat_page_info info;

    read_maps();
    for (uintptr_t at = 0; at < USER_END; at += info.size) {
        /* A sanitizer's runtime maps while we walk: what is new to the copy is looked up afresh. */
        if (!agreed(at, &info))
            read_maps();
        CHECK(agreed(at, &info), "%#lx, %#zx bytes, is in use, says the query; mapped to %#lx",
              (unsigned long)at, info.size, (unsigned long)mapped_until(at));
    }
}

int main(int argc, char **argv) {
    unsigned rounds = core_scale(argc, argv, 60);

    for (unsigned round = 0; round < rounds; round++) {
        int state;
        mechanism = round % 3;
        pid_t child = fork();
        CHECK(child >= 0, "fork");
        if (child == 0) {
            core_run(THREADS, first_calls);
            core_run(THREADS, first_commits);
            walk();
            _exit(0);
        }
        CHECK(waitpid(child, &state, 0) == child && state == 0, "round %u ended with %#x", round,
              (unsigned)state);
    }
    return 0;
}
