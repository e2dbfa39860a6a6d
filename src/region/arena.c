/* SPDX-License-Identifier: MIT */
/*
 * arena: where to look for room, and in which order.
 *
 * Edges
 *   ring    a ring is zeroed, then hung in -> whoever finds it sees it zeroed
 */
#include "region/arena.h"

#include "os/os.h"
#include "region/arenas.h"
#include "region/books.h"
#include "region/claim.h"
#include "region/powers.h"
#include "region/trap.h"

#include <errno.h>

#define SHARDS      64u
#define RESTING_MAX 4096u
#define ANYWHERE    SIZE_MAX

/* What is kept for one kind of arena. */
struct kind {
    struct {
        /* Where this processor looks first: arena number << 32 | block. */
        _Alignas(64) _Atomic uint64_t hint;
        /* Released places at rest, oldest overwritten first: see pack. */
        _Atomic uint64_t turn;
        _Atomic(_Atomic uint64_t *) resting;
    } shards[SHARDS];
};

static struct kind kinds[MOAT_SPACE_KINDS];

/* The granules of [base, base + size) that lie in `block`, as a claim pattern. */
uint64_t moat_arena_pattern(const struct moat_space *arena, size_t block, uintptr_t base,
                            size_t size) {
    uintptr_t block_start = moat_space_block_start(arena, block);
    uintptr_t end = base + size;
    uintptr_t first = base > block_start ? base : block_start;
    uintptr_t last = end < block_start + MOAT_BLOCK ? end : block_start + MOAT_BLOCK;
    unsigned granule = (unsigned)((first - block_start) >> MOAT_GRANULE_SHIFT);
    unsigned count = (unsigned)((moat_round_up(last, MOAT_GRANULE) - first) >> MOAT_GRANULE_SHIFT);

    return moat_claim_pattern(granule, count, !moat_is_aligned(last, MOAT_GRANULE));
}

static bool is_open(const struct moat_space *arena, size_t block) {
    /* relaxed: a hint before a claim; under a claim, ordered by A(claim). */
    return atomic_load_explicit(&arena->opened[block], memory_order_relaxed) != 0;
}

/* Claim and, where the region has only a part of a closed block, open it first: opening needs the
 * block whole for a moment. 0, EBUSY when taken, or the errno of the opening. */
static int claim_in_block(struct moat_space *arena, size_t block, uint64_t pattern, unsigned how) {
    uintptr_t start = moat_space_block_start(arena, block);
    bool partial = (pattern | MOAT_CLAIM_BORDER >> 1) != MOAT_CLAIM_ALL;
    bool whole;

    for (;;) {
        whole = partial && arena->markers && !is_open(arena, block);
        if (!moat_claim_exactly(arena, block, pattern, how | (whole ? MOAT_CLAIM_WHOLE : 0u)))
            return EBUSY;
        if (whole || !partial || !arena->markers || is_open(arena, block))
            break;
        /* Closed since it was looked at: claim it whole. */
        moat_claim_free(arena, block, pattern, MOAT_CLAIM_FREE);
    }
    if (!whole)
        return 0;
    int error = is_open(arena, block) ? 0 : moat_trap_open(arena, start, start + MOAT_BLOCK);
    moat_claim_settle(arena, block, error ? 0 : pattern);
    return error;
}

static void unclaim(struct moat_space *arena, uintptr_t base, uintptr_t end, size_t blocks,
                    enum moat_claim state) {
    size_t block = moat_space_block(arena, base);
    for (size_t last = block + blocks; block < last; block++)
        moat_claim_free(arena, block, moat_arena_pattern(arena, block, base, end - base), state);
}

/* Claim [base, base + size) in ascending order. On failure nothing is held; *conflict is where. */
static int claim_range(struct moat_space *arena, uintptr_t base, size_t size, unsigned how,
                       uintptr_t *conflict) {
    size_t first = moat_space_block(arena, base);
    size_t last = moat_space_block(arena, base + size - 1);

    for (size_t block = first; block <= last; block++) {
        int error = claim_in_block(arena, block, moat_arena_pattern(arena, block, base, size), how);
        if (error) {
            unclaim(arena, base, base + size, block - first, MOAT_CLAIM_FREE);
            *conflict = moat_space_block_start(arena, block);
            return error;
        }
    }
    return 0;
}

static bool taken_at(const struct moat_space *arena, uintptr_t address, enum moat_claim least) {
    size_t block = moat_space_block(arena, address);
    uintptr_t offset = address - moat_space_block_start(arena, block);
    return moat_claim_of(arena, block, (unsigned)(offset >> MOAT_GRANULE_SHIFT)) >= least;
}

/* Whether another region begins or ends without a guard between it and this one. */
static bool touches(const struct moat_space *arena, uintptr_t base, size_t size) {
    return taken_at(arena, base - MOAT_GRANULE, MOAT_CLAIM_FULL) ||
           (moat_is_aligned(size, MOAT_GRANULE) && taken_at(arena, base + size, MOAT_CLAIM_SLACK));
}

