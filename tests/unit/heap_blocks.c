/* SPDX-License-Identifier: MIT */
/*
 * blocks: what a heap hands out, takes back, and refuses.
 *
 * The random test keeps a model of all live blocks: they fill what they were given, overlap nobody
 * and keep their content, whatever is allocated and freed around them.
 */
#define _GNU_SOURCE
#include "support/heaps.h"
#include "support/touch.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

enum { SMALL_MAX = 32768 };

static struct moat_manager *manager;
static struct moat_heap *heap;

static void start(void) {
    manager = manager_with("");
    heap = heap_of(manager, 0);
}

TestSuite(heap_blocks, .init = start);

Test(heap_blocks, every_size_has_its_room) {
    for (size_t size = 0; size < 80000; size = size < 2000 ? size + 1 : size + size / 7) {
        unsigned char *block = allocated(heap, size);
        cr_assert_geq(room(heap, block), size);
        cr_assert_leq(room(heap, block), size + size / 4 + 16);
        memset(block, 0xA5, room(heap, block));
        freed(heap, block);
    }
    cr_assert_eq(heap_stats(heap).blocks, 0);
}

Test(heap_blocks, nothing_is_a_block_of_its_own) {
    unsigned char *one = allocated(heap, 0);
    unsigned char *other = allocated(heap, 0);
    cr_assert_neq(one, other);
    freed(heap, one);
    freed(heap, other);
    cr_assert_eq(moat_heap_free(heap, NULL), MOAT_OK);
}

Test(heap_blocks, arguments_are_checked) {
    void *block = &block;
    size_t size = 1;
    struct moat_heap *none = heap;
    cr_assert_eq(moat_heap_create(manager, 2, &none), MOAT_INVALID_ARGUMENT);
    cr_assert_null(none);
    none = heap;
    cr_assert_eq(moat_heap_create(NULL, 0, &none), MOAT_NO_ACCESS);
    cr_assert_null(none);
    cr_assert_eq(moat_heap_create(manager, 0, NULL), MOAT_NO_ACCESS);
    cr_assert_eq(moat_heap_alloc(NULL, 1, &block), MOAT_NO_ACCESS);
    cr_assert_null(block);
    cr_assert_eq(moat_heap_alloc(heap, 1, NULL), MOAT_NO_ACCESS);
    cr_assert_eq(moat_heap_alloc_debug(heap, 1, "x", 1, NULL), MOAT_NO_ACCESS);
    cr_assert_eq(moat_heap_free(NULL, &size), MOAT_NO_ACCESS);
    cr_assert_eq(moat_heap_block_size(heap, heap, NULL), MOAT_NO_ACCESS);
    cr_assert_eq(moat_heap_block_size(NULL, heap, &size), MOAT_NO_ACCESS);
    cr_assert_eq(size, 0);
    cr_assert_eq(moat_heap_walk(heap, NULL, NULL), MOAT_NO_ACCESS);
    cr_assert_eq(moat_heap_stats_read(heap, NULL), MOAT_NO_ACCESS);
    moat_heap_destroy(NULL);
}

Test(heap_blocks, more_than_there_is_is_refused) {
    static const size_t sizes[] = {
        SIZE_MAX,        SIZE_MAX - 15,  SIZE_MAX - 65536,     SIZE_MAX / 2,
        (size_t)1 << 47, 0x7FFFFFFF0000, 0x7FFFFFFF0000 - 4096};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *block = &block;
        cr_assert_eq(moat_heap_alloc(heap, sizes[i], &block), MOAT_NO_MEMORY, "%#zx", sizes[i]);
        cr_assert_null(block);
        cr_assert_neq(moat_last_error_text()[0], '\0');
    }
    freed(heap, allocated(heap, 100000));
}

struct model {
    unsigned char *block;
    size_t size;
    unsigned char fill;
};

static size_t random_size(uint64_t *seed) {
    uint32_t drawn = next_random(seed);
    switch (drawn % 16) {
    case 0:
        return drawn >> 8 & 0x1FFFF;
    case 1:
    case 2:
        return drawn >> 8 & 0x7FFF;
    default:
        return drawn >> 8 & 0x1FF;
    }
}

