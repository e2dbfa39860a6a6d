/* SPDX-License-Identifier: MIT */
/*
 * misuse: what is wrong with a block that a heap refused to free.
 *
 * Easy to get wrong: the heap that refused may be gone when the text is read, so it is a name to
 * compare, and nothing is read through it. Regions, their tags and the headers these lead to can be
 * read at any time; what was read counts only if the region lives on afterwards.
 */
#include "heap/heap.h"

#include "base/error_text.h"
#include "heap/rest.h"
#include "lockfree/atomic.h"
#include "region/history.h"
#include "region/latch.h"
#include "vm/manager.h"
#include "vm/misuse.h"

#define CALL "heap free"

/* A span as it was while its region lived. */
struct seen {
    bool ours; /* of the heap that refused; else nothing below counts */
    uint32_t slot;
    uintptr_t start; /* of the slot that holds the address, or comes nearest */
    size_t size;     /* of a slot */
    bool inside;     /* the address is in that slot */
    bool taken;
    struct moat_note note;
    struct moat_moment freed; /* all zero: not known */
};

/*
 * Look at the region that an address is in. False: it is no heap's. Whatever else has tags (a heap
 * for code) keeps something of its own there, so only a header that names this heap is believed.
 */
static bool look(const struct moat_region_ref *ref, uintptr_t address, const void *heap,
                 struct seen *seen) {
    struct moat_span *span = moat_region_tag(ref);

    if (!span)
        return false;
    /* A(member) */
    seen->ours = moat_load_acquire(&span->heap) == (uint64_t)(uintptr_t)heap;
    if (!moat_region_lives(ref))
        return false;
    if (!seen->ours)
        return true;
    const struct moat_class *row = &moat_classes[span->class];
    /* relaxed: counts only if the region lives on. */
    uintptr_t base = moat_load_relaxed(&span->base);
    /* relaxed: as above. */
    seen->size = moat_load_relaxed(&span->size);
    if (seen->size == 0)
        return false;
    if (span->class != MOAT_CLASS_LARGE && address >= base)
        seen->slot = (uint32_t)((address - base) / seen->size);
    seen->start = base + seen->slot * seen->size;
    seen->inside = address - seen->start < seen->size && seen->slot < row->slots;
    if (seen->inside) {
        seen->taken = moat_span_holds(moat_span_word(span, seen->slot), seen->slot);
        seen->note = moat_note_read(span, seen->slot);
        seen->freed = moat_rest_freed(span, seen->slot);
    }
    return moat_region_lives(ref);
}

static void say_slot(struct moat_verdict *verdict, const struct seen *seen, uintptr_t address) {
    struct moat_report_text *text = &verdict->sentence;

    verdict->file = seen->note.file;
    verdict->line = seen->note.line;
    if (!seen->inside) {
        verdict->kind = MOAT_FOUND_FOREIGN;
        moat_report_add(text, "in memory of this heap where no block is; pass what was allocated");
    } else if (!seen->taken) {
        verdict->kind = MOAT_FOUND_ALREADY_FREED;
        moat_report_add(text, "the block of %zu bytes at %#lx is free", seen->size,
                        (unsigned long)seen->start);
        if (seen->freed.thread != 0) {
            moat_report_add(text, ", freed ");
            moat_report_add_age(text, seen->freed.time);
            moat_report_add(text, " ago by thread %u", seen->freed.thread);
        }
        moat_report_add(text, "; a block is freed once");
    } else if (address != seen->start) {
        verdict->kind = MOAT_FOUND_INTERIOR;
        moat_report_add(text,
                        "%zu bytes into the block of %zu bytes at %#lx; a block is freed by its "
                        "start",
                        (size_t)(address - seen->start), seen->size, (unsigned long)seen->start);
    } else {
        verdict->kind = MOAT_FOUND_ALREADY_FREED;
        moat_report_add(text, "no live block when it was called; one of %zu bytes is there since",
                        seen->size);
    }
}

static void say_given_back(struct moat_verdict *verdict, const struct moat_past *past) {
    verdict->kind = MOAT_FOUND_ALREADY_FREED;
    verdict->base = past->base;
    verdict->size = past->size;
    verdict->born = past->born;
    verdict->ended = past->ended;
    verdict->released = true;
    moat_report_add(&verdict->sentence,
                    "the region of %zu bytes at %#lx, which held it, was "
                    "released ",
                    past->size, (unsigned long)past->base);
    moat_report_add_age(&verdict->sentence, past->ended.time);
    moat_report_add(&verdict->sentence, " ago by thread %u; a block is freed once",
                    past->ended.thread);
}

static void explain(const struct moat_refusal *refusal, struct moat_verdict *verdict) {
    uintptr_t address = refusal->address;
    struct moat_region_ref ref;
    struct seen seen = {0};
    struct moat_past past;

    moat_report_add(&verdict->sentence, CALL " at %#lx: ", (unsigned long)address);
    verdict->kind = MOAT_FOUND_FOREIGN;
    if (moat_latched()) {
        moat_report_add(&verdict->sentence, "refused; corruption was found since");
    } else if (moat_region_find(address, &ref)) {
        verdict->base = ref.base;
        verdict->size = ref.size;
        verdict->born = moat_history_birth(&ref);
        if (!look(&ref, address, refusal->manager, &seen)) {
            moat_report_add(&verdict->sentence,
                            "in the region of %zu bytes at %#lx, which is no heap's; a region is "
                            "released",
                            ref.size, (unsigned long)ref.base);
        } else if (!seen.ours) {
            verdict->kind = MOAT_FOUND_OTHER_HEAP;
            moat_report_add(&verdict->sentence,
                            "in memory of another heap; a block is freed in its own heap");
        } else {
            say_slot(verdict, &seen, address);
        }
    } else if (moat_history_find(address, &past) && past.released) {
        say_given_back(verdict, &past);
    } else {
        moat_misuse_find_out(refusal, verdict);
    }
}

static void tell(const struct moat_refusal *refusal) {
    struct moat_verdict verdict = {0};
    explain(refusal, &verdict);
    moat_error_set("%s", verdict.sentence.text);
}

enum moat_status moat_heap_refuse(const struct moat_heap *heap, const void *block) {
    const struct moat_refusal refusal = {
        .call = CALL,
        .tell = tell,
        .address = (uintptr_t)block,
        .size = MOAT_MISUSE_NO_SIZE,
        .manager = heap,
        .status = MOAT_NOT_OURS,
        .kind = MOAT_MISUSE_UNKNOWN,
    };
    moat_manager_count(heap->manager, MOAT_COUNT_REFUSED, 1);
    return moat_misuse_refuse_as(&heap->manager->options, &refusal, explain);
}