enum moat_status moat_arena_place_at(struct moat_space *arena, uintptr_t base, size_t size,
                                     struct moat_place *place, uintptr_t *conflict) {
    *conflict = arena->usable_end;
    if (size > arena->usable_end - base)
        return MOAT_INVALID_ADDRESS;
    int error = claim_range(arena, base, size, MOAT_CLAIM_WAKES, conflict);
    if (error)
        return error == EBUSY ? MOAT_INVALID_ADDRESS : moat_powers_refusal(error, MOAT_NO_MEMORY);
    *place = (struct moat_place){arena, base, size, touches(arena, base, size)};
    return MOAT_OK;
}

/* A few granules in one block; opens the block if nobody has it. 0, EBUSY, or errno. */
static int place_small(struct moat_space *arena, size_t block, size_t size,
                       struct moat_place *place) {
    unsigned count = (unsigned)(moat_round_up(size, MOAT_GRANULE) >> MOAT_GRANULE_SHIFT);
    bool slack = !moat_is_aligned(size, MOAT_GRANULE);
    uintptr_t start = moat_space_block_start(arena, block);
    unsigned first;

    if (arena->markers && !is_open(arena, block)) {
        if (!moat_claim_block(arena, block))
            return EBUSY;
        int error = 0;
        if (!is_open(arena, block))
            error = moat_trap_open(arena, start, start + MOAT_BLOCK);
        moat_claim_settle(arena, block, 0);
        if (error)
            return error;
    }
    if (!moat_claim_some(arena, block, count, slack, &first))
        return EBUSY;
    *place =
        (struct moat_place){arena, start + ((uintptr_t)first << MOAT_GRANULE_SHIFT), size, false};
    return 0;
}

/* Whole blocks from `block` on, the body aligned so that huge pages can back it. */
static int place_large(struct moat_space *arena, size_t block, size_t size,
                       struct moat_place *place) {
    uintptr_t base = moat_space_block_start(arena, block);
    uintptr_t conflict;

    if (size + MOAT_PAGE > arena->usable_end - base)
        return EBUSY;
    for (uintptr_t at = base; at < base + size; at += MOAT_BLOCK)
        if (moat_claim_any_taken(arena, moat_space_block(arena, at)))
            return EBUSY;
    int error = claim_range(arena, base, size, 0, &conflict);
    if (error)
        return error;
    if (touches(arena, base, size)) {
        size_t blocks = (size_t)((size + MOAT_BLOCK - 1) >> MOAT_BLOCK_SHIFT);
        unclaim(arena, base, base + size, blocks, MOAT_CLAIM_FREE);
        return EBUSY;
    }
    *place = (struct moat_place){arena, base, size, false};
    return 0;
}

/* Room for more than a block's granules, or for exactly all of them, is sought block by block. */
static bool is_small(size_t size) {
    return size < MOAT_BLOCK && moat_round_up(size + MOAT_PAGE, MOAT_GRANULE) <= MOAT_BLOCK;
}

/* A block that somebody locked takes no markers and cannot be opened. It is passed over,
 * but where this many are locked all are, and a region had better stand alone. */
#define LOCKED_BLOCKS_MAX 8u

/* Next fit from `from` on, once round the arena. 0, EBUSY when full, or errno. */
static int search(struct moat_space *arena, size_t from, size_t size, struct moat_place *place) {
    size_t usable = arena->block_count - 2;
    unsigned locked = 0;

    for (size_t step = 0; step < usable; step++) {
        size_t block = 1 + (from + step) % usable;
        int error = is_small(size) ? place_small(arena, block, size, place)
                                   : place_large(arena, block, size, place);
        bool passed_over = error == EINVAL && ++locked < LOCKED_BLOCKS_MAX;
        if (error != EBUSY && !passed_over)
            return error;
    }
    return EBUSY;
}

static void remember(struct kind *kind, unsigned shard, size_t number, size_t block) {
    uint64_t hint = (uint64_t)number << 32 | (uint64_t)(block - 1);
    /* relaxed: a hint. */
    atomic_store_explicit(&kind->shards[shard].hint, hint, memory_order_relaxed);
}

/* Look in every arena once, from `number` on, there from block `from` on. 0, EBUSY, or errno. */
static int search_all(unsigned which, unsigned shard, size_t number, size_t from, size_t size,
                      struct moat_place *place) {
    size_t count = moat_arenas_count(which);

    for (size_t step = 0; step < count; step++) {
        struct moat_space *arena = moat_arenas_at(which, (number + step) % count);
        if (from == ANYWHERE) /* processors start apart from each other */
            from = shard * (arena->block_count / SHARDS);
        int error = moat_arenas_here(arena) ? search(arena, from, size, place) : EBUSY;
        if (!error)
            remember(&kinds[which], shard, arena->number, moat_space_block(arena, place->base));
        if (error != EBUSY)
            return error;
        from = 0;
    }
    return EBUSY;
}

