/* SPDX-License-Identifier: MIT */
/* place: in an arena if that fits, else alone. */
#include "region/place.h"

#include "os/os.h"
#include "region/arena.h"
#include "region/books.h"
#include "region/chance.h"
#include "region/limbo.h"
#include "region/pages.h"
#include "region/policy.h"
#include "region/powers.h"
#include "region/quarantine.h"
#include "region/resting.h"
#include "region/retain.h"
#include "region/spare.h"
#include "region/trap.h"

#include <moat/options.h>

#include <errno.h>

/* A space of its own for [base, base + size) inside the mapping [start, end). */
static struct moat_space *stand_alone(const struct moat_place_wish *wish, uintptr_t start,
                                      uintptr_t end, uintptr_t base) {
    void *books = moat_books_take(moat_space_books_size(start, end, false));
    if (!books)
        return NULL;
    struct moat_space *space = moat_space_init(books, start, end, false);
    space->usable_start = base;
    space->usable_end = base + wish->size;
    space->markers = wish->markers && !wish->backend->accessible;
    space->undumped = wish->undumped;
    if (!wish->backend->accessible) /* or it is somebody else's memory */
        space->supply = wish->supply;
    moat_space_set_fork(space, wish->fork);
    space->backend = wish->backend;
    return space;
}

/* What a resident backend supplies is accessible and full of old content: make it trap, and have
 * every page zeroed before its first use. */
static int put_away(struct moat_space *space) {
    int error = moat_os_protect((void *)space->start, space->end - space->start, MOAT_OS_NONE);
    if (!error)
        moat_pages_set(space, space->usable_start, space->usable_end, MOAT_PAGE_DIRTY);
    return error;
}

static bool is_open(uintptr_t page) {
    return moat_os_look((void *)page) == MOAT_OS_LOOK_READABLE;
}

/* Enter a mapping that was just made for the region at `base`; on failure it is given back. */
static enum moat_status settle(const struct moat_place_wish *wish, uintptr_t start, size_t size,
                               uintptr_t base, struct moat_place *place) {
    moat_spare_want(MOAT_SPARE_PAGES);
    struct moat_space *space = stand_alone(wish, start, start + size, base);
    int error = space ? 0 : ENOMEM;
    if (!error && wish->backend->accessible)
        error = put_away(space);
    if (!error)
        error = moat_policy_alone(space);
    if (!error && (!wish->backend->accessible || wish->undumped))
        moat_trap_hide(space);
    if (error) {
        if (space)
            moat_books_give(space, moat_space_books_size(start, start + size, false));
        if (wish->backend->take_back((void *)start, size))
            moat_os_lose(size);
        return moat_powers_refusal(error, MOAT_NO_MEMORY);
    }
    uintptr_t end = base + wish->size;
    *place = (struct moat_place){
        .space = space,
        .base = base,
        .size = wish->size,
        .unverified =
            (start < base && is_open(base - MOAT_PAGE)) || (end < start + size && is_open(end)),
    };
    return MOAT_OK;
}

/* Margins of a mapping of its own, whole granules so that the base is at one. The rest of the last
 * granule of the region counts, but a granule behind it there is in any case. */
static size_t margin_before(const struct moat_place_wish *wish) {
    size_t margin = moat_round_up((size_t)wish->guard_before * MOAT_PAGE, MOAT_GRANULE);
    return margin ? margin : MOAT_GRANULE;
}

static size_t margin_behind(const struct moat_place_wish *wish) {
    size_t tail = moat_round_up(wish->size, MOAT_GRANULE) - wish->size;
    size_t wanted = (size_t)wish->guard_after * MOAT_PAGE;
    size_t margin = wanted > tail ? moat_round_up(wanted - tail, MOAT_GRANULE) : 0;
    return margin ? margin : MOAT_GRANULE;
}

static enum moat_status place_tight(const struct moat_place_wish *wish, struct moat_place *place) {
    size_t before = margin_before(wish);
    size_t size = before + moat_round_up(wish->size, MOAT_GRANULE) + margin_behind(wish);
    void *start;
    int error = wish->backend->supply(size, MOAT_GRANULE, &start);
    if (error)
        return moat_powers_refusal(error, MOAT_NO_MEMORY);
    return settle(wish, (uintptr_t)start, size, (uintptr_t)start + before, place);
}

/* The margin before an aligned base is what aligns it; what is not needed is given back. */
static enum moat_status place_aligned(const struct moat_place_wish *wish,
                                      struct moat_place *place) {
    size_t lead = moat_round_up(margin_before(wish), wish->alignment);
    size_t size = lead + moat_round_up(wish->size, MOAT_GRANULE) + margin_behind(wish);
    size_t excess = lead - margin_before(wish);
    void *start;

    if (wish->alignment > MOAT_OS_USER_END)
        return MOAT_NO_MEMORY;
    int error = moat_os_reserve(size, wish->alignment, &start);
    if (error)
        return moat_powers_refusal(error, MOAT_NO_MEMORY);
    uintptr_t base = (uintptr_t)start + lead;
    /* Refused, the margin is as large as that. */
    if (excess && moat_os_unreserve(start, excess))
        excess = 0;
    return settle(wish, (uintptr_t)start + excess, size - excess, base, place);
}

