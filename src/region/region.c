/* SPDX-License-Identifier: MIT */
/* region: records and lookups, which copy and look again. */
#include "region/region.h"

#include "base/check.h"
#include "os/os.h"
#include "region/arena.h"
#include "region/held.h"
#include "region/history.h"
#include "region/integrity.h"
#include "region/latch.h"
#include "region/lock.h"
#include "region/registry.h"

#define MOAT_HANDLE_NONE 0u

struct moat_place moat_region_place(const struct moat_region_ref *ref) {
    struct moat_place place = {.space = ref->space, .base = ref->base, .size = ref->size};
    uintptr_t end = moat_round_up(ref->base + ref->size, MOAT_GRANULE);

    if (ref->space->arena) {
        place.before = (uint8_t)((ref->base - ref->span_start) >> MOAT_GRANULE_SHIFT);
        if (ref->span_end > end)
            place.after = (uint8_t)((ref->span_end - end) >> MOAT_GRANULE_SHIFT);
    }
    return place;
}

static void fill(struct moat_region *region, const struct moat_place *place,
                 const struct moat_region_terms *terms) {
    uint32_t protection = terms->protection | terms->flags << MOAT_REGION_FLAGS_SHIFT;
    /* R(rebirth) */
    atomic_store_explicit(&region->base, place->base, memory_order_release);
    /* R(rebirth) */
    atomic_store_explicit(&region->size, place->size, memory_order_release);
    /* R(rebirth) */
    atomic_store_explicit(&region->space, place->space, memory_order_release);
    /* R(rebirth) */
    atomic_store_explicit(&region->owner, terms->owner, memory_order_release);
    /* R(rebirth) */
    atomic_store_explicit(&region->protection, protection, memory_order_release);
    uintptr_t start, end;
    moat_place_span(place, &start, &end);
    /* R(rebirth) */
    atomic_store_explicit(&region->span_start, start, memory_order_release);
    /* R(rebirth) */
    atomic_store_explicit(&region->span_end, end, memory_order_release);
}

/* Copy one life of a record; false if it is free or changed hands during the copy. */
static bool copy(struct moat_region *region, uint32_t handle, struct moat_region_ref *ref) {
    ref->region = region;
    ref->handle = handle;
    ref->generation = moat_life_generation(&region->life);
    /* A(rebirth) */
    ref->base = atomic_load_explicit(&region->base, memory_order_acquire);
    /* A(rebirth) */
    ref->size = atomic_load_explicit(&region->size, memory_order_acquire);
    /* A(rebirth) */
    ref->space = atomic_load_explicit(&region->space, memory_order_acquire);
    /* A(rebirth) */
    ref->owner = atomic_load_explicit(&region->owner, memory_order_acquire);
    /* A(rebirth) */
    uint32_t protection = atomic_load_explicit(&region->protection, memory_order_acquire);
    ref->protection = protection & ((UINT32_C(1) << MOAT_REGION_FLAGS_SHIFT) - 1);
    ref->flags = protection >> MOAT_REGION_FLAGS_SHIFT & MOAT_REGION_FLAGS_MASK;
    /* A(rebirth) */
    ref->span_start = atomic_load_explicit(&region->span_start, memory_order_acquire);
    /* A(rebirth) */
    ref->span_end = atomic_load_explicit(&region->span_end, memory_order_acquire);
    return (ref->generation & 1) != 0 && moat_region_lives(ref);
}

/* The link of a record is the pool's while it is free. What the pool reads there of one that is
 * not, it throws away: the count in its head has changed. */
static void set_check(uint32_t handle) {
    struct moat_region *region = &moat_registry()->records[handle];
    struct moat_region_ref ref;

    (void)copy(region, handle, &ref);
    ref.generation++; /* as it will be when it is alive */
    /* R(rebirth) */
    atomic_store_explicit(&region->link, moat_check_word(&ref), memory_order_release);
}

bool moat_region_lives(const struct moat_region_ref *ref) {
    return moat_life_generation(&ref->region->life) == ref->generation;
}

struct moat_region_extra *moat_region_extra(const struct moat_region_ref *ref) {
    return &moat_registry()->extras[ref->handle];
}

static void set_tag(uint32_t handle, void *tag) {
    /* R(rebirth) */
    atomic_store_explicit(&moat_registry()->extras[handle].tag, tag, memory_order_release);
}

void *moat_region_tag(const struct moat_region_ref *ref) {
    if (!(ref->flags & MOAT_REGION_TAGGED))
        return NULL;
    /* A(rebirth) */
    void *tag = atomic_load_explicit(&moat_region_extra(ref)->tag, memory_order_acquire);
    return moat_region_lives(ref) ? tag : NULL;
}

