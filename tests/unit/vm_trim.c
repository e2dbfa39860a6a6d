/* SPDX-License-Identifier: MIT */
/*
 * trim: empty arenas go back to the kernel and come again, and nobody notices but who asked.
 *
 * Each test is a process of its own, so it knows which arenas there are.
 */
#define _GNU_SOURCE
#include "region/arena.h"
#include "region/claim.h"
#include "region/pages.h"
#include "support/regions.h"
#include "support/smaps.h"
#include "support/touch.h"

#include <moat/space.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define GIB ((size_t)1 << 30)

enum { RW = MOAT_PAGE_READWRITE, RO = MOAT_PAGE_READONLY };

static size_t trim(const void *address, size_t size) {
    size_t given = 1;
    cr_assert_eq(moat_trim(address, size, &given), MOAT_OK, "%s", moat_last_error_text());
    return given;
}

static struct moat_space *arena_of(const void *address) {
    return moat_arena_of((uintptr_t)address);
}

/* A mapping of somebody else's, at exactly this place; false: it is not free. */
static bool stranger(void *address, size_t size) {
    void *got = mmap(address, size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0);
    if (got != MAP_FAILED && got != address)
        munmap(got, size);
    return got == address;
}

/* Regions in every state, in several blocks; the first page of the first, which is committed. */
static unsigned char *use(struct moat_manager *manager, void *bases[3]) {
    uint32_t old;

    bases[0] = reserved(manager, 3 * GRANULE, true);
    bases[1] = reserved(manager, 3 * BLOCK + 5 * PAGE, true);
    bases[2] = reserved(manager, 100 * PAGE, false);
    memset(bases[0], 'a', 3 * GRANULE);
    memset(bases[1], 'b', 3 * BLOCK + 5 * PAGE);
    cr_assert_eq(moat_protect(manager, bases[1], 2 * BLOCK + PAGE, RO, &old), MOAT_OK);
    cr_assert_eq(moat_decommit(manager, (char *)bases[1] + BLOCK, BLOCK + PAGE), MOAT_OK);
    cr_assert_eq(moat_commit(manager, (char *)bases[2] + PAGE, PAGE, RW, NULL), MOAT_OK);
    return bases[0];
}

static void release(struct moat_manager *manager, void *bases[3]) {
    for (int i = 0; i < 3; i++)
        cr_assert_eq(moat_release(manager, bases[i]), MOAT_OK);
}

static void check_fresh(struct moat_manager *manager, unsigned char *base, size_t size) {
    struct moat_page_info info = info_of(base);
    cr_assert_eq(info.state, MOAT_STATE_RESERVED);
    cr_assert_eq(info.size, size);
    cr_assert(!touch_reads(base) && !touch_reads(base + size - PAGE));
    cr_assert_eq(moat_commit(manager, base, size, RW, NULL), MOAT_OK);
    cr_assert(touch_all_bytes(base, size, 0));
    cr_assert(!touch_reads(base + size) && !touch_reads(base - PAGE));
}

