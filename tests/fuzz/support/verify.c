/* SPDX-License-Identifier: MIT */
/* verify: probes, reads and queries, page by page and run by run. */
#define _GNU_SOURCE
#include "verify.h"

#include "probe.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { NOTES = 64, NOTE_SIZE = 160, SAID_SIZE = 2048, WORDS = MODEL_PAGE / 8 };

static char notes[NOTES][NOTE_SIZE];
static unsigned note_count;
static char said[SAID_SIZE];
static size_t said_length;

void verify_note(const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(notes[note_count++ % NOTES], NOTE_SIZE, format, list);
    va_end(list);
}

void verify_say(const char *format, ...) {
    va_list list;
    size_t room = SAID_SIZE - said_length;
    va_start(list, format);
    int length = vsnprintf(said + said_length, room, format, list);
    va_end(list);
    if (length > 0 && (size_t)length + 1 < room) {
        said_length += (size_t)length;
        said[said_length++] = '\n';
        said[said_length] = '\0';
    }
}

void verify_forget(void) {
    note_count = 0;
    said_length = 0;
    said[0] = '\0';
}

void verify_fail(const char *format, ...) {
    va_list list;
    unsigned first = note_count > NOTES ? note_count - NOTES : 0;

    fprintf(stderr, "\n%s", said);
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

bool verify_holds(uintptr_t page, uint8_t content) {
    const volatile uint64_t *words = (const volatile uint64_t *)page;
    for (size_t i = 0; i < WORDS; i++)
        if (words[i] != (content ? page | content : 0))
            return false;
    return true;
}

/* Whether each of the kernel's pages in a page holds the pattern, or was dropped. */
static bool holds_in_parts(uintptr_t address, uint8_t content) {
    const volatile uint64_t *words = (const volatile uint64_t *)address;
    const size_t part = (size_t)sysconf(_SC_PAGESIZE) / 8;

    for (size_t i = 0; i < WORDS; i++)
        if (words[i] != (words[i / part * part] ? address | content : 0))
            return false;
    return true;
}

static void see_what_was_dropped(struct model_page *page, uintptr_t address) {
    if (verify_holds(address, page->content))
        return;
    page->partly = holds_in_parts(address, page->content);
    if (verify_holds(address, 0))
        page->content = page->partly = 0;
    page->lost = page->partly || !page->content;
}

void verify_content(struct model_page *page, uintptr_t address) {
    if (page->unsure && page->content)
        see_what_was_dropped(page, address);
    if (page->partly ? !holds_in_parts(address, page->content)
                     : !verify_holds(address, page->content))
        verify_fail("page %#lx: does not hold pattern %u, its first word is %#lx",
                    (unsigned long)address, page->content, *(volatile unsigned long *)address);
}

/* A page that counts as not written, or whose content may go, must go on doing so: it is not
 * written to see whether that is possible. */
static enum probe_write write_to(const struct model_region *region, const struct model_page *page) {
    if (!model_writable(page))
        return PROBE_REFUSED;
    bool clean = region->watched && page->written != MODEL_WRITTEN;
    return clean || page->unsure ? PROBE_NOT_TRIED : PROBE_ALLOWED;
}

/* Pages from `at` on that are alike for a probe. */
static size_t alike(const struct model_region *region, uintptr_t at, uintptr_t end, bool *readable,
                    enum probe_write *write) {
    size_t first = (at - region->base) / MODEL_PAGE;
    size_t last = first;

    *readable = model_readable(&region->pages[first]);
    *write = write_to(region, &region->pages[first]);
    while (last < region->page_count && region->base + last * MODEL_PAGE < end &&
           model_readable(&region->pages[last]) == *readable &&
           write_to(region, &region->pages[last]) == *write)
        last++;
    return last - first;
}

/* What lies beside the regions of a stretch, and can be touched only in mappings. */
static void verify_outside(const struct model_mapping *mapping, uintptr_t at) {
    uint32_t protection = mapping ? mapping->protections[(at - mapping->base) / MODEL_PAGE] : 0;
    struct model_page page = {.protection = (uint16_t)protection};
    bool readable = model_readable(&page);
    enum probe_write write = model_writable(&page) ? PROBE_ALLOWED : PROBE_REFUSED;
    uintptr_t wrong;

    if (!probe_expect(at, 1, readable, write, &wrong))
        verify_fail("page %#lx outside of regions: should be%s readable and%s writable",
                    (unsigned long)at, readable ? "" : " not", write ? "" : " not");
}

void verify_pages(struct model *model, uintptr_t start, uintptr_t end) {
    for (uintptr_t at = start; at < end;) {
        struct model_region *region = model_find(model, at);
        bool readable;
        enum probe_write write;
        uintptr_t wrong;

        if (!region) {
            verify_outside(model_find_mapping(model, at), at);
            at += MODEL_PAGE;
            continue;
        }
        size_t count = alike(region, at, end, &readable, &write);
        if (!probe_expect(at, count, readable, write, &wrong))
            verify_fail("page %#lx of region %#lx: should be%s readable and%s writable",
                        (unsigned long)wrong, (unsigned long)region->base, readable ? "" : " not",
                        write == PROBE_ALLOWED ? "" : " not");
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

/* A run of a region, or of a mapping. */
static void verify_taken_run(const struct moat_page_info *info, struct moat_page_info expected,
                             const struct moat_manager *owner, uintptr_t at) {
    expected.owner = owner;
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
        const struct model_mapping *mapping = model_find_mapping(model, at);
        enum moat_status status = moat_query((const void *)at, &info);

        if (status || info.size == 0)
            verify_fail("query of %#lx: %s", (unsigned long)at, moat_status_describe(status)->name);
        struct moat_page_info expected;
        unsigned owner;
        if (region) {
            model_query(region, at, &expected);
            verify_taken_run(&info, expected, owners[region->owner], at);
        } else if (mapping) {
            model_query_mapped(model, mapping, at, &expected, &owner);
            verify_taken_run(&info, expected, owner < MODEL_OWNERS ? owners[owner] : NULL, at);
        } else {
            verify_free_run(model, &info, at, end);
        }
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
    same("quota_refusals", is.quota_refusals, should->quota_refusals);
    same("adopted_regions", is.adopted_regions, should->adopted_regions);
    same("adopted_bytes", is.adopted_bytes, should->adopted_bytes);
    same("locks_abandoned", is.locks_abandoned, 0);
    same("guard_failures", is.guard_failures, 0);
    same("poison_damage", is.poison_damage, 0);
    same("stranded_bytes", is.stranded_bytes, 0);
    same("denied", is.denied, should->denied);
}

/* KiB that the kernel has locked for this process, or that it does not tell. */
static bool read_locked(size_t *kib) {
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    bool found = false;

    while (file && !found && fgets(line, sizeof(line), file))
        found = sscanf(line, "VmLck: %zu kB", kib) == 1;
    if (file)
        fclose(file);
    return found;
}

/* Sanitizers make nothing of mlock. */
static bool locks_count(void) {
    static int answer = -1;
    size_t before, after;

    if (answer < 0) {
        void *page = mmap(NULL, MODEL_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        answer = page != MAP_FAILED && read_locked(&before) && mlock(page, MODEL_PAGE) == 0 &&
                 read_locked(&after) && after == before + MODEL_PAGE / 1024;
        munmap(page, MODEL_PAGE);
        if (!answer)
            fprintf(stderr, "verify: mlock does nothing here, or is not told of: locked pages are "
                            "compared with nothing\n");
    }
    return answer;
}

void verify_locked(const struct model *model) {
    size_t pages = 0, kib;

    if (!locks_count() || !read_locked(&kib))
        return;
    for (size_t i = 0; i < model->region_count; i++)
        for (size_t page = 0; page < model->regions[i].page_count; page++)
            pages += model->regions[i].pages[page].locked;
    if (kib != pages * (MODEL_PAGE / 1024))
        verify_fail("the kernel has locked %zu KiB, not %zu", kib, pages * (MODEL_PAGE / 1024));
}
