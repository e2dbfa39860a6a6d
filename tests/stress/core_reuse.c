/* SPDX-License-Identifier: MIT */
/*
 * core_reuse: memory that is handed on from region to region, while others ask for addresses that
 * were just released, in part or as a whole, give address space back, and end managers.
 *
 * All regions come committed and are filled, so that releases keep and move their memory. What
 * comes reads as zero, what a thread has stays as it wrote it, and what it released traps unless
 * somebody has it again: of that a query is asked before and after.
 */
#define _POSIX_C_SOURCE 200809L /* nanosleep */
#include "os/os.h"
#include "support/core.h"

#include <moat/space.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

enum { THREADS = 6, HELD = 6, GONE = 64, MANAGERS = 3, TRIM_EVERY = 400, END_EVERY = 150 };

static unsigned rounds;
static struct moat_manager *managers[MANAGERS];
static _Atomic uintptr_t gone[GONE]; /* bases that were released */

struct held {
    struct moat_manager *manager;
    unsigned char *base;
    size_t size;
    unsigned char value;
};

static struct moat_manager *make(const char *text) {
    struct moat_manager *manager;
    struct moat_options options;
    char wrong[128];

    moat_options_init(&options);
    CHECK(moat_options_parse(&options, text, wrong, sizeof wrong) == MOAT_OK, "%s", wrong);
    CHECK(moat_manager_create(&options, &manager) == MOAT_OK, "%s", moat_last_error_text());
    return manager;
}

static size_t draw_size(uint64_t *state) {
    static const size_t usual[] = {64 << 10, 128 << 10, 256 << 10,  512 << 10,
                                   1 << 20,  2 << 20,   2560 << 10, 3 << 20};
    unsigned choice = core_below(state, 12);

    if (choice < 8)
        return usual[choice];
    if (choice < 10)
        return (1 + core_below(state, 96)) * (size_t)GRANULE;
    return (16 + core_below(state, 1500)) * (size_t)PAGE;
}

static void fill(const struct held *held) {
    memset(held->base, held->value, held->size);
}

static bool is_all(const unsigned char *start, size_t size, unsigned char value) {
    return start[0] == value && memcmp(start, start + 1, size - 1) == 0;
}

static bool is_readable(const void *page) {
    return moat_os_look(page) == MOAT_OS_LOOK_READABLE;
}

static bool is_free(const void *page) {
    struct moat_page_info info;
    return moat_query(page, &info) == MOAT_OK && info.state == MOAT_STATE_FREE;
}

/* Somebody may have had the page and given it back between the two queries, or be about to enter
 * what he has, and not be given a processor: nobody finds a page readable and free for long. */
static void check_traps(const unsigned char *page) {
    const struct timespec pause = {.tv_nsec = 1000000};

    for (unsigned i = 0; i < 10000; i++) {
        if (!is_free(page) || !is_readable(page) || !is_free(page))
            return;
        if (i > 10)
            (void)nanosleep(&pause, NULL);
    }
    CHECK(false, "%p is free, and can be read", (const void *)page);
}

static void come(struct held *held, uint64_t *state) {
    bool named = core_below(state, 3) == 0;
    uintptr_t name = named ? atomic_load(&gone[core_below(state, GONE)]) : 0;
    void *base;

    if (name) /* sometimes amid what was there */
        name += core_below(state, 2) * core_below(state, 40) * (uintptr_t)GRANULE;
    held->manager = managers[core_below(state, MANAGERS)];
    held->size = draw_size(state);
    held->value = (unsigned char)(1 + core_below(state, 255));
    held->base = NULL;
    enum moat_status status = moat_reserve(held->manager, (void *)name, held->size,
                                           MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT, &base);
    if (status && name)
        return;
    CHECK(status == MOAT_OK, "%s", moat_last_error_text());
    held->base = base;
    CHECK(is_all(held->base, held->size, 0), "%p of %zu bytes holds something", base, held->size);
    fill(held);
}

