/* SPDX-License-Identifier: MIT */
/*
 * misuse_words: one sentence for each way to misuse a call.
 *
 * They are documented in <moat/report.h> and held by tests to the letter. Each says what was asked,
 * what is there, and what to do.
 */
#include "os/os.h"
#include "region/geometry.h"
#include "region/history.h"
#include "region/latch.h"
#include "vm/foreign.h"
#include "vm/misuse.h"

#include <moat/moat.h>

static void set_region(struct moat_verdict *verdict, const struct moat_region_ref *ref) {
    verdict->base = ref->base;
    verdict->size = ref->size;
    verdict->born = moat_history_birth(ref);
}

static void set_past(struct moat_verdict *verdict, const struct moat_past *past) {
    verdict->base = past->base;
    verdict->size = past->size;
    verdict->born = past->born;
    verdict->ended = past->ended;
    verdict->released = past->released;
}

/* What the call knew of the region, and what is still known of it. */
static void set_known(struct moat_verdict *verdict, const struct moat_refusal *refusal) {
    struct moat_region_ref ref;
    struct moat_past past;

    if (refusal->base && moat_region_find(refusal->base, &ref) && ref.base == refusal->base)
        set_region(verdict, &ref);
    else if (refusal->base && moat_history_find(refusal->base, &past) && past.released)
        set_past(verdict, &past);
    verdict->base = refusal->base;
    verdict->size = refusal->length;
}

static void say_region(struct moat_verdict *verdict) {
    moat_report_add(&verdict->sentence, "the region of %zu bytes at %#lx", verdict->size,
                    (unsigned long)verdict->base);
}

static void say_owner(struct moat_verdict *verdict, bool of_heap) {
    struct moat_report_text *text = &verdict->sentence;

    verdict->kind = of_heap ? MOAT_FOUND_HEAP_MEMORY : MOAT_FOUND_OTHER_MANAGER;
    moat_report_add(text, "in ");
    say_region(verdict);
    moat_report_add(text, of_heap ? ", which belongs to a heap; only the heap's own calls take it"
                                  : ", which another manager reserved; call it with that manager");
}

static void say_interior(struct moat_verdict *verdict, uintptr_t address) {
    verdict->kind = MOAT_FOUND_INTERIOR;
    moat_report_add(&verdict->sentence, "%zu bytes into ", (size_t)(address - verdict->base));
    say_region(verdict);
    moat_report_add(&verdict->sentence, "; a region is released by its base");
}

static void say_released(struct moat_verdict *verdict) {
    verdict->kind = MOAT_FOUND_ALREADY_FREED;
    say_region(verdict);
    moat_report_add(&verdict->sentence, " was released ");
    moat_report_add_age(&verdict->sentence, verdict->ended.time);
    moat_report_add(&verdict->sentence, " ago by thread %u; a region is released once",
                    verdict->ended.thread);
}

static void say_foreign(struct moat_verdict *verdict, uintptr_t address) {
    if (moat_misuse_on_stack(address)) {
        verdict->kind = MOAT_FOUND_OWN_STACK;
        moat_report_add(&verdict->sentence,
                        "on the stack of the thread that calls; that goes when the thread ends");
        return;
    }
    verdict->kind = MOAT_FOUND_FOREIGN;
    moat_report_add(&verdict->sentence, "in no region: that is ");
    moat_misuse_say_place(&verdict->sentence, address);
    moat_report_add(&verdict->sentence, "; pass what was reserved");
}

void moat_misuse_find_out(const struct moat_refusal *refusal, struct moat_verdict *verdict) {
    uintptr_t address = refusal->address;
    struct moat_region_ref ref;
    struct moat_past past;

    if (moat_region_find(address, &ref)) {
        set_region(verdict, &ref);
        if (!moat_region_plain(&ref) || ref.owner != refusal->manager) {
            say_owner(verdict, !moat_region_plain(&ref));
        } else if (address - ref.base >= MOAT_PAGE && refusal->size == MOAT_MISUSE_NO_SIZE) {
            say_interior(verdict, address);
        } else {
            verdict->kind = MOAT_FOUND_ALREADY_FREED;
            moat_report_add(&verdict->sentence,
                            "in no region of this manager when it was called; ");
            say_region(verdict);
            moat_report_add(&verdict->sentence, " is there since");
        }
    } else if (moat_history_find(address, &past) && past.released) {
        set_past(verdict, &past);
        say_released(verdict);
    } else {
        say_foreign(verdict, address);
    }
}

