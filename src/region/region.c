/* SPDX-License-Identifier: MIT */
/* region: lookups that copy and look again, and waits on the life word. */
#include "region/region.h"

#include "base/check.h"
#include "os/os.h"
#include "region/held.h"
#include "region/latch.h"
#include "region/lock.h"
#include "region/registry.h"

#define MOAT_HANDLE_NONE 0u

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
    bool alone = !place->space->arena;
    /* R(rebirth) */
    atomic_store_explicit(&region->span_start, alone ? place->space->start : place->base,
                          memory_order_release);
    /* R(rebirth) */
    atomic_store_explicit(&region->span_end, alone ? place->space->end : place->base + place->size,
                          memory_order_release);
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
    ref->flags = protection >> MOAT_REGION_FLAGS_SHIFT;
    /* A(rebirth) */
    ref->span_start = atomic_load_explicit(&region->span_start, memory_order_acquire);
    /* A(rebirth) */
    ref->span_end = atomic_load_explicit(&region->span_end, memory_order_acquire);
    return (ref->generation & 1) != 0 && moat_region_lives(ref);
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

enum moat_status moat_region_publish(const struct moat_place *place,
                                     const struct moat_region_terms *terms) {
    struct moat_registry *registry = moat_registry();
    MOAT_ASSERT(moat_is_aligned(place->base, MOAT_GRANULE));
    MOAT_ASSERT(place->size > 0 && moat_is_aligned(place->size, MOAT_PAGE));
    uint32_t handle = moat_registry_take_record(registry);
    uint32_t generation;

    if (handle == MOAT_HANDLE_NONE)
        return MOAT_NO_MEMORY;
    struct moat_region *region = &registry->records[handle];
    fill(region, place, terms);
    if (terms->tag)
        set_tag(handle, terms->tag);
    moat_life_birth(&region->life, &generation);
    if (moat_registry_enter(registry, place->base, handle))
        return MOAT_OK;
    (void)moat_life_death(&region->life);
    if (terms->tag)
        set_tag(handle, NULL);
    moat_record_pool_give(&registry->pool, handle);
    return MOAT_NO_MEMORY;
}

/* A try fails when the region was released and its record or its place used again meanwhile, or
 * while somebody makes it another region in place. */
#define FIND_TRIES 1000

/* What a record says of a region has to make sense; what does not was written by somebody else. */
static bool sound(const struct moat_region_ref *ref) {
    return moat_is_aligned(ref->base | ref->size, MOAT_PAGE) && ref->size != 0 &&
           ref->base >= ref->span_start && ref->base < ref->span_end &&
           ref->size <= ref->span_end - ref->base;
}

static bool find_at(struct moat_registry *registry, uint64_t page, struct moat_region_ref *ref) {
    for (unsigned tries = 0; tries < FIND_TRIES; tries++) {
        uint32_t handle = moat_region_table_find(&registry->table, page);
        if (handle == MOAT_HANDLE_NONE)
            return false;
        if (!copy(&registry->records[handle], handle, ref))
            continue;
        if (!sound(ref))
            break;
        if (ref->base >> MOAT_PAGE_SHIFT == page)
            return true;
    }
    if ((ref->generation & 1) != 0)
        moat_latch("the record of a region and the table do not agree", page << MOAT_PAGE_SHIFT);
    return false;
}

bool moat_region_find_base(uintptr_t address, struct moat_region_ref *ref) {
    struct moat_registry *registry = moat_registry();
    if (!registry || address >= MOAT_OS_USER_END)
        return false;
    return find_at(registry, address >> MOAT_PAGE_SHIFT, ref);
}

bool moat_region_before(uintptr_t address, struct moat_region_ref *ref) {
    struct moat_registry *registry = moat_registry();
    uint64_t page;

    return registry &&
           moat_region_index_find_last(&registry->index, address >> MOAT_PAGE_SHIFT, &page) &&
           find_at(registry, page, ref);
}

bool moat_region_find(uintptr_t address, struct moat_region_ref *ref) {
    if (moat_region_find_base(address, ref))
        return true;
    return address < MOAT_OS_USER_END && moat_region_before(address, ref) &&
           address - ref->base < ref->size;
}

bool moat_region_after(uintptr_t address, struct moat_region_ref *ref) {
    struct moat_registry *registry = moat_registry();
    uint64_t page;

    return registry &&
           moat_region_index_find_next(&registry->index, (address >> MOAT_PAGE_SHIFT) + 1, &page) &&
           find_at(registry, page, ref);
}

uintptr_t moat_region_next(uintptr_t address, uintptr_t end) {
    struct moat_registry *registry = moat_registry();
    uint64_t page;

    if (!registry ||
        !moat_region_index_find_next(&registry->index, (address >> MOAT_PAGE_SHIFT) + 1, &page))
        return end;
    uintptr_t next = (uintptr_t)page << MOAT_PAGE_SHIFT;
    return next < end ? next : end;
}

uint32_t moat_region_count_ever(void) {
    struct moat_registry *registry = moat_registry();
    return registry ? moat_record_pool_dealt(&registry->pool) : 0;
}