static void check_and_free(struct model *entry) {
    cr_assert(touch_all_bytes(entry->block, entry->size, entry->fill), "%p of %zu lost its content",
              (void *)entry->block, entry->size);
    freed(heap, entry->block);
    entry->block = NULL;
}

static void random_blocks(const char *options, uint64_t seed) {
    enum { COUNT = 4000, STEPS = 60000 };
    static struct model live[COUNT];
    size_t count = 0;

    manager = manager_with(options);
    if (!manager)
        return;
    heap = heap_of(manager, 0);
    for (unsigned step = 0; step < STEPS; step++) {
        /* Grows and shrinks by turns, so that spans are filled, emptied and given back. */
        unsigned wanted = step / 6000 % 2 ? 50 : COUNT;
        struct model *entry = &live[next_random(&seed) % wanted];
        if (entry->block) {
            check_and_free(entry);
            count--;
        }
        if (step / 6000 % 2) {
            entry = &live[next_random(&seed) % COUNT];
            if (entry->block) {
                check_and_free(entry);
                count--;
            }
            continue;
        }
        entry->size = random_size(&seed);
        entry->fill = (unsigned char)step;
        entry->block = allocated(heap, entry->size);
        memset(entry->block, entry->fill, entry->size);
        count++;
        if (step % 5000 == 0)
            cr_assert_eq(heap_stats(heap).blocks, count);
    }
    for (unsigned i = 0; i < COUNT; i++)
        if (live[i].block)
            check_and_free(&live[i]);
    struct moat_heap_stats stats = heap_stats(heap);
    cr_assert_eq(stats.blocks, 0);
    cr_assert_eq(stats.region_bytes, stats_of(manager).bytes_committed);
    cr_assert_eq(stats.regions, stats_of(manager).regions_live);
    moat_heap_destroy(heap);
    cr_assert_eq(stats_of(manager).regions_live, 0);
    cr_assert_eq(stats_of(manager).bytes_committed, 0);
}

Test(heap_blocks, random_blocks_keep_their_content_with_markers) {
    random_blocks("trap=auto", 1);
}

Test(heap_blocks, random_blocks_keep_their_content_without_markers) {
    random_blocks("trap=protect", 2);
}

Test(heap_blocks, random_blocks_keep_their_content_on_mimalloc) {
    random_blocks("backend=mimalloc", 3);
}

/* None of these can be dereferenced for a header: some are not mapped, some would crash. */
Test(heap_blocks, what_is_no_block_is_refused_unread) {
    static char data;
    struct moat_heap *other = heap_of(manager, 0);
    struct moat_manager *stranger = manager_with("");
    struct moat_heap *strange = heap_of(stranger, 0);
    unsigned char *small = allocated(heap, 48), *large = allocated(heap, 100000);
    unsigned char *region = reserved(manager, GRANULE, true);
    unsigned char *unmapped = hole(GRANULE, GRANULE);
    const void *const strangers[] = {
        &data, (void *)1, (void *)16, (void *)GRANULE, unmapped, region, region + 16, heap, manager,
        small + 1, small + 16, small + 47, small - 1, large + 16, large - 16, large + 100000,
        (void *)((uintptr_t)large & ~(uintptr_t)4095), allocated(other, 48),
        allocated(other, 200000), allocated(strange, 48), allocated(strange, 200000),
        (void *)((uintptr_t)small | (uintptr_t)1 << 48), (void *)((uintptr_t)small | 1ull << 63),
        (void *)0x7FFFFFFF0000, (void *)UINTPTR_MAX,
        /* The end of the span, where no slot fits any more: 65536 % 48 is not 0. */
        (void *)(((uintptr_t)small | 0xFFFF) - 15)};
    struct moat_heap_stats before = heap_stats(heap);
    size_t size;
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++) {
        refused(heap, manager, strangers[i]);
        cr_assert_eq(moat_heap_block_size(heap, strangers[i], &size), MOAT_NOT_OURS, "%zu", i);
        cr_assert_eq(size, 0);
    }
    struct moat_heap_stats after = heap_stats(heap);
    cr_assert_arr_eq(&before, &after, sizeof before);
    freed(heap, small);
    freed(heap, large);
    refused(heap, manager, small);
    refused(heap, manager, large);
    cr_assert_eq(moat_heap_block_size(heap, small, &size), MOAT_NOT_OURS);
}

