/* SPDX-License-Identifier: MIT */
/*
 * core_adopt: threads map, tell, query, unmap and tell again, in places that the kernel passes from
 * one to the other before word of it comes. Whoever has mapped a place and told of it is answered
 * with what he told, whatever is left over there from others.
 */
#define _GNU_SOURCE
#include "support/core.h"

#include <moat/space.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>

enum { THREADS = 4, HELD = 3, PAGES_MAX = 9 };

static unsigned turns;
static struct moat_manager *managers[2];
static _Atomic uintptr_t somewhere[THREADS];

struct range {
    char *start;
    size_t size;
};

static void check_mine(const struct range *range, const struct moat_manager *manager) {
    for (size_t at = 0; at < range->size; at += PAGE) {
        struct moat_page_info info;
        CHECK(moat_query(range->start + at, &info) == MOAT_OK, "%s", moat_last_error_text());
        CHECK(info.allocation_base == range->start && info.owner == manager &&
                  info.size <= range->size - at && info.state == MOAT_STATE_COMMITTED,
              "%p + %zu of %zu: base %p, size %zu", (void *)range->start, at, range->size,
              info.allocation_base, info.size);
    }
}

static void take(struct range *range, struct moat_manager *manager, uint64_t *state) {
    range->size = (1 + core_below(state, PAGES_MAX)) * PAGE;
    range->start = mmap(NULL, range->size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(range->start != MAP_FAILED, "mmap");
    CHECK(moat_adopt(manager, range->start, range->size) == MOAT_OK, "%s", moat_last_error_text());
    check_mine(range, manager);
}

static void drop(struct range *range, struct moat_manager *manager, uint64_t *state) {
    bool late = core_below(state, 2) == 0;

    check_mine(range, manager);
    CHECK(moat_release(manager, range->start) == MOAT_NOT_OURS, "%p", (void *)range->start);
    if (late)
        CHECK(munmap(range->start, range->size) == 0, "munmap");
    CHECK(moat_disown(manager, range->start) == MOAT_OK, "%s", moat_last_error_text());
    if (!late)
        CHECK(munmap(range->start, range->size) == 0, "munmap");
    range->start = NULL;
}

static void look(uint64_t *state) {
    uintptr_t place = atomic_load(&somewhere[core_below(state, THREADS)]);
    struct moat_page_info info;
    CHECK(moat_query((void *)(place + core_below(state, 8) * PAGE), &info) == MOAT_OK, "%s",
          moat_last_error_text());
}

/* One thread tells of neighbours in turn, in the same slot of the books; the others may find either
 * or none, and never the start of one with the end of the other. */
static void take_turns(unsigned number, uint64_t *state) {
    static char *both;
    static atomic_uint telling;
    struct moat_page_info info;

    if (number == 0) {
        both = mmap(NULL, 5 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(both != MAP_FAILED, "mmap");
        atomic_store(&telling, 1);
    }
    core_meet();
    for (unsigned turn = 0; number == 0 && turn < turns; turn++) {
        char *start = both + (turn % 2 ? 4 * PAGE : 0);
        CHECK(moat_adopt(managers[turn % 2], start, (turn % 2 ? 1 : 4) * PAGE) == MOAT_OK &&
                  moat_disown(managers[turn % 2], start) == MOAT_OK,
              "%s", moat_last_error_text());
    }
    if (number == 0)
        atomic_store(&telling, 0);
    while (atomic_load(&telling) != 0) {
        unsigned page = core_below(state, 5);
        CHECK(moat_query(both + page * PAGE, &info) == MOAT_OK, "%s", moat_last_error_text());
        if (info.owner)
            CHECK(info.owner == managers[page / 4] &&
                      info.allocation_base == both + page / 4 * 4 * PAGE,
                  "page %u: base %p of %p", page, info.allocation_base, (void *)both);
    }
    core_meet();
}

static void body(unsigned number) {
    struct moat_manager *manager = managers[number % 2];
    struct range held[HELD] = {{NULL, 0}};
    uint64_t state = 3 + number;

    take_turns(number, &state);
    for (unsigned turn = 0; turn < turns; turn++) {
        struct range *range = &held[core_below(&state, HELD)];
        if (range->start) {
            drop(range, manager, &state);
        } else {
            take(range, manager, &state);
            atomic_store(&somewhere[number], (uintptr_t)range->start);
        }
        look(&state);
    }
    for (unsigned i = 0; i < HELD; i++)
        if (held[i].start)
            drop(&held[i], manager, &state);
}

int main(int argc, char **argv) {
    struct moat_stats stats;

    turns = core_scale(argc, argv, 4000);
    for (unsigned i = 0; i < 2; i++)
        managers[i] = core_manager(i);
    core_run(THREADS, body);
    for (unsigned i = 0; i < 2; i++) {
        CHECK(moat_stats_read(managers[i], &stats) == MOAT_OK && stats.adopted_regions == 0 &&
                  stats.adopted_bytes == 0,
              "%llu are left", (unsigned long long)stats.adopted_regions);
        moat_manager_destroy(managers[i]);
    }
    return 0;
}
