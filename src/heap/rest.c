/* SPDX-License-Identifier: MIT */
/* rest: a table a span; checks that come once a life of a block. */
#include "heap/rest.h"

#include "base/site.h"
#include "heap/span.h"
#include "lockfree/atomic.h"
#include "os/annotate.h"
#include "os/os.h"
#include "region/books.h"
#include "vm/damage.h"

#include <string.h>

#define AT_REST UINT64_C(1)

struct rest {
    _Atomic uint64_t word; /* entry 0 is the books', and entry slot + 1 a slot's */
    _Atomic uint64_t time; /* who freed it, when and where: struct moat_moment */
    _Atomic uint64_t thread;
    _Atomic uint64_t site;
};

static size_t table_size(const struct moat_span *span) {
    return ((size_t)moat_classes[span->class].slots + 1) * sizeof(struct rest);
}

static struct rest *table_of(const struct moat_span *span) {
    /* A(rests) */
    return (struct rest *)(uintptr_t)moat_load_acquire(&span->rests);
}

void moat_rests_make(struct moat_span *span) {
    if (span->class != MOAT_CLASS_LARGE)
        /* R(rests) */
        moat_store_release(&span->rests, (uint64_t)(uintptr_t)moat_books_take(table_size(span)));
}

void moat_rests_give(struct moat_span *span) {
    struct rest *table = table_of(span);
    if (table)
        moat_books_give(table, table_size(span));
}

static unsigned char *block_of(const struct moat_span *span, uint32_t slot) {
    /* relaxed: A(open) by the word of the slot, which is taken or closed. */
    uintptr_t base = moat_load_relaxed(&span->base);
    return (unsigned char *)(base + slot * (uintptr_t)moat_classes[span->class].size);
}

bool moat_rest_begin(const struct moat_heap *heap, const struct moat_found *found) {
    struct rest *table = table_of(found->span);
    uint64_t live = moat_span_life(found->word) << 1;

    if (!table)
        return true;
    struct rest *rest = &table[found->slot + 1];
    if (!moat_span_holds(found->word, found->slot))
        return false;
    /* R(rest) A(rest) */
    if (!moat_cas_acq_rel(&rest->word, &live, live | AT_REST))
        return false;
    /* relaxed: as the filling, published with the slot; who reads them sooner looks twice. */
    moat_store_relaxed(&rest->time, moat_history_now());
    /* relaxed: as above. */
    moat_store_relaxed(&rest->thread, moat_os_thread());
    /* relaxed: as above. */
    moat_store_relaxed(&rest->site, moat_site());
    moat_annotate_lift(block_of(found->span, found->slot), moat_classes[found->span->class].size);
    memset(block_of(found->span, found->slot), heap->manager->options.poison,
           moat_classes[found->span->class].size);
    return true;
}

static struct moat_moment freed(const struct rest *rest) {
    return (struct moat_moment){
        /* relaxed: as the stores. */
        .time = moat_load_relaxed(&rest->time),
        /* relaxed: as the stores. */
        .thread = (uint32_t)moat_load_relaxed(&rest->thread),
        /* relaxed: as the stores. */
        .site = (uintptr_t)moat_load_relaxed(&rest->site),
    };
}

struct moat_moment moat_rest_freed(const struct moat_span *span, uint32_t slot) {
    const struct rest *table = table_of(span);
    uint64_t at_rest = moat_span_life(moat_span_word(span, slot)) << 1 | AT_REST;

    /* A(rest) */
    if (!table || moat_load_acquire(&table[slot + 1].word) != at_rest)
        return (struct moat_moment){0};
    return freed(&table[slot + 1]);
}

/* Nothing of the span is held but the slot, or its closed words. */
static void tell(const struct moat_heap *heap, const struct moat_damage *damage,
                 const struct rest *rest, const unsigned char *block, size_t size) {
    const struct moat_options *options = moat_manager_options(heap->manager);
    struct moat_report_text text = {0};

    moat_manager_count(heap->manager, MOAT_COUNT_POISON_DAMAGE, 1);
    if (!moat_report_wanted(options, MOAT_FOUND_WRITE_AFTER_FREE))
        return;
    moat_report_add(&text,
                    "moat: write after free: %zu byte%s of the block of %zu at %#lx changed after "
                    "it had been freed\n",
                    damage->bytes, damage->bytes == 1 ? "" : "s", size,
                    (unsigned long)(uintptr_t)block);
    moat_report_add(&text, "  first at %#lx, offset %#lx of the block\n",
                    (unsigned long)damage->first,
                    (unsigned long)(damage->first - (uintptr_t)block));
    moat_damage_show(&text, damage, options->poison);
    struct moat_moment moment = freed(rest);
    moat_report_add_moment(&text, "freed", &moment);
    moat_report_tell(options, MOAT_FOUND_WRITE_AFTER_FREE, MOAT_OK, damage->first, &text);
}

static void check(const struct moat_heap *heap, const struct moat_span *span, uint32_t slot,
                  const struct rest *rest) {
    const unsigned char *block = block_of(span, slot);
    size_t size = moat_classes[span->class].size;
    struct moat_damage damage = {0};

    moat_annotate_lift(block, size);
    if (moat_poison_check(block, size, heap->manager->options.poison, &damage))
        tell(heap, &damage, rest, block, size);
}

void moat_rest_end(struct moat_heap *heap, struct moat_span *span, uint32_t slot) {
    struct rest *table = table_of(span);
    if (!table)
        return;
    struct rest *rest = &table[slot + 1];
    uint64_t life = moat_span_life(moat_span_word(span, slot));
    /* relaxed: the slot is this thread's, by A(reuse). */
    if (moat_load_relaxed(&rest->word) == (life << 1 | AT_REST))
        check(heap, span, slot, rest);
    /* relaxed: shown to others by whoever gets the block. */
    moat_store_relaxed(&rest->word, life << 1);
}

void moat_rests_inspect(struct moat_heap *heap, const struct moat_span *span) {
    const struct rest *table = table_of(span);
    if (!table)
        return;
    for (uint32_t slot = 0; slot < moat_classes[span->class].slots; slot++) {
        const struct rest *rest = &table[slot + 1];
        uint64_t life = moat_span_life(moat_span_word(span, slot));
        /* relaxed: nobody gives or takes slots of the span any more. */
        if (moat_load_relaxed(&rest->word) == (life << 1 | AT_REST))
            check(heap, span, slot, rest);
    }
}