Test(vm_trim, bad_arguments) {
    size_t given = 77;
    cr_assert_eq(moat_trim((void *)(uintptr_t)GRANULE, SIZE_MAX, &given), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(given, (size_t)0);
    cr_assert_eq(moat_trim((void *)UINT64_C(0x7FFFFFFF0000), 1, NULL), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_trim(NULL, (size_t)1 << 62, NULL), MOAT_NO_MEMORY);
    /* There is nothing yet. */
    given = 77;
    cr_assert_eq(moat_trim(NULL, 0, &given), MOAT_NO_MEMORY);
    cr_assert_eq(given, (size_t)0);
    cr_assert_neq(moat_last_error_text()[0], '\0');
    cr_assert_eq(trim(NULL, 1), (size_t)0);
}

Test(vm_trim, an_empty_arena_goes_and_comes_again) {
    for (int rung = 0; rung < RUNGS; rung++) {
        struct moat_manager *manager = manager_with(rungs[rung]);
        void *bases[3];

        for (int round = 0; round < 3; round++) {
            unsigned char *first = use(manager, bases);
            struct moat_space *arena = arena_of(first);
            size_t size = arena->end - arena->start;
            release(manager, bases);
            cr_assert_eq(trim(NULL, 0), size);
            cr_assert_null(arena_of(first));

            /* Now it is the kernel's, and a stranger's if he asks for it. */
            cr_assert_eq(info_of(first).state, MOAT_STATE_FREE);
            cr_assert_eq(info_of((void *)arena->start).state, MOAT_STATE_FREE);
            cr_assert(stranger((void *)arena->start, size));
            cr_assert_eq(info_of(first).state, MOAT_STATE_COMMITTED);
            uint32_t old;
            cr_assert_eq(moat_protect(NULL, first, PAGE, RO, &old), MOAT_OK);
            cr_assert(page_is(first, true, false) && page_is(first + PAGE, true, true));
            munmap((void *)arena->start, size);

            /* The place is free, so it comes back there, as if it were new. */
            for (int i = 0; i < 3; i++) {
                unsigned char *again = reserved(manager, 2 * BLOCK, false);
                cr_assert_eq(arena_of(again), arena, "round %d", round);
                check_fresh(manager, again, 2 * BLOCK);
                cr_assert_eq(moat_release(manager, again), MOAT_OK);
            }
            for (int i = 0; i < 3; i++)
                cr_assert_eq(info_of(bases[i]).state, MOAT_STATE_FREE);
            cr_assert_eq(info_of((void *)arena->start).state, MOAT_STATE_RESERVED);
        }
        moat_manager_destroy(manager);
        (void)trim(NULL, 0);
    }
}

/* The books of the first and the last pages share theirs with other books. */
Test(vm_trim, nor_do_the_ends_remember) {
    for (int rung = 0; rung < RUNGS; rung++) {
        struct moat_manager *manager = manager_with(rungs[rung]);
        unsigned char *region = reserved(manager, PAGE, false);
        struct moat_space *arena = arena_of(region);
        void *base;

        for (int round = 0; round < 2; round++)
            for (int last = 0; last < 2; last++) {
                /* Not where the other region may lie. */
                uintptr_t at =
                    last ? arena->usable_end - GRANULE : arena->usable_start + 8 * GRANULE;
                cr_assert_eq(moat_reserve(manager, (void *)at, GRANULE, RW, 0, &base), MOAT_OK);
                check_fresh(manager, base, GRANULE);
                cr_assert_eq(moat_release(manager, base), MOAT_OK);
                /* As if the kernel had not taken what the page holds. */
                moat_pages_set(arena, at, at + GRANULE, MOAT_PAGE_DIRTY);
                if (region)
                    cr_assert_eq(moat_release(manager, region), MOAT_OK);
                (void)trim(NULL, 0);
                region = reserved(manager, PAGE, false);
                cr_assert_eq(arena_of(region), arena);
                cr_assert_eq(moat_pages_run(arena, at, at + GRANULE).state, 0);
            }
        cr_assert_eq(moat_release(manager, region), MOAT_OK);
        moat_manager_destroy(manager);
        (void)trim(NULL, 0);
    }
}

/* What lay exactly there has left nothing behind: no content, no rights, no marks in the books. */
Test(vm_trim, the_same_pages_are_fresh) {
    for (int rung = 0; rung < RUNGS; rung++) {
        struct moat_manager *manager = manager_with(rungs[rung]);
        const size_t sizes[3] = {3 * GRANULE, 3 * BLOCK + 5 * PAGE, 100 * PAGE};
        void *bases[3], *again;

        (void)use(manager, bases);
        release(manager, bases);
        (void)trim(NULL, 0);
        /* In the arena's place alone first, and then in the arena. */
        for (int round = 0; round < 2; round++) {
            if (round)
                cr_assert_eq(moat_release(manager, reserved(manager, PAGE, false)), MOAT_OK);
            for (int i = 0; i < 3; i++) {
                cr_assert_eq(arena_of(bases[i]) != NULL, round);
                cr_assert_eq(moat_reserve(manager, bases[i], sizes[i], RW, 0, &again), MOAT_OK);
                check_fresh(manager, again, sizes[i]);
                cr_assert_eq(moat_release(manager, again), MOAT_OK);
            }
        }
        moat_manager_destroy(manager);
        (void)trim(NULL, 0);
    }
}

Test(vm_trim, an_arena_with_a_region_stays) {
    struct moat_manager *manager = manager_with("");
    struct moat_manager *other = manager_with("trap=protect");
    unsigned char *kept = reserved(manager, GRANULE, true);
    unsigned char *left = reserved(other, GRANULE, true);
    struct moat_space *arena = arena_of(kept), *empty = arena_of(left);
    bool apart = arena != empty; /* not so without markers */

    memset(kept, 'k', GRANULE);
    cr_assert_eq(moat_release(other, left), MOAT_OK);
    size_t given = 1;
    cr_assert_eq(moat_trim(NULL, 0, &given), apart ? MOAT_OK : MOAT_NO_MEMORY);
    cr_assert_eq(given, apart ? empty->end - empty->start : 0);
    cr_assert_eq(arena_of(left) != NULL, !apart);
    cr_assert_eq(arena_of(kept), arena);
    cr_assert(touch_all_bytes(kept, GRANULE, 'k'));
    /* Others find room beside it as before. */
    cr_assert_eq(arena_of(reserved(manager, BLOCK, true)), arena);
    cr_assert_eq(moat_trim(NULL, 0, &given), MOAT_NO_MEMORY);
}

Test(vm_trim, no_more_than_is_needed) {
    struct moat_manager *manager = manager_with("");
    struct moat_manager *other = manager_with("trap=protect");
    unsigned char *first = reserved(manager, GRANULE, false);
    unsigned char *second = reserved(other, GRANULE, false);

    if (arena_of(first) == arena_of(second))
        cr_skip("one kind of arena, because there are no markers");
    cr_assert_eq(moat_release(manager, first), MOAT_OK);
    cr_assert_eq(moat_release(other, second), MOAT_OK);
    cr_assert_eq(trim(NULL, GIB), (size_t)0);
    cr_assert(arena_of(first) && arena_of(second));
    /* Here and nowhere else; more than the arena, with the free space behind it or not. */
    cr_assert_eq(trim(first, GRANULE), arena_of(second)->end - arena_of(second)->start);
    cr_assert(!arena_of(first) && arena_of(second));
    cr_assert(stranger(first, GRANULE));
    munmap(first, GRANULE);
    cr_assert_eq(trim(first, GRANULE), (size_t)0);
    cr_assert_neq(trim(second + 5, 1), (size_t)0);
    cr_assert_null(arena_of(second));
}

/* The kernel will not have it there, but something was given: one may try. */
Test(vm_trim, a_place_that_is_taken) {
    struct moat_manager *manager = manager_with("");
    unsigned char *region = reserved(manager, GRANULE, false);
    unsigned char *taken = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t given;

    cr_assert_eq(moat_trim(taken, PAGE, &given), MOAT_NO_MEMORY);
    cr_assert_eq(moat_trim(region, PAGE, &given), MOAT_NO_MEMORY);
    cr_assert_eq(moat_release(manager, region), MOAT_OK);
    cr_assert_neq(trim(taken, PAGE), (size_t)0);
    cr_assert_eq(moat_trim(taken, PAGE, &given), MOAT_NO_MEMORY);
}

Test(vm_trim, what_rests_is_free_at_once) {
    stay_on_one_processor();
    struct moat_manager *manager = manager_with("quarantine=100,placing=packed");
    unsigned char *kept = reserved(manager, GRANULE, false);
    unsigned char *rests = reserved(manager, 2 * GRANULE, false);
    struct moat_space *arena = arena_of(rests);
    size_t block = moat_space_block(arena, (uintptr_t)rests);
    unsigned granule = (unsigned)((uintptr_t)rests % BLOCK / GRANULE);

    cr_assert_eq(arena_of(kept), arena);
    cr_assert_eq(moat_release(manager, rests), MOAT_OK);
    cr_assert_eq(moat_claim_of(arena, block, granule + 1), MOAT_CLAIM_RESTING);
    size_t given;
    cr_assert_eq(moat_trim(NULL, 0, &given), MOAT_NO_MEMORY);
    cr_assert_eq(moat_claim_of(arena, block, granule), MOAT_CLAIM_FREE);
    cr_assert_eq(moat_claim_of(arena, block, granule + 1), MOAT_CLAIM_FREE);
    cr_assert_neq(moat_claim_of(arena, block, (unsigned)((uintptr_t)kept % BLOCK / GRANULE)),
                  MOAT_CLAIM_FREE);
    /* What was noted as resting is woken again one day, when the arena has gone and come. */
    cr_assert_eq(moat_release(manager, kept), MOAT_OK);
    (void)trim(NULL, 0);
    for (int i = 0; i < 300; i++)
        cr_assert_eq(moat_release(manager, reserved(manager, GRANULE, true)), MOAT_OK);
    cr_assert_eq(arena_of(kept), arena);
}

/* A claim that is refused half-way, as by one that came just before, leaves no other behind. */
Test(vm_trim, an_arena_goes_whole_or_not_at_all) {
    stay_on_one_processor();
    struct moat_manager *manager = manager_with("quarantine=100");
    unsigned char *region = reserved(manager, 5 * BLOCK, false);
    struct moat_space *arena = arena_of(region);
    uint64_t before = moat_arena_moves();

    cr_assert_eq(moat_release(manager, region), MOAT_OK);
    cr_assert_eq(moat_arena_retire(arena), (size_t)0);
    cr_assert(moat_arena_moved(before) && !moat_arena_moved(moat_arena_moves()));
    cr_assert_eq(arena_of(region), arena);
    for (size_t block = 1; block + 1 < arena->block_count; block++)
        cr_assert_not(moat_claim_any_taken(arena, block), "block %zu", block);
    cr_assert_neq(arena_of(reserved(manager, BLOCK, true)), NULL);
}

/* A thread that found the arena before it went finds nothing free in it, also where its place is
 * somebody else's now; once it is back there is. */
Test(vm_trim, who_found_it_before_goes_elsewhere) {
    struct moat_manager *manager = manager_with("placing=packed");
    unsigned char *region = reserved(manager, GRANULE, false);
    struct moat_space *arena = arena_of(region);
    uintptr_t base = (uintptr_t)region, conflict;
    struct moat_place place;

    cr_assert_eq(moat_release(manager, region), MOAT_OK);
    uint64_t before = moat_arena_moves();
    cr_assert_not(moat_arena_moved(before));
    (void)trim(NULL, 0);
    cr_assert(moat_arena_moved(before));
    cr_assert_not(moat_arena_moved(moat_arena_moves()));
    cr_assert(stranger((void *)arena->start, BLOCK + GIB / 4));
    memset(region, 's', GRANULE);
    for (uintptr_t at = arena->usable_start; at < arena->usable_end; at += BLOCK)
        cr_assert_eq(moat_arena_place_at(arena, at, GRANULE, &place, &conflict),
                     MOAT_INVALID_ADDRESS);
    /* Its place is taken, so there is another. */
    unsigned char *elsewhere = reserved(manager, GRANULE, true);
    cr_assert(arena_of(elsewhere) && arena_of(elsewhere) != arena);
    cr_assert(touch_all_bytes(region, GRANULE, 's'));
    cr_assert(moat_arena_moved(before));

    munmap((void *)arena->start, BLOCK + GIB / 4);
    cr_assert_eq(moat_release(manager, elsewhere), MOAT_OK);
    (void)trim(NULL, 0);
    cr_assert_eq(moat_release(manager, reserved(manager, GRANULE, true)), MOAT_OK);
    cr_assert_eq(moat_arena_of(base), arena);
    cr_assert_eq(moat_arena_place_at(arena, base, GRANULE, &place, &conflict), MOAT_OK);
}

Test(vm_trim, it_comes_again_as_it_was) {
    struct moat_manager *manager = manager_with("");
    unsigned char *region = reserved(manager, GRANULE, true);
    struct moat_space *arena = arena_of(region);

    if (!arena->markers)
        cr_skip("only an arena with markers is kept out of core dumps");
    for (int round = 0; round < 2; round++) {
        cr_assert(smaps_flag((const void *)arena->start, "dd"));
        cr_assert(smaps_flag((const void *)arena->usable_end, "dd"));
        cr_assert_not(smaps_flag(region, "dd"));
        cr_assert_eq(moat_release(manager, region), MOAT_OK);
        (void)trim(NULL, 0);
        region = reserved(manager, GRANULE, true);
        cr_assert_eq(arena_of(region), arena);
    }
}