/* Where there is no other place, those that rest are better than none. */
static void wake_all(unsigned which) {
    for (size_t number = moat_arenas_count(which); number-- > 0;) {
        struct moat_space *arena = moat_arenas_at(which, number);
        if (moat_arenas_here(arena))
            moat_arena_wake(arena);
    }
}

enum moat_status moat_arena_place(unsigned which, size_t size, struct moat_place *place) {
    struct kind *kind = &kinds[which];
    unsigned shard = moat_os_processor() % SHARDS;
    /* relaxed: a hint. */
    uint64_t hint = atomic_load_explicit(&kind->shards[shard].hint, memory_order_relaxed);
    size_t number = (size_t)(hint >> 32);
    size_t from = hint ? (uint32_t)hint : ANYWHERE;

    bool woken = false;

    /* Others may take all of an arena before this call has a part of it, but not for ever. */
    for (unsigned tries = 0; tries < MOAT_ARENAS_MAX; tries++) {
        int error = search_all(which, shard, number, from, size, place);
        if (!error)
            return MOAT_OK;
        if (error != EBUSY)
            return moat_powers_refusal(error, MOAT_NO_MEMORY);
        if (!moat_arenas_add(which, size, &number)) {
            if (woken)
                break;
            woken = true;
            wake_all(which);
        }
        from = hint ? 0 : ANYWHERE;
    }
    return MOAT_NO_MEMORY;
}

/* A place at rest, in a word: arena number, first granule of the arena, count of granules. */
static uint64_t pack(const struct moat_space *arena, uintptr_t base, size_t size) {
    uint64_t first = (base - arena->start) >> MOAT_GRANULE_SHIFT;
    uint64_t count = moat_round_up(size, MOAT_GRANULE) >> MOAT_GRANULE_SHIFT;
    return (uint64_t)arena->number << 56 | first << 28 | count;
}

static void wake(unsigned which, unsigned shard, uint64_t packed) {
    struct moat_space *arena = moat_arenas_at(which, (size_t)(packed >> 56));
    uintptr_t base = arena->start + ((packed >> 28 & ((1u << 28) - 1)) << MOAT_GRANULE_SHIFT);
    size_t size = (size_t)((packed & ((1u << 28) - 1)) << MOAT_GRANULE_SHIFT);
    size_t last = moat_space_block(arena, base + size - 1);

    for (size_t block = moat_space_block(arena, base); block <= last; block++)
        moat_claim_wake(arena, block, moat_arena_pattern(arena, block, base, size));
    remember(&kinds[which], shard, arena->number, moat_space_block(arena, base));
}

/* The ring of a processor's resting places, or NULL when there is no memory for one. */
static _Atomic uint64_t *ring_of(struct kind *kind, unsigned shard) {
    /* A(ring) */
    _Atomic uint64_t *ring =
        atomic_load_explicit(&kind->shards[shard].resting, memory_order_acquire);
    if (ring)
        return ring;
    _Atomic uint64_t *fresh = moat_books_take(RESTING_MAX * sizeof(*fresh));
    /* R(ring) A(ring) */
    if (fresh &&
        !atomic_compare_exchange_strong_explicit(&kind->shards[shard].resting, &ring, fresh,
                                                 memory_order_acq_rel, memory_order_acquire)) {
        moat_books_give(fresh, RESTING_MAX * sizeof(*fresh));
        return ring;
    }
    return fresh;
}

void moat_arena_vacate(const struct moat_place *place, uint32_t rest) {
    struct moat_space *arena = place->space;
    struct kind *kind = &kinds[moat_space_kind(arena)];
    unsigned shard = moat_os_processor() % SHARDS;
    _Atomic uint64_t *ring = rest ? ring_of(kind, shard) : NULL;
    uintptr_t end = place->base + place->size;
    size_t first = moat_space_block(arena, place->base);
    size_t last = moat_space_block(arena, end - 1);

    unclaim(arena, place->base, end, last - first + 1, ring ? MOAT_CLAIM_RESTING : MOAT_CLAIM_FREE);
    if (!ring)
        return;
    if (rest > RESTING_MAX)
        rest = RESTING_MAX;
    /* relaxed: only the number matters. */
    uint64_t turn = atomic_fetch_add_explicit(&kind->shards[shard].turn, 1, memory_order_relaxed);
    uint64_t packed = pack(arena, place->base, place->size);
    /* relaxed: a packed place names memory that claims order. */
    packed = atomic_exchange_explicit(&ring[turn % rest], packed, memory_order_relaxed);
    if (packed)
        wake(moat_space_kind(arena), shard, packed);
}