/* Where huge pages are wanted the region has to begin where one does. */
static enum moat_status place_alone(const struct moat_place_wish *wish, struct moat_place *place) {
    struct moat_place_wish aligned = *wish;

    if (!wish->supply.huge || wish->size < MOAT_BLOCK || wish->backend->accessible)
        return place_tight(wish, place);
    aligned.alignment = MOAT_BLOCK;
    return place_aligned(&aligned, place);
}

/* A place may be gone before it is taken. */
#define ROOM_TRIES 100

static bool bounded(const struct moat_place_wish *wish) {
    return wish->lowest != 0 || wish->limit != 0;
}

/* Take the highest room there is; ENOMEM if that cannot be mapped, or, and then it is `crowded`,
 * if there is none. */
static int take_room(const struct moat_os_room *room, uintptr_t *base, bool *crowded) {
    int error = EEXIST;
    *crowded = false;
    for (unsigned tries = 0; error == EEXIST && tries < ROOM_TRIES; tries++) {
        error = moat_os_find_room(room, base);
        *crowded = error == ENOSPC;
        if (!error)
            error =
                moat_os_reserve_at((void *)(*base - room->margin), room->held + 2 * room->margin);
    }
    return error == EEXIST || error == ENOSPC ? ENOMEM : error;
}

static enum moat_status place_high(const struct moat_place_wish *wish, struct moat_place *place) {
    struct moat_os_room room = {
        .lowest = wish->lowest,
        .limit = wish->limit ? wish->limit : MOAT_OS_USER_END,
        .size = wish->size,
        .held = moat_round_up(wish->size, MOAT_GRANULE),
        .alignment = wish->alignment ? wish->alignment : MOAT_GRANULE,
    };
    size_t before = margin_before(wish), behind = margin_behind(wish);
    uintptr_t base;

    room.margin = before > behind ? before : behind;

    /* For want of room alone: a refusal that passes must not cost a region its guards. */
    bool crowded;
    int error = take_room(&room, &base, &crowded);
    bool yields = crowded && bounded(wish);
    if (yields && room.margin > MOAT_GRANULE) {
        room.margin = MOAT_GRANULE;
        error = take_room(&room, &base, &crowded);
    }
    if (yields && crowded) {
        room.margin = 0;
        error = take_room(&room, &base, &crowded);
    }
    if (error == ENOMEM)
        return MOAT_NO_MEMORY;
    if (error)
        return MOAT_NOT_SUPPORTED;
    enum moat_status status =
        settle(wish, base - room.margin, room.held + 2 * room.margin, base, place);
    if (!status)
        place->yielded = yields;
    return status;
}

static enum moat_status place_anywhere(const struct moat_place_wish *wish,
                                       struct moat_place *place) {
    if (bounded(wish))
        return place_high(wish, place);
    if (wish->top_down && !wish->backend->accessible && !place_high(wish, place))
        return MOAT_OK;
    if (wish->alignment > MOAT_GRANULE)
        return place_aligned(wish, place);
    if (!wish->alone && !wish->backend->accessible && wish->size <= MOAT_ARENA_REGION_MAX) {
        enum moat_status status = moat_arena_place(wish, place);
        if (status != MOAT_NO_MEMORY && status != MOAT_MAP_LIMIT)
            return status;
    }
    return place_alone(wish, place);
}

bool moat_place_give_way(void) {
    size_t deferred = moat_limbo_flush_all();
    size_t rested = moat_quarantine_empty_all();
    size_t retained = moat_retain_empty_all(true);
    return deferred + rested + retained > 0;
}

/* Whether a call that was refused so may get on once nothing rests or is retained any more. */
static bool gives_way(enum moat_status status) {
    return (status == MOAT_NO_MEMORY || status == MOAT_MAP_LIMIT) && moat_place_give_way();
}

enum moat_status moat_place_anywhere(const struct moat_place_wish *wish, struct moat_place *place) {
    struct moat_place_wish drawn = *wish;

    if (wish->size > MOAT_OS_USER_END - 2 * MOAT_GRANULE)
        return MOAT_NO_MEMORY;
    if (wish->guard_random) {
        uint64_t chance = moat_chance_draw();
        drawn.guard_before += moat_chance_below((uint32_t)chance, wish->guard_random + 1);
        drawn.guard_after += moat_chance_below((uint32_t)(chance >> 32), wish->guard_random + 1);
    }
    enum moat_status status = place_anywhere(&drawn, place);
    return gives_way(status) ? place_anywhere(&drawn, place) : status;
}