/* Which region is in the way of a range that runs past the end of its own; 0: none. */
static uintptr_t next_region(const struct moat_refusal *refusal) {
    uintptr_t end = refusal->base + refusal->length;
    struct moat_region_ref ref;
    return moat_region_after(refusal->base, &ref) && ref.base >= end &&
                   ref.base < refusal->address + refusal->size
               ? ref.base
               : 0;
}

static void explain_size(const struct moat_refusal *refusal, struct moat_verdict *verdict) {
    struct moat_report_text *text = &verdict->sentence;
    uintptr_t end = refusal->base + refusal->length;

    if (refusal->size > UINTPTR_MAX - refusal->address) {
        moat_report_add(text, "%zu bytes from there wrap around the end of the address space",
                        refusal->size);
        return;
    }
    uintptr_t next = next_region(refusal);
    moat_report_add(text, "%zu bytes from there run past the end of ", refusal->size);
    say_region(verdict);
    if (next) {
        verdict->kind = MOAT_FOUND_ACROSS_REGIONS;
        moat_report_add(text, ", into the region at %#lx; a call is about one region",
                        (unsigned long)next);
    } else {
        moat_report_add(text, "; up to there it is %zu bytes", (size_t)(end - refusal->address));
    }
}

static void explain_type(const struct moat_refusal *refusal, struct moat_verdict *verdict) {
    struct moat_region_ref ref;

    if (moat_region_find(refusal->address, &ref))
        set_region(verdict, &ref);
    if (refusal->kind == MOAT_FOUND_RELEASE_WITH_SIZE)
        moat_report_add(&verdict->sentence,
                        "MEM_RELEASE with a size of %zu bytes; a region is released as a whole, "
                        "with size 0",
                        refusal->size);
    else
        moat_report_add(&verdict->sentence,
                        "%#x is no type of free; it is MEM_DECOMMIT (0x4000) or MEM_RELEASE "
                        "(0x8000), or MEM_RELEASE with one placeholder flag (1 or 2) and a size",
                        refusal->detail);
}

static void explain_lock(const struct moat_refusal *refusal, struct moat_verdict *verdict) {
    moat_report_add(&verdict->sentence, refusal->status
                                            ? "another thread holds the lock of "
                                            : "the thread that calls held the lock of ");
    say_region(verdict);
    moat_report_add(&verdict->sentence, refusal->status ? "; only that thread can release it"
                                                        : "; it is unlocked before it is released");
}

static void explain_uncommitted(const struct moat_refusal *refusal, struct moat_verdict *verdict) {
    struct moat_report_text *text = &verdict->sentence;
    struct moat_past past;

    moat_report_add(text, "the page at %#lx, of ", (unsigned long)refusal->where);
    say_region(verdict);
    if (moat_history_find(refusal->where, &past) && past.base == refusal->base && !past.released) {
        verdict->ended = past.ended;
        moat_report_add(text, ", was decommitted ");
        moat_report_add_age(text, past.ended.time);
        moat_report_add(text, " ago by thread %u", past.ended.thread);
    } else {
        moat_report_add(text, ", is not committed");
    }
    moat_report_add(text, "; only committed pages have rights");
}

/* The first page of a range that the call may not change. False: there is none, but too many
 * mappings. */
