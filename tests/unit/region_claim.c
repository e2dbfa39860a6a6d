/* SPDX-License-Identifier: MIT */
/*
 * claims against an array of granules, and the rule that makes guards: what is placed automatically
 * has a granule or a page that belongs to nobody on either side.
 */
#include "region/claim.h"
#include "support/regions.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>

enum { PER_BLOCK = 32, BLOCKS = 4, GRANULES = PER_BLOCK * BLOCKS };

static struct moat_space *arena_of_blocks(void) {
    uintptr_t start = UINT64_C(0x100000000000);
    uintptr_t end = start + BLOCKS * (uintptr_t)BLOCK;
    size_t size = moat_space_books_size(start, end, true);
    void *books = aligned_alloc(64, (size + 63) / 64 * 64);
    cr_assert_not_null(books);
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)books)[i] = 0;
    struct moat_space *space = moat_space_init(books, start, end, true);
    space->markers = true;
    for (size_t block = 0; block < BLOCKS; block++)
        space->opened[block] = 1;
    return space;
}

static enum moat_claim claim_at(const struct moat_space *space, size_t granule) {
    return moat_claim_of(space, granule / PER_BLOCK, (unsigned)(granule % PER_BLOCK));
}

static bool taken(const struct moat_space *space, size_t block, unsigned granule) {
    return moat_claim_of(space, block, granule) >= MOAT_CLAIM_SLACK;
}

Test(region_claim, patterns_cover_their_granules_and_no_other) {
    struct moat_space *space = arena_of_blocks();
    for (unsigned first = 0; first < PER_BLOCK; first++)
        for (unsigned count = 1; first + count <= PER_BLOCK; count++)
            for (int slack = 0; slack < 2; slack++) {
                moat_claim_settle(space, 1, moat_claim_pattern(first, count, slack));
                for (unsigned i = 0; i < PER_BLOCK; i++) {
                    enum moat_claim expected = i < first || i >= first + count   ? MOAT_CLAIM_FREE
                                               : slack && i == first + count - 1 ? MOAT_CLAIM_SLACK
                                                                                 : MOAT_CLAIM_FULL;
                    cr_assert_eq(moat_claim_of(space, 1, i), expected, "%u+%u slack %d: %u", first,
                                 count, slack, i);
                }
            }
    cr_assert_eq(moat_claim_pattern(0, PER_BLOCK, false), MOAT_CLAIM_ALL);
    moat_claim_settle(space, 2, MOAT_CLAIM_BORDER);
    for (unsigned i = 0; i < PER_BLOCK; i++)
        cr_assert_eq(moat_claim_of(space, 2, i), MOAT_CLAIM_SLACK);
}

static bool claim_some(struct moat_space *space, size_t block, unsigned count, bool slack,
                       unsigned *first) {
    const struct moat_claim_wish wish = {.count = count, .slack = slack};
    return moat_claim_some(space, block, &wish, first);
}

static void wake(struct moat_space *space, size_t block, uint64_t pattern) {
    uint64_t word = moat_claim_word(space, block);
    while (!moat_claim_wake(space, block, &word, moat_claim_resting(word, pattern)))
        ;
}

Test(region_claim, a_closed_block_gives_nothing) {
    struct moat_space *space = arena_of_blocks();
    unsigned first;
    space->opened[1] = 0;
    cr_assert_not(claim_some(space, 1, 1, true, &first));
    cr_assert_not(moat_claim_any_taken(space, 1));
    space->opened[1] = 1;
    cr_assert(claim_some(space, 1, 1, true, &first));
    cr_assert(moat_claim_any_taken(space, 1));
    space->opened[2] = 0;
    space->markers = false;
    cr_assert(claim_some(space, 2, 1, true, &first), "without markers there is no opening");
}

Test(region_claim, a_full_granule_has_a_free_one_before_and_after) {
    struct moat_space *space = arena_of_blocks();
    unsigned first, count = 0;
    while (claim_some(space, 1, 1, false, &first))
        count++;
    cr_assert_eq(count, 16u, "every second granule");
    for (unsigned i = 0; i + 1 < PER_BLOCK; i++)
        cr_assert(!taken(space, 1, i) || !taken(space, 1, i + 1));
    cr_assert_not(taken(space, 1, PER_BLOCK - 1), "the guard of the block behind");
}

Test(region_claim, slack_granules_may_touch) {
    struct moat_space *space = arena_of_blocks();
    unsigned first, count = 0;
    while (claim_some(space, 1, 1, true, &first))
        count++;
    cr_assert_eq(count, (unsigned)PER_BLOCK);
}