static void go(struct held *held, uint64_t *state) {
    CHECK(is_all(held->base, held->size, held->value), "%p of %zu bytes was changed",
          (void *)held->base, held->size);
    CHECK(moat_release(held->manager, held->base) == MOAT_OK, "%s", moat_last_error_text());
    for (unsigned i = 0; i < 4; i++)
        check_traps(held->base + core_below(state, (unsigned)(held->size / PAGE)) * (size_t)PAGE);
    check_traps(held->base);
    check_traps(held->base + held->size - PAGE);
    atomic_store(&gone[core_below(state, GONE)], (uintptr_t)held->base);
    held->base = NULL;
}

/* Some pages go and come back. */
static void change(const struct held *held, uint64_t *state) {
    size_t pages = held->size / PAGE;
    size_t first = core_below(state, (unsigned)pages);
    size_t count = 1 + core_below(state, (unsigned)(pages - first));
    unsigned char *start = held->base + first * PAGE;

    CHECK(moat_decommit(held->manager, start, count * PAGE) == MOAT_OK, "%s",
          moat_last_error_text());
    CHECK(!is_readable(start) && !is_readable(start + (count - 1) * PAGE), "%p", (void *)start);
    CHECK(moat_commit(held->manager, start, count * PAGE, MOAT_PAGE_READWRITE, NULL) == MOAT_OK,
          "%s", moat_last_error_text());
    CHECK(is_all(start, count * PAGE, 0), "%p holds something", (void *)start);
    fill(held);
}

/* A manager of its own, which ends with a region in it. */
static void end_one(void) {
    struct moat_manager *manager = make("retain=8M,quarantine=8");
    void *base;

    for (unsigned i = 0; i < 3; i++) {
        CHECK(moat_reserve(manager, NULL, 1 << 20, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT,
                           &base) == MOAT_OK,
              "%s", moat_last_error_text());
        CHECK(is_all(base, 1 << 20, 0), "%p holds something", base);
        memset(base, 0x77, 1 << 20);
        CHECK(moat_release(manager, base) == MOAT_OK, "%s", moat_last_error_text());
    }
    moat_manager_destroy(manager);
}

static void body(unsigned number) {
    uint64_t state = 31 + number;
    struct held held[HELD] = {0};

    for (unsigned round = 0; round < rounds; round++) {
        struct held *one = &held[core_below(&state, HELD)];
        if (!one->base)
            come(one, &state);
        else if (core_below(&state, 5) == 0)
            change(one, &state);
        else
            go(one, &state);
        if (number == 0 && round % TRIM_EVERY == 0) {
            enum moat_status status = moat_trim(NULL, 0, NULL);
            CHECK(status == MOAT_OK || status == MOAT_NO_MEMORY, "%s", moat_last_error_text());
        }
        if (number == 1 && round % END_EVERY == 0)
            end_one();
    }
    for (unsigned i = 0; i < HELD; i++)
        if (held[i].base)
            go(&held[i], &state);
}

int main(int argc, char **argv) {
    static const char *const texts[MANAGERS] = {"quarantine=0", "", "quarantine=0,placing=packed"};

    rounds = core_scale(argc, argv, 800);
    for (unsigned i = 0; i < MANAGERS; i++)
        managers[i] = make(texts[i]);
    core_run(THREADS, body);
    for (unsigned i = 0; i < MANAGERS; i++) {
        struct moat_stats stats;
        CHECK(moat_stats_read(managers[i], &stats) == MOAT_OK, "%s", moat_last_error_text());
        CHECK(stats.bytes_committed == 0 && stats.bytes_reserved == 0 &&
                  stats.retained_bytes <= (uint64_t)64 << 20,
              "%zu committed, %zu reserved, %zu retained", (size_t)stats.bytes_committed,
              (size_t)stats.bytes_reserved, (size_t)stats.retained_bytes);
        moat_manager_destroy(managers[i]);
    }
    return 0;
}