/* A record that has been filled and is alive, or MOAT_HANDLE_NONE. */
static uint32_t make(const struct moat_place *place, const struct moat_region_terms *terms,
                     uint32_t *generation) {
    const struct moat_registry *registry = moat_registry();
    uint32_t handle = moat_registry_take_record(registry);

    MOAT_ASSERT(place->size > 0 && moat_is_aligned(place->base | place->size, MOAT_PAGE));
    if (handle == MOAT_HANDLE_NONE)
        return MOAT_HANDLE_NONE;
    fill(&registry->records[handle], place, terms);
    set_check(handle);
    if (!place->space->arena)
        moat_region_stands_alone(place->space);
    if (terms->tag)
        set_tag(handle, terms->tag);
    moat_history_born(handle);
    moat_life_birth(&registry->records[handle].life, generation);
    return handle;
}

/* End the life of a record that nobody finds any more, and give it back. */
static void bury(uint32_t handle, bool tagged) {
    const struct moat_registry *registry = moat_registry();
    _Atomic uint64_t *life = &registry->records[handle].life;

    if (tagged)
        set_tag(handle, NULL);
    if (moat_life_death(life))
        moat_life_wake(life);
    moat_record_pool_give(registry->pool, handle);
}

enum moat_status moat_region_publish(const struct moat_place *place,
                                     const struct moat_region_terms *terms) {
    const struct moat_registry *registry = moat_registry();
    uint32_t generation, handle = make(place, terms, &generation);

    if (handle == MOAT_HANDLE_NONE)
        return MOAT_NO_MEMORY;
    if (moat_registry_enter(registry, place->base, handle)) {
        moat_region_is_shown(&registry->records[handle], generation);
        if (place->space->arena)
            moat_arena_stand_guards(place);
        return MOAT_OK;
    }
    bury(handle, terms->tag != NULL);
    return MOAT_NO_MEMORY;
}

enum moat_status moat_region_prepare(const struct moat_place *place,
                                     const struct moat_region_terms *terms,
                                     struct moat_region_ref *ref) {
    uint32_t generation, handle = make(place, terms, &generation);
    uint32_t seen;

    if (handle == MOAT_HANDLE_NONE)
        return MOAT_NO_MEMORY;
    struct moat_region *region = &moat_registry()->records[handle];
    (void)copy(region, handle, ref);
    moat_held_push(region, MOAT_LIFE_STRIPES_ALL | MOAT_LIFE_CLOSING_BIT);
    /* Nobody else knows of it, so this is not refused. */
    (void)moat_life_close(&region->life, ref->generation, false, &seen);
    return MOAT_OK;
}

void moat_region_discard(const struct moat_region_ref *ref) {
    bury(ref->handle, (ref->flags & MOAT_REGION_TAGGED) != 0);
    moat_held_pop(ref->region);
}

enum moat_status moat_region_show(const struct moat_region_ref *ref) {
    if (!moat_registry_enter(moat_registry(), ref->base, ref->handle))
        return MOAT_NO_MEMORY;
    moat_region_is_shown(ref->region, ref->generation);
    return MOAT_OK;
}

void moat_region_hide(const struct moat_region_ref *ref) {
    moat_registry_erase(moat_registry(), ref->base, ref->handle);
}

/* A try fails when the region was released and its record or its place used again meanwhile, or
 * when another region came to stand in its place. */
#define FIND_TRIES 1000

/* What a record says of a region has to make sense; what does not was written by somebody else. */
static bool sound(const struct moat_region_ref *ref) {
    return moat_is_aligned(ref->base | ref->size, MOAT_PAGE) && ref->size != 0 &&
           ref->base >= ref->span_start && ref->base < ref->span_end &&
           ref->size <= ref->span_end - ref->base;
}

/* Out of line, for it is hardly ever called. */
static bool latch_stray(uint64_t page) {
    moat_latch("the table names a record that there is not", page << MOAT_PAGE_SHIFT);
    return false;
}

bool moat_region_named(uint64_t page, uint32_t handle, struct moat_region_ref *ref) {
    const struct moat_registry *registry = moat_registry();

    for (unsigned tries = 0; tries < FIND_TRIES && handle != MOAT_HANDLE_NONE; tries++) {
        if (handle > moat_record_pool_available(registry->pool))
            return latch_stray(page);
        bool alive = copy(&registry->records[handle], handle, ref);
        if (alive && sound(ref) && ref->base >> MOAT_PAGE_SHIFT == page)
            return true;
        if (moat_region_misled(page, ref))
            return false;
        handle = moat_region_table_find(registry->table, page);
    }
    return false;
}

static bool find_at(const struct moat_registry *registry, uint64_t page,
                    struct moat_region_ref *ref) {
    uint32_t handle = moat_region_table_find(registry->table, page);
    return handle != MOAT_HANDLE_NONE && moat_region_named(page, handle, ref);
}

bool moat_region_find_base(uintptr_t address, struct moat_region_ref *ref) {
    const struct moat_registry *registry = moat_registry();
    if (!registry || address >= MOAT_OS_USER_END)
        return false;
    return find_at(registry, address >> MOAT_PAGE_SHIFT, ref);
}

