/* SPDX-License-Identifier: MIT */
/*
 * placeholders beside a model: random calls on one stretch of address space, each result foretold
 * by an array of pages, and every page queried after every call.
 */
#include "support/regions.h"
#include "support/touch.h"

#include <moat/placeholder.h>

#include <criterion/criterion.h>
#include <string.h>

enum { PAGES = 560, STEPS = 3000, SPAN_MAX = 40, KINDS = 16 }; /* more than a block of pages */

/* What the model knows of a page. Pages of one region have the same number, 0: free. */
struct model_page {
    unsigned region;
    bool placeholder;
    uint8_t committed; /* PAGE_* protection, 0: not committed */
    uint8_t content;   /* of its first byte, if it is committed */
};

static struct moat_manager *manager;
static unsigned char *base;
static struct model_page pages[PAGES];
static unsigned regions;
static unsigned succeeded[KINDS];
static uint64_t seed;

static size_t below(size_t limit) {
    return next_random(&seed) % limit;
}

static void *at(size_t page) {
    return base + page * PAGE;
}

static size_t first_of(size_t page) {
    while (page > 0 && pages[page - 1].region == pages[page].region)
        page--;
    return page;
}

/* One past the last page of the region. */
static size_t end_of(size_t page) {
    unsigned region = pages[page].region;
    while (page < PAGES && pages[page].region == region)
        page++;
    return page;
}

static void fill(size_t first, size_t end, unsigned region, bool placeholder, uint8_t committed) {
    for (size_t page = first; page < end; page++)
        pages[page] = (struct model_page){region, placeholder, committed, 0};
}

static void begin(void) {
    void *start;
    memset(pages, 0, sizeof(pages));
    cr_assert_eq(moat_placeholder_reserve(manager, NULL, PAGES * PAGE, 0, NULL, &start), MOAT_OK);
    base = start;
    fill(0, PAGES, ++regions, true, 0);
}

/* A range of some pages, half of the time one that begins and ends with regions. */
static void choose(size_t *first, size_t *end) {
    *first = below(PAGES);
    *end = *first + 1 + below(SPAN_MAX);
    if (below(2) == 0) {
        *first = first_of(*first);
        *end = end_of(*first);
        for (size_t more = below(4); more > 0 && *end < PAGES; more--)
            *end = end_of(*end);
    }
    if (*end > PAGES)
        *end = PAGES;
}

static enum moat_status preserve(size_t first, size_t end) {
    const struct model_page page = pages[first];
    size_t from = first_of(first), to = end_of(first);
    bool whole = first == from && end == to;

    if (page.region == 0)
        return MOAT_NOT_OURS;
    if (end > to || page.placeholder == whole || (!page.placeholder && !whole))
        return MOAT_INVALID_ADDRESS;
    if (end < to)
        fill(end, to, ++regions, true, 0);
    if (from < first)
        fill(from, first, ++regions, true, 0);
    fill(first, end, ++regions, true, 0);
    return MOAT_OK;
}

static enum moat_status coalesce(size_t first, size_t end) {
    size_t count = 0;

    if (pages[first].region == 0)
        return MOAT_NOT_OURS;
    if (first_of(first) != first || end_of(end - 1) != end)
        return MOAT_INVALID_ADDRESS;
    for (size_t page = first; page < end; page = end_of(page), count++)
        if (pages[page].region == 0 || !pages[page].placeholder)
            return MOAT_INVALID_ADDRESS;
    if (count < 2)
        return MOAT_INVALID_ADDRESS;
    fill(first, end, ++regions, true, 0);
    return MOAT_OK;
}

static enum moat_status replace(size_t first, size_t end, bool commit) {
    if (!pages[first].placeholder || first_of(first) != first || end_of(first) != end)
        return MOAT_INVALID_ADDRESS;
    fill(first, end, ++regions, false, commit ? MOAT_PAGE_READWRITE : 0);
    return MOAT_OK;
}

static enum moat_status commit(size_t first, size_t end, uint8_t protection) {
    if (pages[first].region == 0 || pages[first].placeholder || end > end_of(first))
        return MOAT_INVALID_ADDRESS;
    for (size_t page = first; page < end; page++)
        pages[page].committed = protection;
    return MOAT_OK;
}

static enum moat_status decommit(size_t first, size_t end) {
    if (pages[first].region == 0)
        return MOAT_NOT_OURS;
    if (pages[first].placeholder)
        return MOAT_INVALID_ADDRESS;
    if (end > end_of(first))
        return MOAT_LEAVES_REGION;
    for (size_t page = first; page < end; page++)
        pages[page].committed = pages[page].content = 0;
    return MOAT_OK;
}

static enum moat_status release(size_t first) {
    if (pages[first].region == 0 || first_of(first) != first)
        return MOAT_NOT_OURS;
    fill(first, end_of(first), 0, false, 0);
    return MOAT_OK;
}

static void write_some(size_t first, size_t end) {
    for (size_t page = first; page < end; page++)
        if (pages[page].committed == MOAT_PAGE_READWRITE)
            *(unsigned char *)at(page) = pages[page].content = (uint8_t)(1 + below(255));
}

