/* SPDX-License-Identifier: MIT */
/* retain: rights away and back; and walks over the granules where nothing lies. */
#include "region/retain.h"

#include "os/os.h"
#include "region/arena.h"
#include "region/arenas.h"
#include "region/claim.h"
#include "region/held.h"
#include "region/pages.h"
#include "region/retain_ring.h"
#include "region/sever.h"
#include "region/stash.h"
#include "region/trap.h"

#include <moat/options.h>

/* Of so many places that the budget does not allow, one takes the place of an older one: what is
 * kept of sizes that nobody uses any more goes, at a price that nobody sees. */
#define AGING 8u

#define SHARDS 64u

static struct { _Alignas(64) _Atomic uint32_t refused; } shards[SHARDS];

static void *at(uintptr_t address) {
    return (void *)address;
}

static bool may_retain(const struct moat_space *space) {
    return space->arena && space->markers && moat_space_fork(space) == MOAT_FORK_INHERIT;
}

void moat_retain_drop(struct moat_space *space, uintptr_t start, uintptr_t end) {
    while (start < end && moat_retained_any()) {
        struct moat_run run = moat_pages_run(space, start, end);
        start = run.end;
        if (!moat_page_retained(run.state))
            continue;
        size_t size = run.end - run.start;
        /* From here on a marker may be on any of them: a forked child may find it so. */
        moat_pages_set(space, run.start, run.end, MOAT_PAGE_DIRTY | MOAT_CODE_NOACCESS);
        if (moat_os_guard_install(at(run.start), size)) {
            (void)moat_os_discard(at(run.start), size); /* and the next commit zeroes */
            continue;
        }
        moat_pages_set(space, run.start, run.end, MOAT_CODE_NOACCESS);
        moat_trap_normalise(space, run.start, run.end);
        moat_sever_end(space, moat_round_down(run.start, MOAT_GRANULE), run.end);
    }
}

/* Claim what is told of, if nothing has come there, give its memory back and leave it free. */
static void drop_place(const struct moat_retained_place *place) {
    struct moat_space *arena = moat_arenas_at(place->kind, place->number);
    uintptr_t end = place->base + place->size;
    size_t block = moat_space_block(arena, place->base);
    uint64_t pattern = moat_claim_pattern_in(arena, block, place->base, place->size);

    moat_held_begin(MOAT_HELD_PLACE);
    if (moat_claim_exactly(arena, block, pattern, 0)) {
        moat_retain_drop(arena, place->base, end);
        moat_arena_free(arena, place->base, end, 1);
    }
    moat_held_end(MOAT_HELD_PLACE);
}

/* What the budget does not allow may take the place of something older: once in a while. */
static bool draw(struct moat_space *space, uintptr_t start, uintptr_t end, uint64_t most) {
    struct moat_retained_place oldest;

    if (moat_retain_draw(end - start, most)) {
        if (moat_sever(space, start, end))
            return true;
        moat_retain_refund(end - start);
    }
    /* relaxed: how often does not matter much. */
    uint32_t refused = atomic_fetch_add_explicit(&shards[moat_os_processor() % SHARDS].refused, 1,
                                                 memory_order_relaxed);
    if (refused % AGING == 0 && moat_retain_ring_get_oldest(&oldest))
        drop_place(&oldest);
    return false;
}

size_t moat_retain_pages(struct moat_space *space, uintptr_t start, uintptr_t end, uint64_t most) {
    size_t size = end - start;

    if (most == 0 || size >= MOAT_RETAIN_SIZE_MAX || !may_retain(space))
        return 0;
    struct moat_run run = moat_pages_run(space, start, end);
    if (run.state != MOAT_PAGE_COMMITTED || !run.open || run.end != end)
        return 0;
    if (!draw(space, start, end, most))
        return 0;
    if (!moat_os_protect(at(start), size, MOAT_OS_NONE)) {
        moat_pages_set(space, start, end, MOAT_PAGES_RETAINED);
        return size;
    }
    moat_retain_refund(size);
    /* Refused, mostly nothing was changed; else, where it cannot be undone, the books follow. */
    if (!moat_os_protect(at(start), size, MOAT_OS_READ | MOAT_OS_WRITE))
        return 0;
    return moat_trap_follow(space, start, end, MOAT_OS_NONE, MOAT_PAGE_DIRTY | MOAT_CODE_NOACCESS);
}

void moat_retain_clear(const struct moat_place *place, bool committed) {
    uintptr_t start, end;

    if (!place->space->arena || !moat_retained_any())
        return;
    moat_place_span(place, &start, &end);
    end = moat_round_up(end, MOAT_GRANULE);
    if (committed) {
        moat_retain_drop(place->space, start, place->base);
        start = place->base + place->size;
    }
    moat_retain_drop(place->space, start, end);
}

