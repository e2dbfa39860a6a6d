/* SPDX-License-Identifier: MIT */
/*
 * integrity: check words, and looks at what cannot be.
 *
 * The check word is a sum of products with odd random factors: one for each word, which are folded
 * before so that their upper bits count as much as the lower ones. A change of any one bit changes
 * it for certain or but for one chance in 2^32, and so does any other change that was made without
 * knowing the key.
 */
#include "region/integrity.h"

#include "region/arena.h"
#include "region/claim.h"
#include "region/latch.h"
#include "region/pages.h"
#include "region/region.h"
#include "region/registry.h"

/* Between these lie all spaces with one region that there ever were. */
static _Atomic uintptr_t alone_low = UINTPTR_MAX;
static _Atomic uintptr_t alone_high;

static uint64_t fold(uint64_t word, uint64_t key) {
    return (word ^ word >> 29) * (key | 1);
}

uint32_t moat_check_word(const struct moat_region_ref *ref) {
    const uint64_t *key = moat_registry()->check_key;
    uint64_t sum = key[0];

    sum += fold(ref->base, key[1]);
    sum += fold(ref->size, key[2]);
    sum += fold((uintptr_t)ref->space, key[3]);
    sum += fold((uintptr_t)ref->owner, key[4]);
    sum += fold((uint64_t)ref->flags << 32 | ref->protection, key[5]);
    sum += fold(ref->span_start, key[6]);
    sum += fold(ref->span_end, key[7]);
    sum += fold((uint64_t)ref->handle << 32 | ref->generation, key[8]);
    return (uint32_t)(sum >> 32);
}

/* What a record says that can be found; 0, as long as it cannot. */
static uint32_t shown_as(uint32_t generation) {
    return (generation >> 1) % MOAT_REGION_SHOWN_MAX + 1;
}

void moat_region_is_shown(struct moat_region *region, uint32_t generation) {
    /* relaxed: the swap decides. */
    uint32_t before = atomic_load_explicit(&region->protection, memory_order_relaxed);

    if (before >> MOAT_REGION_SHOWN_SHIFT == 0 && moat_life_generation(&region->life) == generation)
        /* R(shown) */
        (void)atomic_compare_exchange_strong_explicit(
            &region->protection, &before, before | shown_as(generation) << MOAT_REGION_SHOWN_SHIFT,
            memory_order_release, memory_order_relaxed);
}

/* Whether table and index must have the region now: it says so, and nobody is closing it. */
static bool is_shown(const struct moat_region_ref *ref) {
    /* A(shown) */
    uint32_t protection = atomic_load_explicit(&ref->region->protection, memory_order_acquire);
    /* A(shown) after what was looked for: who took it away had closed the region before. */
    uint64_t life = atomic_load_explicit(&ref->region->life, memory_order_acquire);

    return protection >> MOAT_REGION_SHOWN_SHIFT == shown_as(ref->generation) &&
           life >> 32 == ref->generation && (life & MOAT_LIFE_CLOSING_BIT) == 0;
}

bool moat_region_verify(const struct moat_region_ref *ref) {
    /* A(rebirth) */
    uint32_t found = atomic_load_explicit(&ref->region->link, memory_order_acquire);
    uint32_t expected = moat_check_word(ref);

    /* Where that life is over the caller finds it out himself. */
    if (found == expected || !moat_region_lives(ref))
        return true;
    moat_latch_record("the record of a region was changed", ref, expected, found);
    return false;
}

bool moat_region_verify_pages(const struct moat_region_ref *ref, uintptr_t start, uintptr_t end) {
    uintptr_t where;
    uint8_t state;

    if (moat_pages_possible(ref->space, start, end, &where, &state))
        return true;
    moat_latch_page("a page is in a state that there is not", ref, where, state);
    return false;
}

/* Whether the roots still say where the arrays lie, and what the hash is seeded with. */
static bool verify_roots(const struct moat_registry *registry) {
    const struct moat_region_table *table = registry->table;

    bool sound =
        table->seed[0] == registry->table_seed[0] && table->seed[1] == registry->table_seed[1] &&
        (void *)registry->index->directory == (void *)registry->directory &&
        (void *)registry->index->nodes == (void *)registry->nodes &&
        registry->index->node_capacity == registry->node_capacity &&
        registry->pool->links == (char *)registry->records + offsetof(struct moat_region, link);
    if (!sound)
        moat_latch("the roots of the table or the index were changed", (uintptr_t)table);
    return sound;
}

static bool index_has(const struct moat_registry *registry, uintptr_t base) {
    uint64_t page;

    return moat_region_index_find_last(registry->index, base >> MOAT_PAGE_SHIFT, &page) &&
           page == base >> MOAT_PAGE_SHIFT;
}

bool moat_region_verify_closed(const struct moat_region_ref *ref) {
    /* A(shown) */
    uint32_t protection = atomic_load_explicit(&ref->region->protection, memory_order_acquire);
    bool shown = protection >> MOAT_REGION_SHOWN_SHIFT != 0;

    if (!verify_roots(moat_registry()))
        return false;
    if (shown && !index_has(moat_registry(), ref->base)) {
        moat_latch_record("the index does not have a region that there is", ref, ref->base, 0);
        return false;
    }
    return moat_region_verify_pages(ref, ref->base, ref->base + ref->size);
}

