/* SPDX-License-Identifier: MIT */
/* compare: one moment, source against source; two moments are in compare_two.c. */
#define _GNU_SOURCE
#include "compare.h"

#include "region/arena.h"
#include "region/arenas.h"
#include "region/books.h"
#include "region/region.h"
#include "region/registry.h"
#include "region/resting.h"

#include <stdarg.h>
#include <stdio.h>

enum { ANY_RIGHT = CAN_READ | CAN_WRITE | CAN_EXECUTE };

static char finding[400];

const char *compare_finding(void) {
    return finding;
}

bool compare_fail(const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(finding, sizeof finding, format, list);
    va_end(list);
    return false;
}

static unsigned long number(uint64_t value) {
    return (unsigned long)value;
}

static const char *rights_text(unsigned rights) {
    static char texts[4][4];
    static unsigned turn;
    char *text = texts[turn++ % 4];
    for (int i = 0; i < 3; i++)
        text[i] = "-rwx"[rights & 1u << i ? i + 1 : 0];
    text[3] = '\0';
    return text;
}

/* The rights that a committed page is to have. */
static unsigned rights_of(uint32_t protection) {
    if (protection & (MOAT_PAGE_NOACCESS | MOAT_PAGE_GUARD))
        return 0;
    if (protection & MOAT_PAGE_READONLY)
        return CAN_READ;
    if (protection & MOAT_PAGE_READWRITE)
        return CAN_READ | CAN_WRITE;
    if (protection & MOAT_PAGE_EXECUTE)
        return CAN_EXECUTE;
    if (protection & MOAT_PAGE_EXECUTE_READ)
        return CAN_READ | CAN_EXECUTE;
    return CAN_READ | CAN_WRITE | CAN_EXECUTE;
}

static const char *name_of(const struct run *run) {
    if (run->whose == WHOSE_ARENA)
        return "in no region";
    return run->state == MOAT_STATE_COMMITTED ? "committed" : "not committed";
}

/* Pages that are alike to the books and to the kernel. */
static bool piece_agrees(const struct snapshot *now, const struct run *run, uintptr_t at,
                         unsigned rights, bool marked) {
    unsigned wanted = run->state == MOAT_STATE_COMMITTED ? rights_of(run->protection) : 0;

    rights &= ANY_RIGHT;
    if (wanted == 0)
        return rights == 0 || marked || now->may_be_open ||
               compare_fail("page %#lx is %s, and the kernel lets it be used: %s, no marker",
                            number(at), name_of(run), rights_text(rights));
    if (marked)
        return compare_fail("page %#lx is committed, and carries a marker", number(at));
    if (run->flags & MOAT_REGION_CLEANED) /* its first write is to trap */
        wanted &= ~(unsigned)CAN_WRITE | rights;
    return rights == wanted ||
           compare_fail("page %#lx is committed as %#x, which is %s, and the kernel has %s",
                        number(at), run->protection, rights_text(wanted), rights_text(rights));
}

/* The part of a run that one mapping holds, piece by piece as pages are marked or not. */
static bool part_agrees(const struct snapshot *now, const struct run *run, uintptr_t at,
                        uintptr_t end, unsigned rights, size_t *stretch) {
    const struct stretches *all = &now->stretches;

    while (at < end) {
        while (*stretch < all->count && all->of[*stretch].end <= at)
            ++*stretch;
        const struct stretch *here = *stretch < all->count ? &all->of[*stretch] : NULL;
        bool inside = here && here->start <= at;
        uintptr_t next = !here ? end : inside ? here->end : here->start;
        if (!piece_agrees(now, run, at, rights, inside && (here->is & MARKED)))
            return false;
        at = next < end ? next : end;
    }
    return true;
}

/* The part of a run that one mapping holds. */
static bool mapping_agrees(const struct snapshot *now, const struct run *run,
                           const struct mapping *mapping, uintptr_t at, size_t *stretch) {
    uintptr_t end = mapping->end < run->end ? mapping->end : run->end;

    if (run->whose != WHOSE_BOOKS)
        return part_agrees(now, run, at, end, mapping->rights, stretch);
    return !(mapping->rights & CAN_EXECUTE) ||
           compare_fail("book %#lx can be executed", number(at));
}

