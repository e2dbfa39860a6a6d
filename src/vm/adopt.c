/* SPDX-License-Identifier: MIT */
/*
 * adopt: slots in chunks that are never given back; a number says which range a slot has.
 *
 * Edges
 *   chunk     a chunk is zeroed, then hung in -> whoever finds it sees it zeroed
 *   told      a range is filled in, then numbered -> whoever reads the number finds it filled in
 *   rebirth   a field of a later range is written after the number of the earlier one went -> who
 *             reads that field finds another number
 */
#include "vm/adopt.h"

#include "base/probe.h"
#include "base/site.h"
#include "os/os.h"
#include "region/books.h"
#include "vm/foreign.h"

#include <moat/space.h>

#define CALL "adopt"

/* Numbers of ranges begin above these. */
enum { FREE, FILLING, FIRST };

struct slot {
    _Atomic uint64_t number; /* in the order in which ranges were told of; no two are the same */
    _Atomic uintptr_t start;
    _Atomic uintptr_t end;
    _Atomic(struct moat_manager *) owner;
};

#define SLOTS (MOAT_PAGE / sizeof(struct slot) - 1)

struct chunk {
    _Atomic uint64_t link; /* of the books */
    _Atomic(struct chunk *) next;
    uint64_t unused[2];
    struct slot slots[SLOTS];
};

_Static_assert(sizeof(struct chunk) == MOAT_PAGE, "a chunk is a piece of the books, whole");

static _Atomic(struct chunk *) chunks;
static _Atomic uint64_t told = FIRST;

/* One range as it was at one moment. */
struct range {
    uint64_t number;
    uintptr_t start;
    uintptr_t end;
    struct moat_manager *owner;
};

static struct chunk *follow(_Atomic(struct chunk *) *next) {
    /* A(chunk) */
    return atomic_load_explicit(next, memory_order_acquire);
}

/* A walk over all slots. */
struct walk {
    struct chunk *chunk;
    struct slot *slot;
};

/* The first slot, or the next; false after the last. */
static bool step(struct walk *walk) {
    if (walk->slot && walk->slot + 1 < walk->chunk->slots + SLOTS) {
        walk->slot++;
        return true;
    }
    walk->chunk = follow(walk->slot ? &walk->chunk->next : &chunks);
    walk->slot = walk->chunk ? walk->chunk->slots : NULL;
    return walk->slot != NULL;
}

/* Copy the range of a slot; false if it has none, or not the same one all the while. */
static bool copy(struct slot *slot, struct range *range) {
    /* A(told) */
    range->number = atomic_load_explicit(&slot->number, memory_order_acquire);
    if (range->number < FIRST)
        return false;
    /* A(rebirth) */
    range->start = atomic_load_explicit(&slot->start, memory_order_acquire);
    /* A(rebirth) */
    range->end = atomic_load_explicit(&slot->end, memory_order_acquire);
    /* A(rebirth) */
    range->owner = atomic_load_explicit(&slot->owner, memory_order_acquire);
    /* relaxed: after the fields, by A(rebirth). */
    return atomic_load_explicit(&slot->number, memory_order_relaxed) == range->number;
}

void moat_adopted_around(uintptr_t page, struct moat_adopted *around) {
    struct range range, holder = {0};

    *around = (struct moat_adopted){.end = UINTPTR_MAX};
    for (struct walk walk = {0}; step(&walk);)
        if (copy(walk.slot, &range) && range.number > holder.number && page >= range.start &&
            page < range.end)
            holder = range;
    if (holder.number) {
        around->base = around->start = holder.start;
        around->end = holder.end;
        around->owner = holder.owner;
    }
    for (struct walk walk = {0}; step(&walk);) {
        if (!copy(walk.slot, &range) || range.number <= holder.number)
            continue;
        if (range.start > page && range.start < around->end)
            around->end = range.start;
        if (range.end <= page && range.end > around->start)
            around->start = range.end;
    }
}

/* Whether this call has the slot now, if it was in the life `number`. */
static bool take(struct slot *slot, uint64_t number, uint64_t next) {
    /* relaxed: nothing was written for others to see; fields that are written next are ordered
     * behind this by R(rebirth). */
    return atomic_compare_exchange_strong_explicit(&slot->number, &number, next,
                                                   memory_order_relaxed, memory_order_relaxed);
}

static struct slot *free_slot(void) {
    for (struct walk walk = {0}; step(&walk);)
        /* relaxed: a hint. */
        if (atomic_load_explicit(&walk.slot->number, memory_order_relaxed) == FREE &&
            take(walk.slot, FREE, FILLING))
            return walk.slot;
    return NULL;
}

/* Hang another chunk in. False: no memory. */
static bool more_slots(void) {
    _Atomic(struct chunk *) *hook = &chunks;
    struct chunk *fresh = moat_books_take(sizeof *fresh);
    struct chunk *found = NULL;

    if (!fresh)
        return false;
    /* R(chunk) A(chunk) */
    while (!atomic_compare_exchange_strong_explicit(hook, &found, fresh, memory_order_acq_rel,
                                                    memory_order_acquire)) {
        hook = &found->next;
        found = NULL;
    }
    return true;
}

