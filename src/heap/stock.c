/* SPDX-License-Identifier: MIT */
/*
 * stock: spans that nobody allocates from: where they come from, wait and go.
 *
 * Easy to get wrong: a header that is ready may be popped, closed and given a new region by others
 * the moment it can be seen, also before this thread has pushed it. So whoever changes a phase does
 * the one thing that the phase calls for, and nothing after that relies on the span being as it
 * was. An idle span is counted as kept by whoever calls it idle, no longer by whoever ends that.
 */
#include "heap/heap.h"

#include "base/align.h"
#include "heap/rest.h"
#include "lockfree/atomic.h"
#include "os/annotate.h"
#include "region/books.h"
#include "region/geometry.h"
#include "vm/range.h"
#include "vm/reserve.h"

/* Idle spans that a heap keeps, in bytes: enough for a phase of a program to come back, and little
 * beside what makes a heap worth its name. */
#define KEPT_MAX (UINT64_C(8) << 20)

static struct moat_span_stack *ready_of(struct moat_heap *heap, const struct moat_span *span) {
    return &heap->stocks[span->class].ready;
}

static struct moat_span_stack *hollow_of(struct moat_heap *heap, const struct moat_span *span) {
    return &heap->stocks[span->class].hollow;
}

static struct moat_span *make_header(struct moat_heap *heap, unsigned class) {
    uint32_t words = moat_classes[class].words;
    struct moat_span *span = moat_books_take(sizeof(*span) + words * sizeof(span->word[0]));

    if (!span)
        return NULL;
    span->class = class;
    span->words = words;
    moat_span_begin(span);
    if (heap->rests)
        moat_rests_make(span);
    /* relaxed: published with the header. */
    moat_store_relaxed(&span->heap, (uint64_t)(uintptr_t)heap);
    /* A(member) */
    uint64_t newest = moat_load_acquire(&heap->all);
    do
        span->older = (struct moat_span *)(uintptr_t)newest;
    /* R(member) A(member) */
    while (!moat_cas_acq_rel(&heap->all, &newest, (uint64_t)(uintptr_t)span));
    return span;
}

enum moat_status moat_heap_drop_span(struct moat_heap *heap, struct moat_span *span) {
    /* relaxed: the span is the caller's. */
    uintptr_t base = moat_round_down(moat_load_relaxed(&span->base), MOAT_PAGE);
    enum moat_status status = moat_release_tagged(heap->manager, (void *)base, span);
    if (!status)
        /* relaxed: as above. */
        moat_store_relaxed(&span->base, 0);
    return status;
}

static enum moat_status reserve(struct moat_heap *heap, size_t size, struct moat_span *span,
                                void **base) {
    const struct moat_reserve_terms terms = {
        .protection = heap->protection,
        .flags = MOAT_RESERVE_COMMIT,
        .kind = MOAT_REGION_TAGGED,
        .tag = span,
    };
    return moat_reserve_as(heap->manager, NULL, size, &terms, base);
}

enum moat_status moat_heap_new_span(struct moat_heap *heap, unsigned class, size_t size,
                                    struct moat_span **out) {
    struct moat_span *span = moat_span_pop(&heap->stocks[class].hollow);
    size_t slot_size = class == MOAT_CLASS_LARGE ? size : moat_classes[class].size;
    enum moat_status status = MOAT_OK;
    void *base;

    *out = NULL;
    if (!span)
        span = make_header(heap, class);
    if (!span)
        return moat_fail_books(MOAT_NO_MEMORY, "heap alloc", 0);
    /* relaxed: the header is this thread's. A region that would not go before may go now. */
    if (moat_load_relaxed(&span->base) != 0)
        status = moat_heap_drop_span(heap, span);
    if (!status)
        status = reserve(heap, size, span, &base);
    if (status) {
        moat_span_set_hollow(span);
        moat_span_push(hollow_of(heap, span), span);
        return status;
    }
    /* A large block lies at the end of its pages, as near to the guard as its alignment lets it. */
    uintptr_t end = (uintptr_t)base + moat_round_up(size, MOAT_PAGE);
    moat_annotate_span((uintptr_t)base,
                       class == MOAT_CLASS_LARGE ? end - size - (uintptr_t)base : size);
    moat_span_open(span, class == MOAT_CLASS_LARGE ? end - size : (uintptr_t)base, slot_size);
    *out = span;
    return MOAT_OK;
}