bool moat_region_misled(uint64_t page, const struct moat_region_ref *ref) {
    /* The record was in that life before this lookup, and is so after it. Birth comes before an
     * entry and death after its end: so the entry named the record while it was as seen. */
    if (moat_region_table_find(moat_registry()->table, page) != ref->handle ||
        !moat_region_lives(ref))
        return false;
    if ((ref->generation & 1) == 0 || moat_region_verify(ref))
        moat_latch_record("the table names a record that is not of a region there", ref,
                          page << MOAT_PAGE_SHIFT, ref->base);
    return true;
}

/* What is missing of a region that can be found; NULL: nothing, or it is being closed. Whether it
 * can be found is asked before and after: it may be shown, or hidden, just now. */
static const char *missing(const struct moat_registry *registry,
                           const struct moat_region_ref *ref) {
    if (!is_shown(ref))
        return NULL;
    bool table = moat_region_table_find(registry->table, ref->base >> MOAT_PAGE_SHIFT) != 0;

    if (table && index_has(registry, ref->base))
        return NULL;
    if (!is_shown(ref))
        return NULL;
    return table ? "the index does not have a region that there is"
                 : "the table does not have a region that there is";
}

/* Whether a record is as it was, and its region is found if it can be. */
static bool verify_record(const struct moat_registry *registry, const struct moat_region_ref *ref) {
    const char *what = moat_region_verify(ref) ? missing(registry, ref) : NULL;

    if (what)
        moat_latch_record(what, ref, ref->base, 0);
    return !moat_latched();
}

bool moat_region_verify_all(void) {
    const struct moat_registry *registry = moat_registry();
    struct moat_region_ref ref;

    if (moat_latched() || !verify_roots(registry))
        return false;
    for (uint32_t handle = 1; handle <= moat_region_count_ever(); handle++)
        if (moat_region_copy(handle, &ref) && !verify_record(registry, &ref))
            return false;
    return true;
}

/* Look for a record of a region that holds the address, and cannot be found. */
static void search_records(const struct moat_registry *registry, uintptr_t address) {
    struct moat_region_ref ref;

    for (uint32_t handle = 1; handle <= moat_region_count_ever(); handle++)
        if (moat_region_copy(handle, &ref) && address - ref.base < ref.size &&
            !verify_record(registry, &ref))
            return;
}

/* Whether a granule of an arena is taken by a region, or about to be. */
static bool is_taken(const struct moat_space *arena, uintptr_t address) {
    size_t block = moat_space_block(arena, address);
    uintptr_t within = address - moat_space_block_start(arena, block);
    enum moat_claim claim = moat_claim_of(arena, block, (unsigned)(within / MOAT_GRANULE));
    return claim == MOAT_CLAIM_SLACK || claim == MOAT_CLAIM_FULL;
}

/* Whether there is a reason to look further for a region that holds an address: it is in none. */
static bool is_suspicious(const struct moat_registry *registry, uintptr_t address, bool taken) {
    uint64_t page = address >> MOAT_PAGE_SHIFT, base;
    struct moat_region_ref before;

    if (moat_region_index_find_last(registry->index, page, &base) &&
        moat_region_table_find(registry->table, base) == 0)
        return true;
    /* The rest of the last granule of a region is taken with it. */
    return taken && !(moat_region_before(address, &before) &&
                      address < moat_round_up(before.base + before.size, MOAT_GRANULE));
}

void moat_region_stands_alone(const struct moat_space *space) {
    /* relaxed: bounds that only widen; who frees a region has it from somebody who saw it born. */
    uintptr_t low = atomic_load_explicit(&alone_low, memory_order_relaxed);
    /* relaxed: as above. */
    uintptr_t high = atomic_load_explicit(&alone_high, memory_order_relaxed);

    while (space->start < low &&
           /* relaxed: as above. */
           !atomic_compare_exchange_weak_explicit(&alone_low, &low, space->start,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
    while (space->end > high &&
           /* relaxed: as above. */
           !atomic_compare_exchange_weak_explicit(&alone_high, &high, space->end,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

/* Whether a region that stands alone may ever have been there. */
static bool is_near(uintptr_t address) {
    /* relaxed: as in moat_region_stands_alone. */
    uintptr_t low = atomic_load_explicit(&alone_low, memory_order_relaxed);
    /* relaxed: as above. */
    uintptr_t high = atomic_load_explicit(&alone_high, memory_order_relaxed);

    return address >= low && address < high;
}

void moat_region_audit(uintptr_t address) {
    const struct moat_registry *registry = moat_registry();
    struct moat_region_ref ref;

    if (!registry || moat_latched() || address >= MOAT_OS_USER_END)
        return;
    /* A wrong pointer is seldom worth a long look: to memory of others, or to what was released. */
    const struct moat_space *arena = moat_arena_of(address);
    if (arena ? !is_taken(arena, address) : !is_near(address))
        return;
    if (!verify_roots(registry))
        return;
    if (moat_region_find(address, &ref))
        (void)moat_region_verify(&ref);
    else if (!moat_latched() && is_suspicious(registry, address, arena != NULL))
        search_records(registry, address);
}
