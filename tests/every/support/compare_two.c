/* SPDX-License-Identifier: MIT */
/* compare_two: what has changed between two moments. */
#define _GNU_SOURCE
#include "compare.h"

#include "region/region.h"

#include <stddef.h>
#include <string.h>

static unsigned long number(uint64_t value) {
    return (unsigned long)value;
}

/* How a counter may differ: not at all, or where counts may, or by regions that came and went, or
 * where address space may be lost, or always: what the kernel refused is counted, and what rests,
 * is kept or is put off makes way. */
enum rule { NEVER, WITH_COUNT, IN_PAIRS, WITH_STRANDED, ALWAYS };

static const struct {
    const char *name;
    size_t offset;
    enum rule rule;
} counters[] = {
#define COUNTER(name, rule)                                                                        \
    { #name, offsetof(struct moat_stats, name), rule }
    COUNTER(regions_live, NEVER),       COUNTER(bytes_reserved, NEVER),
    COUNTER(bytes_committed, NEVER),    COUNTER(reserves, IN_PAIRS),
    COUNTER(commits, WITH_COUNT),       COUNTER(decommits, WITH_COUNT),
    COUNTER(releases, IN_PAIRS),        COUNTER(refused, NEVER),
    COUNTER(guards_yielded, NEVER),     COUNTER(guard_failures, ALWAYS),
    COUNTER(poison_damage, NEVER),      COUNTER(stranded_bytes, WITH_STRANDED),
    COUNTER(backend_fallbacks, ALWAYS), COUNTER(locks_abandoned, NEVER),
    COUNTER(quota_refusals, NEVER),     COUNTER(adopted_regions, NEVER),
    COUNTER(adopted_bytes, NEVER),      COUNTER(resting_regions, ALWAYS),
    COUNTER(resting_bytes, ALWAYS),     COUNTER(denied, NEVER),
    COUNTER(unzeroed_bytes, ALWAYS),    COUNTER(books_unsealed, ALWAYS),
    COUNTER(deferred_regions, ALWAYS),  COUNTER(deferred_bytes, ALWAYS),
    COUNTER(deferred_flushes, ALWAYS),  COUNTER(retained_bytes, ALWAYS),
#undef COUNTER
};
enum { COUNTERS = sizeof counters / sizeof counters[0] };
_Static_assert(COUNTERS * sizeof(uint64_t) == sizeof(struct moat_stats), "each has a rule");

/* What is put off counts as committed until it makes way. */
static uint64_t counter_of(const struct moat_stats *stats, size_t i) {
    if (counters[i].offset == offsetof(struct moat_stats, bytes_committed))
        return stats->bytes_committed - stats->deferred_bytes;
    return *(const uint64_t *)((const char *)stats + counters[i].offset);
}

static bool counters_same(const struct snapshot *before, const struct snapshot *after,
                          unsigned may) {
    bool paired = after->stats.reserves - before->stats.reserves ==
                  after->stats.releases - before->stats.releases;

    for (size_t i = 0; i < COUNTERS; i++) {
        uint64_t was = counter_of(&before->stats, i), is = counter_of(&after->stats, i);
        bool free = counters[i].rule == ALWAYS ||
                    (counters[i].rule == WITH_COUNT && (may & MAY_COUNT)) ||
                    (counters[i].rule == IN_PAIRS && paired) ||
                    (counters[i].rule == WITH_STRANDED && (may & MAY_STRAND)) ||
                    (counters[i].offset == offsetof(struct moat_stats, bytes_committed) &&
                     (may & MAY_TRAP));
        if (!free && was != is)
            return compare_fail("counter %s was %lu, and is %lu", counters[i].name, number(was),
                                number(is));
    }
    return true;
}

/* The run of a region that holds a page; NULL: none does. They are looked for in ascending order.
 */
static const struct run *run_at(const struct snapshot *snapshot, uintptr_t page, size_t *hint) {
    while (*hint < snapshot->run_count && snapshot->runs[*hint].end <= page)
        ++*hint;
    if (*hint == snapshot->run_count || snapshot->runs[*hint].start > page)
        return NULL;
    const struct run *run = &snapshot->runs[*hint];
    return run->whose == WHOSE_REGION ? run : NULL;
}

static bool run_same(const struct run *was, const struct run *is, uintptr_t at, unsigned may) {
    if (was->base != is->base || was->reserved_protection != is->reserved_protection ||
        was->flags != is->flags)
        return compare_fail("page %#lx was of the region at %#lx, %#x, and is of %#lx, %#x",
                            number(at), number(was->base), was->reserved_protection,
                            number(is->base), is->reserved_protection);
    if (was->state == is->state && was->protection == is->protection)
        return true;
    if ((may & MAY_TRAP) && was->state == MOAT_STATE_COMMITTED && is->state == MOAT_STATE_RESERVED)
        return true;
    if ((may & MAY_COMMIT) && was->state == MOAT_STATE_RESERVED)
        return true;
    if ((may & MAY_PROTECT) && was->state == MOAT_STATE_COMMITTED && was->state == is->state)
        return true;
    return compare_fail("page %#lx was in state %d with %#x, and is in state %d with %#x",
                        number(at), was->state, was->protection, is->state, is->protection);
}

/* Each page of each region is in the other snapshot as well, and as it was. */
static bool pages_same(const struct snapshot *before, const struct snapshot *after, unsigned may) {
    size_t hint = 0;

    for (size_t i = 0; i < before->run_count; i++) {
        const struct run *was = &before->runs[i];
        if (was->whose != WHOSE_REGION)
            continue;
        for (uintptr_t at = was->start; at < was->end;) {
            const struct run *is = run_at(after, at, &hint);
            if (!is)
                return compare_fail("page %#lx was of the region at %#lx, and is in none",
                                    number(at), number(was->base));
            if (!run_same(was, is, at, may))
                return false;
            at = is->end < was->end ? is->end : was->end;
        }
    }
    return true;
}

/* What is not committed may be remembered as decommitted, or not any more. */
static enum moat_address_kind kind_of(const struct moat_description *view) {
    return view->kind == MOAT_ADDRESS_DECOMMITTED ? MOAT_ADDRESS_RESERVED : view->kind;
}

static bool view_same(const struct moat_description *was, const struct moat_description *is) {
    return kind_of(was) == kind_of(is) && was->base == is->base && was->size == is->size &&
           was->offset == is->offset && was->distance == is->distance &&
           was->protection == is->protection &&
           was->reserved_protection == is->reserved_protection && was->heap == is->heap &&
           was->owner == is->owner;
}

static bool record_same(const struct record *was, const struct record *is, unsigned may) {
    if (was->base != is->base || was->size != is->size || was->flags != is->flags ||
        was->owner != is->owner || was->protection != is->protection ||
        was->span_start != is->span_start || was->span_end != is->span_end)
        return compare_fail("the record of the region at %#lx (%#lx bytes, flags %#x) is that of "
                            "%#lx (%#lx bytes, flags %#x) now",
                            number(was->base), number(was->size), was->flags, number(is->base),
                            number(is->size), is->flags);
    for (unsigned k = 0; k < VIEWS && !(may & (MAY_TRAP | MAY_PROTECT)); k++)
        if (!view_same(&was->views[k], &is->views[k])) {
            char text[2][160];
            moat_description_print(&was->views[k], text[0], sizeof text[0]);
            moat_description_print(&is->views[k], text[1], sizeof text[1]);
            return compare_fail("%p was described \"%s\", and is \"%s\"", was->views[k].address,
                                text[0], text[1]);
        }
    return true;
}

static bool records_same(const struct snapshot *before, const struct snapshot *after,
                         unsigned may) {
    if (before->record_count != after->record_count)
        return compare_fail("there were %zu regions, and there are %zu", before->record_count,
                            after->record_count);
    for (size_t i = 0; i < before->record_count; i++)
        if (!record_same(&before->records[i], &after->records[i], may))
            return false;
    return true;
}

static const struct content *content_at(const struct snapshot *snapshot, uintptr_t page) {
    size_t low = 0, high = snapshot->content_count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (snapshot->contents[middle].page < page)
            low = middle + 1;
        else
            high = middle;
    }
    return low < snapshot->content_count && snapshot->contents[low].page == page
               ? &snapshot->contents[low]
               : NULL;
}

