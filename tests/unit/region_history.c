/* SPDX-License-Identifier: MIT */
/*
 * history: what ended is found by any address that it covered, and by no other.
 *
 * Most regions here are made up: nothing touches their pages.
 */
#include "region/history.h"

#include "base/site.h"
#include "os/os.h"
#include "support/regions.h"

#include <moat/win32.h>

#include <criterion/criterion.h>
#include <pthread.h>

static const uintptr_t somewhere = UINT64_C(0x200000000000);

static void start(void) {
    cr_assert_eq(moat_region_start(), MOAT_OK);
}

TestSuite(region_history, .init = start, .timeout = 600);

static struct moat_region_ref published(uintptr_t base, size_t size) {
    static struct moat_space arena = {.arena = true}; /* nothing maps these regions */
    struct moat_place place = {.space = &arena, .base = base, .size = size};
    struct moat_region_ref ref;
    struct moat_region_terms terms = {.protection = MOAT_PAGE_READWRITE};
    cr_assert_eq(moat_region_publish(&place, &terms), MOAT_OK);
    cr_assert(moat_region_find_base(base, &ref));
    return ref;
}

static void retire(const struct moat_region_ref *ref) {
    struct moat_patience none = {.timeout_ns = 0};
    cr_assert_eq(moat_region_close(ref, &none), MOAT_OK);
    moat_history_ended(ref, ref->base, ref->base + ref->size, true);
    moat_region_retire(ref);
}

/* A region of that place, released; its birth and end are told apart by `site`. */
static void live_and_end(uintptr_t base, size_t size, uintptr_t site) {
    moat_site_note(site);
    struct moat_region_ref ref = published(base, size);
    retire(&ref);
}

static void expect_past(uintptr_t address, uintptr_t base, size_t size, uintptr_t site) {
    struct moat_past past;
    cr_assert(moat_history_find(address, &past), "%#lx of %#lx, %zu bytes", (unsigned long)address,
              (unsigned long)base, size);
    cr_assert_eq(past.base, base, "%#lx: %#lx instead of %#lx", (unsigned long)address,
                 (unsigned long)past.base, (unsigned long)base);
    cr_assert_eq(past.size, size);
    cr_assert_eq(past.born.site, site);
    cr_assert_eq(past.ended.site, site);
}

Test(region_history, a_birth_is_told_while_the_region_lives) {
    uint64_t before = moat_history_now();
    moat_site_note(0x1234);
    struct moat_region_ref ref = published(somewhere, GRANULE);
    struct moat_moment birth = moat_history_birth(&ref);
    cr_assert_eq(birth.site, 0x1234);
    cr_assert_eq(birth.thread, moat_os_thread());
    cr_assert_leq(birth.time, moat_history_now());
    cr_assert_geq(birth.time, before - before % 65536);
    retire(&ref);
    cr_assert_eq(moat_history_birth(&ref).thread, 0);
}

/* The site of a face counts before that of the native call which it makes. */
Test(region_history, the_site_of_a_face_counts) {
    struct moat_site_frame face = moat_site_enter(0x100);
    moat_site_note(0x300);
    cr_assert_eq(moat_site(), 0x100);
    struct moat_site_frame nested = moat_site_enter(0x200); /* in a callback */
    cr_assert_eq(moat_site(), 0x200);
    moat_site_leave(nested);
    cr_assert_eq(moat_site(), 0x100);
    moat_site_leave(face);
    cr_assert_eq(moat_site(), 0x300);
}

Test(region_history, any_address_of_what_ended_is_found) {
    static const size_t sizes[] = {PAGE,
                                   3 * PAGE,
                                   GRANULE,
                                   GRANULE + PAGE,
                                   5 * GRANULE,
                                   BLOCK,
                                   (size_t)1 << 30,
                                   ((size_t)1 << 30) + PAGE,
                                   (size_t)17 << 40};
    uint64_t seed = 1;
    uintptr_t base = somewhere;

    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t size = sizes[i];
        struct moat_past past;
        live_and_end(base, size, base + 1);
        expect_past(base, base, size, base + 1);
        expect_past(base + size - 1, base, size, base + 1);
        for (unsigned times = 0; times < 1000; times++) {
            uint64_t random = (uint64_t)next_random(&seed) << 32 | next_random(&seed);
            expect_past(base + random % size, base, size, base + 1);
        }
        cr_assert_not(moat_history_find(base + size, &past), "%zu", size);
        cr_assert(i == 0 || !moat_history_find(base - 1, &past), "%zu", size);
        base += 2 * size - size % GRANULE;
        base += GRANULE - base % GRANULE;
    }
}

Test(region_history, the_newest_end_is_told) {
    for (uintptr_t site = 1; site <= 5000; site++) {
        live_and_end(somewhere, 3 * GRANULE, site);
        expect_past(somewhere + GRANULE + 7, somewhere, 3 * GRANULE, site);
    }
}

/* The clock is too coarse to tell which of two calls in a row came last. */
Test(region_history, a_release_comes_after_the_decommits_of_the_region) {
    struct moat_past past;
    for (unsigned times = 0; times < 100; times++) {
        struct moat_region_ref ref = published(somewhere, 100 * PAGE);
        moat_history_ended(&ref, somewhere + PAGE, somewhere + 2 * PAGE, false);
        moat_history_ended(&ref, somewhere + 50 * PAGE, somewhere + 90 * PAGE, false);
        cr_assert(moat_history_find(somewhere + PAGE, &past));
        cr_assert_not(past.released);
        cr_assert_eq(past.start, somewhere + PAGE);
        cr_assert_eq(past.base, somewhere);
        retire(&ref);
        cr_assert(moat_history_find(somewhere + PAGE, &past));
        cr_assert(past.released);
    }
}

