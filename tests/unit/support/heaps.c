/* SPDX-License-Identifier: MIT */
/* heaps: the helpers. */
#include "heaps.h"

#include <criterion/criterion.h>
#include <string.h>

struct moat_heap *heap_of(struct moat_manager *manager, uint32_t flags) {
    struct moat_heap *made = NULL;
    cr_assert_eq(moat_heap_create(manager, flags, &made), MOAT_OK, "%s", moat_last_error_text());
    return made;
}

unsigned char *allocated(struct moat_heap *heap, size_t size) {
    void *block = NULL;
    cr_assert_eq(moat_heap_alloc(heap, size, &block), MOAT_OK, "%zu: %s", size,
                 moat_last_error_text());
    cr_assert_not_null(block);
    cr_assert_eq((uintptr_t)block % 16, 0, "%p", block);
    return block;
}

void freed(struct moat_heap *heap, void *block) {
    cr_assert_eq(moat_heap_free(heap, block), MOAT_OK, "%p: %s", block, moat_last_error_text());
}

void refused(struct moat_heap *heap, const struct moat_manager *manager, const void *block) {
    struct moat_stats before = stats_of(manager);
    cr_assert_eq(moat_heap_free(heap, (void *)(uintptr_t)block), MOAT_NOT_OURS, "%p", block);
    cr_assert_neq(strstr(moat_last_error_text(), "heap"), NULL, "%s", moat_last_error_text());
    cr_assert_eq(stats_of(manager).refused, before.refused + 1, "%p", block);
}

struct moat_heap_stats heap_stats(const struct moat_heap *heap) {
    struct moat_heap_stats stats;
    cr_assert_eq(moat_heap_stats_read(heap, &stats), MOAT_OK);
    return stats;
}

size_t room(struct moat_heap *heap, const void *block) {
    size_t size;
    cr_assert_eq(moat_heap_block_size(heap, block, &size), MOAT_OK, "%s", moat_last_error_text());
    return size;
}
