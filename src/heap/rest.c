/* SPDX-License-Identifier: MIT */
/* rest: a table a span; checks that come once a life of a block. */
#include "heap/rest.h"

#include "base/site.h"
#include "heap/span.h"
#include "lockfree/atomic.h"
#include "os/os.h"
#include "region/books.h"
#include "vm/damage.h"

#include <string.h>

#define AT_REST UINT64_C(1)

struct rest {
    _Atomic uint64_t word; /* entry 0 is the books', and entry slot + 1 a slot's */
    struct moat_moment freed;
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
    rest->freed = (struct moat_moment){moat_history_now(), moat_os_thread(), moat_site()};
    memset(block_of(found->span, found->slot), heap->manager->options.poison,
           moat_classes[found->span->class].size);
    return true;
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
    moat_damage_blame(&text, "freed", &rest->freed);
    moat_report_tell(options, MOAT_FOUND_WRITE_AFTER_FREE, MOAT_OK, damage->first, &text);
}

static void check(const struct moat_heap *heap, const struct moat_span *span, uint32_t slot,
                  const struct rest *rest) {
    const unsigned char *block = block_of(span, slot);
    size_t size = moat_classes[span->class].size;
    struct moat_damage damage = {0};

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
