/* SPDX-License-Identifier: MIT */
/* model: the rules of moat.h in the plainest form; nothing here knows how Moat does it. */
#include "model.h"

#include "plant.h"

#include <stdlib.h>

enum {
    BASIC = 0x77 & ~0x08,
    MODIFIERS = MOAT_PAGE_GUARD | MOAT_PAGE_NOCACHE | MOAT_PAGE_WRITECOMBINE,
    RESERVE_FLAGS = MOAT_RESERVE_COMMIT | MOAT_RESERVE_TOP_DOWN | MOAT_RESERVE_WRITE_WATCH,
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

struct model_region *model_find(struct model *model, uintptr_t address) {
    for (size_t i = 0; i < model->region_count; i++)
        if (address >= model->regions[i].base && address < model_end(&model->regions[i]))
            return &model->regions[i];
    return NULL;
}

uintptr_t model_next(const struct model *model, uintptr_t address) {
    uintptr_t next = UINTPTR_MAX;
    for (size_t i = 0; i < model->region_count; i++)
        if (model->regions[i].base > address && model->regions[i].base < next)
            next = model->regions[i].base;
    for (size_t i = 0; i < model->mapping_count; i++)
        if (model->mappings[i].base > address && model->mappings[i].base < next)
            next = model->mappings[i].base;
    return next;
}

bool model_range(uintptr_t address, size_t size, uintptr_t *start, uintptr_t *end) {
    if (size == 0 || address >= MODEL_USER_END || size > MODEL_USER_END - address)
        return false;
    *start = model_round_down(address, MODEL_PAGE);
    *end = model_round_up(address + size, MODEL_PAGE);
    return true;
}

bool model_find_run(struct model *model, unsigned owner, uintptr_t address, size_t size,
                    struct model_run *run) {
    uintptr_t start, end;

