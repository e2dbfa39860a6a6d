/* SPDX-License-Identifier: MIT */
/* alloc: from a size to a block, and from an address back to its bit. */
#include "heap/heap.h"

#include "base/align.h"
#include "base/error_text.h"
#include "base/probe.h"
#include "base/site.h"
#include "heap/rest.h"
#include "heap/span.h"
#include "lockfree/atomic.h"
#include "os/annotate.h"
#include "os/os.h"
#include "region/fork.h"
#include "region/geometry.h"
#include "vm/deny.h"
#include "vm/range.h"

#define ALLOC "heap alloc"
#define FREE  "heap free"

#define USES_OF_SHARD 64u

/* A slot that was taken. */
struct taken {
    struct moat_span *span;
    uint32_t slot;
};

static void *address_of(const struct taken *taken) {
    /* relaxed: A(open) by the take; the span stays as long as the slot is taken. */
    uintptr_t base = moat_load_relaxed(&taken->span->base);
    return (void *)(base + (size_t)taken->slot * moat_classes[taken->span->class].size);
}

/* Have `span` in the lane instead of the full one; another thread may have been faster. */
static void change_lane(struct moat_heap *heap, struct moat_heap_lane *lane, uint64_t full,
                        struct moat_span *span) {
    /* relaxed: published by R(current). */
    moat_store_relaxed(&span->lane, (uint64_t)(uintptr_t)lane);
    /* R(current) A(current) */
    if (!moat_cas_acq_rel(&lane->span, &full, (uint64_t)(uintptr_t)span)) {
        moat_span_set_ready(span);
        moat_heap_stock_span(heap, span);
        return;
    }
    struct moat_span *left = (struct moat_span *)(uintptr_t)full;
    if (left && moat_span_leave(left))
        moat_heap_stock_span(heap, left);
}

/* The manager gives no more: any slot of the class will do, of whichever processor. */
static bool scrape(struct moat_heap *heap, unsigned class, struct taken *taken) {
    for (taken->span = moat_heap_spans(heap); taken->span; taken->span = taken->span->older)
        if (taken->span->class == class && moat_span_take(taken->span, 0, &taken->slot))
            return true;
    return false;
}

/* The shard of the processor that this thread runs on, or ran on a little while ago: asking costs
 * as much as allocating does otherwise, and a wrong answer costs speed alone. */
static unsigned shard_number(void) {
    static _Thread_local unsigned number, uses_left;

    if (uses_left == 0) {
        number = moat_os_processor() % MOAT_HEAP_SHARDS;
        uses_left = USES_OF_SHARD;
    }
    uses_left--;
    return number;
}

/* Have a span with room in a lane whose own has none, or take a slot of another. False: there is
 * a span to allocate from now, and no slot was taken. */
static bool renew(struct moat_heap *heap, unsigned class, struct moat_heap_lane *lane,
                  struct taken *taken, enum moat_status *status) {
    uint64_t full = (uint64_t)(uintptr_t)taken->span;
    struct moat_span *next = moat_heap_stocked_span(heap, class);

    *status = MOAT_OK;
    if (!next) {
        *status = moat_heap_new_span(heap, class, moat_classes[class].span_size, &next);
        if (*status && scrape(heap, class, taken)) {
            *status = MOAT_OK;
            return true;
        }
        if (*status)
            return !moat_heap_trim(heap);
    }
    change_lane(heap, lane, full, next);
    return false;
}

static enum moat_status take_small(struct moat_heap *heap, unsigned class, struct taken *taken) {
    struct moat_heap_lane *lane = &heap->shards[shard_number()].lanes[class];
    enum moat_status status;
    bool done;

    for (;;) {
        /* A(current) */
        uint64_t span = moat_load_acquire(&lane->span);
        taken->span = (struct moat_span *)(uintptr_t)span;
        /* relaxed: a hint. */
        uint32_t from = (uint32_t)moat_load_relaxed(&lane->from);
        if (taken->span && moat_span_take(taken->span, from, &taken->slot)) {
            /* relaxed: a hint. */
            moat_store_relaxed(&lane->from, taken->slot + 1);
            return MOAT_OK;
        }
        moat_held_begin(MOAT_HELD_SPAN);
        done = renew(heap, class, lane, taken, &status);
        moat_held_end(MOAT_HELD_SPAN);
        if (done)
            return status;
    }
}

static enum moat_status take_large(struct moat_heap *heap, size_t size, struct taken *taken) {
    enum moat_status status;