/* Ranges of one size that share an aligned block are shown in one place of the index. */
Test(region_history, neighbours_in_a_block_are_told_apart) {
    struct moat_past past;
    struct moat_region_ref ref = published(somewhere, GRANULE);
    for (uintptr_t page = 0; page < 15; page += 3)
        moat_history_ended(&ref, somewhere + page * PAGE, somewhere + (page + 3) * PAGE, false);
    for (uintptr_t page = 0; page < 15; page++) {
        cr_assert(moat_history_find(somewhere + page * PAGE, &past), "page %lu", page);
        cr_assert_eq(past.start, somewhere + page / 3 * 3 * PAGE);
    }
    cr_assert_not(moat_history_find(somewhere + 15 * PAGE, &past));
    retire(&ref);
}

/* A ring has some thousand graves. What is found must have been there, and recent ends must be
 * found. */
Test(region_history, old_ends_are_forgotten_and_never_mixed_up) {
    enum { ENDS = 20000, RECENT = 500 };
    unsigned found = 0;
    for (uintptr_t i = 0; i < ENDS; i++)
        live_and_end(somewhere + i * 4 * GRANULE, GRANULE + i % 3 * GRANULE, i + 1);
    for (uintptr_t i = 0; i < ENDS; i++) {
        uintptr_t base = somewhere + i * 4 * GRANULE;
        struct moat_past past;
        cr_assert_not(moat_history_find(base + 3 * GRANULE, &past));
        if (!moat_history_find(base + 5, &past))
            continue;
        found++;
        expect_past(base + 5, base, GRANULE + i % 3 * GRANULE, i + 1);
        cr_assert_geq(i + 2048, (uintptr_t)ENDS);
    }
    for (uintptr_t i = ENDS - RECENT; i < ENDS; i++)
        expect_past(somewhere + i * 4 * GRANULE, somewhere + i * 4 * GRANULE,
                    GRANULE + i % 3 * GRANULE, i + 1);
    cr_assert_geq(found, (unsigned)RECENT);
}

Test(region_history, nonsense_is_not_found) {
    struct moat_past past;
    cr_assert_not(moat_history_find(0, &past));
    cr_assert_not(moat_history_find(UINTPTR_MAX, &past));
    cr_assert_not(moat_history_find(MOAT_OS_USER_END, &past));
}

/* --- Through the library --- */

static void *release_it(void *base) {
    cr_assert_eq(moat_release(NULL, NULL), MOAT_NO_ACCESS);
    struct moat_manager *manager;
    cr_assert_eq(moat_manager_default(&manager), MOAT_OK);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    return (void *)(uintptr_t)moat_os_thread();
}

Test(region_history, the_thread_that_released_is_told) {
    struct moat_manager *manager;
    struct moat_past past;
    pthread_t thread;
    void *id;
    cr_assert_eq(moat_manager_default(&manager), MOAT_OK);
    unsigned char *base = reserved(manager, 2 * GRANULE, true);
    cr_assert_eq(pthread_create(&thread, NULL, release_it, base), 0);
    cr_assert_eq(pthread_join(thread, &id), 0);
    cr_assert(moat_history_find((uintptr_t)base + GRANULE, &past));
    cr_assert(past.released);
    cr_assert_eq(past.owner, manager);
    cr_assert_eq(past.born.thread, moat_os_thread());
    cr_assert_eq(past.ended.thread, (uint32_t)(uintptr_t)id);
    cr_assert_neq(past.born.thread, past.ended.thread);
}

/* A function of its own, so that its place in memory is known. */
static __attribute__((noinline)) void *reserve_here(struct moat_manager *manager) {
    void *base = NULL;
    (void)!moat_reserve(manager, NULL, GRANULE, MOAT_PAGE_READWRITE, 0, &base);
    return base;
}

static __attribute__((noinline)) void *allocate_here(void) {
    void *volatile base = VirtualAlloc(NULL, GRANULE, MEM_RESERVE, PAGE_READWRITE);
    return base; /* not a tail call */
}

static uintptr_t born_at(void *base) {
    struct moat_region_ref ref;
    cr_assert(moat_region_find_base((uintptr_t)base, &ref));
    return moat_history_birth(&ref).site;
}

Test(region_history, the_site_is_where_the_host_called) {
    enum { FUNCTION_MAX = 256 };
    struct moat_manager *manager = manager_with("");
    uintptr_t native = born_at(reserve_here(manager));
    cr_assert_lt(native - (uintptr_t)reserve_here, (uintptr_t)FUNCTION_MAX);
    uintptr_t face = born_at(allocate_here());
    cr_assert_lt(face - (uintptr_t)allocate_here, (uintptr_t)FUNCTION_MAX);
}

Test(region_history, a_decommit_is_told_and_a_refused_one_is_not) {
    struct moat_manager *manager = manager_with("");
    struct moat_past past;
    unsigned char *base = reserved(manager, 2 * GRANULE, true);
    cr_assert_neq(moat_decommit(manager, base + PAGE, 2 * GRANULE), MOAT_OK);
    cr_assert_not(moat_history_find((uintptr_t)base + PAGE, &past));
    cr_assert_eq(moat_decommit(manager, base + PAGE, PAGE), MOAT_OK);
    cr_assert(moat_history_find((uintptr_t)base + PAGE, &past));
    cr_assert_not(past.released);
    cr_assert_eq(past.start, (uintptr_t)base + PAGE);
    cr_assert_eq(past.end, (uintptr_t)base + 2 * PAGE);
    cr_assert_eq(past.size, 2u * GRANULE);
    cr_assert_not(moat_history_find((uintptr_t)base, &past));
    moat_manager_destroy(manager);
    cr_assert(moat_history_find((uintptr_t)base, &past));
    cr_assert(past.released);
}