/* One look at the books for the last region that starts at or before a page. */
struct look {
    uint64_t top;    /* the first base that the index had */
    unsigned passed; /* bases without a region: one that is being made or taken away */
    bool found;
    struct moat_region_ref ref;
};

static void look_before(const struct moat_registry *registry, uint64_t page, struct look *look) {
    uint64_t base;

    *look = (struct look){.top = UINT64_MAX};
    while (moat_region_index_find_last(registry->index, page, &base)) {
        if (look->passed == 0)
            look->top = base;
        look->found = find_at(registry, base, &look->ref);
        if (look->found || base == 0)
            return;
        look->passed++;
        page = base - 1;
    }
}

static bool same_look(const struct look *a, const struct look *b) {
    return a->top == b->top && a->passed == b->passed && a->found == b->found &&
           (!a->found ||
            (a->ref.handle == b->ref.handle && a->ref.generation == b->ref.generation));
}

/*
 * The last region that starts at or before `address`; with `covering` it has to hold the address.
 *
 * What is found may have been cut since the index was read, or joined with what stands before it.
 * So what speaks against the address being held is believed only when a second look sees the same.
 */
static bool find_before(uintptr_t address, bool covering, struct moat_region_ref *ref) {
    const struct moat_registry *registry = moat_registry();
    struct look look, last;

    if (!registry)
        return false;
    for (unsigned tries = 0; tries < FIND_TRIES; tries++) {
        look_before(registry, address >> MOAT_PAGE_SHIFT, &look);
        bool holds = look.found && address - look.ref.base < look.ref.size;
        bool sure = tries > 0 && same_look(&look, &last);
        if (holds || (sure && look.found && !covering)) {
            *ref = look.ref;
            return true;
        }
        if (sure)
            return false;
        last = look;
    }
    return false;
}

bool moat_region_before(uintptr_t address, struct moat_region_ref *ref) {
    return find_before(address, false, ref);
}

bool moat_region_find(uintptr_t address, struct moat_region_ref *ref) {
    if (moat_region_find_base(address, ref))
        return true;
    return address < MOAT_OS_USER_END && find_before(address, true, ref);
}

bool moat_region_after(uintptr_t address, struct moat_region_ref *ref) {
    const struct moat_registry *registry = moat_registry();
    uint64_t page = (address >> MOAT_PAGE_SHIFT) + 1;

    if (!registry)
        return false;
    for (; moat_region_index_find_next(registry->index, page, &page); page++)
        if (find_at(registry, page, ref))
            return true;
    return false;
}

uintptr_t moat_region_next(uintptr_t address, uintptr_t end) {
    const struct moat_registry *registry = moat_registry();
    uint64_t page;

    if (!registry ||
        !moat_region_index_find_next(registry->index, (address >> MOAT_PAGE_SHIFT) + 1, &page))
        return end;
    uintptr_t next = (uintptr_t)page << MOAT_PAGE_SHIFT;
    return next < end ? next : end;
}

uint32_t moat_region_count_ever(void) {
    const struct moat_registry *registry = moat_registry();
    return registry ? moat_record_pool_dealt(registry->pool) : 0;
}

bool moat_region_copy(uint32_t handle, struct moat_region_ref *ref) {
    return copy(&moat_registry()->records[handle], handle, ref);
}

bool moat_region_nth(uint32_t handle, struct moat_region_ref *ref) {
    return moat_region_copy(handle, ref) && moat_region_verify(ref);
}

void moat_region_bury(const struct moat_region_ref *ref, bool shown) {
    if (shown)
        moat_registry_erase(moat_registry(), ref->base, ref->handle);
    moat_region_forget_lock(ref);
    bury(ref->handle, (ref->flags & MOAT_REGION_TAGGED) != 0);
}

static void end(const struct moat_region_ref *ref) {
    moat_region_bury(ref, false);
    moat_held_pop(ref->region);
}

void moat_region_retire(const struct moat_region_ref *ref) {
    moat_registry_erase(moat_registry(), ref->base, ref->handle);
    end(ref);
}

int moat_region_depart(const struct moat_region_ref *ref, struct moat_quarantine *quarantine) {
    struct moat_place place = moat_region_place(ref);

    moat_held_begin(MOAT_HELD_PLACE);
    moat_registry_erase(moat_registry(), ref->base, ref->handle);
    /* The mapping goes while a record still tells of it: a child that is forked then finds it. */
    int error = moat_place_unmap(&place, quarantine);
    end(ref);
    moat_place_forget(&place, quarantine, error);
    moat_held_end(MOAT_HELD_PLACE);
    return error;
}

void moat_region_supersede(const struct moat_region_ref *old, const struct moat_region_ref *ref) {
    MOAT_ASSERT(old->base == ref->base);
    moat_registry_replace(moat_registry(), ref->base, old->handle, ref->handle);
    moat_region_is_shown(ref->region, ref->generation);
    end(old);
}
