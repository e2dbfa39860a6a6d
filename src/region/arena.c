/* SPDX-License-Identifier: MIT */
/* arena: where to look for room, and in which order. */
#include "region/arena.h"

#include "os/os.h"
#include "region/arenas.h"
#include "region/chance.h"
#include "region/claim.h"
#include "region/habit.h"
#include "region/limbo.h"
#include "region/powers.h"
#include "region/quarantine.h"
#include "region/retain.h"
#include "region/retain_ring.h"
#include "region/stash.h"
#include "region/trap.h"

#include <errno.h>

#define SHARDS   64u
#define ANYWHERE SIZE_MAX

/* What is kept for one kind of arena. */
struct kind {
    struct {
        /* Where this processor looks first, for large regions and for small ones, so that blocks
         * stay open or closed: arena number << 32 | block; 0: anywhere. */
        _Alignas(64) _Atomic uint64_t hints[2];
    } shards[SHARDS];
};

static struct kind kinds[MOAT_KINDS_MAX];

/* How granules of a block are claimed, besides MOAT_CLAIM_*. */
enum { BARE = 4 }; /* have the block do without markers, where nobody else is in it */

/* A hint before a claim, and under a claim ordered by A(claim). */
static bool is_open(const struct moat_space *arena, size_t block) {
    return moat_pages_block(arena, block) == MOAT_BLOCK_OPEN;
}

/* Whether a part of a block cannot be had as the block is. */
static bool is_unready(const struct moat_space *arena, size_t block, unsigned how) {
    enum moat_block is = moat_pages_block(arena, block);
    return is == MOAT_BLOCK_CLOSED || (how & BARE && is == MOAT_BLOCK_OPEN);
}

/* A block that the caller has whole. */
static int make_ready(struct moat_space *arena, size_t block, unsigned how) {
    uintptr_t start = moat_space_block_start(arena, block);

    if (!is_unready(arena, block, how))
        return 0;
    return how & BARE ? moat_trap_bare(arena, start)
                      : moat_trap_open(arena, start, start + MOAT_BLOCK);
}

/* Claim and, where the region has only a part of a closed block, open it first: opening needs the
 * block whole for a moment. 0, EBUSY when taken, or the errno of the opening. */
static int claim_in_block(struct moat_space *arena, size_t block, uint64_t pattern, unsigned how) {
    bool partial = (pattern | MOAT_CLAIM_BORDER >> 1) != MOAT_CLAIM_ALL;
    unsigned claim = how & ~(unsigned)BARE;
    bool whole;

    for (;;) {
        whole = partial && arena->markers && is_unready(arena, block, how);
        if (!moat_claim_exactly(arena, block, pattern, claim | (whole ? MOAT_CLAIM_WHOLE : 0u)))
            return EBUSY;
        if (whole || !partial || !arena->markers || !is_unready(arena, block, how))
            break;
        /* Closed since it was looked at: claim it whole. */
        moat_claim_free(arena, block, pattern, MOAT_CLAIM_FREE);
    }
    if (!whole)
        return 0;
    int error = make_ready(arena, block, how);
    moat_claim_settle(arena, block, error ? 0 : pattern);
    return error;
}

/* Claim [base, base + size) in ascending order. On failure nothing is held; *conflict is where.
 * What cannot be had is better seen before anything that rests there has been woken. */