static void step(unsigned number) {
    static const uint8_t protections[] = {MOAT_PAGE_READWRITE, MOAT_PAGE_READONLY,
                                          MOAT_PAGE_NOACCESS};
    uint8_t protection = protections[below(3)];
    enum moat_status want = MOAT_OK, got = MOAT_OK;
    unsigned kind = (unsigned)below(KINDS);
    size_t first, end;
    void *start;

    choose(&first, &end);
    size_t size = (end - first) * PAGE;
    if (kind < 5) {
        got = moat_placeholder_preserve(manager, at(first), size);
        want = preserve(first, end);
    } else if (kind < 8) {
        got = moat_placeholder_coalesce(manager, at(first), size);
        want = coalesce(first, end);
    } else if (kind < 11) {
        bool committed = below(2) == 0;
        got = moat_placeholder_replace(manager, at(first), size, MOAT_PAGE_READWRITE,
                                       committed ? MOAT_RESERVE_COMMIT : 0, &start);
        want = replace(first, end, committed);
    } else if (kind < 13) {
        got = moat_commit(manager, at(first), size, protection, NULL);
        want = commit(first, end, protection);
    } else if (kind < 14) {
        got = moat_decommit(manager, at(first), size);
        want = decommit(first, end);
    } else if (kind < 15) {
        write_some(first, end);
    } else if (number % 4 == 0) { /* rarely, so that something is left */
        got = moat_release(manager, at(first));
        want = release(first);
    }
    cr_assert_eq(got, want, "step %u, kind %u, pages %zu to %zu: %d for %d", number, kind, first,
                 end, got, want);
    succeeded[kind] += got == MOAT_OK;
}

/* The run that a query of this page must tell of. */
static size_t run_of(size_t page) {
    size_t end = page;
    while (end < PAGES && pages[end].region == pages[page].region &&
           pages[end].committed == pages[page].committed)
        end++;
    return end;
}

static void compare_page(size_t page) {
    struct moat_page_info info = info_of(at(page));
    const struct model_page *model = &pages[page];

    if (model->region == 0) { /* anybody may have it by now */
        cr_assert_null(info.owner);
        return;
    }
    cr_assert_eq(info.owner, manager);
    cr_assert_eq(info.allocation_base, at(first_of(page)));
    cr_assert_eq(info.allocation_protection,
                 model->placeholder ? MOAT_PAGE_NOACCESS : MOAT_PAGE_READWRITE);
    cr_assert_eq(info.state, model->committed ? MOAT_STATE_COMMITTED : MOAT_STATE_RESERVED);
    cr_assert_eq(info.protection, model->committed);
    cr_assert_eq(info.size, (run_of(page) - page) * PAGE, "page %zu", page);
    if (model->committed == MOAT_PAGE_READWRITE || model->committed == MOAT_PAGE_READONLY)
        cr_assert_eq(*(unsigned char *)at(page), model->content, "page %zu", page);
}

static void compare(void) {
    size_t reserved_bytes = 0, committed_bytes = 0, live = 0;

    for (size_t page = 0; page < PAGES; page++) {
        compare_page(page);
        reserved_bytes += pages[page].region != 0 ? PAGE : 0;
        committed_bytes += pages[page].committed ? PAGE : 0;
        live += pages[page].region != 0 && first_of(page) == page;
    }
    struct moat_stats stats = stats_of(manager);
    cr_assert_eq(stats.bytes_reserved, reserved_bytes);
    cr_assert_eq(stats.bytes_committed, committed_bytes);
    cr_assert_eq(stats.regions_live, live);
    cr_assert_eq(stats.stranded_bytes + stats.guard_failures, 0);

    size_t page = below(PAGES);
    bool readable = pages[page].committed > MOAT_PAGE_NOACCESS;
    bool writable = pages[page].committed == MOAT_PAGE_READWRITE;
    if (pages[page].region != 0 && !writable)
        cr_assert(page_is(at(page), readable, false), "page %zu", page);
}

static bool all_free(void) {
    for (size_t page = 0; page < PAGES; page++)
        if (pages[page].region != 0)
            return false;
    return true;
}

static void release_all(void) {
    for (size_t page = 0; page < PAGES; page++)
        if (pages[page].region != 0) {
            cr_assert_eq(moat_release(manager, at(page)), MOAT_OK);
            cr_assert_eq(release(page), MOAT_OK);
        }
    compare();
}

static void play(const char *options, uint64_t from) {
    manager = manager_with(options);
    seed = from;
    begin();
    for (unsigned number = 0; number < STEPS; number++) {
        if (number % 500 == 499 || all_free()) {
            release_all();
            begin();
        }
        step(number);
        compare();
    }
    release_all();
}

Test(vm_placeholder_model, every_call_does_what_the_model_does) {
    for (unsigned rung = 0; rung < RUNGS; rung++)
        play(rungs[rung], 1 + rung);
    for (unsigned kind = 0; kind < KINDS; kind++)
        cr_assert_gt(succeeded[kind], 20, "kind %u succeeded %u times", kind, succeeded[kind]);
}
