/* SPDX-License-Identifier: MIT */
/* verify: probes, reads and queries, page by page and run by run. */
#include "verify.h"

#include "probe.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOTES = 32, NOTE_SIZE = 160, WORDS = MODEL_PAGE / 8 };

static char notes[NOTES][NOTE_SIZE];
static unsigned note_count;

void verify_note(const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(notes[note_count++ % NOTES], NOTE_SIZE, format, list);
    va_end(list);
}

void verify_forget(void) {
    note_count = 0;
}

void verify_fail(const char *format, ...) {
    va_list list;
    unsigned first = note_count > NOTES ? note_count - NOTES : 0;

    fprintf(stderr, "\n");
    for (unsigned i = first; i < note_count; i++)
        fprintf(stderr, "  %3u  %s\n", i, notes[i % NOTES]);
    fprintf(stderr, "the model and Moat differ: ");
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fprintf(stderr, "\n");
    abort();
}

void verify_fill(uintptr_t page, uint8_t content) {
    volatile uint64_t *words = (volatile uint64_t *)page;
    for (size_t i = 0; i < WORDS; i++)
        words[i] = content ? page | content : 0;
}

static bool holds(uintptr_t page, uint8_t content) {
    const volatile uint64_t *words = (const volatile uint64_t *)page;
    for (size_t i = 0; i < WORDS; i++)
        if (words[i] != (content ? page | content : 0))
            return false;
    return true;
}

static void verify_content(struct model_page *page, uintptr_t address) {
    if (page->unsure && holds(address, 0))
        page->content = 0;
    if (!holds(address, page->content))
        verify_fail("page %#lx: does not hold pattern %u, its first word is %#lx",
                    (unsigned long)address, page->content, *(volatile unsigned long *)address);
}

/* Pages from `at` on that are alike for a probe. */
static size_t alike(const struct model_region *region, uintptr_t at, uintptr_t end, bool *readable,
                    bool *writable) {
    size_t first = (at - region->base) / MODEL_PAGE;
    size_t last = first;

    *readable = model_readable(&region->pages[first]);
    *writable = model_writable(&region->pages[first]);
    while (last < region->page_count && region->base + last * MODEL_PAGE < end &&
           model_readable(&region->pages[last]) == *readable &&
           model_writable(&region->pages[last]) == *writable)
        last++;
    return last - first;
}

void verify_pages(struct model *model, uintptr_t start, uintptr_t end) {
    for (uintptr_t at = start; at < end;) {
        struct model_region *region = model_find(model, at);
        bool readable = false, writable = false;
        uintptr_t next = model_next(model, at);
        uintptr_t wrong;
        size_t count = ((next < end ? next : end) - at) / MODEL_PAGE;

        if (region)
            count = alike(region, at, end, &readable, &writable);
        if (!probe_expect(at, count, readable, writable, &wrong))
            verify_fail("page %#lx of region %#lx: should be%s readable and%s writable",
                        (unsigned long)wrong, region ? (unsigned long)region->base : 0,
                        readable ? "" : " not", writable ? "" : " not");
        for (size_t i = 0; i < count && readable; i++)
            verify_content(&region->pages[(at - region->base) / MODEL_PAGE + i],
                           at + i * MODEL_PAGE);
        at += count * MODEL_PAGE;
    }
}

static void verify_free_run(const struct model *model, const struct moat_page_info *info,
                            uintptr_t at, uintptr_t window_end) {
    uintptr_t end = at + info->size;
    uintptr_t next = model_next(model, at);

    if (info->base != (void *)at || info->state != MOAT_STATE_FREE || info->allocation_base ||
        info->kind != MOAT_KIND_NONE || info->protection != MOAT_PAGE_NOACCESS ||
        info->allocation_protection || info->owner)
        verify_fail("query of free %#lx: state %d of %p, protection %#x", (unsigned long)at,
                    info->state, info->allocation_base, info->protection);
    if (end != next && (end > next || end < window_end))
        verify_fail("query of free %#lx: the run ends at %#lx, the next region is at %#lx",
                    (unsigned long)at, (unsigned long)end, (unsigned long)next);
}

static void verify_region_run(const struct model_region *region, struct moat_manager *const *owners,
                              const struct moat_page_info *info, uintptr_t at) {
    struct moat_page_info expected;

    model_query(region, at, &expected);
    expected.owner = owners[region->owner];
    if (info->base != expected.base || info->size != expected.size ||
        info->allocation_base != expected.allocation_base || info->state != expected.state ||
        info->kind != expected.kind || info->protection != expected.protection ||
        info->allocation_protection != expected.allocation_protection ||
        info->owner != expected.owner)
        verify_fail("query of %#lx: %zu bytes of %p, state %d, protection %#x, reserved with %#x; "
                    "not %zu bytes of %p, state %d, protection %#x, reserved with %#x",
                    (unsigned long)at, info->size, info->allocation_base, info->state,
                    info->protection, info->allocation_protection, expected.size,
                    expected.allocation_base, expected.state, expected.protection,
                    expected.allocation_protection);
}

void verify_queries(struct model *model, struct moat_manager *const *owners, uintptr_t start,
                    uintptr_t end) {
    for (uintptr_t at = start; at < end;) {
        struct moat_page_info info;
        const struct model_region *region = model_find(model, at);
        enum moat_status status = moat_query((const void *)at, &info);

        if (status || info.size == 0)
            verify_fail("query of %#lx: %s", (unsigned long)at, moat_status_describe(status)->name);
        if (region)
            verify_region_run(region, owners, &info, at);
        else
            verify_free_run(model, &info, at, end);
        at += info.size;
    }
}

static void same(const char *name, uint64_t is, uint64_t should) {
    if (is != should)
        verify_fail("counter %s is %llu, not %llu", name, (unsigned long long)is,
                    (unsigned long long)should);
}

void verify_stats(const struct model *model, unsigned owner, const struct moat_manager *manager) {
    const struct moat_stats *should = &model->stats[owner];
    struct moat_stats is;

    if (moat_stats_read(manager, &is))
        verify_fail("the counters cannot be read");
    same("regions_live", is.regions_live, should->regions_live);
    same("bytes_reserved", is.bytes_reserved, should->bytes_reserved);
    same("bytes_committed", is.bytes_committed, should->bytes_committed);
    same("reserves", is.reserves, should->reserves);
    same("commits", is.commits, should->commits);
    same("decommits", is.decommits, should->decommits);
    same("releases", is.releases, should->releases);
    same("refused", is.refused, should->refused);
    same("guard_failures", is.guard_failures, 0);
    same("poison_damage", is.poison_damage, 0);
    same("stranded_bytes", is.stranded_bytes, 0);
}
