/* SPDX-License-Identifier: MIT */
/* heap: create, destroy, and look at what is in it. */
#include "heap/heap.h"

#include "heap/fork.h"

#include "base/site.h"
#include "heap/rest.h"
#include "lockfree/atomic.h"
#include "os/annotate.h"
#include "region/books.h"
#include "region/fork.h"
#include "vm/execute.h"
#include "vm/manager.h"
#include "vm/range.h"
#include "vm/reserve.h"

#define CALL "heap create"

enum moat_status moat_heap_create(struct moat_manager *manager, uint32_t flags,
                                  struct moat_heap **heap) {
    moat_site_note(MOAT_SITE_HERE);
    if (!heap)
        return moat_fail(MOAT_NO_ACCESS, CALL, 0, "heap is NULL");
    *heap = NULL;
    if (!manager)
        return moat_fail(MOAT_NO_ACCESS, CALL, 0, "manager is NULL");
    if (flags & ~MOAT_HEAP_EXECUTABLE)
        return moat_fail(MOAT_INVALID_ARGUMENT, CALL, 0, "unknown flag");
    uint32_t protection =
        flags & MOAT_HEAP_EXECUTABLE ? MOAT_PAGE_EXECUTE_READWRITE : MOAT_PAGE_READWRITE;
    enum moat_status status = moat_execute_check(manager, protection, CALL, 0);
    if (status)
        return moat_execute_report(manager, status);
    struct moat_heap *made = moat_books_take(sizeof(*made));
    if (!made)
        return moat_fail_books(MOAT_NO_MEMORY, CALL, 0);
    made->manager = manager;
    made->protection = protection;
    if (!moat_heaps_enter(made)) {
        moat_books_give(made, sizeof(*made));
        return moat_fail(MOAT_NO_MEMORY, CALL, 0, "no memory for the books");
    }
    made->rests = moat_manager_options(manager)->heap_poison == MOAT_HEAP_POISON_ON;
    *heap = made;
    return MOAT_OK;
}

struct moat_span *moat_heap_spans(const struct moat_heap *heap) {
    /* A(member) */
    return (struct moat_span *)(uintptr_t)moat_load_acquire(&heap->all);
}

static size_t header_size(const struct moat_span *span) {
    return sizeof(*span) + span->words * sizeof(span->word[0]);
}

/* A block ends with its heap. */
static int end_block(const struct moat_heap_block *block, void *unused) {
    (void)unused;
    moat_annotate_block_end(block->address, 0);
    return 0;
}

void moat_heap_destroy(struct moat_heap *heap) {
    struct moat_span *older;
    bool survived = false;

    moat_site_note(MOAT_SITE_HERE);
    if (!heap)
        return;
    moat_fork_check();
    moat_heaps_leave(heap);
    if (moat_manager_options(heap->manager)->leaks == MOAT_LEAKS_REPORT)
        moat_heap_report_leaks(heap);
    enum moat_status walked = moat_annotated() ? moat_heap_walk(heap, end_block, NULL) : MOAT_OK;
    (void)walked;
    for (struct moat_span *span = moat_heap_spans(heap); span; span = older) {
        older = span->older;
        moat_notes_give(span);
        /* relaxed: nobody else is here any more. */
        uintptr_t base = moat_load_relaxed(&span->base);
        if (base != 0)
            moat_rests_inspect(heap, span);
        moat_rests_give(span);
        if (base != 0 && moat_heap_drop_span(heap, span))
            survived = true;
        else
            moat_books_give(span, header_size(span));
    }
    moat_names_give(&heap->names);
    /* A region that the kernel would not take keeps its tag: what the tag leads to has to stay, and
     * no later heap may come to lie where this one did and be taken for its owner. */
    if (!survived)
        moat_books_give(heap, sizeof(*heap));
}

enum moat_status moat_heap_walk(struct moat_heap *heap,
                                int (*visit)(const struct moat_heap_block *, void *context),
                                void *context) {
    if (!heap || !visit)
        return moat_fail(MOAT_NO_ACCESS, "heap walk", 0, "heap or visit is NULL");
    for (struct moat_span *span = moat_heap_spans(heap); span; span = span->older) {
        for (uint32_t slot = 0; slot < moat_classes[span->class].slots; slot++) {
            /* A(open) by moat_span_word: the place is that of this life, or of a later one. */
            if (!moat_span_holds(moat_span_word(span, slot), slot))
                continue;
            /* relaxed: as above. */
            uintptr_t base = moat_load_relaxed(&span->base);
            /* relaxed: as above. */
            size_t size = moat_load_relaxed(&span->size);
            struct moat_note note = moat_note_read(span, slot);
            struct moat_heap_block block = {(void *)(base + slot * size), size - note.slack,
                                            note.file, note.line};
            if (visit(&block, context) != 0)
                return MOAT_OK;
        }
    }
    return MOAT_OK;
}

/* Add up one span. */
static void add_up(const struct moat_span *span, struct moat_heap_stats *stats) {
    /* relaxed: statistics. */
    uint64_t size = moat_load_relaxed(&span->size);
    /* relaxed: statistics. */
    uintptr_t base = moat_load_relaxed(&span->base);
    uint64_t blocks = 0;

    for (uint32_t slot = 0; slot < moat_classes[span->class].slots; slot += MOAT_SPAN_SLOTS)
        for (uint64_t left = moat_span_taken(moat_span_word(span, slot)); left; left &= left - 1)
            blocks++;
    stats->blocks += blocks;
    stats->block_bytes += blocks * size;
    if (base == 0)
        return;
    stats->regions++;
    stats->region_bytes += span->class == MOAT_CLASS_LARGE
                               ? base + size - moat_round_down(base, MOAT_PAGE)
                               : moat_classes[span->class].span_size;
}

enum moat_status moat_heap_stats_read(const struct moat_heap *heap, struct moat_heap_stats *stats) {
    if (!heap || !stats)
        return moat_fail(MOAT_NO_ACCESS, "heap stats", 0, "heap or stats is NULL");
    /* relaxed: statistics. */
    *stats = (struct moat_heap_stats){.idle_bytes = moat_load_relaxed(&heap->kept)};
    for (const struct moat_span *span = moat_heap_spans(heap); span; span = span->older)
        add_up(span, stats);
    return MOAT_OK;
}
