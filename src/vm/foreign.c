/* SPDX-License-Identifier: MIT */
/* foreign: what the kernel says, in Win32's words. */
#include "vm/foreign.h"

#include "base/error_text.h"
#include "os/os.h"
#include "region/arena.h"
#include "region/books.h"
#include "region/pages.h"
#include "region/resting.h"
#include "vm/adopt.h"
#include "vm/execute.h"

#include <errno.h>

/* Mappings that one protect may reach over: an undo must remember each. */
#define MAPPINGS_MAX 64

static uint32_t protection_of(unsigned access) {
    if (access & MOAT_OS_EXECUTE) {
        if (access & MOAT_OS_WRITE)
            return MOAT_PAGE_EXECUTE_READWRITE;
        return access & MOAT_OS_READ ? MOAT_PAGE_EXECUTE_READ : MOAT_PAGE_EXECUTE;
    }
    if (access & MOAT_OS_WRITE)
        return MOAT_PAGE_READWRITE;
    return access & MOAT_OS_READ ? MOAT_PAGE_READONLY : MOAT_PAGE_NOACCESS;
}

static void describe_free(struct moat_page_info *info, uintptr_t end) {
    info->size = end - (uintptr_t)info->base;
    info->state = MOAT_STATE_FREE;
    info->protection = MOAT_PAGE_NOACCESS;
}

static void describe_reserved(struct moat_page_info *info, uintptr_t start, uintptr_t end) {
    info->size = end - (uintptr_t)info->base;
    info->allocation_base = (void *)start;
    info->allocation_protection = MOAT_PAGE_NOACCESS;
    info->state = MOAT_STATE_RESERVED;
    info->kind = MOAT_KIND_PRIVATE;
}

/* What rests is free, and whatever the kernel says lies next to it. */
static void cut_resting_off(struct moat_os_mapping *mapping, uintptr_t page) {
    uintptr_t start, end;

    while (moat_resting_meets(mapping->start, mapping->end, &start, &end) &&
           (start > page || end <= page)) {
        if (start > page)
            mapping->end = start;
        else
            mapping->start = end;
    }
}

/* The kernel merges neighbouring mappings; what belongs to regions on either side is not told. */
static void cut_regions_off(struct moat_os_mapping *mapping, uintptr_t page) {
    struct moat_region_ref region;

    if (moat_region_after(page, &region) && region.span_start > page &&
        region.span_start < mapping->end)
        mapping->end = region.span_start;
    /* One that reaches beyond the page was born after the page was found to be in none. */
    if (moat_region_before(page, &region) && region.span_end > mapping->start &&
        region.span_end <= page)
        mapping->start = region.span_end;
}

/* Memory without access is committed all the same: what it holds, and that it can be made
 * accessible again, only its owner knows. */
static void describe_mapped(struct moat_page_info *info, struct moat_os_mapping *mapping) {
    struct moat_adopted around;

    cut_resting_off(mapping, (uintptr_t)info->base);
    cut_regions_off(mapping, (uintptr_t)info->base);
    moat_adopted_around((uintptr_t)info->base, &around);
    uintptr_t start = mapping->start > around.start ? mapping->start : around.start;
    uintptr_t end = mapping->end < around.end ? mapping->end : around.end;
    describe_reserved(info, around.base ? around.base : start, end);
    info->owner = around.owner;
    if (mapping->shared)
        info->kind = MOAT_KIND_MAPPED;
    else if (mapping->file)
        info->kind = MOAT_KIND_IMAGE;
    info->state = MOAT_STATE_COMMITTED;
    info->protection = info->allocation_protection = protection_of(mapping->access);
}

/* The end of the free run that reaches at least to `at`: over holes, and over what rests. */
static uintptr_t free_until(uintptr_t at) {
    struct moat_os_mapping mapping;
    uintptr_t start, end;

    while (at < MOAT_OS_USER_END) {
        if (moat_resting_meets(at, at + 1, &start, &end))
            at = end;
        else if (moat_os_query(at, &mapping) == 0 && !mapping.mapped)
            at = mapping.end;
        else
            break;
    }
    return at;
}

/* Pages that a region's mapping has besides the region: the rest of its last granule, which is free
 * to a caller though it traps, and margins, which are Moat's. */
static bool describe_around(uintptr_t page, struct moat_page_info *info) {
    struct moat_region_ref region;

    if (moat_region_before(page, &region) && page < region.span_end) {
        uintptr_t end = region.base + region.size;
        uintptr_t tail_end = moat_round_up(end, MOAT_GRANULE);
        if (page < end)
            return false; /* born since the page was found to be in no region */
        if (page >= tail_end)
            describe_reserved(info, tail_end, region.span_end);
        else
            describe_free(info, tail_end == region.span_end ? free_until(tail_end) : tail_end);
        return true;
    }
    if (moat_region_after(page, &region) && page >= region.span_start) {
        describe_reserved(info, region.span_start, region.base);
        return true;
    }
    return false;
}

