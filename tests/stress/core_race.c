/* SPDX-License-Identifier: MIT */
/*
 * core_race: threads that want the same at the same moment. Of racing releases one wins, and the
 * others learn so when it is done; of racing reserves at one address one wins, whatever rests
 * there; of overlapping ones at least one wins and no two winners overlap.
 */
#include "support/core.h"

#include <stdatomic.h>

enum { THREADS = 4, WINDOW = 6 << 20 };

static unsigned rounds;
static struct moat_manager *managers[CORE_MECHANISMS];
static uintptr_t windows[3]; /* with markers, without, outside the arenas */

static void *_Atomic shared;
static struct moat_manager *_Atomic owner;
static atomic_uint winners;
static struct {
    uintptr_t base; /* 0: lost */
    uintptr_t end;
} won[THREADS];

static void expect_free(uintptr_t base) {
    struct moat_page_info info;
    CHECK(moat_query((void *)base, &info) == MOAT_OK, "query failed");
    CHECK(info.allocation_base != (void *)base || info.owner == NULL,
          "%#lx is still owned after a loser was told so", (unsigned long)base);
}

/* One thread prepares a region; all release it. */
static void race_release(unsigned number) {
    uint64_t state = number;

    for (unsigned round = 0; round < rounds; round++) {
        if (number == 0) {
            struct moat_manager *manager = managers[round % CORE_MECHANISMS];
            void *wish = round % 4 == 3 ? (void *)windows[round / 4 % 3] : NULL;
            void *base;
            size_t size = (size_t)(1 + core_below(&state, 40)) * PAGE * (round % 8 ? 1 : 40);
            CHECK(moat_reserve(manager, wish, size, MOAT_PAGE_READWRITE,
                               round & 1 ? MOAT_RESERVE_COMMIT : 0, &base) == MOAT_OK,
                  "%s", moat_last_error_text());
            atomic_store(&shared, base);
            atomic_store(&owner, manager);
            atomic_store(&winners, 0);
        }
        core_meet();
        void *base = atomic_load(&shared);
        enum moat_status status = moat_release(atomic_load(&owner), base);
        CHECK(status == MOAT_OK || status == MOAT_NOT_OURS, "%s", moat_last_error_text());
        if (status == MOAT_OK)
            atomic_fetch_add(&winners, 1);
        expect_free((uintptr_t)base);
        core_meet();
        CHECK(atomic_load(&winners) == 1, "%u winners", atomic_load(&winners));
        core_meet();
    }
}

/* All release; whoever is told that it has been done can reserve the place. In arenas: outside of
 * them the kernel may have the mapping for a moment longer. */
static void race_reuse(unsigned number) {
    for (unsigned round = 0; round < rounds; round++) {
        struct moat_manager *manager = managers[round % CORE_MECHANISMS];
        /* Another one, so that nobody who is late releases what this one reserves. */
        struct moat_manager *next = managers[(round + 1 + number % 2) % CORE_MECHANISMS];
        void *at = (void *)windows[round / 4 % 2];
        size_t size = (size_t)(1 + round % 30) * 3 * PAGE;
        void *base;
        if (number == 0) {
            CHECK(moat_reserve(manager, at, size, MOAT_PAGE_READWRITE,
                               round & 1 ? MOAT_RESERVE_COMMIT : 0, &base) == MOAT_OK,
                  "%s", moat_last_error_text());
            atomic_store(&winners, 0);
        }
        core_meet();
        enum moat_status status = moat_release(manager, at);
        if (status == MOAT_NOT_OURS) {
            status = moat_reserve(next, at, size, MOAT_PAGE_READWRITE, 0, &base);
            CHECK(status == MOAT_OK || status == MOAT_INVALID_ADDRESS, "%s",
                  moat_last_error_text());
            if (status == MOAT_OK)
                atomic_fetch_add(&winners, 1);
        } else {
            CHECK(status == MOAT_OK, "%s", moat_last_error_text());
            status = MOAT_NOT_OURS;
        }
        core_meet();
        CHECK(atomic_load(&winners) == 1, "%u winners in window %u", atomic_load(&winners),
              round / 4 % 2);
        if (status == MOAT_OK)
            CHECK(moat_release(next, base) == MOAT_OK, "%s", moat_last_error_text());
        core_meet();
    }
}