void moat_retain_offer(struct moat_space *arena, uintptr_t base, size_t size) {
    struct moat_retained_place place, forgotten;

    if (size > MOAT_RETAIN_SIZE_MAX || !moat_retained_any())
        return;
    /* Whoever has come here meanwhile may be changing this: then it is a bad hint. */
    if (!moat_pages_mixed(arena, moat_space_block(arena, base)))
        return;
    size_t retained = moat_pages_look_retained(arena, base, base + size);
    if (retained == 0)
        return;
    place = (struct moat_retained_place){
        .kind = arena->kind,
        .number = arena->number,
        .base = base,
        .size = retained,
    };
    if (moat_retain_ring_put(&place, &forgotten))
        drop_place(&forgotten);
}

/* The granules of a block whose first page is retained, a bit each. */
static uint32_t retained_granules(const struct moat_space *arena, size_t block) {
    uintptr_t start = moat_space_block_start(arena, block);
    uint32_t found = 0;

    for (unsigned granule = 0; granule < MOAT_GRANULES_PER_BLOCK; granule++) {
        uintptr_t page = start + granule * MOAT_GRANULE;
        if (moat_pages_look_retained(arena, page, page + MOAT_PAGE))
            found |= UINT32_C(1) << granule;
    }
    return found;
}

static void empty_granule(struct moat_space *arena, size_t block, unsigned granule, bool wake) {
    uintptr_t start = moat_space_block_start(arena, block) + granule * MOAT_GRANULE;
    uint64_t pattern = moat_claim_pattern(granule, 1, true);
    bool rested = moat_claim_of(arena, block, granule) == MOAT_CLAIM_RESTING;

    if (!moat_claim_exactly(arena, block, pattern, rested ? MOAT_CLAIM_WAKES : 0))
        return;
    moat_retain_drop(arena, start, start + MOAT_GRANULE);
    /* Should its rest end in this moment, it goes on until somebody wakes the arena. */
    if (rested && !wake)
        moat_claim_free(arena, block, pattern, MOAT_CLAIM_RESTING);
    else
        moat_arena_free(arena, start, start + MOAT_GRANULE, 1);
}

static void empty_arena(struct moat_space *arena, bool wake) {
    for (size_t block = 1; block + 1 < arena->block_count; block++) {
        if (!moat_pages_mixed(arena, block))
            continue;
        uint32_t granules = retained_granules(arena, block);
        for (; granules != 0; granules &= granules - 1)
            empty_granule(arena, block, (unsigned)__builtin_ctz(granules), wake);
    }
}

size_t moat_retain_empty_all(bool wake) {
    uint64_t before = moat_retained_bytes();
    struct moat_space *arena;

    if (!moat_retained_any())
        return 0;
    moat_held_begin(MOAT_HELD_PLACE);
    (void)moat_stash_empty();
    for (size_t nth = 0; moat_arena_nth(nth, &arena); nth++)
        if (may_retain(arena) && moat_arenas_here(arena))
            empty_arena(arena, wake);
    moat_held_end(MOAT_HELD_PLACE);
    uint64_t after = moat_retained_bytes();
    return before > after ? (size_t)(before - after) : 0;
}

/* What is retained in a block, in bytes. */
static uint64_t retained_in(const struct moat_space *arena, size_t block) {
    uintptr_t at = moat_space_block_start(arena, block);
    uintptr_t end = at + MOAT_BLOCK;
    uint64_t bytes = 0;

    while (at < end && moat_pages_mixed(arena, block)) {
        struct moat_run run = moat_pages_run(arena, at, end);
        if (moat_page_retained(run.state))
            bytes += run.end - run.start;
        at = run.end;
    }
    return bytes;
}

void moat_retain_forget(struct moat_space *arena) {
    if (!may_retain(arena) || !moat_retained_any())
        return;
    for (size_t block = 1; block + 1 < arena->block_count; block++) {
        moat_retain_refund(retained_in(arena, block));
        moat_sever_forget(arena, block);
    }
}

void moat_retain_mend(void) {
    struct moat_space *arena;
    uint64_t bytes, granules = 0;

    if (!moat_retained_any())
        return;
    bytes = moat_stash_mend();
    for (size_t nth = 0; moat_arena_nth(nth, &arena); nth++) {
        if (!may_retain(arena) || !moat_arenas_here(arena))
            continue;
        for (size_t block = 1; block + 1 < arena->block_count; block++) {
            bytes += retained_in(arena, block);
            granules += (uint64_t)__builtin_popcount(moat_severed_granules(arena, block));
        }
    }
    moat_retain_recount(bytes, granules);
}
