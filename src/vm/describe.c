/* SPDX-License-Identifier: MIT */
/*
 * describe: from an address to what is known of it.
 *
 * As in a query everything is copied without a lock, and thrown away if the region died during the
 * copy. What is released is told by the history, which is overwritten in time; so the history is
 * believed in what it says, and nothing is made of its silence.
 */
#include "vm/describe.h"
#include "vm/corruption.h"

#include "os/os.h"
#include "region/arena.h"
#include "region/books.h"
#include "region/fork.h"
#include "region/integrity.h"
#include "region/latch.h"
#include "region/pages.h"
#include "vm/foreign.h"
#include "vm/manager.h"

#define TRIES 100

/* How far beside a region an address still has to do with it, where its guards are not larger. */
#define NEAR_MAX ((uintptr_t)1 << 20)

struct moat_event moat_event_of(const struct moat_moment *moment) {
    uint64_t now = moat_history_now();
    uint64_t age = now > moment->time ? now - moment->time : 0;
    return (struct moat_event){
        .age_ns = moment->thread ? age : 0,
        .thread = moment->thread,
        .site = (const void *)moment->site,
    };
}

static void tell_region(const struct moat_region_ref *ref, struct moat_description *told) {
    const struct moat_moment born = moat_history_birth(ref);

    told->base = (const void *)ref->base;
    told->size = ref->size;
    told->offset = (int64_t)((uintptr_t)told->address - ref->base);
    told->reserved_protection = ref->protection;
    told->heap = (ref->flags & MOAT_REGION_TAGGED) != 0;
    told->owner = ref->owner;
    told->reserved = moat_event_of(&born);
}

static void tell_earlier(const struct moat_past *past, struct moat_description *told) {
    told->earlier_base = (const void *)past->base;
    told->earlier_size = past->size;
    told->earlier_freed = moat_event_of(&past->ended);
}

static void tell_freed(const struct moat_past *past, struct moat_description *told) {
    told->freed_base = (const void *)past->start;
    told->freed_size = past->end - past->start;
    told->freed = moat_event_of(&past->ended);
}

static enum moat_address_kind kind_in(const struct moat_region_ref *ref, uint8_t state) {
    if (ref->flags & MOAT_REGION_PLACEHOLDER)
        return MOAT_ADDRESS_PLACEHOLDER;
    if (!(state & MOAT_PAGE_COMMITTED))
        return MOAT_ADDRESS_RESERVED;
    return state & MOAT_PAGE_IS_GUARD ? MOAT_ADDRESS_GUARD_PAGE : MOAT_ADDRESS_COMMITTED;
}

/* False: the region died meanwhile. */
static bool describe_in(const struct moat_region_ref *ref, struct moat_description *told) {
    uintptr_t address = (uintptr_t)told->address;
    uintptr_t page = moat_round_down(address, MOAT_PAGE);
    struct moat_pages_view view = moat_pages_view(ref->space);
    struct moat_past past;
    uint8_t state;

    if (!moat_region_lives(ref))
        return false;
    tell_region(ref, told);
    /* Its memory is not in this child, and the books are not told before the first call. */
    if (moat_space_fork(ref->space) == MOAT_FORK_DONTFORK && moat_fork_pending()) {
        told->kind = MOAT_ADDRESS_RELEASED;
        return moat_region_lives(ref);
    }
    (void)moat_pages_peek(&view, page, page + MOAT_PAGE, &state);
    told->kind = kind_in(ref, state);
    if (state & MOAT_PAGE_COMMITTED)
        told->protection = moat_protection_seen(state, ref->protection);
    if (moat_history_find_in(ref, address, &past)) {
        if (!moat_history_is_of(ref, &past)) {
            if (past.released)
                tell_earlier(&past, told);
        } else if (told->kind == MOAT_ADDRESS_RESERVED && !past.released) {
            told->kind = MOAT_ADDRESS_DECOMMITTED;
            tell_freed(&past, told);
        }
    }
    return moat_region_lives(ref);
}

/* A region beside an address. */
struct neighbour {
    struct moat_region_ref ref;
    size_t distance; /* > 0; SIZE_MAX: there is none */
    bool behind;     /* the region begins behind the address */
};

/* How far the guard on that side may reach, and at least as far as is near. */
static uintptr_t reach_of(const struct moat_region_ref *ref, bool behind) {
    const struct moat_options *options = moat_manager_options(ref->owner);
    uintptr_t pages = behind ? options->guard_before : options->guard_after;
    uintptr_t guarded = (pages + options->guard_random) * MOAT_PAGE + MOAT_GRANULE;
    return guarded > NEAR_MAX ? guarded : NEAR_MAX;
}

/* Whether an address outside a region may have been meant for it: both are in arenas, or the region
 * has a mapping of its own that the address is in. */
static bool may_miss(const struct moat_region_ref *ref, uintptr_t address, bool in_arena) {
    return (address >= ref->span_start && address < ref->span_end) ||
           (in_arena && moat_arena_of(ref->base) != NULL);
}

/* The nearer one of the regions on either side that an address may have missed. */
static struct neighbour find_neighbour(uintptr_t address, bool in_arena) {
    struct neighbour nearest = {.distance = SIZE_MAX};
    struct moat_region_ref ref;

    if (moat_region_before(address, &ref) && address >= ref.base + ref.size &&
        may_miss(&ref, address, in_arena)) {
        size_t distance = address - (ref.base + ref.size) + 1;
        if (distance <= reach_of(&ref, false))
            nearest = (struct neighbour){ref, distance, false};
    }
    if (moat_region_after(address, &ref) && address < ref.base &&
        may_miss(&ref, address, in_arena)) {
        size_t distance = ref.base - address;
        if (distance < nearest.distance && distance <= reach_of(&ref, true))
            nearest = (struct neighbour){ref, distance, true};
    }
    return nearest;
}

