/* SPDX-License-Identifier: MIT */
/*
 * watch_writers: no write is lost, however writes and resets meet.
 *
 * Every page begins with a number that its writers only ever raise. Whoever is told of a page reads
 * the number afterwards and keeps it. When all writers stand still and one more get has been made,
 * the number kept for each page must be the one it holds: a write that came after the last report
 * of its page would show as a difference. Threads that protect, and that reserve and release
 * watched regions beside it, must not matter.
 */
#define _GNU_SOURCE
#include "support/core.h"

#include <moat/fault.h>
#include <moat/watch.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { WRITERS = 3, COLLECTORS = 2, THREADS = WRITERS + COLLECTORS + 2, ROOM = 37 };

/* The last ones are written by the kernel alone, one for each writer. */
enum { PAGES = 1100, PAGES_OF_ALL = PAGES - WRITERS };

static unsigned rounds;
static bool by_faults;
static struct moat_manager *manager;
static unsigned char *base;
static _Atomic uint64_t kept[PAGES];
static atomic_uint writers_left;
static _Atomic(void *) passing; /* a region that comes and goes */

static _Atomic uint64_t *number_of(size_t page) {
    return (_Atomic uint64_t *)(void *)(base + page * PAGE);
}

static void keep(size_t page) {
    uint64_t now = atomic_load(number_of(page));
    uint64_t before = atomic_load(&kept[page]);
    while (before < now && !atomic_compare_exchange_weak(&kept[page], &before, now))
        continue;
}

static size_t collect(size_t first, size_t count, size_t room, bool reset) {
    void *pages[PAGES];
    size_t found = room;
    CHECK(moat_watch_get(manager, reset ? MOAT_WATCH_RESET : 0, base + first * PAGE, count * PAGE,
                         pages, &found) == MOAT_OK,
          "%s", moat_last_error_text());
    CHECK(found <= room, "%zu of %zu", found, room);
    for (size_t i = 0; i < found; i++) {
        size_t page = (size_t)((unsigned char *)pages[i] - base) / PAGE;
        CHECK(page >= first && page < first + count, "page %zu", page);
        if (reset)
            keep(page);
    }
    return found;
}

/* Pages of all, few of them often, and one through the kernel. */
static void write_pages(unsigned number) {
    uint64_t state = number + 17;
    int ends[2];

    CHECK(pipe(ends) == 0, "no pipe");
    for (unsigned i = 0; i < 3000; i++) {
        size_t page = core_below(&state, i % 8 ? PAGES_OF_ALL : 16);
        if (!by_faults && i % 4 == 0) {
            /* A page of its own, which only the kernel writes. */
            page = PAGES_OF_ALL + number;
            uint64_t next = atomic_load(number_of(page)) + 1;
            CHECK(write(ends[1], &next, sizeof(next)) == sizeof(next), "pipe");
            /* The bare call: a sanitizer would take it for a write of this thread. */
            CHECK(syscall(SYS_read, ends[0], base + page * PAGE, sizeof(next)) == sizeof(next),
                  "EFAULT");
            continue;
        }
        atomic_fetch_add(number_of(page), 1);
    }
    close(ends[0]);
    close(ends[1]);
    atomic_fetch_sub(&writers_left, 1);
}

/* A get that meets the release of its region finds it whole, or not at all. */
static void collect_passing(void) {
    void *pages[4];
    size_t count = 4;
    enum moat_status status =
        moat_watch_get(manager, 0, atomic_load(&passing), 4 * PAGE, pages, &count);
    CHECK(status == MOAT_INVALID_ARGUMENT || (status == MOAT_OK && count <= 2), "%d, %zu: %s",
          status, count, moat_last_error_text());
}

static void collect_pages(unsigned number) {
    uint64_t state = number + 99;

    while (atomic_load(&writers_left)) {
        size_t first = core_below(&state, PAGES);
        size_t count = 1 + core_below(&state, (unsigned)(PAGES - first));
        collect_passing();
        (void)collect(first, count, 1 + core_below(&state, ROOM), core_below(&state, 8) != 0);
    }
}