/* All reserve at one address, at the moment that another region there is released. */
static void race_same_address(unsigned number) {
    for (unsigned round = 0; round < rounds; round++) {
        struct moat_manager *manager = managers[(round + number) % CORE_MECHANISMS];
        uintptr_t at = windows[round % 3] + (round % 5) * 5 * GRANULE;
        void *base;
        if (number == 0)
            atomic_store(&winners, 0);
        core_meet();
        enum moat_status status =
            moat_reserve(manager, (void *)at, (size_t)(1 + round % 100) * PAGE, MOAT_PAGE_READWRITE,
                         MOAT_RESERVE_COMMIT, &base);
        CHECK(status == MOAT_OK || status == MOAT_INVALID_ADDRESS, "%s", moat_last_error_text());
        if (status == MOAT_OK) {
            atomic_fetch_add(&winners, 1);
            *(volatile unsigned *)base = number;
        }
        core_meet();
        CHECK(atomic_load(&winners) == 1, "%u winners in round %u: %s", atomic_load(&winners),
              round, moat_last_error_text());
        if (status == MOAT_OK) {
            CHECK(*(volatile unsigned *)base == number, "another thread has the same pages");
            CHECK(moat_release(manager, base) == MOAT_OK, "%s", moat_last_error_text());
        }
        core_meet();
    }
}

/* All reserve what others left in pieces: what rests goes to one of them, whole. */
static void race_pieces(unsigned number) {
    enum { PIECES = 40, SIZE = 2 * PIECES * GRANULE };
    struct moat_manager *manager = managers[0];
    void *at = (void *)windows[2];
    void *base;

    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; number == 0 && i < PIECES; i++) {
            void *piece = (void *)(windows[2] + 2 * i * GRANULE);
            CHECK(moat_reserve(manager, piece, GRANULE, MOAT_PAGE_READWRITE, 0, &base) == MOAT_OK &&
                      moat_release(manager, base) == MOAT_OK,
                  "%s", moat_last_error_text());
            atomic_store(&winners, 0);
        }
        core_meet();
        enum moat_status status = moat_reserve(manager, at, SIZE, MOAT_PAGE_READWRITE, 0, &base);
        CHECK(status == MOAT_OK || status == MOAT_INVALID_ADDRESS, "%s", moat_last_error_text());
        if (status == MOAT_OK)
            atomic_fetch_add(&winners, 1);
        core_meet();
        CHECK(atomic_load(&winners) == 1, "%u winners in round %u: %s", atomic_load(&winners),
              round, moat_last_error_text());
        if (status == MOAT_OK)
            CHECK(moat_release(manager, base) == MOAT_OK, "%s", moat_last_error_text());
        core_meet();
    }
}

static void expect_apart(void) {
    unsigned count = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        count += won[i].base != 0;
        for (unsigned j = 0; j < i; j++)
            CHECK(!won[i].base || !won[j].base || won[i].end <= won[j].base ||
                      won[j].end <= won[i].base,
                  "%#lx and %#lx overlap", (unsigned long)won[i].base, (unsigned long)won[j].base);
    }
    CHECK(count > 0, "of overlapping reserves none succeeded");
}

/* All reserve around one address. */
static void race_overlapping(unsigned number) {
    uint64_t state = number + 1000;

    for (unsigned round = 0; round < rounds; round++) {
        struct moat_manager *manager = managers[(round + number) % CORE_MECHANISMS];
        uintptr_t middle = windows[round % 3] + WINDOW / 2;
        unsigned before = core_below(&state, 36);
        uintptr_t at = middle - (uintptr_t)before * GRANULE;
        size_t size = (size_t)before * GRANULE + (1 + core_below(&state, 40)) * PAGE;
        void *base;
        core_meet();
        enum moat_status status = moat_reserve(manager, (void *)at, size, MOAT_PAGE_READWRITE,
                                               round & 4 ? MOAT_RESERVE_COMMIT : 0, &base);
        CHECK(status == MOAT_OK || status == MOAT_INVALID_ADDRESS, "%s", moat_last_error_text());
        won[number].base = status == MOAT_OK ? at : 0;
        won[number].end = at + size;
        core_meet();
        if (number == 0)
            expect_apart();
        core_meet();
        if (status == MOAT_OK)
            CHECK(moat_release(manager, base) == MOAT_OK, "%s", moat_last_error_text());
        core_meet();
    }
}

int main(int argc, char **argv) {
    rounds = core_scale(argc, argv, 1500);
    for (unsigned i = 0; i < CORE_MECHANISMS; i++)
        managers[i] = core_manager(i);
    windows[0] = core_window_inside(managers[0], WINDOW);
    windows[1] = core_window_inside(managers[1], WINDOW);
    windows[2] = core_window_outside(WINDOW);
    core_run(THREADS, race_release);
    core_run(THREADS, race_reuse);
    core_run(THREADS, race_same_address);
    core_run(THREADS, race_pieces);
    core_run(THREADS, race_overlapping);
    for (unsigned i = 0; i < CORE_MECHANISMS; i++)
        moat_manager_destroy(managers[i]);
    return 0;
}
