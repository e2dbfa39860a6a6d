/* SPDX-License-Identifier: MIT */
/*
 * code: blocks of a code heap: pages that were claimed (pages.h), in both views (vm/views.h).
 *
 * The stripes of a block decide who does what to it: its length is looked at again once they are
 * held, so that of racing frees one finds it, and nothing is done to the block that comes after.
 */
#include <moat/code.h>

#include "base/probe.h"
#include "base/site.h"
#include "code/pages.h"
#include "region/books.h"
#include "region/geometry.h"
#include "region/latch.h"
#include "vm/deny.h"
#include "vm/range.h"
#include "vm/views.h"

#define CREATE "code heap create"

struct moat_code_heap {
    _Atomic uint64_t link; /* of the books */
    struct moat_views views;
    struct moat_code_pages pages;
};

static size_t books_size(size_t size) {
    return moat_round_up(sizeof(struct moat_code_heap), 64) +
           moat_code_pages_size(size >> MOAT_PAGE_SHIFT);
}

enum moat_status moat_code_heap_create(struct moat_manager *manager, size_t size,
                                       const struct moat_address_limits *limits,
                                       struct moat_code_heap **heap) {
    moat_site_note(MOAT_SITE_HERE);
    if (!heap)
        return moat_fail(MOAT_NO_ACCESS, CREATE, 0, "heap is NULL");
    *heap = NULL;
    if (!manager)
        return moat_fail(MOAT_NO_ACCESS, CREATE, 0, "manager is NULL");
    if (moat_latched())
        return moat_fail_latched(CREATE, 0);
    if (size == 0 || size > MOAT_CODE_HEAP_MAX)
        return moat_fail(MOAT_INVALID_ARGUMENT, CREATE, 0, "the size is 0 or above 2 GiB");
    size = moat_round_up(size, MOAT_GRANULE);
    struct moat_code_heap *made = moat_books_take(books_size(size));
    if (!made)
        return moat_fail(MOAT_NO_MEMORY, CREATE, 0, "no memory for the books");
    char *arrays = (char *)made + moat_round_up(sizeof *made, 64);
    moat_code_pages_init(&made->pages, arrays, size >> MOAT_PAGE_SHIFT);
    enum moat_status status = moat_views_create(manager, size, limits, made, &made->views);
    if (status)
        moat_books_give(made, books_size(size));
    else
        *heap = made;
    return status;
}

void moat_code_heap_destroy(struct moat_code_heap *heap) {
    if (!heap || moat_latched())
        return;
    /* A region that is left keeps its tag: no later heap may come to lie where this one did. */
    if (moat_views_destroy(&heap->views))
        moat_books_give(heap, books_size(heap->views.size));
}

static struct moat_code_block block_at(const struct moat_code_heap *heap, size_t first,
                                       size_t length) {
    uintptr_t offset = (uintptr_t)first << MOAT_PAGE_SHIFT;
    return (struct moat_code_block){(void *)(heap->views.execute.base + offset),
                                    (void *)(heap->views.write.base + offset),
                                    length << MOAT_PAGE_SHIFT};
}

static struct moat_views_range range_of(struct moat_code_heap *heap, const char *call, size_t first,
                                        size_t length) {
    return (struct moat_views_range){
        .views = &heap->views,
        .call = call,
        .offset = first << MOAT_PAGE_SHIFT,
        .size = length << MOAT_PAGE_SHIFT,
    };
}

static enum moat_status alloc(struct moat_code_heap *heap, size_t size,
                              struct moat_code_block *block) {
    static const char call[] = "code alloc";
    size_t first;

    if (!heap || !block)
        return moat_fail(MOAT_NO_ACCESS, call, 0, "heap or block is NULL");
    *block = (struct moat_code_block){0};
    if (moat_latched())
        return moat_fail_latched(call, 0);
    if (size == 0)
        return moat_fail(MOAT_INVALID_ARGUMENT, call, 0, "the size is 0");
    enum moat_status status = moat_deny(heap->views.manager, MOAT_DENY_HEAP, call, 0);
    if (status)
        return status;
    size_t length = size > MOAT_CODE_HEAP_MAX
                        ? SIZE_MAX
                        : (size_t)(moat_round_up(size, MOAT_PAGE) >> MOAT_PAGE_SHIFT);
    if (!moat_code_pages_claim(&heap->pages, length, &first))
        return moat_fail(MOAT_NO_MEMORY, call, heap->views.execute.base,
                         "no such run of pages is left in the heap");
    struct moat_views_range range = range_of(heap, call, first, length);
    status = moat_views_enter(&range);
    if (!status) {
        status = moat_views_commit(&range);
        if (!status)
            moat_code_pages_enter(&heap->pages, first, length);
        moat_views_leave(&range);
    }
    if (status)
        moat_code_pages_unclaim(&heap->pages, first, length);
    else
        *block = block_at(heap, first, length);
    return status;
}