    if (size > MOAT_OS_USER_END) {
        moat_error_set(ALLOC " of %zu bytes: that is more than user space has", size);
        return MOAT_NO_MEMORY;
    }
    size = moat_round_up(size, MOAT_BLOCK_ALIGNMENT);
    moat_held_begin(MOAT_HELD_SPAN);
    do
        status = moat_heap_new_span(heap, MOAT_CLASS_LARGE, size, &taken->span);
    while (status && moat_heap_trim(heap));
    if (!status)
        (void)moat_span_take(taken->span, 0, &taken->slot);
    moat_held_end(MOAT_HELD_SPAN);
    return status == MOAT_INVALID_ARGUMENT ? MOAT_NO_MEMORY : status;
}

static enum moat_status find_block(struct moat_heap *heap, size_t size, void **block,
                                   struct taken *taken) {
    if (!block)
        return moat_fail(MOAT_NO_ACCESS, ALLOC, 0, "block is NULL");
    *block = NULL;
    if (!heap)
        return moat_fail(MOAT_NO_ACCESS, ALLOC, 0, "heap is NULL");
    if (moat_latched())
        return moat_fail_latched(ALLOC, 0);
    moat_fork_check();
    enum moat_status status = moat_deny(heap->manager, MOAT_DENY_HEAP, ALLOC, 0);
    if (status)
        return status;
    status = size <= MOAT_SMALL_MAX ? take_small(heap, moat_class_of(size), taken)
                                    : take_large(heap, size, taken);
    if (status)
        return status;
    if (heap->rests)
        moat_rest_end(heap, taken->span, taken->slot);
    *block = address_of(taken);
    return MOAT_OK;
}

static enum moat_status take(struct moat_heap *heap, size_t size, void **block,
                             struct taken *taken) {
    enum moat_status status = find_block(heap, size, block, taken);
    if (MOAT_ANNOTATES && !status)
        /* relaxed: A(open) by the take. */
        moat_annotate_block(*block, size, moat_load_relaxed(&taken->span->size));
    MOAT_PROBE(heap_alloc, status ? NULL : *block, size, 0, status, heap);
    return status;
}

enum moat_status moat_heap_alloc(struct moat_heap *heap, size_t size, void **block) {
    struct taken taken;

    moat_site_note(MOAT_SITE_HERE);
    enum moat_status status = take(heap, size, block, &taken);
    if (!status)
        moat_note_forget(taken.span, taken.slot);
    return status;
}

enum moat_status moat_heap_alloc_debug(struct moat_heap *heap, size_t size, const char *file,
                                       int line, void **block) {
    struct taken taken;

    moat_site_note(MOAT_SITE_HERE);
    enum moat_status status = take(heap, size, block, &taken);
    if (status)
        return status;
    moat_note_forget(taken.span, taken.slot);
    if (!file)
        return MOAT_OK;
    /* relaxed: A(open) by the take. */
    size_t room = moat_load_relaxed(&taken.span->size);
    struct moat_note note = {file, line, (uint32_t)(room - size)};
    moat_note_keep(&heap->names, taken.span, taken.slot, &note);
    return MOAT_OK;
}

/* The region that holds an address. Most spans are 64 KiB: then it is the region that starts there,
 * which is one look at the table. */
static bool find_region(uintptr_t address, struct moat_region_ref *ref) {
    uintptr_t granule = moat_round_down(address, MOAT_GRANULE);
    if (moat_region_find_base(granule, ref) && address - ref->base < ref->size)
        return true;
    return moat_region_find(address, ref);
}

/* The header of the span that an address lies in, if it is one of this heap. */
static struct moat_span *find_span(const struct moat_heap *heap, uintptr_t address) {
    struct moat_region_ref ref;

    if (!find_region(address, &ref) || ref.owner != heap->manager)
        return NULL;
    struct moat_span *span = moat_region_tag(&ref);
    /* A(member) A header may be another heap's, which ends, and its memory anything by now. But if
     * the region lives on after this was read, it was the header of that region at the time. */
    if (!span || moat_load_acquire(&span->heap) != (uint64_t)(uintptr_t)heap ||
        !moat_region_lives(&ref))
        return NULL;
    return span;
}

/*
 * Whether a slot of this span starts at the address. Headers of this heap stay what they are, but
 * the span may be closed and have another region meanwhile. Who then changes the slot's word from
 * what was read here knows that no life of the span ended in between, and as its place was the
 * right one after the word was read, that life is the one that the address belongs to.
 */
static bool match(struct moat_span *span, uintptr_t address, struct moat_found *found) {
    const struct moat_class *row = &moat_classes[span->class];
    /* relaxed: compared again below. */
    uintptr_t base = moat_load_relaxed(&span->base);
    uintptr_t offset = address - base;

    found->span = span;
    found->slot = 0;
    if (offset >= row->span_size) {
        if (offset != 0)
            return false;
    } else {
        found->slot = (uint32_t)(offset * row->inverse >> MOAT_CLASS_SHIFT);
        if (found->slot >= row->slots || found->slot * (uintptr_t)row->size != offset)
            return false;
    }
    found->word = moat_span_word(span, found->slot);
    /* relaxed: behind A(open) of the word. */
    found->size = moat_load_relaxed(&span->size);
    /* A(place) */
    return moat_load_acquire(&span->base) == base;
}

