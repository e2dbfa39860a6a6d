/* SPDX-License-Identifier: MIT */
/*
 * core_lanes: threads commit and give back neighbouring stretches of one region in the same moment.
 * The stretches share no page, but blocks: those that one thread opens for its part hold the pages
 * of the next, and must be opened once.
 */
#include "support/core.h"

#include <stdatomic.h>
#include <stdbool.h>

enum { THREADS = 4, PAGES = 4 * 512 + 77 };

static unsigned rounds;
static struct moat_manager *managers[CORE_MECHANISMS];
static _Atomic uintptr_t base;
static struct moat_manager *_Atomic owner;
static size_t cuts[THREADS + 1];

static volatile uint64_t *word(size_t page) {
    return (volatile uint64_t *)(atomic_load(&base) + page * PAGE);
}

/* A region none of whose blocks is open, cut anew. */
static void prepare(unsigned round, uint64_t *state) {
    void *got;
    if (round % 8 == 0) {
        if (atomic_load(&base))
            CHECK(moat_release(atomic_load(&owner), (void *)atomic_load(&base)) == MOAT_OK, "%s",
                  moat_last_error_text());
        atomic_store(&owner, managers[round / 8 % CORE_MECHANISMS]);
        CHECK(moat_reserve(atomic_load(&owner), NULL, PAGES * PAGE, MOAT_PAGE_READWRITE, 0, &got) ==
                  MOAT_OK,
              "%s", moat_last_error_text());
        atomic_store(&base, (uintptr_t)got);
    } else if (round % 2 == 0) {
        /* Committed whole, then given back whole: blocks are closed that way. */
        got = (void *)atomic_load(&base);
        CHECK(moat_commit(atomic_load(&owner), got, PAGES * PAGE, MOAT_PAGE_READWRITE, NULL) ==
                      MOAT_OK &&
                  moat_decommit(atomic_load(&owner), got, 0) == MOAT_OK,
              "%s", moat_last_error_text());
    }
    cuts[THREADS] = PAGES;
    for (unsigned i = 1; i < THREADS; i++)
        cuts[i] = (size_t)i * PAGES / THREADS + core_below(state, 200) - 100;
}

static void check_query(size_t first, size_t last, bool committed) {
    for (size_t page = first; page < last;) {
        struct moat_page_info info;
        CHECK(moat_query((void *)word(page), &info) == MOAT_OK, "page %zu", page);
        CHECK((info.state == MOAT_STATE_COMMITTED) == committed &&
                  info.allocation_base == (void *)atomic_load(&base),
              "page %zu of %zu to %zu: state %d", page, first, last, info.state);
        page += info.size / PAGE;
    }
}

static void body(unsigned number) {
    uint64_t state = 99;

    for (unsigned round = 0; round < rounds; round++) {
        if (number == 0)
            prepare(round, &state);
        core_meet();
        size_t first = cuts[number], last = cuts[number + 1];
        struct moat_manager *manager = atomic_load(&owner);
        CHECK(moat_commit(manager, (void *)word(first), (last - first) * PAGE, MOAT_PAGE_READWRITE,
                          NULL) == MOAT_OK,
              "%s", moat_last_error_text());
        for (size_t page = first; page < last; page++) {
            CHECK(*word(page) == 0, "page %zu is not fresh", page);
            *word(page) = page + round;
        }
        core_meet();
        check_query(first, last, true);
        for (size_t page = first; page < last; page++)
            CHECK(*word(page) == page + round, "page %zu has lost its content", page);
        core_meet();
        CHECK(moat_decommit(manager, (void *)word(first), (last - first) * PAGE) == MOAT_OK, "%s",
              moat_last_error_text());
        core_meet();
        check_query(first, last, false);
        core_meet();
    }
}

int main(int argc, char **argv) {
    rounds = core_scale(argc, argv, 500);
    for (unsigned i = 0; i < CORE_MECHANISMS; i++)
        managers[i] = core_manager(i);
    core_run(THREADS, body);
    for (unsigned i = 0; i < CORE_MECHANISMS; i++)
        moat_manager_destroy(managers[i]);
    return 0;
}