Test(region_claim, nothing_is_placed_behind_a_block_that_ends_full) {
    struct moat_space *space = arena_of_blocks();
    unsigned first;
    uint64_t last = moat_claim_pattern(PER_BLOCK - 1, 1, false);
    cr_assert(moat_claim_exactly(space, 0, last, MOAT_CLAIM_WAKES));
    cr_assert_not(claim_some(space, 1, PER_BLOCK, true, &first), "it would start at 0");
    cr_assert_not(moat_claim_any_taken(space, 1), "and gave back what it took");
    moat_claim_free(space, 0, last, MOAT_CLAIM_FREE);
    cr_assert(claim_some(space, 1, PER_BLOCK, true, &first));
}

Test(region_claim, exactly_takes_free_and_resting_and_nothing_taken) {
    struct moat_space *space = arena_of_blocks();
    uint64_t middle = moat_claim_pattern(10, 4, true);
    unsigned first;

    cr_assert(moat_claim_exactly(space, 1, middle, MOAT_CLAIM_WAKES));
    cr_assert_not(moat_claim_exactly(space, 1, moat_claim_pattern(13, 2, false), MOAT_CLAIM_WAKES),
                  "a slack granule is taken whole");
    cr_assert_not(moat_claim_exactly(space, 1, moat_claim_pattern(9, 2, true), MOAT_CLAIM_WAKES));
    cr_assert_eq(moat_claim_of(space, 1, 9), MOAT_CLAIM_FREE, "a refusal changes nothing");
    moat_claim_free(space, 1, middle, MOAT_CLAIM_RESTING);
    for (unsigned i = 10; i < 14; i++)
        cr_assert_eq(moat_claim_of(space, 1, i), MOAT_CLAIM_RESTING);
    cr_assert_not(moat_claim_any_taken(space, 1));
    cr_assert_not(moat_claim_block(space, 1), "a block in which something rests");
    while (claim_some(space, 1, 1, true, &first))
        cr_assert(first < 10 || first >= 14, "%u rests", first);
    cr_assert_not(moat_claim_exactly(space, 1, middle, 0), "nobody named it");
    cr_assert(moat_claim_exactly(space, 1, middle, MOAT_CLAIM_WAKES), "a caller named it");
}

Test(region_claim, exactly_whole_takes_the_rest_for_a_while) {
    struct moat_space *space = arena_of_blocks();
    uint64_t pattern = moat_claim_pattern(4, 3, false);
    uint64_t resting = moat_claim_pattern(20, 2, false);

    cr_assert(moat_claim_exactly(space, 1, resting, MOAT_CLAIM_WAKES));
    moat_claim_free(space, 1, resting, MOAT_CLAIM_RESTING);
    cr_assert(moat_claim_exactly(space, 1, pattern, MOAT_CLAIM_WHOLE));
    for (unsigned i = 0; i < PER_BLOCK; i++)
        cr_assert(taken(space, 1, i));
    moat_claim_settle(space, 1, pattern);
    for (unsigned i = 0; i < PER_BLOCK; i++)
        cr_assert_eq(moat_claim_of(space, 1, i),
                     i >= 4 && i < 7 ? MOAT_CLAIM_FULL : MOAT_CLAIM_FREE);
    cr_assert_not(moat_claim_exactly(space, 1, moat_claim_pattern(0, 1, false), MOAT_CLAIM_WHOLE),
                  "whole needs the whole block untaken");
}

Test(region_claim, waking_frees_what_rests_and_leaves_what_is_taken) {
    struct moat_space *space = arena_of_blocks();
    uint64_t pattern = moat_claim_pattern(0, 8, false);
    cr_assert(moat_claim_exactly(space, 1, pattern, MOAT_CLAIM_WAKES));
    moat_claim_free(space, 1, pattern, MOAT_CLAIM_RESTING);
    cr_assert(moat_claim_exactly(space, 1, moat_claim_pattern(2, 2, true), MOAT_CLAIM_WAKES));
    wake(space, 1, pattern);
    for (unsigned i = 0; i < PER_BLOCK; i++)
        cr_assert_eq(moat_claim_of(space, 1, i), i == 2   ? MOAT_CLAIM_FULL
                                                 : i == 3 ? MOAT_CLAIM_SLACK
                                                          : MOAT_CLAIM_FREE);
}

/* What the arena does at random, beside an array that is easy to believe. */
struct piece {
    unsigned block, first, count;
    bool slack, automatic, live;
};

static void check_guards(const struct moat_space *space, const struct piece *piece) {
    size_t start = piece->block * PER_BLOCK + piece->first;
    size_t end = start + piece->count;
    cr_assert(start == 0 || claim_at(space, start - 1) != MOAT_CLAIM_FULL);
    if (!piece->slack && end < GRANULES)
        cr_assert(claim_at(space, end) <= MOAT_CLAIM_RESTING, "behind %u+%u", piece->first,
                  piece->count);
}