static bool find_foreign_page(const struct moat_refusal *refusal, uintptr_t *found) {
    uintptr_t end = refusal->address + refusal->size;
    struct moat_range page;

    for (uintptr_t at = moat_round_down(refusal->address, MOAT_PAGE); at < end; at = page.end) {
        struct moat_os_mapping mapping;
        page = (struct moat_range){at, at + MOAT_PAGE};
        *found = at;
        if (moat_os_query(at, &mapping) || !mapping.mapped || !moat_foreign_only(&page))
            return true;
        struct moat_range rest = {at, mapping.end < end ? mapping.end : end};
        if (moat_foreign_only(&rest))
            page.end = rest.end;
    }
    return false;
}

static void explain_foreign(const struct moat_refusal *refusal, struct moat_verdict *verdict) {
    struct moat_report_text *text = &verdict->sentence;
    uintptr_t page = refusal->where;
    struct moat_region_ref ref;
    struct moat_past past;

    if (!page && !find_foreign_page(refusal, &page)) {
        moat_report_add(text, "more than 64 mappings of others are in the range, or one that "
                              "moat_adopt was told of ends there");
        return;
    }
    moat_report_add(text, "the page at %#lx is ", (unsigned long)page);
    if (moat_region_find(page, &ref)) {
        if (!verdict->base)
            set_region(verdict, &ref);
        const char *whose = ref.owner == refusal->manager ? ", another one" : ", not the caller's";
        moat_report_add(text, "of the region of %zu bytes at %#lx%s", ref.size,
                        (unsigned long)ref.base,
                        moat_region_plain(&ref) ? whose : ", which is a heap's");
    } else if (page == moat_round_down(refusal->address, MOAT_PAGE) &&
               moat_history_find(page, &past) && past.released) {
        set_past(verdict, &past);
        moat_report_add(text, "of the region of %zu bytes at %#lx, which was released ", past.size,
                        (unsigned long)past.base);
        moat_report_add_age(text, past.ended.time);
        moat_report_add(text, " ago by thread %u", past.ended.thread);
    } else {
        moat_misuse_say_place(text, page);
    }
    moat_report_add(text, "; a call changes pages of one region of the caller's, or mapped ones");
}

void moat_misuse_explain(const struct moat_refusal *refusal, struct moat_verdict *verdict) {
    verdict->kind = (enum moat_finding_kind)refusal->kind;
    moat_report_add(&verdict->sentence, "%s at %#lx: ", refusal->call,
                    (unsigned long)refusal->address);
    if (moat_latched()) {
        moat_report_add(&verdict->sentence, "refused; corruption was found since");
        return;
    }
    set_known(verdict, refusal);
    if (refusal->why) {
        moat_report_add(&verdict->sentence, "%s", refusal->why);
        return;
    }
    switch (verdict->kind) {
    case MOAT_FOUND_OTHER_MANAGER:
    case MOAT_FOUND_HEAP_MEMORY:
        say_owner(verdict, verdict->kind == MOAT_FOUND_HEAP_MEMORY);
        break;
    case MOAT_FOUND_WRONG_SIZE:
    case MOAT_FOUND_ACROSS_REGIONS:
        explain_size(refusal, verdict);
        break;
    case MOAT_FOUND_WRONG_START:
        moat_report_add(&verdict->sentence, "size 0 means a whole region, by its base; ");
        say_region(verdict);
        moat_report_add(&verdict->sentence, " begins before");
        break;
    case MOAT_FOUND_OWN_STACK:
        moat_report_add(&verdict->sentence, "the thread that calls runs on ");
        say_region(verdict);
        moat_report_add(&verdict->sentence, ", as its stack; let another thread free it");
        break;
    case MOAT_FOUND_LOCK_HELD:
        explain_lock(refusal, verdict);
        break;
    case MOAT_FOUND_UNKNOWN_TYPE:
    case MOAT_FOUND_RELEASE_WITH_SIZE:
        explain_type(refusal, verdict);
        break;
    case MOAT_FOUND_PROTECT_UNCOMMITTED:
        explain_uncommitted(refusal, verdict);
        break;
    case MOAT_FOUND_PROTECT_FOREIGN:
        explain_foreign(refusal, verdict);
        break;
    default:
        moat_misuse_find_out(refusal, verdict);
    }
}
