/* SPDX-License-Identifier: MIT */
/*
 * limbo_trap: places next to each other, with the guard between them, are one span to the kernel.
 *
 * The granules between two places are free or rest, and anybody who names them may have them; so
 * they are claimed meanwhile. They trap, and to take rights from them or to mark them again changes
 * nothing that anybody could see. Should the rest of one end in this moment, it goes on until
 * somebody wakes the arena.
 */
#include "region/limbo_trap.h"

#include "os/os.h"
#include "region/arena.h"
#include "region/claim.h"
#include "region/pages.h"
#include "region/retain.h"
#include "region/sever.h"
#include "region/trap.h"
#include "region/wipe.h"

/* Granules between two places that are worth a call less. Markers would take the memory of what is
 * retained there. */
#define GAP_MAX      8u
#define GAP_MARK_MAX 1u

/* Neighbours in one block, `first` to `last`, all dense or none. */
struct span {
    struct moat_limbo_place *first;
    struct moat_limbo_place *last;
    struct moat_space *arena;
};

static uintptr_t end_of(const struct moat_limbo_place *at) {
    return at->place.base + at->place.size;
}

static uintptr_t granule_end(const struct moat_limbo_place *at) {
    return moat_round_up(end_of(at), MOAT_GRANULE);
}

/* Whether `next` can be in one span with what is before it; the granules between are claimed. */
static bool join(struct moat_limbo_place *before, const struct moat_limbo_place *next) {
    size_t most = (next->dense ? GAP_MAX : GAP_MARK_MAX) * MOAT_GRANULE;
    struct moat_space *arena = before->place.space;
    uintptr_t start = granule_end(before), end = next->place.base;

    if (next->place.space != arena || next->dense != before->dense || before->place.after ||
        next->place.before || end - start > most)
        return false;
    size_t block = moat_space_block(arena, before->place.base);
    if (moat_space_block(arena, end_of(next) - 1) != block)
        return false;
    if (start == end)
        return true;
    uint64_t pattern = moat_claim_pattern_in(arena, block, start, end - start);
    before->rested = moat_claim_resting(moat_claim_word(arena, block), pattern);
    return moat_claim_exactly(arena, block, pattern, before->rested ? MOAT_CLAIM_WAKES : 0);
}

/* What is between two neighbours: the tail of the last granule, and those that were claimed. */
static void each_gap(const struct span *span,
                     void (*visit)(struct moat_space *arena, uintptr_t start, uintptr_t end)) {
    for (struct moat_limbo_place *at = span->first; at < span->last; at++)
        if (end_of(at) < at[1].place.base)
            visit(span->arena, end_of(at), at[1].place.base);
}

static void free_gaps(const struct span *span) {
    for (struct moat_limbo_place *at = span->first; at < span->last; at++) {
        uintptr_t start = granule_end(at), end = at[1].place.base;
        if (start == end)
            continue;
        size_t block = moat_space_block(span->arena, start);
        uint64_t pattern = moat_claim_pattern_in(span->arena, block, start, end - start);
        if (at->rested)
            moat_claim_free(span->arena, block, at->rested, MOAT_CLAIM_RESTING);
        if (pattern & ~at->rested)
            moat_claim_free(span->arena, block, pattern & ~at->rested, MOAT_CLAIM_FREE);
    }
}

/* Markers are put where retained pages say that there are none. */
static void clear_gap(struct moat_space *arena, uintptr_t start, uintptr_t end) {
    moat_retain_drop(arena, start, end);
}

/* Markers with no rights under them. */
static void follow_gap(struct moat_space *arena, uintptr_t start, uintptr_t end) {
    while (start < end) {
        struct moat_run run = moat_pages_run(arena, start, end);
        if (!(run.state & MOAT_PAGE_DIRTY))
            (void)moat_trap_follow(arena, run.start, run.end, MOAT_OS_NONE, MOAT_CODE_NOACCESS);
        start = run.end;
    }
}

static void close_gap(struct moat_space *arena, uintptr_t start, uintptr_t end) {
    while (start < end) {
        struct moat_run run = moat_pages_run(arena, start, end);
        if (!(run.state & MOAT_PAGE_DIRTY) && run.state != MOAT_CODE_NOACCESS)
            moat_pages_set(arena, run.start, run.end, MOAT_CODE_NOACCESS);
        start = run.end;
    }
}

