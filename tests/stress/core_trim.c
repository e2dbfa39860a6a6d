/* SPDX-License-Identifier: MIT */
/*
 * core_trim: arenas go back to the kernel while threads reserve, commit and release in them, and a
 * stranger maps whatever comes free. Nobody's pages may change hands: what a thread wrote it reads
 * again, a region's pages are fresh, and a reserve fails for a reason that it can see.
 */
#define _GNU_SOURCE
#include "region/arena.h"
#include "region/arenas.h"
#include "support/core.h"

#include <moat/space.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

enum { WORKERS = 3, TRIMMERS = 2, STRANGER = WORKERS + TRIMMERS, THREADS, TURNS = 30 };

static const size_t block = (size_t)2 << 20;

static unsigned rounds;
static struct moat_manager *managers[2];
static _Atomic uintptr_t places[WORKERS]; /* where a region was last */
static _Atomic unsigned working;
static atomic_size_t given_back;

static void fill(volatile unsigned char *pages, size_t size, unsigned char value) {
    for (size_t at = 0; at < size; at += PAGE / 2) {
        CHECK(pages[at] == 0, "%p is not fresh", (volatile void *)(pages + at));
        pages[at] = value;
    }
}

static void check(const volatile unsigned char *pages, size_t size, unsigned char value) {
    for (size_t at = 0; at < size; at += PAGE / 2)
        CHECK(pages[at] == value, "%p has another's content", (const volatile void *)(pages + at));
}

/* Somewhere, or exactly where a region was, which somebody else may have by now. */
static void *reserve(struct moat_manager *manager, size_t size, uint64_t *state) {
    uintptr_t wish = atomic_load(&places[core_below(state, WORKERS)]);
    struct moat_page_info info;
    void *base = NULL;

    if (wish && core_below(state, 2) == 0) {
        enum moat_status status =
            moat_reserve(manager, (void *)wish, size, MOAT_PAGE_READWRITE, 0, &base);
        CHECK(status == MOAT_OK || status == MOAT_INVALID_ADDRESS, "%s", moat_last_error_text());
        if (base)
            return base;
    }
    CHECK(moat_reserve(manager, NULL, size, MOAT_PAGE_READWRITE, 0, &base) == MOAT_OK, "%s",
          moat_last_error_text());
    CHECK(moat_query(base, &info) == MOAT_OK && info.allocation_base == base &&
              info.state == MOAT_STATE_RESERVED && info.size >= size,
          "%p: state %d", base, info.state);
    return base;
}

static void work(unsigned number, uint64_t *state) {
    for (unsigned turn = 0; turn < TURNS; turn++) {
        struct moat_manager *manager = managers[core_below(state, 2)];
        size_t pages =
            core_below(state, 3) == 0 ? 512 + core_below(state, 1200) : 1 + core_below(state, 40);
        unsigned char value = (unsigned char)(1 + core_below(state, 255));
        void *base = reserve(manager, pages * PAGE, state);
        CHECK(moat_commit(manager, base, pages * PAGE, MOAT_PAGE_READWRITE, NULL) == MOAT_OK, "%s",
              moat_last_error_text());
        fill(base, pages * PAGE, value);
        check(base, pages * PAGE, value);
        CHECK(moat_release(manager, base) == MOAT_OK, "%s", moat_last_error_text());
        atomic_store(&places[number], (uintptr_t)base);
    }
    atomic_fetch_sub(&working, 1);
}

/* Where nobody else asks for the place a reserve of exactly it succeeds, be the arena here, on its
 * way or away. Another arena may have come to lie there, and be in the way with its border. */
