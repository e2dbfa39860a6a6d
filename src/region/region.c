/* SPDX-License-Identifier: MIT */
/* region: lookups that copy and look again, and waits on the life word. */
#include "region/region.h"

#include "base/check.h"
#include "os/os.h"
#include "region/held.h"
#include "region/registry.h"

#define MOAT_HANDLE_NONE 0u

/* The half of a life word that sleepers watch. */
static const void *low_word(const _Atomic uint64_t *life) {
    const union {
        uint32_t value;
        unsigned char first_byte;
    } one = {.value = 1};
    const uint32_t *halves = (const void *)life;
    return one.first_byte ? &halves[0] : &halves[1];
}

static void fill(struct moat_region *region, const struct moat_place *place,
                 struct moat_manager *owner, uint32_t protection) {
    /* R(rebirth) */
    atomic_store_explicit(&region->base, place->base, memory_order_release);
    /* R(rebirth) */
    atomic_store_explicit(&region->size, place->size, memory_order_release);
    /* R(rebirth) */
    atomic_store_explicit(&region->space, place->space, memory_order_release);
    /* R(rebirth) */
    atomic_store_explicit(&region->owner, owner, memory_order_release);
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
    ref->protection = atomic_load_explicit(&region->protection, memory_order_acquire);
    /* A(rebirth) */
    ref->span_start = atomic_load_explicit(&region->span_start, memory_order_acquire);
    /* A(rebirth) */
    ref->span_end = atomic_load_explicit(&region->span_end, memory_order_acquire);
    return (ref->generation & 1) != 0 && moat_region_lives(ref);
}

bool moat_region_lives(const struct moat_region_ref *ref) {
    return moat_life_generation(&ref->region->life) == ref->generation;
}

enum moat_status moat_region_publish(const struct moat_place *place, struct moat_manager *owner,
                                     uint32_t protection) {
    struct moat_registry *registry = moat_registry();
    MOAT_ASSERT(moat_is_aligned(place->base, MOAT_GRANULE));
    MOAT_ASSERT(place->size > 0 && moat_is_aligned(place->size, MOAT_PAGE));
    uint32_t handle = moat_registry_take_record(registry);
    uint32_t generation;

    if (handle == MOAT_HANDLE_NONE)
        return MOAT_NO_MEMORY;
    struct moat_region *region = &registry->records[handle];
    fill(region, place, owner, protection);
    moat_life_birth(&region->life, &generation);
    if (moat_registry_enter(registry, place->base, handle))
        return MOAT_OK;
    (void)moat_life_death(&region->life);
    moat_record_pool_give(&registry->pool, handle);
    return MOAT_NO_MEMORY;
}

/* A try fails when the region was released and its record or its place used again meanwhile. That
 * many in a row are no accident: the books are damaged, and nothing is there to be trusted. */
#define FIND_TRIES 1000

static bool find_at(struct moat_registry *registry, uint64_t page, struct moat_region_ref *ref) {
    for (unsigned tries = 0; tries < FIND_TRIES; tries++) {
        uint32_t handle = moat_region_table_find(&registry->table, page);
        if (handle == MOAT_HANDLE_NONE)
            return false;
        if (copy(&registry->records[handle], handle, ref) && ref->base >> MOAT_PAGE_SHIFT == page)
            return true;
    }
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

bool moat_patience_left(struct moat_patience *patience) {
    uint64_t now = moat_os_clock();
    if (patience->deadline == 0)
        patience->deadline = now + patience->timeout_ns;
    return now < patience->deadline;
}

/* Sleep until the life word changes; false: patience is at its end. */
static bool wait(const struct moat_region_ref *ref, uint32_t seen, struct moat_patience *patience) {
    if (!moat_patience_left(patience))
        return false;
    (void)moat_os_wait(low_word(&ref->region->life), seen, patience->deadline);
    return true;
}

static void wake(const struct moat_region_ref *ref) {
    moat_os_wake(low_word(&ref->region->life));
}

enum moat_status moat_region_enter(const struct moat_region_ref *ref, uintptr_t start,
                                   uintptr_t end, struct moat_patience *patience,
                                   uint32_t *stripes) {
    uint32_t seen;
    *stripes = stripes_of(start, end);
    moat_held_push(ref->region, *stripes);
    for (;;) {
        switch (moat_life_enter(&ref->region->life, ref->generation, *stripes, &seen)) {
        case MOAT_LIFE_OK:
            return MOAT_OK;
        case MOAT_LIFE_GONE:
            moat_held_pop();
            return MOAT_NOT_OURS;
        case MOAT_LIFE_BUSY:
        case MOAT_LIFE_CLOSING:
            if (!wait(ref, seen, patience)) {
                moat_held_pop();
                return MOAT_TIMEOUT;
            }
        }
    }
}

bool moat_region_mine(const struct moat_region_ref *ref, uintptr_t start, uintptr_t end) {
    return moat_held_here(ref->region, stripes_of(start, end));
}

void moat_region_leave(const struct moat_region_ref *ref, uint32_t stripes) {
    if (moat_life_leave(&ref->region->life, stripes))
        wake(ref);
    moat_held_pop();
}

static void reopen(const struct moat_region_ref *ref) {
    if (moat_life_reopen(&ref->region->life))
        wake(ref);
}

static enum moat_status close_all(const struct moat_region_ref *ref,
                                  struct moat_patience *patience) {
    uint32_t seen;
    enum moat_life_status status = moat_life_close(&ref->region->life, ref->generation, &seen);

    while (status == MOAT_LIFE_CLOSING) {
        if (!wait(ref, seen, patience))
            return MOAT_TIMEOUT;
        status = moat_life_close(&ref->region->life, ref->generation, &seen);
    }
    while (status == MOAT_LIFE_BUSY) {
        if (!wait(ref, seen, patience)) {
            reopen(ref);
            return MOAT_TIMEOUT;
        }
        status = moat_life_close_again(&ref->region->life, &seen);
    }
    return status == MOAT_LIFE_OK ? MOAT_OK : MOAT_NOT_OURS;
}

enum moat_status moat_region_close(const struct moat_region_ref *ref,
                                   struct moat_patience *patience) {
    moat_held_push(ref->region, MOAT_LIFE_STRIPES_ALL);
    enum moat_status status = close_all(ref, patience);
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
    bool waiters = moat_life_death(&ref->region->life);
    if (waiters)
        wake(ref);
    moat_record_pool_give(&registry->pool, ref->handle);
    moat_held_pop();
}
