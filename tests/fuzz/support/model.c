/* SPDX-License-Identifier: MIT */
/* model: the rules of moat.h in the plainest form; nothing here knows how Moat does it. */
#include "model.h"

#include <stdlib.h>

enum {
    BASIC = 0x77 & ~0x08,
    MODIFIERS = MOAT_PAGE_GUARD | MOAT_PAGE_NOCACHE | MOAT_PAGE_WRITECOMBINE,
};

static bool one_bit(uint32_t bits) {
    return bits != 0 && (bits & (bits - 1)) == 0;
}

bool model_protection_valid(uint32_t protection) {
    uint32_t basic = protection & BASIC;
    uint32_t modifier = protection & MODIFIERS;
    if ((protection & ~(uint32_t)(BASIC | MODIFIERS)) != 0 || !one_bit(basic))
        return false;
    return modifier == 0 || (one_bit(modifier) && basic != MOAT_PAGE_NOACCESS);
}

static uintptr_t region_end(const struct model_region *region) {
    return region->base + region->page_count * MODEL_PAGE;
}

struct model_region *model_find(struct model *model, uintptr_t address) {
    for (size_t i = 0; i < model->region_count; i++)
        if (address >= model->regions[i].base && address < region_end(&model->regions[i]))
            return &model->regions[i];
    return NULL;
}

uintptr_t model_next(const struct model *model, uintptr_t address) {
    uintptr_t next = UINTPTR_MAX;
    for (size_t i = 0; i < model->region_count; i++)
        if (model->regions[i].base > address && model->regions[i].base < next)
            next = model->regions[i].base;
    return next;
}

static uintptr_t up(uintptr_t value, uintptr_t unit) {
    return (value + unit - 1) / unit * unit;
}

/* Pages of [address, address + size); false if that is empty, wraps or leaves user space. */
static bool range_of(uintptr_t address, size_t size, uintptr_t *start, uintptr_t *end) {
    if (size == 0 || address >= MODEL_USER_END || size > MODEL_USER_END - address)
        return false;
    *start = address / MODEL_PAGE * MODEL_PAGE;
    *end = up(address + size, MODEL_PAGE);
    return true;
}

enum moat_status model_reserve(const struct model *model, uintptr_t address, size_t size,
                               uint32_t protection, uint32_t flags, uintptr_t *base,
                               size_t *page_count) {
    uintptr_t start, end;

    if (!model_protection_valid(protection) ||
        (flags & ~(MOAT_RESERVE_COMMIT | MOAT_RESERVE_TOP_DOWN)) != 0)
        return MOAT_INVALID_ARGUMENT;
    if (!range_of(address ? address : MODEL_GRANULE, size, &start, &end))
        return MOAT_INVALID_ARGUMENT;
    if (!address) {
        *page_count = (end - start) / MODEL_PAGE;
        return *page_count > MODEL_USER_END / MODEL_PAGE / 2 ? MOAT_NO_MEMORY : MOAT_OK;
    }
    *base = address / MODEL_GRANULE * MODEL_GRANULE;
    *page_count = (end - *base) / MODEL_PAGE;
    if (*base == 0)
        return MOAT_INVALID_ARGUMENT;
    for (size_t i = 0; i < model->region_count; i++)
        if (*base < up(region_end(&model->regions[i]), MODEL_GRANULE) &&
            up(end, MODEL_GRANULE) > model->regions[i].base)
            return MOAT_INVALID_ADDRESS;
    return MOAT_OK;
}

void model_add(struct model *model, unsigned owner, uintptr_t base, size_t page_count,
               uint32_t protection, bool committed) {
    struct model_region *region = &model->regions[model->region_count++];
    struct moat_stats *stats = &model->stats[owner];

    *region = (struct model_region){.base = base,
                                    .page_count = page_count,
                                    .owner = owner,
                                    .protection = protection,
                                    .pages = calloc(page_count, sizeof(struct model_page))};
    if (!region->pages)
        abort();
    for (size_t i = 0; i < page_count && committed; i++)
        region->pages[i].protection = (uint16_t)protection;
    stats->regions_live++;
    stats->reserves++;
    stats->bytes_reserved += page_count * MODEL_PAGE;
    if (committed)
        stats->bytes_committed += page_count * MODEL_PAGE;
}

/* The pages of one region that a commit or reset is about. */
static enum moat_status committable(struct model *model, unsigned owner, uintptr_t address,
                                    size_t size, uint32_t protection, struct model_page **first,
                                    size_t *count) {
    uintptr_t start, end;

    if (!model_protection_valid(protection) || !range_of(address, size, &start, &end))
        return MOAT_INVALID_ARGUMENT;
    struct model_region *region = model_find(model, start);
    if (!region || region->owner != owner || end > region_end(region))
        return MOAT_INVALID_ADDRESS;
    *first = &region->pages[(start - region->base) / MODEL_PAGE];
    *count = (end - start) / MODEL_PAGE;
    return MOAT_OK;
}

enum moat_status model_commit(struct model *model, unsigned owner, uintptr_t address, size_t size,
                              uint32_t protection) {
    struct model_page *page;
    size_t count;
    enum moat_status status = committable(model, owner, address, size, protection, &page, &count);

    if (status)
        return status;
    for (; count > 0; count--, page++) {
        if (page->protection == 0) {
            *page = (struct model_page){0};
            model->stats[owner].bytes_committed += MODEL_PAGE;
        }
        page->protection = (uint16_t)protection;
    }
    model->stats[owner].commits++;
    return MOAT_OK;
}