/* A slot that was freed is the last to be used again, so a second free is noticed also when others
 * have allocated since. */
Test(heap_blocks, a_second_free_is_refused_after_other_allocations) {
    stay_on_one_processor();
    for (size_t size = 16; size <= SMALL_MAX; size *= 2) {
        unsigned char *block = allocated(heap, size);
        freed(heap, block);
        for (unsigned i = 0; i < 31; i++) {
            cr_assert_neq(allocated(heap, size), block, "%zu", size);
            refused(heap, manager, block);
        }
    }
}

/* Every slot that was never handed out, and each one after it was freed. */
Test(heap_blocks, of_a_span_only_the_live_slots_can_be_freed) {
    unsigned char *block = allocated(heap, 4096);
    unsigned char *base = (unsigned char *)((uintptr_t)block & ~(uintptr_t)(2 * GRANULE - 1));
    struct moat_page_info info = info_of(block);
    base = info.allocation_base;
    for (unsigned i = 0; i < 32; i++)
        if (base + i * 4096 != block)
            refused(heap, manager, base + i * 4096);
    freed(heap, block);
    refused(heap, manager, block);
}

Test(heap_blocks, a_heaps_regions_are_not_the_callers) {
    unsigned char *small = allocated(heap, 48), *large = allocated(heap, 100000);
    unsigned char *const blocks[] = {small, large};
    uint32_t old;
    for (unsigned i = 0; i < 2; i++) {
        void *base = info_of(blocks[i]).allocation_base;
        cr_assert_eq(moat_release(manager, base), MOAT_NOT_OURS);
        cr_assert_eq(moat_decommit(manager, base, 0), MOAT_NOT_OURS);
        cr_assert_eq(moat_commit(manager, base, 1, MOAT_PAGE_READWRITE, NULL),
                     MOAT_INVALID_ADDRESS);
        cr_assert_neq(moat_protect(NULL, base, 1, MOAT_PAGE_READONLY, &old), MOAT_OK);
        *blocks[i] = 1;
        freed(heap, blocks[i]);
    }
}

Test(heap_blocks, a_large_block_ends_at_a_trap_and_traps_when_freed) {
    static const size_t sizes[] = {SMALL_MAX + 1, 40000, 65536, 65537, 1000000, 3 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned char *block = allocated(heap, sizes[i]);
        memset(block, 1, room(heap, block));
        cr_assert_lt(room(heap, block) - sizes[i], 16);
        cr_assert_not(touch_reads(block + room(heap, block)));
        cr_assert(touch_reads(block + room(heap, block) - 1));
        freed(heap, block);
        cr_assert_not(touch_reads(block));
        cr_assert_not(touch_writes(block + sizes[i] - 1));
    }
    cr_assert_eq(stats_of(manager).bytes_committed, 0);
}

/* What is empty goes back, but for what is kept and what a processor allocates from. */
Test(heap_blocks, empty_spans_are_given_back) {
    enum { COUNT = 40000 };
    static unsigned char *blocks[COUNT];
    stay_on_one_processor();
    for (unsigned i = 0; i < COUNT; i++)
        blocks[i] = allocated(heap, 1000);
    size_t full = heap_stats(heap).region_bytes;
    cr_assert_geq(full, COUNT * (size_t)1000);
    /* In an order that empties all spans at about the same time. */
    for (unsigned first = 0; first < 64; first++)
        for (unsigned i = first; i < COUNT; i += 64)
            freed(heap, blocks[i]);
    struct moat_heap_stats stats = heap_stats(heap);
    cr_assert_eq(stats.blocks, 0);
    cr_assert_leq(stats.idle_bytes, (size_t)8 << 20);
    cr_assert_leq(stats.region_bytes, stats.idle_bytes + GRANULE);
    cr_assert_eq(stats.region_bytes, stats_of(manager).bytes_committed);
    for (unsigned i = 0; i < COUNT; i++)
        blocks[i] = allocated(heap, 1000);
    cr_assert_eq(heap_stats(heap).region_bytes, full);
}