static void fill(struct slot *slot, const struct moat_range *range, struct moat_manager *owner) {
    /* R(rebirth) */
    atomic_store_explicit(&slot->start, range->start, memory_order_release);
    /* R(rebirth) */
    atomic_store_explicit(&slot->end, range->end, memory_order_release);
    /* R(rebirth) */
    atomic_store_explicit(&slot->owner, owner, memory_order_release);
    /* relaxed: calls of which one follows the other have numbers in that order. */
    uint64_t number = atomic_fetch_add_explicit(&told, 1, memory_order_relaxed);
    /* R(told) */
    atomic_store_explicit(&slot->number, number, memory_order_release);
}

/* Whether the kernel has something at each page: a range that was not mapped, or not all of it, was
 * told wrong, and it would be a trap to whoever walks the address space by it. */
static enum moat_status check_mapped(const struct moat_range *range) {
    struct moat_os_mapping mapping;

    for (uintptr_t at = range->start; at < range->end; at = mapping.end) {
        if (moat_os_query(at, &mapping))
            return moat_fail(MOAT_NOT_SUPPORTED, CALL, at, "the kernel does not tell");
        if (!mapping.mapped)
            return moat_fail(MOAT_INVALID_ADDRESS, CALL, at, "nothing is mapped there");
    }
    return MOAT_OK;
}

static enum moat_status check(uintptr_t start, size_t size, struct moat_range *range) {
    if (start < MOAT_GRANULE || !moat_is_aligned(start, MOAT_PAGE))
        return moat_fail(MOAT_INVALID_ARGUMENT, CALL, start,
                         "the start is no multiple of a page, or below the first 64 KiB");
    if (!moat_range_of(start, size, MOAT_OS_USER_END, range))
        return moat_fail(MOAT_INVALID_ARGUMENT, CALL, start,
                         "the size is 0 or the range leaves user space");
    if (!moat_foreign_only(range))
        return moat_fail(MOAT_INVALID_ADDRESS, CALL, start,
                         "a page belongs to a region or to Moat itself");
    return check_mapped(range);
}

static void count(struct moat_manager *manager, uint64_t ranges, uint64_t bytes) {
    struct moat_counters *counters = moat_manager_counters(manager);
    moat_count(counters, MOAT_COUNT_ADOPTED_REGIONS, ranges);
    moat_count(counters, MOAT_COUNT_ADOPTED_BYTES, bytes);
}

static enum moat_status adopt(struct moat_manager *manager, const void *address, size_t size) {
    uintptr_t start = (uintptr_t)address;
    struct moat_range range;
    struct slot *slot;

    if (!manager)
        return moat_fail(MOAT_NO_ACCESS, CALL, start, "manager is NULL");
    if (moat_latched())
        return moat_fail_latched(CALL, start);
    enum moat_status status = check(start, size, &range);
    if (status)
        return status;
    while ((slot = free_slot()) == NULL)
        if (!more_slots())
            return moat_fail_books(MOAT_NO_MEMORY, CALL, start);
    fill(slot, &range, manager);
    count(manager, 1, range.end - range.start);
    return MOAT_OK;
}

enum moat_status moat_adopt(struct moat_manager *manager, const void *address, size_t size) {
    moat_site_note(MOAT_SITE_HERE);
    enum moat_status status = adopt(manager, address, size);
    MOAT_PROBE(adopt, address, size, 0, status, manager);
    return status;
}

static struct slot *oldest(const struct moat_manager *manager, uintptr_t start,
                           struct range *found) {
    struct slot *slot = NULL;
    struct range range;

    for (struct walk walk = {0}; step(&walk);)
        if (copy(walk.slot, &range) && range.start == start && range.owner == manager &&
            (!slot || range.number < found->number)) {
            slot = walk.slot;
            *found = range;
        }
    return slot;
}

static enum moat_status disown(struct moat_manager *manager, const void *address) {
    uintptr_t start = (uintptr_t)address;
    struct range range;
    struct slot *slot;

    if (!manager)
        return moat_fail(MOAT_NO_ACCESS, "disown", start, "manager is NULL");
    if (moat_latched())
        return moat_fail_latched("disown", start);
    do {
        slot = oldest(manager, start, &range);
        if (!slot)
            return moat_fail(MOAT_NOT_OURS, "disown", start, "no range starts there");
    } while (!take(slot, range.number, FREE));
    count(manager, 0 - UINT64_C(1), 0 - (uint64_t)(range.end - range.start));
    return MOAT_OK;
}

enum moat_status moat_disown(struct moat_manager *manager, const void *address) {
    moat_site_note(MOAT_SITE_HERE);
    enum moat_status status = disown(manager, address);
    MOAT_PROBE(disown, address, 0, 0, status, manager);
    return status;
}

void moat_adopted_forget(struct moat_manager *manager) {
    struct range range;

    for (struct walk walk = {0}; step(&walk);)
        if (copy(walk.slot, &range) && range.owner == manager)
            (void)take(walk.slot, range.number, FREE);
}