static void insist(uint64_t *state) {
    struct moat_manager *manager = managers[0];
    struct moat_page_info info;
    void *base = NULL, *place;

    for (unsigned turn = 0; turn < TURNS * 10; turn++) {
        CHECK(moat_reserve(manager, NULL, GRANULE, MOAT_PAGE_READWRITE, 0, &place) == MOAT_OK &&
                  moat_release(manager, place) == MOAT_OK,
              "%s", moat_last_error_text());
        for (unsigned wait = core_below(state, 3000); wait > 0; wait--)
            atomic_load(&working);
        enum moat_status status =
            moat_reserve(manager, place, GRANULE, MOAT_PAGE_READWRITE, 0, &base);
        if (status == MOAT_INVALID_ADDRESS) {
            while (moat_arena_moved(moat_arena_moves()))
                ;
            CHECK(moat_query(place, &info) == MOAT_OK && info.state != MOAT_STATE_FREE,
                  "%p is free, and cannot be had", place);
            continue;
        }
        CHECK(status == MOAT_OK && moat_release(manager, base) == MOAT_OK, "%s",
              moat_last_error_text());
        atomic_store(&places[0], (uintptr_t)base);
    }
    atomic_fetch_sub(&working, 1);
}

static void trim(void) {
    size_t given = 1;
    enum moat_status status = moat_trim(NULL, 0, &given);
    CHECK(status == (given ? MOAT_OK : MOAT_NO_MEMORY), "%s", moat_last_error_text());
    atomic_fetch_add(&given_back, given);
}

/* While nobody holds anything every arena can go: none may have kept a claim of a trim that came to
 * nothing. */
static void trim_all(void) {
    struct moat_space *arena;

    trim();
    for (size_t nth = 0; moat_arena_nth(nth, &arena); nth++)
        CHECK(!moat_arenas_here(arena), "arena %zu cannot go", nth);
}

/* Map what an arena has left, use it, and look whether it is reported as what it is. */
static void intrude(uint64_t *state) {
    uintptr_t place = atomic_load(&places[core_below(state, WORKERS)]) & ~(block - 1);
    unsigned char value = (unsigned char)(1 + core_below(state, 255));
    struct moat_page_info info;
    uint32_t old;

    if (!place)
        return;
    void *got = mmap((void *)place, block, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (got == MAP_FAILED)
        return;
    CHECK(got == (void *)place, "an old kernel");
    fill(got, block, value);
    CHECK(moat_query((char *)got + PAGE, &info) == MOAT_OK, "%s", moat_last_error_text());
    CHECK(info.state == MOAT_STATE_COMMITTED && info.protection == MOAT_PAGE_READWRITE &&
              info.owner == NULL,
          "%p: state %d", got, info.state);
    CHECK(moat_protect(NULL, got, PAGE, MOAT_PAGE_READONLY, &old) == MOAT_OK, "%s",
          moat_last_error_text());
    check(got, block, value);
    CHECK(munmap(got, block) == 0, "munmap");
}

static void look(uint64_t *state) {
    uintptr_t place = atomic_load(&places[core_below(state, WORKERS)]) + core_below(state, 1 << 20);
    struct moat_page_info info;
    CHECK(moat_query((void *)place, &info) == MOAT_OK, "%s", moat_last_error_text());
    core_check_info(&info, place);
}

static void body(unsigned number) {
    uint64_t state = 7 + number;

    for (unsigned round = 0; round < rounds; round++) {
        bool insisting = round % 4 == 3;
        core_meet();
        if (number == WORKERS) {
            trim_all();
            atomic_store(&working, insisting ? 1 : 1 + round % WORKERS);
        }
        core_meet();
        /* With one at work arenas are empty every now and then. */
        if (insisting && number == 0)
            insist(&state);
        else if (!insisting && number < WORKERS && number <= round % WORKERS)
            work(number, &state);
        while (number >= WORKERS && atomic_load(&working) != 0) {
            look(&state);
            if (number != STRANGER)
                trim();
            else if (!insisting)
                intrude(&state);
        }
    }
}

int main(int argc, char **argv) {
    rounds = core_scale(argc, argv, 25);
    for (unsigned i = 0; i < 2; i++)
        managers[i] = core_manager(i);
    core_run(THREADS, body);
    CHECK(atomic_load(&given_back) >= (size_t)16 << 20, "nothing was ever given back");
    for (unsigned i = 0; i < 2; i++)
        moat_manager_destroy(managers[i]);
    return 0;
}
