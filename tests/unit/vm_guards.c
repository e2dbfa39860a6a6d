/* SPDX-License-Identifier: MIT */
/*
 * guards and rest as a caller sees them: so many pages that trap as the options say, counted
 * without a signal; and addresses that nobody is given while they rest, but who names them.
 */
#define _GNU_SOURCE
#include "support/regions.h"

#include <moat/placement.h>
#include <moat/space.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/mman.h>

#define ALONE ((size_t)257 << 20)

static void check(struct moat_manager *manager, void *base, size_t before, size_t after) {
    size_t low, high;
    cr_assert_eq(moat_guard_verify(manager, base, &low, &high), MOAT_OK, "%s",
                 moat_last_error_text());
    cr_assert(low >= before && high >= after, "%zu for %zu before, %zu for %zu behind", low, before,
              high, after);
}

/* Of every count and size, while others live beside them, and after those have gone. */
Test(vm_guards, as_many_as_the_options_say, .timeout = 300) {
    static const unsigned counts[] = {1, 2, 15, 16, 17, 33, 200, 4096};
    static const size_t sizes[] = {PAGE,         15 * PAGE, GRANULE, 5 * GRANULE + PAGE,
                                   20 * GRANULE, BLOCK,     ALONE};
    enum { MANY = 12 };
    for (int rung = 0; rung < RUNGS; rung++)
        for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++)
            for (unsigned j = 0; j < sizeof sizes / sizeof sizes[0]; j++) {
                char options[128];
                unsigned char *bases[MANY];
                size_t before = counts[i], after = counts[(i + 3) % 8];
                snprintf(options, sizeof options, "%s,guard_before=%zu,guard_after=%zu,%s",
                         rungs[rung], before, after, i % 2 ? "guard_random=40" : "placing=packed");
                struct moat_manager *manager = manager_with(options);
                size_t many = sizes[j] == ALONE ? 2 : MANY;
                for (size_t k = 0; k < many; k++)
                    bases[k] = reserved(manager, sizes[j], sizes[j] != ALONE);
                for (size_t k = 0; k < many; k++)
                    check(manager, bases[k], before, after);
                for (size_t k = 0; k < many; k += 2) {
                    if (sizes[j] != ALONE)
                        cr_assert_eq(moat_decommit(manager, bases[k], PAGE), MOAT_OK);
                    cr_assert_eq(moat_release(manager, bases[k]), MOAT_OK);
                }
                for (size_t k = 0; k < many / 2; k++)
                    reserved(manager, PAGE, true);
                for (size_t k = 1; k < many; k += 2)
                    check(manager, bases[k], before, after);
                cr_assert_eq(stats_of(manager).guard_failures, UINT64_C(0));
                moat_manager_destroy(manager);
            }
}

Test(vm_guards, a_page_that_does_not_trap_is_not_counted) {
    struct moat_manager *manager = manager_with("");
    unsigned char *base = reserved(manager, ALONE, false);
    size_t before, after;
    check(manager, base, 1, 1);
    cr_assert_eq(mprotect(base - 3 * PAGE, PAGE, PROT_READ), 0);
    cr_assert_eq(moat_guard_verify(manager, base, &before, &after), MOAT_OK);
    cr_assert_eq(before, (size_t)2);
    cr_assert_eq(mprotect(base - 3 * PAGE, PAGE, PROT_NONE), 0);
    cr_assert_eq(moat_guard_verify(manager, &before, &before, &after), MOAT_NOT_OURS);
    cr_assert_eq(moat_guard_verify(manager, base, NULL, &after), MOAT_NO_ACCESS);
}

Test(vm_guards, a_guard_yields_to_who_names_it_and_is_counted) {
    struct moat_manager *manager = manager_with("guard_before=32,guard_after=32");
    unsigned char *base = reserved(manager, GRANULE, true);
    void *got;
    cr_assert_eq(info_of(base + GRANULE).state, MOAT_STATE_FREE);
    cr_assert_eq(moat_reserve(manager, base + GRANULE, GRANULE, MOAT_PAGE_READWRITE,
                              MOAT_RESERVE_COMMIT, &got),
                 MOAT_OK);
    cr_assert_eq(stats_of(manager).guards_yielded, UINT64_C(1));
    check(manager, base, 32, 0);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    *(volatile unsigned char *)got = 1;
    cr_assert_eq(moat_release(manager, got), MOAT_OK);
}