bool moat_region_nth(uint32_t handle, struct moat_region_ref *ref) {
    return copy(&moat_registry()->records[handle], handle, ref);
}

/* One bit a block, folded into the stripes there are. */
static uint32_t stripes_of(uintptr_t start, uintptr_t end) {
    uintptr_t first = start >> MOAT_BLOCK_SHIFT;
    uintptr_t last = (end - 1) >> MOAT_BLOCK_SHIFT;
    uint32_t stripes = 0;

    if (last - first >= MOAT_LIFE_STRIPES)
        return MOAT_LIFE_STRIPES_ALL;
    for (uintptr_t block = first; block <= last; block++)
        stripes |= UINT32_C(1) << (block % MOAT_LIFE_STRIPES);
    return stripes;
}

static enum moat_status take_stripes(const struct moat_region_ref *ref, uint32_t stripes,
                                     struct moat_queue *queue) {
    struct moat_lock_wait lock = {0};
    enum moat_status status = MOAT_OK;
    uint32_t seen;

    while (!status) {
        switch (moat_life_enter(&ref->region->life, ref->generation, stripes, lock.ours, &seen)) {
        case MOAT_LIFE_OK:
            return MOAT_OK;
        case MOAT_LIFE_GONE:
            return MOAT_NOT_OURS;
        case MOAT_LIFE_LOCKED:
            status = moat_region_wait_locked(ref, queue, &lock, seen);
            break;
        case MOAT_LIFE_BUSY:
        case MOAT_LIFE_CLOSING:
            status = moat_queue_wait(queue, &ref->region->life, seen);
        }
    }
    return status;
}

enum moat_status moat_region_enter(const struct moat_region_ref *ref, uintptr_t start,
                                   uintptr_t end, struct moat_patience *patience,
                                   uint32_t *stripes) {
    struct moat_queue queue = {patience, false};

    *stripes = stripes_of(start, end);
    moat_held_push(ref->region, *stripes);
    enum moat_status status = moat_queue_leave(&queue, take_stripes(ref, *stripes, &queue));
    if (status)
        moat_held_pop();
    return status;
}

bool moat_region_mine(const struct moat_region_ref *ref, uintptr_t start, uintptr_t end) {
    return moat_held_here(ref->region, stripes_of(start, end));
}

void moat_region_leave(const struct moat_region_ref *ref, uint32_t stripes) {
    if (moat_life_leave(&ref->region->life, stripes))
        moat_life_wake(&ref->region->life);
    moat_held_pop();
}

enum moat_status moat_region_drain(const struct moat_region_ref *ref, struct moat_queue *queue,
                                   uint32_t seen) {
    enum moat_status status;
    do
        status = moat_queue_wait(queue, &ref->region->life, seen);
    while (!status && moat_life_drained(&ref->region->life, &seen) == MOAT_LIFE_BUSY);
    return status;
}

static void reopen(const struct moat_region_ref *ref) {
    if (moat_life_reopen(&ref->region->life))
        moat_life_wake(&ref->region->life);
}

static enum moat_status become_alone(const struct moat_region_ref *ref, struct moat_queue *queue) {
    enum moat_status status = MOAT_OK;
    bool holder = false;
    uint32_t seen;

    while (!status) {
        switch (moat_life_close(&ref->region->life, ref->generation, holder, &seen)) {
        case MOAT_LIFE_OK:
            return MOAT_OK;
        case MOAT_LIFE_GONE:
            return MOAT_NOT_OURS;
        case MOAT_LIFE_LOCKED:
            holder = moat_region_held(ref);
            status = holder ? MOAT_OK : MOAT_NOT_OWNER;
            break;
        case MOAT_LIFE_CLOSING:
            status = moat_queue_wait(queue, &ref->region->life, seen);
            break;
        case MOAT_LIFE_BUSY:
            status = moat_region_drain(ref, queue, seen);
            if (status)
                reopen(ref);
            return status;
        }
    }
    return status;
}

enum moat_status moat_region_close(const struct moat_region_ref *ref,
                                   struct moat_patience *patience) {
    struct moat_queue queue = {patience, false};

    moat_held_push(ref->region, MOAT_LIFE_STRIPES_ALL);
    enum moat_status status = moat_queue_leave(&queue, become_alone(ref, &queue));
    if (status)
        moat_held_pop();
    return status;
}

void moat_region_reopen(const struct moat_region_ref *ref) {
    reopen(ref);
    moat_held_pop();
}

void moat_region_retire(const struct moat_region_ref *ref) {
    struct moat_registry *registry = moat_registry();

    moat_registry_erase(registry, ref->base, ref->handle);
    if (ref->flags & MOAT_REGION_TAGGED)
        set_tag(ref->handle, NULL);
    moat_region_forget_lock(ref);
    if (moat_life_death(&ref->region->life))
        moat_life_wake(&ref->region->life);
    moat_record_pool_give(&registry->pool, ref->handle);
    moat_held_pop();
}
