/* SPDX-License-Identifier: MIT */
/*
 * quota: a heap at the limit of its manager fails cleanly, and gives what it has before it does.
 */
#include "support/heaps.h"

#include <criterion/criterion.h>

/* A heap that is refused memory gives what it has: free slots anywhere, and then what it keeps. */
Test(heap_quota, at_the_quota_what_was_freed_can_be_had_again) {
    enum { COUNT = 4096 };
    static unsigned char *blocks[COUNT];
    unsigned count = 0;
    void *block;
    struct moat_manager *manager = manager_with("quota=4194304");
    struct moat_heap *heap = heap_of(manager, 0);
    while (count < COUNT && moat_heap_alloc(heap, 2048, &block) == MOAT_OK)
        blocks[count++] = block;
    cr_assert_gt(count, 1500);
    cr_assert_lt(count, COUNT);
    cr_assert_eq(moat_heap_alloc(heap, 2048, &block), MOAT_COMMIT_LIMIT);
    cr_assert_null(block);
    cr_assert_eq(heap_stats(heap).blocks, count);
    for (unsigned i = 0; i < count; i += 7) {
        freed(heap, blocks[i]);
        blocks[i] = allocated(heap, 2048);
        cr_assert_neq(moat_heap_alloc(heap, 2048, &block), MOAT_OK);
    }
    for (unsigned i = 0; i < count; i++)
        freed(heap, blocks[i]);
    /* All of it is kept now, and given back for another size. */
    cr_assert_gt(heap_stats(heap).idle_bytes, (size_t)3 << 20);
    freed(heap, allocated(heap, 3 << 20));
    block = allocated(heap, 32768);
    freed(heap, block);
}

/* After one block of each size its span stays with the processor, until that is all there is. */
Test(heap_quota, what_processors_keep_is_given_up_before_an_alloc_fails) {
    struct moat_manager *manager = manager_with("quota=16777216");
    struct moat_heap *heap = heap_of(manager, 0);
    for (size_t size = 16; size <= 32768; size += 16)
        freed(heap, allocated(heap, size));
    cr_assert_gt(heap_stats(heap).region_bytes, (size_t)4 << 20);
    unsigned char *block = allocated(heap, (16 << 20) - 4096);
    void *more = &more;
    cr_assert_eq(moat_heap_alloc(heap, 8192, &more), MOAT_COMMIT_LIMIT);
    freed(heap, block);
    freed(heap, allocated(heap, 8192));
}