static enum moat_status place_outside(const struct moat_place_wish *wish, uintptr_t base,
                                      struct moat_place *place, uintptr_t *conflict) {
    /* The rest of the last granule belongs to nobody, and is held so that it stays so. */
    uintptr_t end = base + moat_round_up(wish->size, MOAT_GRANULE);
    int error = moat_os_reserve_at((void *)base, end - base);
    if (error == EEXIST && moat_spare_parked() != 0) {
        moat_spare_refill(); /* what waits there to be unmapped is nobody's */
        error = moat_os_reserve_at((void *)base, end - base);
    }
    if (error == EEXIST)
        error = moat_resting_take(base, end);
    if (error) {
        *conflict = base;
        return error == EEXIST ? MOAT_INVALID_ADDRESS : moat_powers_refusal(error, MOAT_NO_MEMORY);
    }
    return settle(wish, base, end - base, base, place);
}

/* Whether memory of an arena is bound to the nodes, if any, that the wish's is to be bound to. */
static bool same_bounds(const struct moat_space *arena, const struct moat_place_wish *wish) {
    const struct moat_supply *has = &arena->supply, *wanted = &wish->supply;

    return (has->numa == MOAT_NUMA_BIND) == (wanted->numa == MOAT_NUMA_BIND) &&
           (has->numa != MOAT_NUMA_BIND || has->nodes == wanted->nodes);
}

enum moat_status moat_place_at(const struct moat_place_wish *wish, uintptr_t base,
                               struct moat_place *place, uintptr_t *conflict) {
    struct moat_space *arena = moat_arena_of(base);
    /* What children have of an arena they have of all of it, and where its memory must come from is
     * the same for all of it. */
    if (arena && (moat_space_fork(arena) != wish->fork || !same_bounds(arena, wish))) {
        *conflict = arena->usable_end;
        return MOAT_INVALID_ADDRESS;
    }
    if (arena)
        return moat_arena_place_at(arena, base, wish->size, place, conflict);

    enum moat_status status = place_outside(wish, base, place, conflict);
    return gives_way(status) ? place_outside(wish, base, place, conflict) : status;
}

void moat_place_span(const struct moat_place *place, uintptr_t *start, uintptr_t *end) {
    *start = place->space->start;
    *end = place->space->end;
    if (!place->space->arena)
        return;
    *start = place->base - place->before * MOAT_GRANULE;
    *end = place->base + place->size;
    if (place->after)
        *end = moat_round_up(*end, MOAT_GRANULE) + place->after * MOAT_GRANULE;
}

/* Keep a mapping instead of giving it back. */
static bool rest(const struct moat_space *space, const struct moat_quarantine *quarantine) {
    return !space->backend->accessible &&
           moat_quarantine_admits(quarantine, space->end - space->start) &&
           moat_is_aligned(space->start | space->end, MOAT_GRANULE) &&
           moat_resting_enter(space->start, space->end);
}

int moat_place_unmap(struct moat_place *place, const struct moat_quarantine *quarantine) {
    struct moat_space *space = place->space;
    if (space->arena)
        return 0;
    void *start = (void *)space->start;
    size_t size = space->end - space->start;
    int error = 0;

    /* relaxed: read in a forked child alone. */
    atomic_store_explicit(&space->leaving, true, memory_order_relaxed);
    place->rests = rest(space, quarantine);
    if (place->rests)
        return 0;
    if (space->backend->accessible)
        error = moat_spare_protect(start, size, MOAT_OS_READ | MOAT_OS_WRITE);
    if (space->backend->accessible && space->hidden)
        (void)moat_os_dump_include(start, size); /* refused, others miss them in a dump */
    struct moat_spare_use use = {0};
    if (!error)
        do /* mappings without rights merge, so that a part of one may have to be cut out */
            error = space->backend->take_back(start, size);
        while (moat_spare_lend(error, &use));
    if (error == ENOMEM && space->backend == moat_backend_os() &&
        moat_spare_room() == MOAT_ROOM_NONE &&
        moat_spare_park(start, size, moat_space_fork(space) != MOAT_FORK_DONTFORK))
        error = 0;
    moat_spare_refill();
    return error;
}

bool moat_place_leaving(const struct moat_space *space) {
    /* relaxed: by whoever mends a child. */
    return atomic_load_explicit(&space->leaving, memory_order_relaxed);
}

void moat_place_forget(const struct moat_place *place, struct moat_quarantine *quarantine,
                       int error) {
    struct moat_space *space = place->space;
    uintptr_t start = space->start, end = space->end;

    if (space->arena) {
        moat_arena_vacate(place, quarantine);
        return;
    }
    if (!error)
        moat_books_give(space, moat_space_books_size(start, end, false));
    else /* under markers the kernel's view of it would be that it can be used */
        (void)moat_books_claim(start, end);
    if (place->rests)
        moat_quarantine_rest(quarantine, start, end - start, true);
}

int moat_place_vacate(const struct moat_place *place, struct moat_quarantine *quarantine) {
    struct moat_place going = *place;
    int error = moat_place_unmap(&going, quarantine);
    moat_place_forget(&going, quarantine, error);
    return error;
}