Test(region_claim, random_claims_agree_with_an_array) {
    enum { PIECES = 64 };
    struct moat_space *space = arena_of_blocks();
    struct piece pieces[PIECES] = {{0}};
    enum moat_claim granules[GRANULES] = {MOAT_CLAIM_FREE};
    uint64_t seed = 11;

    for (unsigned step = 0; step < 200000; step++) {
        struct piece *piece = &pieces[next_random(&seed) % PIECES];
        if (piece->live) {
            bool rest = next_random(&seed) % 2;
            uint64_t pattern = moat_claim_pattern(piece->first, piece->count, piece->slack);
            enum moat_claim now = rest ? MOAT_CLAIM_RESTING : MOAT_CLAIM_FREE;
            moat_claim_free(space, piece->block, pattern, now);
            for (unsigned i = 0; i < piece->count; i++)
                granules[piece->block * PER_BLOCK + piece->first + i] = now;
            piece->live = false;
        } else {
            piece->block = next_random(&seed) % BLOCKS;
            piece->count = 1 + next_random(&seed) % (next_random(&seed) % 4 ? 4 : PER_BLOCK);
            piece->first = next_random(&seed) % (PER_BLOCK + 1 - piece->count);
            piece->slack = next_random(&seed) % 2;
            piece->automatic = next_random(&seed) % 4 != 0;
            uint64_t pattern = moat_claim_pattern(piece->first, piece->count, piece->slack);
            bool free = true;
            for (unsigned i = 0; i < piece->count; i++)
                free &= granules[piece->block * PER_BLOCK + piece->first + i] <= MOAT_CLAIM_RESTING;
            if (piece->automatic)
                piece->live =
                    claim_some(space, piece->block, piece->count, piece->slack, &piece->first);
            else
                cr_assert_eq(piece->live =
                                 moat_claim_exactly(space, piece->block, pattern, MOAT_CLAIM_WAKES),
                             free);
            if (!piece->live)
                continue;
            for (unsigned i = 0; i < piece->count; i++) {
                size_t granule = piece->block * PER_BLOCK + piece->first + i;
                cr_assert(granules[granule] < MOAT_CLAIM_SLACK, "granule %zu taken twice", granule);
                cr_assert(!piece->automatic || granules[granule] == MOAT_CLAIM_FREE, "it rests");
                granules[granule] =
                    piece->slack && i + 1 == piece->count ? MOAT_CLAIM_SLACK : MOAT_CLAIM_FULL;
            }
            if (piece->automatic)
                check_guards(space, piece);
        }
        if (step % 64 == 0) {
            unsigned block = next_random(&seed) % BLOCKS;
            wake(space, block, MOAT_CLAIM_ALL);
            for (unsigned i = 0; i < PER_BLOCK; i++)
                if (granules[block * PER_BLOCK + i] == MOAT_CLAIM_RESTING)
                    granules[block * PER_BLOCK + i] = MOAT_CLAIM_FREE;
        }
        size_t probe = next_random(&seed) % GRANULES;
        cr_assert_eq(claim_at(space, probe), granules[probe], "step %u granule %zu", step, probe);
    }
}

static struct moat_space *shared;
static _Atomic unsigned owners[GRANULES];
static _Atomic unsigned doubles;

static void *claim_and_free(void *argument) {
    uint64_t seed = (uintptr_t)argument;
    for (unsigned step = 0; step < 100000; step++) {
        unsigned block = next_random(&seed) % BLOCKS;
        unsigned count = 1 + next_random(&seed) % 6;
        bool slack = next_random(&seed) % 2;
        unsigned first;
        if (!claim_some(shared, block, count, slack, &first))
            continue;
        for (unsigned i = 0; i < count; i++)
            if (atomic_fetch_add(&owners[block * PER_BLOCK + first + i], 1) != 0)
                atomic_fetch_add(&doubles, 1);
        for (unsigned i = 0; i < count; i++)
            atomic_fetch_sub(&owners[block * PER_BLOCK + first + i], 1);
        moat_claim_free(shared, block, moat_claim_pattern(first, count, slack), MOAT_CLAIM_FREE);
    }
    return NULL;
}

Test(region_claim, no_granule_is_ever_claimed_twice_at_once) {
    pthread_t threads[4];
    shared = arena_of_blocks();
    for (uintptr_t i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, claim_and_free, (void *)(i + 1)), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(doubles, 0u);
    for (unsigned block = 0; block < BLOCKS; block++)
        cr_assert_not(moat_claim_any_taken(shared, block));
}
