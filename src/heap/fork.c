/* SPDX-License-Identifier: MIT */
/* fork: stacks made anew from headers. */
#include "heap/fork.h"

#include "base/align.h"
#include "lockfree/atomic.h"
#include "region/fork.h"
#include "region/geometry.h"
#include "region/roster.h"
#include "vm/manager.h"
#include "vm/reserve.h"

static struct moat_roster heaps;

static uintptr_t base_of(const struct moat_span *span) {
    /* relaxed: nobody else is here. */
    return moat_round_down(moat_load_relaxed(&span->base), MOAT_PAGE);
}

static bool has_region(const struct moat_heap *heap, const struct moat_span *span) {
    struct moat_region_ref ref;
    return base_of(span) != 0 && moat_region_find_base(base_of(span), &ref) &&
           ref.owner == heap->manager && moat_region_tag(&ref) == span;
}

/* Whether threads allocate from it. */
static bool is_in_lane(const struct moat_span *span) {
    /* relaxed: nobody else is here. */
    const struct moat_heap_lane *lane =
        (const struct moat_heap_lane *)(uintptr_t)moat_load_relaxed(&span->lane);
    /* relaxed: as above. */
    return lane && moat_load_relaxed(&lane->span) == (uint64_t)(uintptr_t)span;
}

static void push_hollow(struct moat_heap *heap, struct moat_span *span) {
    moat_span_set_hollow(span);
    moat_span_push(&heap->stocks[span->class].hollow, span);
}

static void mend_gone(struct moat_heap *heap, struct moat_span *span) {
    if (is_in_lane(span)) {
        /* relaxed: nobody else is here. */
        struct moat_heap_lane *lane =
            (struct moat_heap_lane *)(uintptr_t)moat_load_relaxed(&span->lane);
        /* relaxed: as above. */
        moat_store_relaxed(&lane->span, 0);
    }
    moat_span_mend_gone(span);
    push_hollow(heap, span);
}

static void mend_span(struct moat_heap *heap, struct moat_span *span) {
    if (!has_region(heap, span)) {
        mend_gone(heap, span);
        return;
    }
    /* relaxed: nobody else is here. */
    bool hollow = moat_load_relaxed(&span->phase) == MOAT_SPAN_HOLLOW;
    if (hollow || (span->class == MOAT_CLASS_LARGE && moat_span_is_closed(span))) {
        push_hollow(heap, span); /* whoever pops it gives the region back first */
        return;
    }
    if (span->class == MOAT_CLASS_LARGE)
        return;
    moat_span_mend(span);
    if (is_in_lane(span)) {
        moat_span_set_busy(span);
    } else if (moat_span_is_full(span)) {
        moat_span_set_loose(span);
    } else {
        moat_span_set_ready(span);
        moat_heap_stock_span(heap, span);
    }
}

static void mend_heap(void *thing) {
    struct moat_heap *heap = thing;

    for (unsigned row = 0; row <= MOAT_CLASSES; row++) {
        moat_span_clear(&heap->stocks[row].ready);
        moat_span_clear(&heap->stocks[row].hollow);
    }
    /* relaxed: counted anew as spans are stocked. */
    moat_store_relaxed(&heap->kept, 0);
    for (struct moat_span *span = moat_heap_spans(heap); span; span = span->older)
        mend_span(heap, span);
}

/* A region that was reserved for a span whose header does not know of it yet. */
static void release_orphan(const struct moat_region_ref *ref, void *unused) {
    struct moat_span *span = moat_region_tag(ref);
    (void)unused;
    if (span && base_of(span) != ref->base)
        (void)moat_release_tagged(ref->owner, (void *)ref->base, span);
}

/* Where the thread that forked has a span in hands, nothing is touched: what the dead had is
 * lost. */
static void mend(const struct moat_fork_report *report) {
    if (report->held->tasks[MOAT_HELD_SPAN] != 0)
        return;
    moat_manager_each(NULL, release_orphan, NULL);
    moat_roster_each(&heaps, mend_heap);
}

bool moat_heaps_enter(struct moat_heap *heap) {
    moat_fork_follow(MOAT_FORK_HEAPS, mend);
    return moat_roster_enter(&heaps, heap);
}

void moat_heaps_leave(struct moat_heap *heap) {
    moat_roster_leave(&heaps, heap);
}
