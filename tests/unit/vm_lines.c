/* SPDX-License-Identifier: MIT */
/*
 * What threads on different processors write for regions that have nothing to do with each other
 * lies on different cache lines, by its layout: what bench/SCALING.md says of it.
 */
#include "lockfree/record_pool.h"
#include "lockfree/region_table.h"
#include "region/claim.h"
#include "region/history.h"
#include "region/registry.h"
#include "support/regions.h"
#include "vm/manager.h"

#include <criterion/criterion.h>

enum { LINE = 64, WINDOW = 8 };

static uintptr_t line_of(const volatile void *address) {
    return (uintptr_t)address / LINE;
}

static void expect_apart(const volatile void *one, const volatile void *other, const char *what) {
    cr_assert_neq(line_of(one), line_of(other), "%s: %p and %p", what, one, other);
}

Test(vm_lines, counters_of_processors_are_apart) {
    struct moat_manager *manager = manager_with("");
    for (unsigned i = 0; i + 1 < MOAT_MANAGER_SHARDS; i++) {
        struct moat_counters *shard = &manager->shards[i];
        expect_apart(&shard->of[MOAT_COUNTERS - 1], &shard[1].of[0], "counters");
    }
    expect_apart(&manager->charged, &manager->shards[0].of[0], "the quota and counters");
}

Test(vm_lines, shards_of_the_books_are_apart) {
    (void)manager_with("");
    struct moat_record_pool *pool = moat_registry()->pool;
    struct moat_region_table *table = moat_registry()->table;
    for (unsigned i = 0; i + 1 < MOAT_SHARD_COUNT; i++) {
        expect_apart(&pool->shard[i].head, &pool->shard[i + 1].head, "free records");
        expect_apart(&table->shard[i].live, &table->shard[i + 1].live, "entries");
    }
    expect_apart(&pool->dealt, &pool->shard[0].head, "records ever and free ones");
    expect_apart(&pool->dealt, &pool->links, "records ever, and what is read by all");
    expect_apart(&table->current, &table->shard[0].live, "the array and its entries");
}

Test(vm_lines, records_are_apart) {
    (void)manager_with("");
    const struct moat_region *records = moat_registry()->records;
    cr_assert_eq((uintptr_t)records % LINE, 0u);
    expect_apart(&records[1].span_end, &records[2].life, "records");
}

/* The blocks among which chance chooses for one processor, and those of the next one. */
Test(vm_lines, claims_of_a_window_are_one_line) {
    struct moat_manager *manager = manager_with("");
    struct moat_region_ref ref;
    cr_assert(moat_region_find((uintptr_t)reserved(manager, GRANULE, true), &ref));
    const struct moat_space *arena = ref.space;
    cr_assert(arena->arena);
    for (size_t block = 1; block + WINDOW < arena->block_count - 1; block += WINDOW) {
        const _Atomic uint64_t *first = &arena->claims[block];
        cr_assert_eq(line_of(first), line_of(first + WINDOW - 1), "block %zu", block);
        expect_apart(first + WINDOW - 1, first + WINDOW, "windows");
    }
}

/* A block's page bytes are lines that no other block has. */
Test(vm_lines, pages_of_blocks_are_apart) {
    struct moat_manager *manager = manager_with("");
    struct moat_region_ref ref;
    cr_assert(moat_region_find((uintptr_t)reserved(manager, GRANULE, true), &ref));
    const _Atomic uint8_t *pages = MOAT_SPACE_FIELD(ref.space, pages);
    cr_assert_eq((uintptr_t)pages % LINE, 0u);
    expect_apart(pages + BLOCK / PAGE - 1, pages + BLOCK / PAGE, "blocks");
    expect_apart(MOAT_SPACE_FIELD(ref.space, uniform) + ref.space->block_count - 1, pages,
                 "what blocks have in common, and pages");
}