enum moat_status moat_code_alloc(struct moat_code_heap *heap, size_t size,
                                 struct moat_code_block *block) {
    moat_site_note(MOAT_SITE_HERE);
    enum moat_status status = alloc(heap, size, block);
    MOAT_PROBE(code_alloc, status ? NULL : block->execute, size, 0, status, heap);
    return status;
}

static enum moat_status not_ours(const char *call, const void *code) {
    return moat_fail(MOAT_NOT_OURS, call, (uintptr_t)code,
                     "no live block of this heap starts there");
}

/* Enter the block that starts at `code`. MOAT_OK: to be left. */
static enum moat_status enter(struct moat_code_heap *heap, const char *call, const void *code,
                              struct moat_views_range *range) {
    if (!heap)
        return moat_fail(MOAT_NO_ACCESS, call, (uintptr_t)code, "heap is NULL");
    if (moat_latched())
        return moat_fail_latched(call, (uintptr_t)code);
    uintptr_t offset = (uintptr_t)code - heap->views.execute.base;
    size_t first = (size_t)(offset >> MOAT_PAGE_SHIFT);

    if (offset >= heap->views.size || !moat_is_aligned(offset, MOAT_PAGE))
        return not_ours(call, code);
    for (;;) {
        uint32_t length = moat_code_pages_length(&heap->pages, first);
        if (length == 0)
            return not_ours(call, code);
        *range = range_of(heap, call, first, length);
        enum moat_status status = moat_views_enter(range);
        if (status || moat_code_pages_length(&heap->pages, first) == length)
            return status;
        moat_views_leave(range); /* freed meanwhile: perhaps allocated again, too */
    }
}

enum moat_status moat_code_publish(struct moat_code_heap *heap, void *code) {
    struct moat_views_range range;
    enum moat_status status = enter(heap, "code publish", code, &range);

    if (status)
        return status;
    status = moat_views_show(&range);
    moat_views_leave(&range);
    return status;
}

enum moat_status moat_code_seal(struct moat_code_heap *heap, void *code) {
    struct moat_views_range range;
    enum moat_status status = enter(heap, "code seal", code, &range);

    if (status)
        return status;
    status = moat_views_seal(&range);
    moat_views_leave(&range);
    return status;
}

enum moat_status moat_code_open(struct moat_code_heap *heap, void *code,
                                struct moat_code_block *block) {
    struct moat_views_range range;

    if (block)
        *block = (struct moat_code_block){0};
    enum moat_status status = enter(heap, "code open", code, &range);
    if (status)
        return status;
    status = moat_views_open(&range);
    moat_views_leave(&range);
    if (!status && block)
        *block = block_at(heap, range.offset >> MOAT_PAGE_SHIFT, range.size >> MOAT_PAGE_SHIFT);
    return status;
}

static enum moat_status release(struct moat_code_heap *heap, void *code) {
    struct moat_views_range range;

    if (heap && !code)
        return MOAT_OK;
    enum moat_status status = enter(heap, "code free", code, &range);
    if (status == MOAT_NOT_OURS)
        moat_manager_count(heap->views.manager, MOAT_COUNT_REFUSED, 1);
    if (status)
        return status;
    size_t first = range.offset >> MOAT_PAGE_SHIFT;
    status = moat_views_free(&range);
    if (!status)
        moat_code_pages_leave(&heap->pages, first);
    moat_views_leave(&range);
    if (!status)
        moat_code_pages_unclaim(&heap->pages, first, range.size >> MOAT_PAGE_SHIFT);
    return status;
}

enum moat_status moat_code_free(struct moat_code_heap *heap, void *code) {
    moat_site_note(MOAT_SITE_HERE);
    enum moat_status status = release(heap, code);
    MOAT_PROBE(code_free, code, 0, 0, status, heap);
    return status;
}

enum moat_status moat_code_find(const struct moat_code_heap *heap, const void *address,
                                struct moat_code_block *block) {
    size_t first, length;

    if (block)
        *block = (struct moat_code_block){0};
    if (!heap || !block)
        return MOAT_NO_ACCESS;
    uintptr_t offset = (uintptr_t)address - heap->views.execute.base;
    if (offset >= heap->views.size)
        offset = (uintptr_t)address - heap->views.write.base;
    if (offset >= heap->views.size ||
        !moat_code_pages_find(&heap->pages, (size_t)(offset >> MOAT_PAGE_SHIFT), &first, &length))
        return MOAT_NOT_OURS;
    *block = block_at(heap, first, length);
    return MOAT_OK;
}