/* Pay for all of a span, or for nothing. */
static bool draw(const struct span *span, uint64_t most) {
    size_t bytes = 0;
    for (struct moat_limbo_place *at = span->first; at <= span->last; at++)
        bytes += at->place.size;
    if (!moat_retain_draw(bytes, most))
        return false;
    for (struct moat_limbo_place *at = span->first; at <= span->last; at++)
        if (!moat_sever(span->arena, at->place.base, end_of(at))) {
            moat_retain_refund(bytes);
            return false;
        }
    return true;
}

/* Take the rights of a span, its memory stays. */
static bool retain(const struct span *span, uint64_t most) {
    uintptr_t start = span->first->place.base, end = end_of(span->last);

    if (!draw(span, most))
        return false;
    if (!moat_os_protect((void *)start, end - start, MOAT_OS_NONE)) {
        each_gap(span, close_gap);
        for (struct moat_limbo_place *at = span->first; at <= span->last; at++) {
            moat_pages_set(span->arena, at->place.base, end_of(at), MOAT_PAGES_RETAINED);
            at->traps = true;
        }
        return true;
    }
    /* A part of it may have been reached. */
    each_gap(span, follow_gap);
    for (struct moat_limbo_place *at = span->first; at <= span->last; at++) {
        moat_retain_refund(at->place.size);
        (void)moat_trap_follow(span->arena, at->place.base, end_of(at), MOAT_OS_NONE,
                               MOAT_PAGE_DIRTY | MOAT_CODE_NOACCESS);
    }
    return false;
}

static bool mark(const struct span *span) {
    uintptr_t start = span->first->place.base, end = end_of(span->last);

    each_gap(span, clear_gap);
    if (span->first == span->last || moat_os_guard_install((void *)start, end - start))
        return false;
    for (struct moat_limbo_place *at = span->first; at <= span->last; at++) {
        struct moat_run run = moat_pages_run(span->arena, at->place.base, end_of(at));
        if (run.end == end_of(at) && run.state == MOAT_PAGE_COMMITTED)
            moat_pages_set(span->arena, run.start, run.end, MOAT_CODE_READWRITE);
        at->traps = run.end == end_of(at) && run.state == MOAT_PAGE_COMMITTED;
    }
    return true;
}

/* One by one, down the ladder. */
static void trap_alone(struct moat_limbo_place *at, const struct moat_limbo_terms *terms,
                       struct moat_limbo_report *report) {
    struct moat_space *arena = at->place.space;
    struct moat_trap_report trap = {0};

    at->traps = moat_trap_pages(arena, at->place.base, end_of(at), 0, &trap) == 0;
    report->refusals += trap.refusals;
    if (at->traps && terms->zero)
        report->unzeroed += moat_wipe_pages(arena, at->place.base, end_of(at));
}

static void trap_span(const struct span *span, const struct moat_limbo_terms *terms,
                      struct moat_limbo_report *report) {
    bool retained = span->first->dense && retain(span, moat_retain_most(terms->retain));

    if (!retained)
        (void)mark(span);
    free_gaps(span);
    for (struct moat_limbo_place *at = span->first; at <= span->last; at++) {
        if (!at->traps)
            trap_alone(at, terms, report);
        if (!at->traps)
            continue;
        report->trapped += at->place.size;
        moat_trap_normalise(span->arena, at->place.base, end_of(at));
        if (!retained && moat_retained_any())
            moat_sever_end(span->arena, at->place.base, end_of(at));
    }
}

/* They come nearly in order, or nearly in the reverse order. */
static void sort(struct moat_limbo_place *places, size_t count) {
    for (size_t i = 1; i < count; i++) {
        struct moat_limbo_place moved = places[i];
        size_t at = i;
        for (; at > 0 && places[at - 1].place.base > moved.place.base; at--)
            places[at] = places[at - 1];
        places[at] = moved;
    }
}

void moat_limbo_trap(struct moat_limbo_place *places, size_t count,
                     const struct moat_limbo_terms *terms, struct moat_limbo_report *report) {
    sort(places, count);
    for (size_t i = 0; i < count;) {
        struct span span = {&places[i], &places[i], places[i].place.space};
        for (i++; i < count && join(span.last, &places[i]); i++)
            span.last = &places[i];
        trap_span(&span, terms, report);
    }
}