static int count_and_stop(const struct moat_heap_block *block, void *context) {
    unsigned *count = context;
    (void)block;
    return ++*count == 3;
}

static int free_it(const struct moat_heap_block *block, void *context) {
    unsigned *count = context;
    ++*count;
    freed(heap, block->address);
    return 0;
}

Test(heap_blocks, a_walk_shows_each_live_block_once) {
    static unsigned char *blocks[300];
    unsigned count = 0;
    for (unsigned i = 0; i < 300; i++)
        blocks[i] = allocated(heap, i * i);
    for (unsigned i = 0; i < 300; i += 3)
        freed(heap, blocks[i]);
    cr_assert_eq(moat_heap_walk(heap, count_and_stop, &count), MOAT_OK);
    cr_assert_eq(count, 3);
    count = 0;
    cr_assert_eq(moat_heap_walk(heap, free_it, &count), MOAT_OK);
    cr_assert_eq(count, 200);
    cr_assert_eq(heap_stats(heap).blocks, 0);
}

/* lea eax, [rdi + 1]; ret. Elsewhere: only that the pages may be executed. */
Test(heap_blocks, an_executable_heap_runs_code) {
    struct moat_heap *code = heap_of(manager, MOAT_HEAP_EXECUTABLE);
    static const unsigned char instructions[] = {0x8D, 0x47, 0x01, 0xC3};
    static const size_t sizes[] = {4, 40000};
    for (unsigned i = 0; i < 2; i++) {
        unsigned char *block = allocated(code, sizes[i]);
        cr_assert_eq(info_of(block).protection, MOAT_PAGE_EXECUTE_READWRITE);
        memcpy(block, instructions, sizeof instructions);
#ifdef __x86_64__
        union {
            unsigned char *bytes;
            int (*call)(int);
        } function = {block};
        cr_assert_eq(function.call(41), 42);
#endif
        freed(code, block);
    }
    cr_assert_eq(info_of(allocated(heap, 4)).protection, MOAT_PAGE_READWRITE);
    moat_heap_destroy(code);
}

enum { HANDED = 20000 };
static unsigned char *handed[HANDED];

static void *free_half(void *unused) {
    (void)unused;
    for (unsigned i = 0; i < HANDED; i += 2)
        freed(heap, handed[i]);
    return NULL;
}

Test(heap_blocks, another_thread_may_free) {
    pthread_t thread;
    for (unsigned i = 0; i < HANDED; i++)
        handed[i] = allocated(heap, i % 700);
    cr_assert_eq(pthread_create(&thread, NULL, free_half, NULL), 0);
    for (unsigned i = 1; i < HANDED; i += 2)
        freed(heap, handed[i]);
    pthread_join(thread, NULL);
    cr_assert_eq(heap_stats(heap).blocks, 0);
}

Test(heap_blocks, destroying_gives_everything_back) {
    for (unsigned i = 0; i < 3000; i++)
        memset(allocated(heap, i * 20), 1, i * 20);
    unsigned char *small = allocated(heap, 50), *large = allocated(heap, 500000);
    moat_heap_destroy(heap);
    cr_assert_not(touch_reads(small));
    cr_assert_not(touch_reads(large));
    cr_assert_eq(stats_of(manager).regions_live, 0);
    cr_assert_eq(stats_of(manager).bytes_committed, 0);
    cr_assert_eq(stats_of(manager).bytes_reserved, 0);
    struct moat_heap *next = heap_of(manager, 0);
    refused(next, manager, small);
    refused(next, manager, large);
    moat_heap_destroy(next);
}