static bool pages_agree(const struct snapshot *now) {
    const struct mappings *all = &now->mappings;
    size_t mapping = 0, stretch = 0;

    for (size_t i = 0; i < now->run_count; i++)
        for (uintptr_t at = now->runs[i].start; at < now->runs[i].end; at = all->of[mapping].end) {
            while (mapping < all->count && all->of[mapping].end <= at)
                mapping++;
            if (mapping == all->count || all->of[mapping].start > at)
                return compare_fail("page %#lx is Moat's, and nothing is mapped there", number(at));
            if (!mapping_agrees(now, &now->runs[i], &all->of[mapping], at, &stretch))
                return false;
        }
    return true;
}

/* The runs of a region are its pages and no others, and each run has a region. */
static bool records_agree(const struct snapshot *now) {
    size_t run = 0;

    for (size_t i = 0; i < now->record_count; i++) {
        const struct record *record = &now->records[i];
        uintptr_t at = record->base;
        for (; run < now->run_count && now->runs[run].whose != WHOSE_REGION; run++)
            continue;
        for (; run < now->run_count && now->runs[run].whose == WHOSE_REGION &&
               now->runs[run].base == record->base && now->runs[run].start == at;
             run++)
            at = now->runs[run].end;
        if (at != record->base + record->size)
            return compare_fail("a record has a region at %#lx of %#lx bytes, queries find %#lx",
                                number(record->base), number(record->size),
                                number(at - record->base));
    }
    for (; run < now->run_count; run++)
        if (now->runs[run].whose == WHOSE_REGION)
            return compare_fail("a query finds a region at %#lx, and there is no record",
                                number(now->runs[run].base));
    return true;
}

static bool adds_up(const char *what, uint64_t counted, uint64_t there) {
    return counted == there ||
           compare_fail("counter %s says %lu, there are %lu", what, number(counted), number(there));
}

static bool counters_agree(const struct snapshot *now) {
    uint64_t regions = 0, reserved = 0, committed = now->stats.deferred_bytes;
    bool views = false;

    if (!now->manager)
        return true;
    for (size_t i = 0; i < now->record_count; i++) {
        regions += now->records[i].owner == now->manager;
        reserved += now->records[i].owner == now->manager ? now->records[i].size : 0;
        views |= (now->records[i].flags & MOAT_REGION_MAPPED) != 0;
    }
    for (size_t i = 0; i < now->run_count; i++)
        if (now->runs[i].owner == now->manager && now->runs[i].state == MOAT_STATE_COMMITTED)
            committed += now->runs[i].end - now->runs[i].start;
    return adds_up("regions_live", now->stats.regions_live, regions) &&
           adds_up("bytes_reserved", now->stats.bytes_reserved, reserved) &&
           (views || adds_up("bytes_committed", now->stats.bytes_committed, committed));
}

bool compare_books_with_kernel(struct snapshot *now, bool may_be_open) {
    now->may_be_open = may_be_open;
    if (!now->sound)
        return compare_fail("the books are damaged, by Moat's own word");
    return records_agree(now) && counters_agree(now) && pages_agree(now);
}

/* The end of what Moat knows of the mapping at an address; the address itself: nothing. */
static uintptr_t known_until(const struct snapshot *now, uintptr_t at) {
    struct moat_space *arena;
    uintptr_t start, end;

    if (moat_books_contain(at, &start, &end) || moat_resting_meets(at, at + 1, &start, &end))
        return end;
    for (size_t nth = 0; moat_arena_nth(nth, &arena); nth++)
        if (moat_arenas_here(arena) && at >= arena->start && at < arena->end)
            return arena->end;
    for (size_t i = 0; i < now->record_count; i++) {
        const struct record *record = &now->records[i];
        if (at >= record->span_start && at < record->span_end)
            return record->span_end;
        if (at >= record->base && at < record->base + record->size)
            return record->base + record->size;
    }
    return at;
}