/* How many pages behind `end` the first of so many small regions is that somebody else reserves. */
static uintptr_t nearest_behind(uintptr_t end, unsigned many) {
    struct moat_manager *crowd = manager_with("quarantine=0,placing=packed");
    uintptr_t nearest = UINTPTR_MAX;
    for (unsigned i = 0; i < many; i++) {
        uintptr_t base = (uintptr_t)reserved(crowd, PAGE, false);
        if (base >= end && base - end < nearest)
            nearest = base - end;
    }
    moat_manager_destroy(crowd);
    return nearest / PAGE;
}

Test(vm_guards, nobody_is_let_into_them) {
    for (unsigned count = 1; count <= 80; count++) {
        char options[64];
        snprintf(options, sizeof options, "placing=packed,guard_after=%u", count);
        struct moat_manager *manager = manager_with(options);
        uintptr_t base = (uintptr_t)reserved(manager, GRANULE, false);
        cr_assert_geq(nearest_behind(base + GRANULE, 64), (uintptr_t)count, "%u", count);
        moat_manager_destroy(manager);
    }
}

/* By a reserve that is refused, for what lies behind them, or that had them for a while. */
Test(vm_guards, who_yields_for_nothing_is_back) {
    struct moat_manager *manager = manager_with("placing=packed,guard_after=48");
    struct moat_manager *others = manager_with("placing=packed,quarantine=0");
    uintptr_t last = 0, base;
    do { /* until a region and the next one are in two blocks */
        base = last;
        last = (uintptr_t)reserved(manager, GRANULE, false);
    } while (base == 0 || last / BLOCK == base / BLOCK);
    void *got, *guard = (void *)(base + 2 * GRANULE);
    cr_assert_lt(base, last);
    const unsigned all = 17000; /* more than an arena has granules: it is filled */
    for (int refused = 0; refused < 2; refused++) {
        size_t size = refused ? last - base : GRANULE;
        enum moat_status status = moat_reserve(others, guard, size, MOAT_PAGE_READWRITE, 0, &got);
        cr_assert_eq(status, refused ? MOAT_INVALID_ADDRESS : MOAT_OK);
        if (!status)
            cr_assert_eq(moat_release(others, got), MOAT_OK);
        cr_assert_geq(nearest_behind(base + GRANULE, all), (uintptr_t)48, "%d", refused);
    }
}