/* The run of a region that a committed page lies in; NULL: it is not committed. */
static const struct run *committed_at(const struct snapshot *snapshot, uintptr_t page) {
    size_t low = 0, high = snapshot->run_count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (snapshot->runs[middle].end <= page)
            low = middle + 1;
        else
            high = middle;
    }
    const struct run *run = low < snapshot->run_count ? &snapshot->runs[low] : NULL;
    if (!run || run->start > page || run->whose != WHOSE_REGION)
        return NULL;
    return run->state == MOAT_STATE_COMMITTED ? run : NULL;
}

/* Whether a page was committed and is, in one region. */
static bool is_same_page(const struct snapshot *before, const struct snapshot *after,
                         uintptr_t page) {
    const struct run *was = committed_at(before, page), *is = committed_at(after, page);
    return was && is && was->base == is->base;
}

/* What was committed and still is holds what it held. */
static bool contents_same(const struct snapshot *before, const struct snapshot *after,
                          unsigned may) {
    for (size_t i = 0; i < before->content_count; i++) {
        uintptr_t page = before->contents[i].page;
        const struct content *is = content_at(after, page);
        const struct run *run = committed_at(after, page);
        /* Of memory that is mapped twice each view shows only what was touched through it. */
        if (!run || run->flags & MOAT_REGION_MAPPED)
            continue;
        if (is ? is->sum != before->contents[i].sum : !(may & MAY_EMPTY))
            return compare_fail("page %#lx holds %s", number(page),
                                is ? "something else than before" : "nothing any more");
    }
    for (size_t i = 0; i < after->content_count; i++) {
        uintptr_t page = after->contents[i].page;
        if (is_same_page(before, after, page) && !content_at(before, page))
            return compare_fail("page %#lx held nothing before, and does now", number(page));
    }
    return true;
}

bool compare_fresh(const struct snapshot *before, const struct snapshot *after) {
    for (size_t i = 0; i < after->content_count; i++) {
        uintptr_t page = after->contents[i].page;
        const struct run *run = committed_at(after, page);
        /* Memory that is mapped twice holds what it holds. */
        if (run && !(run->flags & MOAT_REGION_MAPPED) && !is_same_page(before, after, page))
            return compare_fail("page %#lx is new, and does not read as zero", number(page));
    }
    return true;
}

bool compare_same(const struct snapshot *before, const struct snapshot *after, unsigned may) {
    if (before->files != after->files && !(may & MAY_OPEN))
        return compare_fail("descriptors: %#lx were open, and %#lx are", number(before->files),
                            number(after->files));
    if (before->signals != after->signals && !(may & MAY_BLOCK))
        return compare_fail("signals: %#lx were blocked, and %#lx are", number(before->signals),
                            number(after->signals));
    if (!counters_same(before, after, may))
        return false;
    if (may & MAY_MOVE)
        return before->record_count == after->record_count ||
               compare_fail("there were %zu regions, and there are %zu", before->record_count,
                            after->record_count);
    return records_same(before, after, may) && pages_same(before, after, may) &&
           contents_same(before, after, may);
}