static void protect_pages(void) {
    uint64_t state = 5;
    uint32_t old;

    while (atomic_load(&writers_left)) {
        size_t first = core_below(&state, PAGES);
        size_t count = 1 + core_below(&state, (unsigned)(PAGES - first));
        uint32_t protection =
            core_below(&state, 2) ? MOAT_PAGE_READWRITE : MOAT_PAGE_EXECUTE_READWRITE;
        CHECK(moat_protect(manager, base + first * PAGE, count * PAGE, protection, &old) == MOAT_OK,
              "%s", moat_last_error_text());
    }
}

/* Whole lives of watched regions. */
static void come_and_go(void) {
    while (atomic_load(&writers_left)) {
        void *region, *pages[4];
        size_t count = 4;
        CHECK(moat_reserve(manager, NULL, 4 * PAGE, MOAT_PAGE_READWRITE,
                           MOAT_RESERVE_COMMIT | MOAT_RESERVE_WRITE_WATCH, &region) == MOAT_OK,
              "%s", moat_last_error_text());
        atomic_store(&passing, region);
        memset(region, 1, 2 * PAGE);
        CHECK(moat_watch_get(manager, MOAT_WATCH_RESET, region, 4 * PAGE, pages, &count) ==
                      MOAT_OK &&
                  count == 2,
              "%zu: %s", count, moat_last_error_text());
        CHECK(moat_release(manager, region) == MOAT_OK, "%s", moat_last_error_text());
    }
}

static void body(unsigned number) {
    for (unsigned round = 0; round < rounds; round++) {
        if (number == 0)
            atomic_store(&writers_left, WRITERS);
        core_meet();
        if (number < WRITERS)
            write_pages(number);
        else if (number < WRITERS + COLLECTORS)
            collect_pages(number);
        else if (number == WRITERS + COLLECTORS)
            protect_pages();
        else
            come_and_go();
        core_meet();
        if (number == 0) {
            (void)collect(0, PAGES, PAGES, true);
            for (size_t page = 0; page < PAGES; page++)
                CHECK(atomic_load(&kept[page]) == atomic_load(number_of(page)),
                      "page %zu was written and not told: %llu, %llu", page,
                      (unsigned long long)atomic_load(&kept[page]),
                      (unsigned long long)atomic_load(number_of(page)));
            CHECK(collect(0, PAGES, PAGES, true) == 0, "what nobody writes is clean");
        }
        core_meet();
    }
}

/* Threads that are the first to want records, at once. */
static void reserve_first(unsigned number) {
    void *region;
    (void)number;
    core_meet();
    enum moat_status status =
        moat_reserve(manager, NULL, PAGE, MOAT_PAGE_READWRITE, MOAT_RESERVE_WRITE_WATCH, &region);
    CHECK(status == MOAT_OK || status == MOAT_NOT_SUPPORTED, "%s", moat_last_error_text());
    if (status == MOAT_OK)
        CHECK(moat_release(manager, region) == MOAT_OK, "%s", moat_last_error_text());
}

static void run_way(const char *name, enum moat_watch way) {
    struct moat_options options;
    void *start;

    moat_options_init(&options);
    options.watch = way;
    by_faults = way == MOAT_WATCH_FAULT;
    CHECK(moat_manager_create(&options, &manager) == MOAT_OK, "%s", moat_last_error_text());
    core_run(4, reserve_first);
    enum moat_status status = moat_reserve(manager, NULL, PAGES * PAGE, MOAT_PAGE_READWRITE,
                                           MOAT_RESERVE_COMMIT | MOAT_RESERVE_WRITE_WATCH, &start);
    if (status == MOAT_NOT_SUPPORTED) {
        printf("skipped: watch=%s: %s\n", name, moat_last_error_text());
    } else {
        CHECK(status == MOAT_OK, "%s", moat_last_error_text());
        base = start;
        for (size_t page = 0; page < PAGES; page++)
            atomic_store(&kept[page], 0);
        core_run(THREADS, body);
        printf("watch=%s: nothing was lost\n", name);
    }
    moat_manager_destroy(manager);
}

int main(int argc, char **argv) {
    rounds = core_scale(argc, argv, 12);
    run_way("kernel", MOAT_WATCH_KERNEL);
    CHECK(moat_fault_handler_install(NULL, NULL) == MOAT_OK, "%s", moat_last_error_text());
    run_way("fault", MOAT_WATCH_FAULT);
    return 0;
}