enum moat_status model_reset(struct model *model, unsigned owner, uintptr_t address, size_t size,
                             uint32_t protection) {
    struct model_page *page;
    size_t count;
    enum moat_status status = committable(model, owner, address, size, protection, &page, &count);

    for (; !status && count > 0; count--, page++)
        page->unsure = page->protection != 0;
    return status;
}

enum moat_status model_decommit(struct model *model, unsigned owner, uintptr_t address,
                                size_t size) {
    if (size > UINTPTR_MAX - address)
        return MOAT_INVALID_ARGUMENT;
    struct model_region *region = model_find(model, address);
    if (!region || region->owner != owner) {
        model->stats[owner].refused++;
        return MOAT_NOT_OURS;
    }
    uintptr_t start = address / MODEL_PAGE * MODEL_PAGE;
    uintptr_t end = up(address + size, MODEL_PAGE);
    if (size == 0) {
        if (start != region->base)
            return MOAT_INVALID_ADDRESS;
        end = region_end(region);
    }
    if (end > region_end(region))
        return MOAT_LEAVES_REGION;
    for (uintptr_t at = start; at < end; at += MODEL_PAGE) {
        struct model_page *page = &region->pages[(at - region->base) / MODEL_PAGE];
        if (page->protection)
            model->stats[owner].bytes_committed -= MODEL_PAGE;
        *page = (struct model_page){0};
    }
    model->stats[owner].decommits++;
    return MOAT_OK;
}

static void drop(struct model *model, struct model_region *region) {
    free(region->pages);
    *region = model->regions[--model->region_count];
}

enum moat_status model_release(struct model *model, unsigned owner, uintptr_t address) {
    struct model_region *region = model_find(model, address);
    struct moat_stats *stats = &model->stats[owner];

    if (!region || region->owner != owner || address - region->base >= MODEL_PAGE) {
        stats->refused++;
        return MOAT_NOT_OURS;
    }
    for (size_t i = 0; i < region->page_count; i++)
        if (region->pages[i].protection)
            stats->bytes_committed -= MODEL_PAGE;
    stats->bytes_reserved -= region->page_count * MODEL_PAGE;
    stats->regions_live--;
    stats->releases++;
    drop(model, region);
    return MOAT_OK;
}

/* NOCACHE belongs to the reservation: what a page was given of it does not count. */
static uint32_t seen(const struct model_region *region, const struct model_page *page) {
    uint32_t protection = page->protection & ~MOAT_PAGE_NOCACHE;
    if (protection != MOAT_PAGE_NOACCESS)
        protection |= region->protection & MOAT_PAGE_NOCACHE;
    return protection;
}

enum moat_status model_protect(struct model *model, unsigned owner, uintptr_t address, size_t size,
                               uint32_t protection, uint32_t *old) {
    uintptr_t start, end;

    if (!model_protection_valid(protection))
        return MOAT_INVALID_ARGUMENT;
    if (!old)
        return MOAT_NO_ACCESS;
    if (!range_of(address, size, &start, &end))
        return MOAT_INVALID_ARGUMENT;
    struct model_region *region = model_find(model, start);
    if (!region || (owner < MODEL_OWNERS && region->owner != owner) || end > region_end(region))
        return MOAT_INVALID_ADDRESS;
    struct model_page *first = &region->pages[(start - region->base) / MODEL_PAGE];
    size_t count = (end - start) / MODEL_PAGE;
    for (size_t i = 0; i < count; i++)
        if (!first[i].protection)
            return MOAT_INVALID_ADDRESS;
    *old = seen(region, first);
    for (size_t i = 0; i < count; i++)
        first[i].protection = (uint16_t)protection;
    return MOAT_OK;
}

void model_query(const struct model_region *region, uintptr_t address,
                 struct moat_page_info *info) {
    size_t first = (address - region->base) / MODEL_PAGE;
    size_t last = first + 1;
    const struct model_page *page = &region->pages[first];
    uint32_t protection = page->protection ? seen(region, page) : 0;

    while (last < region->page_count &&
           (region->pages[last].protection != 0) == (protection != 0) &&
           (protection == 0 || seen(region, &region->pages[last]) == protection))
        last++;
    *info = (struct moat_page_info){
        .base = (void *)(region->base + first * MODEL_PAGE),
        .size = (last - first) * MODEL_PAGE,
        .allocation_base = (void *)region->base,
        .state = protection ? MOAT_STATE_COMMITTED : MOAT_STATE_RESERVED,
        .kind = MOAT_KIND_PRIVATE,
        .protection = protection,
        .allocation_protection = region->protection,
    };
}

bool model_readable(const struct model_page *page) {
    return page->protection != 0 && !(page->protection & MOAT_PAGE_GUARD) &&
           !(page->protection & MOAT_PAGE_NOACCESS);
}

bool model_writable(const struct model_page *page) {
    return model_readable(page) &&
           (page->protection & (MOAT_PAGE_READWRITE | MOAT_PAGE_EXECUTE_READWRITE)) != 0;
}

void model_drop_owner(struct model *model, unsigned owner) {
    for (size_t i = model->region_count; i-- > 0;)
        if (model->regions[i].owner == owner)
            drop(model, &model->regions[i]);
    model->stats[owner] = (struct moat_stats){0};
}