struct moat_span *moat_heap_stocked_span(struct moat_heap *heap, unsigned class) {
    struct moat_span *span;

    while ((span = moat_span_pop(&heap->stocks[class].ready)) != NULL) {
        switch (moat_span_found(span)) {
        case MOAT_SPAN_FOUND_IDLE:
            /* relaxed: a sum. */
            (void)moat_add_relaxed(&heap->kept, 0 - (uint64_t)moat_classes[class].span_size);
            return span;
        case MOAT_SPAN_FOUND:
            return span;
        case MOAT_SPAN_FOUND_HOLLOW:
            moat_span_push(hollow_of(heap, span), span);
            break;
        case MOAT_SPAN_FOUND_CLOSING:
            break;
        }
    }
    return NULL;
}

/* Close a span in that phase if it is empty; whether its region was given back. */
static bool close(struct moat_heap *heap, struct moat_span *span, enum moat_span_phase from) {
    enum moat_span_close outcome = moat_span_close(span, from);

    if (outcome != MOAT_SPAN_OTHER && from == MOAT_SPAN_IDLE)
        /* relaxed: a sum. */
        (void)moat_add_relaxed(&heap->kept, 0 - (uint64_t)moat_classes[span->class].span_size);
    if (outcome == MOAT_SPAN_LOST)
        moat_span_push(ready_of(heap, span), span);
    if (outcome != MOAT_SPAN_CLOSED)
        return false;
    if (heap->rests)
        moat_rests_inspect(heap, span);
    /* A region that the kernel does not take is tried again with the next one. */
    bool gone = moat_heap_drop_span(heap, span) == MOAT_OK;
    if (moat_span_closed(span))
        moat_span_push(hollow_of(heap, span), span);
    return gone;
}

void moat_heap_settle_span(struct moat_heap *heap, struct moat_span *span) {
    uint64_t size = moat_classes[span->class].span_size;
    /* relaxed: a sum; two threads at once may go past the limit by a span each. */
    if (moat_load_relaxed(&heap->kept) + size > KEPT_MAX) {
        (void)close(heap, span, MOAT_SPAN_READY);
        return;
    }
    /* relaxed: a sum. Counted before it can be uncounted. */
    (void)moat_add_relaxed(&heap->kept, size);
    if (!moat_span_rest(span))
        /* relaxed: a sum. */
        (void)moat_add_relaxed(&heap->kept, 0 - size);
}

void moat_heap_stock_span(struct moat_heap *heap, struct moat_span *span) {
    moat_span_push(ready_of(heap, span), span);
    if (moat_span_empty(span))
        moat_heap_settle_span(heap, span);
}

/* Take an empty span that threads allocate from out of its lane. Who is looking at it just now may
 * still take a slot: closing it then fails. */
static void clear_lane(struct moat_heap *heap, struct moat_span *span) {
    uint64_t current = (uint64_t)(uintptr_t)span;
    /* relaxed: lanes are there as long as the heap is. */
    uint64_t address = moat_load_relaxed(&span->lane);
    struct moat_heap_lane *lane = (struct moat_heap_lane *)(uintptr_t)address;
    /* R(current) A(current) */
    if (!lane || !moat_cas_acq_rel(&lane->span, &current, 0))
        return;
    moat_span_set_ready(span);
    moat_span_push(ready_of(heap, span), span);
}

bool moat_heap_trim(struct moat_heap *heap) {
    bool any = false;
    for (struct moat_span *span = moat_heap_spans(heap); span; span = span->older) {
        if (!moat_span_empty(span))
            continue;
        clear_lane(heap, span);
        if (close(heap, span, MOAT_SPAN_IDLE) || close(heap, span, MOAT_SPAN_READY))
            any = true;
    }
    return any;
}
