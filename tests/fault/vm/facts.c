/* SPDX-License-Identifier: MIT */
/* facts: one query a run, and probes of every page. */
#include "facts.h"

#include "../../fuzz/support/probe.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* Find out about one run of pages that a query tells to be alike. */
static void take_run(struct facts *facts, size_t first, size_t last,
                     const struct moat_page_info *info) {
    size_t readable = 0, writable = 0; /* so many pages from here on are known to be */

    for (size_t i = first; i < last; i++) {
        uintptr_t at = facts->start + i * PAGE;
        if (!readable)
            readable = probe_readable(at, last - i);
        if (!writable && readable)
            writable = probe_writable(at, readable);
        facts->pages[i] = (struct fact){
            .allocation = (uintptr_t)info->allocation_base,
            .state = info->state,
            .protection = info->protection,
            .allocation_protection = info->allocation_protection,
            .readable = readable > 0,
            .writable = writable > 0,
        };
        if (readable)
            facts->pages[i].word = *(volatile uint64_t *)at;
        readable -= readable > 0;
        writable -= writable > 0;
    }
}

void facts_take(struct facts *facts, const struct moat_manager *manager, uintptr_t start,
                size_t count) {
    facts->start = start;
    facts->count = count;
    cr_assert_leq(count, FACTS_PAGES_MAX);
    cr_assert_eq(moat_stats_read(manager, &facts->stats), MOAT_OK);
    for (size_t i = 0; i < count;) {
        struct moat_page_info info;
        cr_assert_eq(moat_query((void *)(start + i * PAGE), &info), MOAT_OK);
        size_t last = info.size / PAGE < count - i ? i + info.size / PAGE : count;
        take_run(facts, i, last, &info);
        i = last;
    }
}

static bool differ(const struct facts *facts, size_t i, const struct fact *is,
                   const struct fact *was, const char *what) {
    fprintf(stderr,
            "%s: page %zu of %#lx is of %#lx, state %d, %#x, %s%s, holds %#lx; was of %#lx, "
            "state %d, %#x, %s%s, held %#lx\n",
            what, i, (unsigned long)facts->start, (unsigned long)is->allocation, is->state,
            is->protection, is->readable ? "r" : "-", is->writable ? "w" : "-",
            (unsigned long)is->word, (unsigned long)was->allocation, was->state, was->protection,
            was->readable ? "r" : "-", was->writable ? "w" : "-", (unsigned long)was->word);
    return false;
}

static bool page_same(const struct fact *a, const struct fact *b) {
    return a->allocation == b->allocation && a->state == b->state &&
           a->protection == b->protection && a->allocation_protection == b->allocation_protection &&
           a->readable == b->readable && a->writable == b->writable && a->word == b->word;
}

static bool stats_same(const struct moat_stats *a, const struct moat_stats *b) {
    bool same = a->regions_live == b->regions_live && a->bytes_reserved == b->bytes_reserved &&
                a->bytes_committed == b->bytes_committed && a->reserves == b->reserves &&
                a->commits == b->commits && a->decommits == b->decommits &&
                a->releases == b->releases && a->refused == b->refused &&
                a->guards_yielded == b->guards_yielded && a->poison_damage == b->poison_damage &&
                a->stranded_bytes == b->stranded_bytes;
    if (!same)
        fprintf(stderr,
                "counters: %llu regions, %llu reserved, %llu committed, %llu stranded; "
                "were %llu, %llu, %llu, %llu\n",
                (unsigned long long)b->regions_live, (unsigned long long)b->bytes_reserved,
                (unsigned long long)b->bytes_committed, (unsigned long long)b->stranded_bytes,
                (unsigned long long)a->regions_live, (unsigned long long)a->bytes_reserved,
                (unsigned long long)a->bytes_committed, (unsigned long long)a->stranded_bytes);
    return same;
}

bool facts_same(const struct facts *before, const struct facts *after) {
    for (size_t i = 0; i < before->count; i++)
        if (!page_same(&before->pages[i], &after->pages[i]))
            return differ(before, i, &after->pages[i], &before->pages[i], "changed");
    return stats_same(&before->stats, &after->stats);
}

static bool trapped(const struct fact *is, const struct fact *was) {
    return is->allocation == was->allocation && was->state == MOAT_STATE_COMMITTED &&
           is->state == MOAT_STATE_RESERVED && !is->readable && !is->writable;
}

bool facts_same_or_trapped(const struct facts *before, const struct facts *after) {
    uint64_t gone = 0;
    for (size_t i = 0; i < before->count; i++) {
        const struct fact *is = &after->pages[i], *was = &before->pages[i];
        if (trapped(is, was))
            gone += PAGE;
        else if (!page_same(is, was))
            return differ(before, i, is, was, "neither kept nor trapped");
    }
    return after->stats.regions_live == before->stats.regions_live &&
           after->stats.bytes_committed + gone == before->stats.bytes_committed;
}

static bool agrees(const struct fact *fact) {
    uint32_t protection = fact->state == MOAT_STATE_COMMITTED ? fact->protection : 0;
    bool usable = protection != 0 && !(protection & (MOAT_PAGE_NOACCESS | MOAT_PAGE_GUARD));
    bool writable = (protection & (MOAT_PAGE_READWRITE | MOAT_PAGE_EXECUTE_READWRITE)) != 0;
    return fact->readable == usable && fact->writable == (usable && writable);
}

bool facts_agree(const struct facts *before, const struct facts *after) {
    for (size_t i = 0; i < before->count; i++) {
        const struct fact *is = &after->pages[i], *was = &before->pages[i];
        if (!agrees(is))
            return differ(before, i, is, was, "rights and query disagree");
        if (is->readable && was->readable && is->allocation == was->allocation &&
            is->word != was->word)
            return differ(before, i, is, was, "content is lost");
    }
    return true;
}