/* A mapping of its own is not given back, and yet it is free, and its taker's at once. */
Test(vm_guards, what_stands_alone_rests_too) {
    struct moat_manager *manager = manager_with("quarantine_bytes=4G");
    unsigned char *base = reserved(manager, ALONE, false);
    cr_assert_eq(moat_commit(manager, base, PAGE, MOAT_PAGE_READWRITE, NULL), MOAT_OK);
    *base = 'x';
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    cr_assert_eq(stats_of(manager).resting_regions, UINT64_C(1));
    cr_assert_geq(stats_of(manager).resting_bytes, (uint64_t)ALONE);
    cr_assert_eq(info_of(base).state, MOAT_STATE_FREE);
    cr_assert(page_is(base, false, false));
    void *got =
        mmap(base, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    cr_assert_eq(got, MAP_FAILED, "nobody else gets it");
    for (int i = 0; i < 8; i++)
        cr_assert_neq(reserved(manager, ALONE, false), base);
    /* A part of it, and then what is left of it. */
    cr_assert_eq(
        moat_reserve(manager, base + BLOCK, BLOCK, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT, &got),
        MOAT_OK, "%s", moat_last_error_text());
    cr_assert_eq(base[BLOCK], 0);
    cr_assert_eq(moat_reserve(manager, base, BLOCK, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT, &got),
                 MOAT_OK, "%s", moat_last_error_text());
    cr_assert_eq(*base, 0);
}

/* As Win32 has it: free is free, however often the run was made of something else. */
Test(vm_guards, what_rests_is_one_free_run_with_what_lies_around_it) {
    struct moat_manager *manager = manager_with("quarantine=8");
    size_t size = 8 * BLOCK;
    char *found = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    cr_assert_neq((void *)found, MAP_FAILED);
    char *start = found + (GRANULE - (uintptr_t)found % GRANULE) % GRANULE;
    munmap(found, size);
    static const size_t at[] = {BLOCK, 2 * BLOCK, 5 * BLOCK};
    for (size_t i = 0; i < 3; i++) {
        void *got;
        cr_assert_eq(moat_reserve(manager, start + at[i], BLOCK, MOAT_PAGE_READWRITE, 0, &got),
                     MOAT_OK, "%s", moat_last_error_text());
    }
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(moat_release(manager, start + at[i]), MOAT_OK);
    cr_assert_eq(stats_of(manager).resting_regions, UINT64_C(3));
    for (size_t i = 0; i < 7; i++) {
        struct moat_page_info info = info_of(start + i * BLOCK);
        cr_assert_eq(info.state, MOAT_STATE_FREE);
        cr_assert_geq(info.size, (7 - i) * BLOCK, "from block %zu on", i);
    }
}

/* Rings were once shared, and a manager that wants no rest is not to shorten another's. */
Test(vm_guards, each_manager_has_a_rest_of_its_own) {
    stay_on_one_processor();
    struct moat_manager *patient = manager_with("quarantine=32");
    struct moat_manager *hasty = manager_with("quarantine=1");
    unsigned char *base = reserved(patient, GRANULE, true);
    cr_assert_eq(moat_release(patient, base), MOAT_OK);
    for (int i = 0; i < 500; i++) {
        void *other = reserved(hasty, GRANULE, false);
        cr_assert_neq(other, base);
        cr_assert_eq(moat_release(hasty, other), MOAT_OK);
    }
    cr_assert_eq(stats_of(patient).resting_regions, UINT64_C(1));
    moat_manager_destroy(patient);
    bool again = false;
    for (int i = 0; i < 20000 && !again; i++) {
        void *other = reserved(hasty, GRANULE, false);
        again = other == base;
        cr_assert_eq(moat_release(hasty, other), MOAT_OK);
    }
    cr_assert(again, "nothing rests when its manager has gone");
}

Test(vm_guards, no_more_bytes_rest_than_are_allowed) {
    stay_on_one_processor();
    struct moat_manager *manager = manager_with("quarantine=4096,quarantine_bytes=1M");
    for (int i = 0; i < 200; i++) {
        cr_assert_eq(moat_release(manager, reserved(manager, (size_t)(i % 7 + 1) * GRANULE, false)),
                     MOAT_OK);
        cr_assert_leq(stats_of(manager).resting_bytes, UINT64_C(1) << 20);
    }
    cr_assert_gt(stats_of(manager).resting_regions, UINT64_C(1));
    size_t given;
    enum moat_status status = moat_trim(NULL, 0, &given);
    cr_assert(!status || status == MOAT_NO_MEMORY);
    cr_assert_eq(stats_of(manager).resting_regions, UINT64_C(0));
}

/* Of 64 places at least 16 differ: that fewer do has no chance to speak of. */
Test(vm_guards, places_are_random_unless_packed) {
    stay_on_one_processor();
    for (int packed = 0; packed < 2; packed++) {
        struct moat_manager *manager =
            manager_with(packed ? "placing=packed,quarantine=0" : "quarantine=0");
        void *seen[64];
        unsigned differ = 0;
        for (int i = 0; i < 64; i++) {
            seen[i] = reserved(manager, GRANULE, false);
            bool known = false;
            for (int j = 0; j < i; j++)
                known |= seen[j] == seen[i];
            differ += !known;
            cr_assert_eq(moat_release(manager, seen[i]), MOAT_OK);
        }
        cr_assert(packed ? differ == 1 : differ >= 16, "%u", differ);
    }
}

/* Whoever maps memory of his own over an address that rests keeps it, whatever happens to rest. */
Test(vm_guards, what_others_map_over_a_resting_address_is_theirs) {
    struct moat_manager *manager = manager_with("quarantine=8");
    const struct moat_address_limits limits = {.alignment = 4 * GRANULE};
    void *base, *again;

    cr_assert_eq(moat_reserve_within(manager, BLOCK, MOAT_PAGE_READWRITE, 0, &limits, &base),
                 MOAT_OK);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    volatile unsigned char *mine =
        mmap((unsigned char *)base + GRANULE, PAGE, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    cr_assert_neq(mine, MAP_FAILED);
    *mine = 42;
    cr_assert_eq(moat_reserve(manager, base, BLOCK, MOAT_PAGE_READWRITE, 0, &again),
                 MOAT_INVALID_ADDRESS, "something is there");
    for (int i = 0; i < 100; i++) { /* everything that rests has had its turn */
        cr_assert_eq(moat_reserve_within(manager, BLOCK, MOAT_PAGE_READWRITE, 0, &limits, &again),
                     MOAT_OK);
        cr_assert_eq(moat_release(manager, again), MOAT_OK);
    }
    cr_assert_eq(*mine, 42);
    cr_assert_eq(munmap((void *)mine, PAGE), 0);
}