/* The kernel merges what is lost with what is known behind it. */
static uintptr_t unknown_until(const struct snapshot *now, uintptr_t at, uintptr_t end) {
    while (at < end && known_until(now, at) == at)
        at += PAGE;
    return at;
}

/* The end of what strangers had mapped there at first, or where that begins. */
static uintptr_t strangers_until(const struct mappings *strangers, uintptr_t at, bool *theirs) {
    *theirs = false;
    for (size_t i = 0; i < strangers->count; i++) {
        if (at < strangers->of[i].start)
            return strangers->of[i].start;
        *theirs = at < strangers->of[i].end;
        if (*theirs)
            return strangers->of[i].end;
    }
    return UINTPTR_MAX;
}

/* Whether pages trap that have rights: each carries a marker. */
static bool is_marked(uintptr_t start, uintptr_t end) {
    static struct stretches seen;
    seen.count = 0;
    kernel_stretches(&seen, start, end, false);
    return seen.count == 1 && seen.of[0].is == MARKED && seen.of[0].start == start &&
           seen.of[0].end == end;
}

/* What nobody knows of waits to be unmapped, or is lost: no more than is counted, and it traps. The
 * counts of a manager end with it. */
static bool nothing_leaked(const struct mappings *strangers, const struct snapshot *now,
                           bool may_strand) {
    uint64_t stranded = now->manager ? now->stats.stranded_bytes : may_strand ? UINT64_MAX : 0;
    uint64_t room = stranded == UINT64_MAX ? stranded : now->parked + stranded, seen = 0;

    for (size_t i = 0; i < now->mappings.count; i++) {
        const struct mapping *mapping = &now->mappings.of[i];
        for (uintptr_t at = mapping->start; at < mapping->end;) {
            bool theirs;
            uintptr_t end = strangers_until(strangers, at, &theirs);
            uintptr_t known = known_until(now, at);
            end = theirs ? end : known > at ? known : end;
            end = end < mapping->end ? end : mapping->end;
            if (!theirs && known == at) {
                end = unknown_until(now, at, end);
                seen += end - at;
                if (seen > room ||
                    ((mapping->rights & ANY_RIGHT) && !is_marked(at, end) && !now->may_be_open))
                    return compare_fail("%#lx bytes at %#lx are mapped %s, and nobody knows why "
                                        "(%#lx are parked or stranded)",
                                        number(end - at), number(at), rights_text(mapping->rights),
                                        number(room));
            }
            at = end;
        }
    }
    return true;
}

/* The page of the program that Moat makes read-only and seals. */
static bool is_frozen(uintptr_t at, unsigned rights) {
    return at == (uintptr_t)&moat_registry_page && (rights & ANY_RIGHT) == CAN_READ;
}

/* Each of them is there, perhaps in parts, with the rights it had. */
static bool strangers_stand(const struct mappings *strangers, const struct mappings *now) {
    size_t k = 0;

    for (size_t i = 0; i < strangers->count; i++)
        for (uintptr_t at = strangers->of[i].start; at < strangers->of[i].end;) {
            while (k < now->count && now->of[k].end <= at)
                k++;
            if (k == now->count || now->of[k].start > at)
                return compare_fail("what a stranger had mapped at %#lx is gone", number(at));
            if (now->of[k].rights != strangers->of[i].rights && !is_frozen(at, now->of[k].rights))
                return compare_fail("what a stranger had mapped at %#lx was %s, and is %s",
                                    number(at), rights_text(strangers->of[i].rights),
                                    rights_text(now->of[k].rights));
            at = now->of[k].end;
        }
    return true;
}

bool compare_with_strangers(const struct mappings *strangers, const struct snapshot *now,
                            bool may_strand) {
    return strangers_stand(strangers, &now->mappings) && nothing_leaked(strangers, now, may_strand);
}