enum moat_status moat_foreign_query(uintptr_t page, struct moat_page_info *info) {
    uintptr_t start, end;
    struct moat_os_mapping mapping;
    const struct moat_space *arena = moat_arena_of(page);

    *info = (struct moat_page_info){.base = (void *)page, .kind = MOAT_KIND_NONE};
    if (arena) {
        describe_free(info, moat_region_next(page, arena->usable_end));
        return MOAT_OK;
    }
    if (moat_arena_border(page, &start, &end) || moat_books_contain(page, &start, &end)) {
        describe_reserved(info, start, end);
        return MOAT_OK;
    }
    if (describe_around(page, info))
        return MOAT_OK;
    if (moat_resting_meets(page, page + 1, &start, &end)) {
        describe_free(info, free_until(end));
        return MOAT_OK;
    }
    if (moat_os_query(page, &mapping))
        return MOAT_NOT_SUPPORTED;
    if (mapping.mapped)
        describe_mapped(info, &mapping);
    else
        describe_free(info, free_until(mapping.end));
    return MOAT_OK;
}

bool moat_foreign_only(const struct moat_range *range) {
    struct moat_region_ref region;
    uintptr_t start, end;

    if (moat_region_before(range->start, &region) && range->start < region.span_end)
        return false;
    if (moat_region_after(range->start, &region) && region.span_start < range->end)
        return false;
    return !moat_arena_meets(range->start, range->end) &&
           !moat_resting_meets(range->start, range->end, &start, &end) &&
           !moat_books_meet(range->start, range->end);
}

/* List the mappings of a range; none if there is a hole in it, or if they are too many. 0, or why
 * the kernel does not tell what is `at` a page. */
static int list_mappings(const struct moat_range *range, struct moat_os_mapping *list,
                         size_t *count, uintptr_t *at) {
    size_t found = 0;

    *count = 0;
    for (*at = range->start; *at < range->end; *at = list[found++].end) {
        int error = found < MAPPINGS_MAX ? moat_os_query(*at, &list[found]) : 0;
        if (error)
            return error;
        if (found == MAPPINGS_MAX || !list[found].mapped)
            return 0;
    }
    *count = found;
    return 0;
}

/* What is Moat's own in a range as far as `at` is no other's, whatever the kernel would tell. */
static enum moat_status fail_untold(int error, const struct moat_range *range, uintptr_t at) {
    const struct moat_range walked = {range->start, at + MOAT_PAGE};

    if (!moat_foreign_only(&walked))
        return MOAT_INVALID_ADDRESS;
    moat_error_set("protect at %#lx: what is mapped at %#lx is not known, as /proc/self/maps could "
                   "not be opened or read (errno %d)",
                   (unsigned long)range->start, (unsigned long)at, error);
    bool short_of = error == EMFILE || error == ENFILE || error == ENOMEM;
    return short_of ? MOAT_NO_MEMORY : MOAT_NOT_SUPPORTED;
}

static int protect_part(const struct moat_range *range, const struct moat_os_mapping *mapping,
                        unsigned access) {
    uintptr_t start = mapping->start > range->start ? mapping->start : range->start;
    uintptr_t end = mapping->end < range->end ? mapping->end : range->end;
    return moat_os_protect((void *)start, end - start, access);
}

enum moat_status moat_foreign_protect(const struct moat_manager *policy,
                                      const struct moat_range *range, uint32_t protection,
                                      uint32_t *old) {
    struct moat_os_mapping list[MAPPINGS_MAX];
    unsigned access = moat_page_access(moat_page_state(protection), true);
    /* The list first: it ends at the first hole, where the other walk would go on for ever. */
    uintptr_t untold;
    size_t count;
    int error = list_mappings(range, list, &count, &untold);
    struct moat_adopted around;

    if (error)
        return fail_untold(error, range, untold);
    moat_adopted_around(range->start, &around);
    if (range->end > around.end || count == 0 || !moat_foreign_only(range))
        return MOAT_INVALID_ADDRESS;
    for (size_t i = 0; i < count; i++) {
        enum moat_status status =
            moat_execute_check_rights(policy, list[i].access, protection, "protect", range->start);
        if (status)
            return status;
    }
    for (size_t i = 0; i < count && !error; i++) {
        error = protect_part(range, &list[i], access);
        for (size_t undone = i + 1; error && undone-- > 0;)
            (void)protect_part(range, &list[undone], list[undone].access);
    }
    if (error)
        return moat_fail_kernel(error, MOAT_NO_MEMORY, "protect", range->start);
    *old = protection_of(list[0].access);
    return MOAT_OK;
}