/*
 * Whether an address beside a region is that region's affair, though another lay there once: it is
 * in the same granule, or in the first page beside it while the other was gone before it came.
 */
static bool is_missed(const struct neighbour *beside, uintptr_t address,
                      const struct moat_past *past) {
    uintptr_t end = beside->ref.base + beside->ref.size;
    const struct moat_moment born = moat_history_birth(&beside->ref);

    if (!beside->behind && address < moat_round_up(end, MOAT_GRANULE))
        return true;
    return beside->distance <= MOAT_PAGE && born.time >= past->ended.time;
}

static void describe_beside(const struct neighbour *beside, const struct moat_past *past,
                            struct moat_description *told) {
    told->kind = beside->behind ? MOAT_ADDRESS_BEFORE_START : MOAT_ADDRESS_PAST_END;
    tell_region(&beside->ref, told);
    told->distance = beside->distance;
    /* A stale pointer into what was there may be meant as well. */
    if (past && past->released)
        tell_earlier(past, told);
}

/* Whether a page of an arena in which no region lies is accessible by the books: in limbo. */
static bool is_pending(uintptr_t address) {
    const struct moat_space *arena = moat_arena_of(address);
    uintptr_t page = moat_round_down(address, MOAT_PAGE);
    uint8_t state = 0;

    if (!arena)
        return false;
    const struct moat_pages_view view = moat_pages_view(arena);
    (void)moat_pages_peek(&view, page, page + MOAT_PAGE, &state);
    return (state & MOAT_PAGE_COMMITTED) != 0;
}

static void describe_past(const struct moat_past *past, const struct neighbour *beside,
                          struct moat_description *told) {
    told->kind = MOAT_ADDRESS_RELEASED;
    told->base = (const void *)past->base;
    told->size = past->size;
    told->offset = (int64_t)((uintptr_t)told->address - past->base);
    told->owner = past->owner;
    told->reserved = moat_event_of(&past->born);
    told->trap_pending = is_pending((uintptr_t)told->address);
    if (past->released)
        tell_freed(past, told); /* else the release itself was forgotten */
    if (beside->distance < MOAT_PAGE) {
        told->near_base = (const void *)beside->ref.base;
        told->near_size = beside->ref.size;
        told->near_distance = beside->distance;
        told->near_is_behind = beside->behind;
    }
}

/* What the kernel says. */
static enum moat_status describe_foreign(const struct moat_past *past,
                                         struct moat_description *told) {
    struct moat_page_info info;
    enum moat_status status =
        moat_foreign_query(moat_round_down((uintptr_t)told->address, MOAT_PAGE), &info);
    const struct neighbour nobody = {.distance = SIZE_MAX};

    if (!status && info.state != MOAT_STATE_FREE) {
        told->kind = MOAT_ADDRESS_FOREIGN;
        told->base = info.allocation_base;
        told->size = (uintptr_t)info.base + info.size - (uintptr_t)info.allocation_base;
        told->offset = (int64_t)((uintptr_t)told->address - (uintptr_t)info.allocation_base);
        told->protection = info.protection;
        told->owner = info.owner;
        if (past)
            tell_earlier(past, told);
    } else if (past) {
        describe_past(past, &nobody, told);
        status = MOAT_OK;
    }
    return status;
}

/* False: a region that it is about died meanwhile. */
static bool describe_outside(struct moat_description *told, enum moat_status *status) {
    uintptr_t address = (uintptr_t)told->address;
    uintptr_t start, end;
    struct moat_past past;

    *status = MOAT_OK;
    told->kind = MOAT_ADDRESS_FREE;
    bool in_arena = moat_arena_of(address) != NULL || moat_arena_border(address, &start, &end);
    const struct neighbour beside = find_neighbour(address, in_arena);
    bool known = moat_history_find(address, &past);
    if (beside.distance != SIZE_MAX && (!known || is_missed(&beside, address, &past))) {
        describe_beside(&beside, known ? &past : NULL, told);
        return moat_region_lives(&beside.ref);
    }
    if (known && (in_arena || beside.distance != SIZE_MAX)) {
        describe_past(&past, &beside, told);
    } else if (in_arena || moat_books_contain(address, &start, &end)) {
        told->kind = in_arena ? MOAT_ADDRESS_HELD : MOAT_ADDRESS_BOOKS;
    } else {
        *status = describe_foreign(known ? &past : NULL, told);
    }
    return true;
}

/* False: what was looked at has changed meanwhile. */
static bool describe(struct moat_description *told, enum moat_status *status) {
    struct moat_region_ref ref;

    *status = MOAT_OK;
    if (moat_region_find((uintptr_t)told->address, &ref)) {
        if (moat_region_verify(&ref))
            return describe_in(&ref, told);
        *status = moat_latch_status();
        return true;
    }
    return describe_outside(told, status);
}

enum moat_status moat_describe_address(const void *address, struct moat_description *description) {
    enum moat_status status;
    unsigned tries = 0;

    if (!description)
        return MOAT_NO_ACCESS;
    *description = (struct moat_description){.address = address};
    if (moat_latched())
        return MOAT_UNAVAILABLE;
    if ((uintptr_t)address >= MOAT_OS_ADDRESS_END)
        return MOAT_INVALID_ARGUMENT;
    /* The last try stands: a place that changes this often within one call is a matter of chance,
     * and what is told of it was so at some moment. */
    while (!describe(description, &status) && ++tries < TRIES)
        *description = (struct moat_description){.address = address};
    return moat_corruption_status(status, "describe");
}
