/* SPDX-License-Identifier: MIT */
/* policy: marks for the kernel in the parent, and repairs in the child. */
#include "region/policy.h"

#include "os/os.h"
#include "region/arena.h"
#include "region/arenas.h"
#include "region/mend.h"
#include "region/pages.h"
#include "region/quarantine.h"
#include "region/registry.h"

#include <moat/options.h>

/* Whether a space that stands alone was ever given a policy: else children need not look. */
static _Atomic bool any_alone;

/* A wish that is refused is none; what is bound must not come from elsewhere. 0 or errno. */
static int choose_nodes(const struct moat_space *space) {
    const struct moat_supply *supply = &space->supply;

    if (supply->numa == MOAT_NUMA_DEFAULT)
        return 0;
    int error = moat_os_numa_set((void *)space->start, space->end - space->start,
                                 (enum moat_os_numa)supply->numa, supply->nodes);
    return supply->numa == MOAT_NUMA_BIND ? error : 0;
}

int moat_policy_apply(const struct moat_space *space) {
    void *start = (void *)space->start;
    size_t size = space->end - space->start;

    if (space->supply.huge) /* refused, pages are small */
        (void)moat_os_huge_pages(start, size);
    int error = choose_nodes(space);
    if (error)
        return error;
    if (moat_space_fork(space) == MOAT_FORK_DONTFORK)
        return moat_os_keep_from_fork(start, size);
    if (moat_space_fork(space) == MOAT_FORK_WIPE)
        return moat_os_wipe_on_fork(start, size);
    return 0;
}

int moat_policy_alone(const struct moat_space *space) {
    if (moat_space_fork(space) != MOAT_FORK_INHERIT)
        /* relaxed: read in a child, by a copy of the thread that wrote it or that saw its
         * regions. */
        atomic_store_explicit(&any_alone, true, memory_order_relaxed);
    return moat_policy_apply(space);
}

/* Whether T worked on pages of a block. */
static bool is_held(const struct moat_held *held, uintptr_t block) {
    for (uint32_t i = 0; i < held->count; i++) {
        const struct moat_region *region = held->entries[i].region;
        /* relaxed: nobody else writes. */
        uintptr_t base = atomic_load_explicit(&region->base, memory_order_relaxed);
        /* relaxed: as above. */
        uintptr_t end = base + atomic_load_explicit(&region->size, memory_order_relaxed);
        uint32_t stripe = UINT32_C(1) << (block >> MOAT_BLOCK_SHIFT) % MOAT_LIFE_STRIPES;
        if ((held->entries[i].bits & stripe) && base < block + MOAT_BLOCK && end > block)
            return true;
    }
    return false;
}

static void mark_again(const struct moat_space *space, const struct moat_held *held) {
    for (uintptr_t at = space->usable_start; at < space->usable_end;) {
        uintptr_t block = moat_round_down(at, MOAT_BLOCK);
        uintptr_t end = held->count ? block + MOAT_BLOCK : space->usable_end;
        struct moat_run run =
            moat_pages_run(space, at, end < space->usable_end ? end : space->usable_end);
        bool marked = run.open && !(run.state & (MOAT_PAGE_COMMITTED | MOAT_PAGE_DIRTY));
        if (marked && !(held->count && is_held(held, block)) &&
            moat_os_guard_install((void *)run.start, run.end - run.start))
            (void)moat_os_protect((void *)run.start, run.end - run.start, MOAT_OS_NONE);
        at = run.end;
    }
}

/* A child of this child, made before the first call, is to find them as this one has. */
static void hold_addresses(struct moat_space *space) {
    if (moat_os_reserve_at((void *)space->start, space->end - space->start))
        /* relaxed: by whoever mends. */
        atomic_store_explicit(&space->leaving, true, memory_order_relaxed);
    else
        (void)moat_policy_apply(space);
}

/* Spaces that stand alone are found by their regions. */
static void each_alone(const struct moat_held *held) {
    struct moat_region_ref ref;

    for (uint32_t handle = 1; handle <= moat_region_count_ever(); handle++) {
        if (!moat_region_nth(handle, &ref) || ref.space->arena)
            continue;
        struct moat_space *space = ref.space;
        if (moat_space_fork(space) == MOAT_FORK_WIPE && space->markers)
            mark_again(space, held);
        else if (moat_space_fork(space) == MOAT_FORK_DONTFORK)
            hold_addresses(space);
    }
}

void moat_policy_in_child(const struct moat_held *held) {
    struct moat_space *arena;

    for (size_t nth = 0; moat_arena_nth(nth, &arena); nth++) {
        if (moat_space_fork(arena) == MOAT_FORK_DONTFORK)
            moat_arenas_restore(arena);
        else if (moat_space_fork(arena) == MOAT_FORK_WIPE && arena->markers &&
                 moat_arenas_here(arena))
            mark_again(arena, held);
    }
    /* relaxed: as where it is written. */
    if (atomic_load_explicit(&any_alone, memory_order_relaxed))
        each_alone(held);
}

static bool is_emptied(uintptr_t base) {
    const struct moat_space *arena = moat_arena_of(base);
    return arena && moat_space_fork(arena) == MOAT_FORK_DONTFORK;
}

void moat_policy_empty(void) {
    struct moat_space *arena;
    bool any = false;

    for (size_t nth = 0; moat_arena_nth(nth, &arena); nth++)
        if (moat_space_fork(arena) == MOAT_FORK_DONTFORK) {
            moat_arenas_empty(arena);
            any = true;
        }
    if (any)
        moat_quarantine_forget(is_emptied);
}

void moat_policy_catch_up(const struct moat_held *then, const struct moat_held *now) {
    struct moat_region_ref ref;
    uint32_t bits;

    for (uint32_t i = 0; i < then->count; i++) {
        const struct moat_region *region = then->entries[i].region;
        uint32_t handle = (uint32_t)(region - moat_registry()->records);
        if (!moat_held_by(now, region, &bits) && moat_region_nth(handle, &ref) &&
            moat_space_fork(ref.space) == MOAT_FORK_WIPE)
            (void)moat_mend_stripes(&ref, MOAT_LIFE_STRIPES_ALL);
    }
}