    if (!model_range(address, size, &start, &end))
        return false;
    run->region = model_find(model, start);
    if (!run->region || (owner < MODEL_OWNERS && run->region->owner != owner) ||
        end > model_end(run->region))
        return false;
    run->first = &run->region->pages[(start - run->region->base) / MODEL_PAGE];
    run->count = (end - start) / MODEL_PAGE;
    return true;
}

/* --- Reserve --- */

bool model_quota_allows(const struct model *model, unsigned owner, size_t bytes) {
    uint64_t limit = model->quota[owner];

    if (limit == 0 || bytes == 0)
        return true;
    if (model->level == MOAT_TASK_CRITICAL)
        limit -= model->reserve[owner];
    else if (model->level == MOAT_APPDOMAIN_CRITICAL)
        limit -= model->reserve[owner] / 2;
    return model->stats[owner].bytes_committed + bytes <= limit;
}

/* Whether a page of [start, end) is taken. Regions have their granules to themselves. */
static bool is_taken(const struct model *model, uintptr_t start, uintptr_t end) {
    for (size_t i = 0; i < model->region_count; i++)
        if (start < model_round_up(model_end(&model->regions[i]), MODEL_GRANULE) &&
            end > model_round_down(model->regions[i].base, MODEL_GRANULE))
            return true;
    for (size_t i = 0; i < model->mapping_count; i++) {
        const struct model_mapping *mapping = &model->mappings[i];
        if (start < mapping->base + mapping->page_count * MODEL_PAGE && end > mapping->base)
            return true;
    }
    return false;
}

enum moat_status model_reserve(const struct model *model, uintptr_t address, size_t size,
                               uint32_t protection, uint32_t flags, uintptr_t *base,
                               size_t *page_count) {
    uintptr_t start, end;

    if (!model_protection_valid(protection) || (flags & ~(uint32_t)RESERVE_FLAGS) != 0)
        return MOAT_INVALID_ARGUMENT;
    if (!model_range(address ? address : MODEL_GRANULE, size, &start, &end))
        return MOAT_INVALID_ARGUMENT;
    if (!address) {
        *page_count = (end - start) / MODEL_PAGE;
        return *page_count > MODEL_USER_END / MODEL_PAGE / 2 ? MOAT_NO_MEMORY : MOAT_OK;
    }
    *base = model_round_down(address, MODEL_GRANULE);
    *page_count = (end - *base) / MODEL_PAGE;
    if (*base == 0)
        return MOAT_INVALID_ARGUMENT;
    return is_taken(model, *base, model_round_up(end, MODEL_GRANULE)) ? MOAT_INVALID_ADDRESS
                                                                      : MOAT_OK;
}

struct model_region *model_add(struct model *model, unsigned owner, uintptr_t base,
                               size_t page_count, uint32_t protection, uint32_t flags) {
    struct model_region *region = &model->regions[model->region_count++];
    struct moat_stats *stats = &model->stats[owner];
    bool committed = (flags & MOAT_RESERVE_COMMIT) != 0;

    *region = (struct model_region){.base = base,
                                    .page_count = page_count,
                                    .owner = owner,
                                    .protection = protection,
                                    .watched = (flags & MOAT_RESERVE_WRITE_WATCH) != 0,
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
    return region;
}

/* --- Commit and reset --- */

/* The pages of one region that a commit or reset is about. */
static enum moat_status committable(struct model *model, unsigned owner, uintptr_t address,
                                    size_t size, uint32_t protection, struct model_run *run) {
    uintptr_t start, end;

    if (!model_protection_valid(protection) || !model_range(address, size, &start, &end))
        return MOAT_INVALID_ARGUMENT;
    if (!model_find_run(model, owner, address, size, run) || run->region->kind == MODEL_PLACEHOLDER)
        return MOAT_INVALID_ADDRESS;
    return MOAT_OK;
}

enum moat_status model_commit(struct model *model, unsigned owner, uintptr_t address, size_t size,
                              uint32_t protection) {
    struct model_run run;
    enum moat_status status = committable(model, owner, address, size, protection, &run);
    size_t fresh = 0;

    if (status)
        return status;
    for (size_t i = 0; i < run.count; i++)
        fresh += run.first[i].protection == 0;
    if (!model_may_execute_pages(model, &run, protection)) {
        model->reports[owner]++;
        return MOAT_CODE_BLOCKED;
    }
    if (!model_quota_allows(model, owner, fresh * MODEL_PAGE)) {
        model->stats[owner].quota_refusals++;
        return MOAT_COMMIT_LIMIT;
    }
    for (size_t i = 0; i < run.count; i++) {
        if (run.first[i].protection == 0)
            run.first[i] = (struct model_page){0};
        else if (plant_is("recommit-keeps-protection"))
            continue;
        model_set_protection(&run.first[i], protection);
    }
    model->stats[owner].bytes_committed += fresh * MODEL_PAGE;
    model->stats[owner].commits++;
    return MOAT_OK;
}

enum moat_status model_reset(struct model *model, unsigned owner, uintptr_t address, size_t size,
                             uint32_t protection) {
    struct model_run run;
    enum moat_status status = committable(model, owner, address, size, protection, &run);

    for (size_t i = 0; !status && i < run.count; i++) {
        if (run.first[i].protection == 0)
            continue;
        run.first[i].unsure = true;
        run.first[i].written = MODEL_PERHAPS_WRITTEN;
    }
    return status;
}

/* --- Decommit and release --- */

enum moat_status model_decommit(struct model *model, unsigned owner, uintptr_t address,
                                size_t size) {
    if (size > UINTPTR_MAX - address) {
        model->reports[owner]++;
        return MOAT_INVALID_ARGUMENT;
    }
    struct model_region *region = model_find(model, address);
    if (!region || region->owner != owner) {
        model->stats[owner].refused++;
        model->reports[owner]++;
        return MOAT_NOT_OURS;
    }
    if (region->kind == MODEL_PLACEHOLDER)
        return MOAT_INVALID_ADDRESS;
    uintptr_t start = model_round_down(address, MODEL_PAGE);
    uintptr_t end = model_round_up(address + size, MODEL_PAGE);
    if (size == 0)
        end = model_end(region);
    if ((size == 0 && start != region->base) || end > model_end(region)) {
        model->reports[owner]++;
        return size == 0 ? MOAT_INVALID_ADDRESS : MOAT_LEAVES_REGION;
    }
    for (uintptr_t at = start; at < end; at += MODEL_PAGE) {
        struct model_page *page = &region->pages[(at - region->base) / MODEL_PAGE];
        if (page->protection)
            model->stats[owner].bytes_committed -= MODEL_PAGE;
        *page = (struct model_page){.given_back = true};
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

    bool first = region && address - region->base < MODEL_PAGE;
    if (!region || region->owner != owner || (!first && !plant_is("release-from-anywhere"))) {
        stats->refused++;
        model->reports[owner]++;
        return MOAT_NOT_OURS;
    }
    model->reports[owner] += region->lock_depth > 0;
    for (size_t i = 0; i < region->page_count; i++)
        if (region->pages[i].protection)
            stats->bytes_committed -= MODEL_PAGE;
    stats->bytes_reserved -= region->page_count * MODEL_PAGE;
    stats->regions_live--;
    stats->releases++;
    drop(model, region);
    return MOAT_OK;
}

void model_drop_owner(struct model *model, unsigned owner) {
    for (size_t i = model->region_count; i-- > 0;)
        if (model->regions[i].owner == owner)
            drop(model, &model->regions[i]);
    model_disown_all(model, owner);
    model->stats[owner] = (struct moat_stats){0};
    model->reports[owner] = 0;
}

/* --- Protect and query --- */

/* NOCACHE belongs to the reservation: what a page was given of it does not count. */
uint32_t model_seen(const struct model_region *region, const struct model_page *page) {
    uint32_t protection = page->protection & ~MOAT_PAGE_NOCACHE;
    if (plant_is("nocache-of-the-page"))
        return page->protection;
    if (protection != MOAT_PAGE_NOACCESS)
        protection |= region->protection & MOAT_PAGE_NOCACHE;
    return protection;
}

enum moat_status model_protect(struct model *model, unsigned owner, unsigned whose,
                               uintptr_t address, size_t size, uint32_t protection, uint32_t *old) {
    uintptr_t start, end;
    struct model_run run;

    if (!model_protection_valid(protection))
        return MOAT_INVALID_ARGUMENT;
    if (!old)
        return MOAT_NO_ACCESS;
    if (!model_range(address, size, &start, &end))
        return MOAT_INVALID_ARGUMENT;
    struct model_region *region = model_find(model, start);
    if (!region)
        return model_protect_mapped(model, owner, start, end, protection, old);
    /* Whoever calls is told, and of calls in nobody's name the owner of the region; of code that is
     * refused he is told in any case. */
    uint64_t *reports = &model->reports[owner < MODEL_OWNERS ? owner : region->owner];
    bool whole = model_find_run(model, whose, address, size, &run);
    for (size_t i = 0; whole && i < run.count; i++)
        whole = run.first[i].protection != 0;
    if (!whole) {
        ++*reports;
        return MOAT_INVALID_ADDRESS;
    }
    if (!model_may_execute_pages(model, &run, protection)) {
        model->reports[region->owner]++;
        return MOAT_CODE_BLOCKED;
    }
    *old = model_seen(run.region, run.first);
    for (size_t i = 0; i < run.count; i++)
        model_set_protection(&run.first[i], protection);
    return MOAT_OK;
}

void model_query(const struct model_region *region, uintptr_t address,
                 struct moat_page_info *info) {
    size_t first = (address - region->base) / MODEL_PAGE;
    size_t last = first + 1;
    const struct model_page *page = &region->pages[first];
    uint32_t protection = page->protection ? model_seen(region, page) : 0;

    while (last < region->page_count &&
           (region->pages[last].protection != 0) == (protection != 0) &&
           (protection == 0 || model_seen(region, &region->pages[last]) == protection))
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

void model_set_protection(struct model_page *page, uint32_t protection) {
    page->protection = (uint16_t)protection;
    if (page->locked && model_writable(page) && page->written == MODEL_CLEAN)
        page->written = MODEL_PERHAPS_WRITTEN;
}

void model_wrote(struct model_page *page) {
    page->unsure = page->lost = false;
    page->touched = true;
    page->written = MODEL_WRITTEN;
}