bool moat_heap_find(struct moat_heap *heap, const void *block, struct moat_found *found) {
    uintptr_t address = (uintptr_t)block;
    _Atomic uint64_t *hint = &heap->hints[(address >> MOAT_GRANULE_SHIFT) % MOAT_HEAP_HINTS];
    /* A(member) */
    struct moat_span *span = (struct moat_span *)(uintptr_t)moat_load_acquire(hint);

    if (span && match(span, address, found))
        return true;
    span = find_span(heap, address);
    if (!span || !match(span, address, found))
        return false;
    if (span->class != MOAT_CLASS_LARGE)
        /* R(member) */
        moat_store_release(hint, (uint64_t)(uintptr_t)span);
    return true;
}

/* A large block ends with its region; where the region cannot end, it lives on. */
static enum moat_status free_large(struct moat_heap *heap, const struct moat_found *found,
                                   const void *block) {
    if (!moat_span_close_only(found->span, found->word))
        return moat_heap_refuse(heap, block);
    moat_annotate_block_end(block, 0);
    enum moat_status status = moat_heap_drop_span(heap, found->span);
    if (status) {
        moat_annotate_block(block, found->size, found->size);
        moat_span_reopen_only(found->span);
        return status;
    }
    moat_span_set_hollow(found->span);
    moat_span_push(&heap->stocks[MOAT_CLASS_LARGE].hollow, found->span);
    return MOAT_OK;
}

/* A slot was given back, and `left` of its word are taken still. */
static void tidy_up(struct moat_heap *heap, struct moat_span *span, uint32_t left) {
    /* A(hand) a span that threads allocate from, as nearly all are, calls for nothing. */
    if (moat_load_acquire(&span->phase) == MOAT_SPAN_BUSY)
        return;
    moat_held_begin(MOAT_HELD_SPAN);
    switch (moat_span_given(span, left)) {
    case MOAT_SPAN_PUSH:
        moat_heap_stock_span(heap, span);
        break;
    case MOAT_SPAN_EMPTY:
        moat_heap_settle_span(heap, span);
        break;
    case MOAT_SPAN_NOTHING:
        break;
    }
    moat_held_end(MOAT_HELD_SPAN);
}

static enum moat_status give(struct moat_heap *heap, void *block) {
    struct moat_found found;
    uint32_t left;

    if (!heap)
        return moat_fail(MOAT_NO_ACCESS, FREE, (uintptr_t)block, "heap is NULL");
    if (!block)
        return MOAT_OK;
    if (moat_latched())
        return moat_fail_latched(FREE, (uintptr_t)block);
    moat_fork_check();
    if (!moat_heap_find(heap, block, &found))
        return moat_heap_refuse(heap, block);
    if (found.span->class == MOAT_CLASS_LARGE) {
        moat_held_begin(MOAT_HELD_SPAN);
        enum moat_status status = free_large(heap, &found, block);
        moat_held_end(MOAT_HELD_SPAN);
        return status;
    }
    if (heap->rests && !moat_rest_begin(heap, &found))
        return moat_heap_refuse(heap, block);
    if (moat_span_holds(found.word, found.slot))
        moat_annotate_block_end(block, found.size);
    if (!moat_span_give(found.span, found.slot, found.word, &left))
        return moat_heap_refuse(heap, block);
    tidy_up(heap, found.span, left);
    return MOAT_OK;
}

enum moat_status moat_heap_free(struct moat_heap *heap, void *block) {
    moat_site_note(MOAT_SITE_HERE);
    enum moat_status status = give(heap, block);
    MOAT_PROBE(heap_free, block, 0, 0, status, heap);
    return status;
}

enum moat_status moat_heap_block_size(struct moat_heap *heap, const void *block, size_t *size) {
    struct moat_found found;

    if (!size)
        return moat_fail(MOAT_NO_ACCESS, "heap block size", (uintptr_t)block, "size is NULL");
    *size = 0;
    if (!heap)
        return moat_fail(MOAT_NO_ACCESS, "heap block size", (uintptr_t)block, "heap is NULL");
    if (!moat_heap_find(heap, block, &found) || !moat_span_holds(found.word, found.slot))
        return moat_fail(MOAT_NOT_OURS, "heap block size", (uintptr_t)block,
                         "no live block of this heap");
    *size = found.size;
    moat_annotate_block_room(block, found.size);
    return MOAT_OK;
}