static int claim_range(struct moat_space *arena, uintptr_t base, size_t size, unsigned how,
                       uintptr_t *conflict) {
    size_t first = moat_space_block(arena, base);
    size_t last = moat_space_block(arena, base + size - 1);

    for (size_t block = first; block <= last; block++)
        if (moat_claim_meets(arena, block, moat_claim_pattern_in(arena, block, base, size))) {
            *conflict = moat_space_block_start(arena, block);
            return EBUSY;
        }
    for (size_t block = first; block <= last; block++) {
        int error =
            claim_in_block(arena, block, moat_claim_pattern_in(arena, block, base, size), how);
        if (error) {
            moat_arena_free(arena, base, base + size, block - first);
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
    *place = (struct moat_place){
        .space = arena,
        .base = base,
        .size = size,
        .yielded = touches(arena, base, size) || moat_arena_takes_guards(base, base + size),
    };
    return MOAT_OK;
}

/* A region that is to be placed: what of the wish is a matter of granules, and what chance has. */
struct search {
    const struct moat_place_wish *wish;
    unsigned kind; /* of arenas */
    bool small;    /* part of a block */
    bool converts; /* open blocks for a large one, bare ones for a small one, rather than none */
    struct moat_claim_wish claim;
    uint32_t chance; /* for blocks; that in `claim` is for granules */
};

/* Whether nothing is accessible in a block that was opened just now, as far as a look can tell. */
static bool looks_closed(uintptr_t start) {
    return moat_os_look((void *)start) != MOAT_OS_LOOK_READABLE;
}

/* A few granules in one block; opens the block if nobody has it. 0, EBUSY, or errno. */
static int place_small(struct moat_space *arena, size_t block, const struct search *search,
                       struct moat_place *place) {
    uintptr_t start = moat_space_block_start(arena, block);
    bool unverified = false;
    unsigned first;

    if (arena->markers && !is_open(arena, block)) {
        bool bare = moat_pages_block(arena, block) == MOAT_BLOCK_BARE;
        if ((bare && !search->converts) || !moat_claim_block(arena, block))
            return EBUSY;
        int error = 0;
        if (!is_open(arena, block)) {
            error = moat_trap_open(arena, start, start + MOAT_BLOCK);
            unverified = !error && !looks_closed(start);
        }
        moat_claim_settle(arena, block, 0);
        if (error)
            return error;
    }
    if (!moat_claim_some(arena, block, &search->claim, &first))
        return EBUSY;
    *place = (struct moat_place){
        .space = arena,
        .base = start + ((uintptr_t)first << MOAT_GRANULE_SHIFT),
        .size = search->wish->size,
        .before = (uint8_t)search->claim.before,
        .after = (uint8_t)search->claim.after,
        .unshown = true,
        .unverified = unverified,
    };
    return 0;
}

/* A part of a block that is large enough to do without markers, if it is not touched: markers on a
 * few pages that are touched cost less than rights and content in two calls. Memory that is handed
 * on is so from half of that on. Its mapping costs two more. */
#define BARE_MIN ((size_t)512 << 10)

/* What may be bare of the mappings there can be: one in so many. */
#define BARE_SHARE 8u

/* How to claim the last block of a large region, if it has only a part of that. */
static unsigned tail_of(const struct moat_place_wish *wish) {
    static const size_t least[] = {BARE_MIN, 2 * BARE_MIN, BARE_MIN / 2}; /* by habit */
    size_t tail = wish->size % MOAT_BLOCK;
    bool bare = wish->at_once && tail >= least[moat_habit_of(wish->size)] &&
                !moat_powers_lacking() && moat_pages_bare() < moat_powers_mappings() / BARE_SHARE;
    return bare ? BARE : 0u;
}

/* Whole blocks from `block` on, the body aligned so that huge pages can back it. */
static int place_large(struct moat_space *arena, size_t block, const struct search *search,
                       struct moat_place *place) {
    uintptr_t base = moat_space_block_start(arena, block);
    size_t size = search->wish->size;
    uintptr_t conflict;

    if (size + MOAT_PAGE > arena->usable_end - base)
        return EBUSY;
    for (uintptr_t at = base; at < base + size; at += MOAT_BLOCK)
        if (moat_claim_any_taken(arena, moat_space_block(arena, at)) ||
            (is_open(arena, moat_space_block(arena, at)) && !search->converts))
            return EBUSY;
    int error = claim_range(arena, base, size, tail_of(search->wish), &conflict);
    if (error)
        return error;
    if (touches(arena, base, size)) {
        size_t blocks = (size_t)((size + MOAT_BLOCK - 1) >> MOAT_BLOCK_SHIFT);
        moat_arena_free(arena, base, base + size, blocks);
        return EBUSY;
    }
    *place = (struct moat_place){.space = arena, .base = base, .size = size};
    return 0;
}

/* Room for more than a block's granules, or for exactly all of them, is sought block by block, and
 * so is room for what does better without markers: unless it has guards of its own. */
static bool is_small(const struct moat_place_wish *wish, bool guarded) {
    size_t size = wish->size;

    if (size >= MOAT_BLOCK || moat_round_up(size + MOAT_PAGE, MOAT_GRANULE) > MOAT_BLOCK)
        return false;
    return guarded || !wish->markers || !tail_of(wish);
}

/* A block that somebody locked takes no markers and cannot be opened. It is passed over,
 * but where this many are locked all are, and a region had better stand alone. */
#define LOCKED_BLOCKS_MAX 8u

static int place_in(struct moat_space *arena, size_t block, const struct search *search,
                    struct moat_place *place) {
    return search->small ? place_small(arena, block, search, place)
                         : place_large(arena, block, search, place);
}

/* Next fit from `from` on, once round the arena, in steps. 0, EBUSY when full, or errno. */
static int search_on(struct moat_space *arena, size_t from, size_t step,
                     const struct search *search, struct moat_place *place) {
    size_t usable = arena->block_count - 2;
    unsigned locked = 0;

    for (size_t at = 0; at < usable; at += step) {
        int error = place_in(arena, 1 + (from + at) % usable, search, place);
        bool passed_over = error == EINVAL && ++locked < LOCKED_BLOCKS_MAX;
        if (error != EBUSY && !passed_over)
            return error;
    }
    return EBUSY;
}

/* Chance chooses among so many neighbouring places: so few that what is in use stays together and
 * its mappings merge. */
#define WINDOW 8u

/* Next fit. Large regions leave a block between them where they can: what is free there keeps its
 * mapping apart from theirs, which then need not be joined and split. */
static int search_next(struct moat_space *arena, size_t from, size_t step,
                       const struct search *search, struct moat_place *place) {
    int error = search_on(arena, from, step, search, place);
    return error == EBUSY && step > 1 ? search_on(arena, from, 1, search, place) : error;
}

/* Places side by side in the window that `from` lies in, from any on; then next fit. */
static int search_arena(struct moat_space *arena, size_t from, const struct search *search,
                        struct moat_place *place) {
    size_t usable = arena->block_count - 2;
    size_t step = search->small ? 1 : search->wish->size / MOAT_BLOCK + 1;
    uint32_t first = moat_chance_below(search->chance, WINDOW);

    if (!search->wish->random)
        return search_next(arena, from, step, search, place);
    from -= from % (WINDOW * step);
    for (uint32_t i = 0; i < WINDOW; i++) {
        size_t at = from + (first + i) % WINDOW * step;
        int error = at + step <= usable ? place_in(arena, 1 + at, search, place) : EBUSY;
        if (error != EBUSY && error != EINVAL)
            return error;
    }
    return search_next(arena, from, step, search, place);
}

static void remember(const struct moat_space *arena, unsigned shard, bool small, size_t block) {
    uint64_t hint = (uint64_t)arena->number << 32 | (uint64_t)block;
    /* relaxed: a hint. */
    atomic_store_explicit(&kinds[arena->kind].shards[shard].hints[small], hint,
                          memory_order_relaxed);
}

void moat_arena_prefer(const struct moat_space *arena, size_t block) {
    remember(arena, moat_os_processor() % SHARDS, is_open(arena, block), block);
}

/* Where a processor begins: apart from the others, and nobody can tell where. */
static size_t beginning(const struct moat_space *arena, unsigned shard,
                        const struct search *search) {
    size_t usable = arena->block_count - 2;
    size_t from = shard * (arena->block_count / SHARDS) + (search->small ? 0 : usable / 2);
    if (search->wish->random)
        from += moat_chance_below(search->chance, (uint32_t)usable);
    return from % usable;
}

/* Look in every arena once, from `number` on, there from block `from` on. 0, EBUSY, or errno. */
static int search_all(unsigned shard, size_t number, size_t from, const struct search *search,
                      struct moat_place *place) {
    size_t count = moat_arenas_count(search->kind);

    for (size_t step = 0; step < count; step++) {
        struct moat_space *arena = moat_arenas_at(search->kind, (number + step) % count);
        if (from == ANYWHERE)
            from = beginning(arena, shard, search);
        int error = moat_arenas_here(arena) ? search_arena(arena, from, search, place) : EBUSY;
        if (!error)
            remember(arena, shard, search->small, moat_space_block(arena, place->base));
        if (error != EBUSY)
            return error;
        from = 0;
    }
    return EBUSY;
}

/* Retained places that turn out to be taken before another place is sought. */
#define STALE_MAX 4u

/* A free place of just that size whose pages are retained. Its neighbours may have come since. */
static bool place_retained(const struct search *search, struct moat_place *place) {
    uint32_t chance = search->wish->random ? search->claim.chance : 0;
    size_t size = search->wish->size;
    struct moat_retained_place told;

    if (!search->wish->at_once || !search->small || search->claim.before + search->claim.after)
        return false;
    for (unsigned tries = 0; tries < STALE_MAX; tries++) {
        if (!moat_retain_ring_get(search->kind, size, chance, &told))
            return false;
        struct moat_space *arena = moat_arenas_at(told.kind, told.number);
        size_t block = moat_space_block(arena, told.base);
        uint64_t pattern = moat_claim_pattern_in(arena, block, told.base, size);
        if (!moat_claim_exactly(arena, block, pattern, 0))
            continue;
        if (is_open(arena, block) && !touches(arena, told.base, size)) {
            if (!moat_habit_recycles(told.base, told.base + size))
                moat_retain_drop(arena, told.base, told.base + size);
            *place = (struct moat_place){
                .space = arena, .base = told.base, .size = size, .unshown = true};
            return true;
        }
        moat_arena_free(arena, told.base, told.base + size, 1);
    }
    return false;
}

/* Where there is no other place, those that rest are better than none. */
static void wake_all(unsigned which) {
    (void)moat_limbo_flush_all();
    (void)moat_quarantine_empty_all();
    (void)moat_retain_empty_all(true);
    for (size_t number = moat_arenas_count(which); number-- > 0;) {
        struct moat_space *arena = moat_arenas_at(which, number);
        if (moat_arenas_here(arena))
            moat_arena_wake(arena);
    }
}

#define PAGES_PER_GRANULE (MOAT_GRANULE / MOAT_PAGE)

/* Guards besides what placement leaves free anyway: `given` pages. */
static unsigned granules_beside(uint32_t pages, size_t given) {
    return pages <= given ? 0u : (unsigned)((pages - given - 1) / PAGES_PER_GRANULE + 1);
}

/* Before a region there is a page at least; behind it the rest of its last granule, or a free one.
 * False: with guards of its own, or among too many kinds, it had better stand alone. */
static bool prepare(const struct moat_place_wish *wish, struct search *search) {
    size_t whole = moat_round_up(wish->size, MOAT_GRANULE);
    size_t slack = (whole - wish->size) / MOAT_PAGE;
    unsigned before = wish->guard_before > 1 ? granules_beside(wish->guard_before, 0) : 0;
    /* The granule behind is kept free where it is the guard; behind guards nothing is. */
    bool one_will_do = wish->guard_after <= PAGES_PER_GRANULE;
    size_t behind = slack || !one_will_do ? slack : PAGES_PER_GRANULE;
    unsigned after = granules_beside(wish->guard_after, behind);
    uint64_t chance = wish->random ? moat_chance_draw() : 0;
    const struct moat_kind kind = {wish->markers, wish->undumped, wish->fork, wish->supply};

    *search = (struct search){
        .wish = wish,
        .kind = moat_kind_number(&kind),
        .small = is_small(wish, before + after > 0),
        .chance = (uint32_t)(chance >> 32),
    };
    if (search->kind == MOAT_KINDS_MAX)
        return false;
    if (!search->small)
        return before + after == 0;
    search->claim = (struct moat_claim_wish){
        .before = before,
        .count = (unsigned)(whole >> MOAT_GRANULE_SHIFT),
        .after = after,
        .slack = slack != 0,
        .random = wish->random,
        .chance = (uint32_t)chance,
    };
    return before + search->claim.count + after <= MOAT_GRANULES_PER_BLOCK;
}

enum moat_status moat_arena_place(const struct moat_place_wish *wish, struct moat_place *place) {
    unsigned shard = moat_os_processor() % SHARDS;
    struct search search;
    bool woken = false;

    if (!prepare(wish, &search))
        return MOAT_NO_MEMORY;
    if (place_retained(&search, place))
        return MOAT_OK;
    /* relaxed: a hint. */
    uint64_t hint = atomic_load_explicit(&kinds[search.kind].shards[shard].hints[search.small],
                                         memory_order_relaxed);
    size_t number = (size_t)(hint >> 32);
    size_t from = hint ? (uint32_t)hint - 1u : ANYWHERE;
    /* Others may take all of an arena before this call has a part of it, but not for ever. */
    for (unsigned tries = 0; tries < MOAT_ARENAS_MAX; tries++) {
        search.converts = false;
        int error = search_all(shard, number, from, &search, place);
        search.converts = error == EBUSY;
        if (error == EBUSY)
            error = search_all(shard, number, from, &search, place);
        if (!error)
            return MOAT_OK;
        if (error != EBUSY)
            return moat_powers_refusal(error, MOAT_NO_MEMORY);
        if (!moat_arenas_add(search.kind, wish->size, &number)) {
            if (woken)
                break;
            woken = true;
            wake_all(search.kind);
        }
        from = hint ? 0 : ANYWHERE;
    }
    return MOAT_NO_MEMORY;
}
