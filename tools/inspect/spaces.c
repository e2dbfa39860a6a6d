/* SPDX-License-Identifier: MIT */
/*
 * spaces: the arenas, what of them is taken and what rests, and what rests outside of them.
 */
#include "books.h"

#include "region/claim.h"

#include <stdlib.h>
#include <string.h>

#define STEP       4096u
#define BLOCKS_MAX (UINT64_C(1) << 26) /* all of the address space */
#define HELD       (UINT64_C(1) << 63)

static void add_resting(struct books *books, uint64_t start, uint64_t end) {
    size_t count = books->resting_count;

    if (count && books->resting[count - 1].end == start) {
        books->resting[count - 1].end = end;
        return;
    }
    if ((count & (count - 1)) == 0)
        books->resting = need(books->resting, (count ? 2 * count : 1) * sizeof *books->resting);
    books->resting[books->resting_count++] = (struct range){start, end};
}

/* The claims of one block: two bits a granule. */
static void read_claims(struct books *books, struct arena *arena, uint64_t block, uint64_t word) {
    uint64_t granule = OF(&books->layout, granule_bytes);

    for (unsigned i = 0; word != 0; i++, word >>= 2) {
        uint64_t start = block + i * granule;
        unsigned claim = word & 3;
        if (claim == MOAT_CLAIM_RESTING) {
            arena->resting += granule;
            add_resting(books, start, start + granule);
        } else if (claim != MOAT_CLAIM_FREE) {
            arena->taken += granule;
        }
    }
}

static bool read_all_claims(struct books *books, struct arena *arena, uint64_t claims) {
    uint64_t block = OF(&books->layout, block_bytes);
    uint64_t count = (arena->end - arena->start) / block;
    uint64_t words[STEP];

    for (uint64_t first = 0; first < count; first += STEP) {
        uint64_t some = count - first < STEP ? count - first : STEP;
        if (!target_read(&books->target, claims + first * sizeof words[0], words,
                         (size_t)some * sizeof words[0]))
            return false;
        for (uint64_t i = 0; i < some; i++) {
            uint64_t start = arena->start + (first + i) * block;
            if (start >= arena->usable_start && start < arena->usable_end)
                read_claims(books, arena, start, words[i]);
        }
    }
    return true;
}

static uint64_t word_of(const struct books *books, uint64_t address) {
    uint64_t word = 0;
    return target_read(&books->target, address, &word, sizeof word) ? word : 0;
}

/* An arena that is here; one that is given back, or moves just now, is left out. */
static void read_arena(struct books *books, uint64_t space) {
    const struct layout *layout = &books->layout;
    uint32_t presence = UINT32_MAX;
    struct arena arena = {
        .start = word_of(books, space + OF(layout, space_start)),
        .end = word_of(books, space + OF(layout, space_end)),
        .usable_start = word_of(books, space + OF(layout, space_usable_start)),
        .usable_end = word_of(books, space + OF(layout, space_usable_end)),
    };

    (void)target_read(&books->target, space + OF(layout, space_presence), &presence,
                      sizeof presence);
    if (presence != 0)
        return;
    if (arena.start >= arena.end ||
        (arena.end - arena.start) / OF(layout, block_bytes) > BLOCKS_MAX ||
        !read_all_claims(books, &arena, word_of(books, space + OF(layout, space_claims))))
        books->dubious++;
    if (arena.start >= arena.end)
        return;
    books->arenas = need(books->arenas, (books->arena_count + 1) * sizeof *books->arenas);
    books->arenas[books->arena_count++] = arena;
}

static int by_start(const void *left, const void *right) {
    const struct range *a = left, *b = right; /* both kinds begin with their start */
    return (a->start > b->start) - (a->start < b->start);
}

static void read_resting(struct books *books) {
    const struct layout *layout = &books->layout;
    size_t count = OF(layout, resting_slots);
    uint64_t *slots = need(NULL, count * sizeof *slots);

    if (target_read(&books->target, AT(layout, resting), slots, count * sizeof *slots))
        for (size_t i = 0; i < count; i++)
            if (slots[i] && !(slots[i] & HELD)) {
                uint64_t start = (slots[i] >> 32) * OF(layout, granule_bytes);
                uint64_t size = (slots[i] & UINT32_MAX) * OF(layout, granule_bytes);
                add_resting(books, start, start + size);
            }
    free(slots);
}

void spaces_read(struct books *books) {
    const struct layout *layout = &books->layout;
    size_t count = OF(layout, arena_slots);
    uint64_t *slots = need(NULL, count * sizeof *slots);

    if (target_read(&books->target, AT(layout, arenas), slots, count * sizeof *slots))
        for (size_t i = 0; i < count; i++)
            if (slots[i])
                read_arena(books, slots[i]);
    free(slots);
    read_resting(books);
    if (books->arena_count)
        qsort(books->arenas, books->arena_count, sizeof *books->arenas, by_start);
    if (books->resting_count)
        qsort(books->resting, books->resting_count, sizeof *books->resting, by_start);
}
