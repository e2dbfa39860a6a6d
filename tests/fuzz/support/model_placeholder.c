/* SPDX-License-Identifier: MIT */
/* model_placeholder: placeholders that are split, joined, replaced and given back. */
#include "model.h"

#include <stdlib.h>
#include <string.h>

/* A placeholder in the array of regions, which nothing else needs to be told of. */
static void add_part(struct model *model, unsigned owner, uintptr_t base, uintptr_t end) {
    struct model_region *region = &model->regions[model->region_count++];
    size_t page_count = (end - base) / MODEL_PAGE;

    *region = (struct model_region){.base = base,
                                    .page_count = page_count,
                                    .owner = owner,
                                    .protection = MOAT_PAGE_NOACCESS,
                                    .kind = MODEL_PLACEHOLDER,
                                    .pages = calloc(page_count, sizeof(struct model_page))};
    if (!region->pages)
        abort();
}

/* What is there loses its content, and becomes a region that nobody has locked. */
static void remake(struct model_region *region, enum model_kind kind, uint32_t protection,
                   uint32_t committed) {
    memset(region->pages, 0, region->page_count * sizeof(struct model_page));
    for (size_t i = 0; i < region->page_count; i++)
        region->pages[i].protection = (uint16_t)committed;
    region->kind = kind;
    region->protection = protection;
    region->lock_depth = 0;
}

enum moat_status model_replace(struct model *model, unsigned owner, uintptr_t address, size_t size,
                               uint32_t protection, uint32_t flags) {
    uintptr_t start, end;
    bool commit = (flags & MOAT_RESERVE_COMMIT) != 0;

    if (!model_range(address, size, &start, &end) || !model_protection_valid(protection) ||
        (flags & ~MOAT_RESERVE_COMMIT) != 0)
        return MOAT_INVALID_ARGUMENT;
    if (!model_may_execute(model, owner, protection)) {
        model->reports[owner]++;
        return MOAT_CODE_BLOCKED;
    }
    struct model_region *region = model_find(model, start);
    if (!region || region->owner != owner || region->kind != MODEL_PLACEHOLDER ||
        start != region->base || end != model_end(region))
        return MOAT_INVALID_ADDRESS;
    if (commit && !model_quota_allows(model, owner, end - start)) {
        model->stats[owner].quota_refusals++;
        return MOAT_COMMIT_LIMIT;
    }
    remake(region, MODEL_REPLACED, protection, commit ? protection : 0);
    if (commit)
        model->stats[owner].bytes_committed += end - start;
    return MOAT_OK;
}

static enum moat_status split(struct model *model, struct model_region *region, uintptr_t start,
                              uintptr_t end) {
    uintptr_t base = region->base, last = model_end(region);
    unsigned owner = region->owner;
    size_t before = model->region_count;

    free(region->pages);
    *region = model->regions[--model->region_count];
    if (base < start)
        add_part(model, owner, base, start);
    add_part(model, owner, start, end);
    if (end < last)
        add_part(model, owner, end, last);
    model->stats[owner].regions_live += model->region_count - before;
    model->stats[owner].reserves += model->region_count - before;
    return MOAT_OK;
}

enum moat_status model_preserve(struct model *model, unsigned owner, uintptr_t address,
                                size_t size) {
    uintptr_t start, end;

    struct model_region *region = model_find(model, address);
    if (!region || region->owner != owner) {
        model->stats[owner].refused++;
        model->reports[owner]++;
        return MOAT_NOT_OURS;
    }
    if (!model_range(address, size, &start, &end))
        return MOAT_INVALID_ARGUMENT;
    bool whole = start == region->base && end == model_end(region);
    if (region->kind == MODEL_PLAIN || end > model_end(region) ||
        (region->kind == MODEL_PLACEHOLDER) == whole)
        return MOAT_INVALID_ADDRESS;
    if (region->kind == MODEL_PLACEHOLDER)
        return split(model, region, start, end);
    for (size_t i = 0; i < region->page_count; i++)
        if (region->pages[i].protection)
            model->stats[owner].bytes_committed -= MODEL_PAGE;
    remake(region, MODEL_PLACEHOLDER, MOAT_PAGE_NOACCESS, 0);
    return MOAT_OK;
}

enum moat_status model_coalesce(struct model *model, unsigned owner, uintptr_t address,
                                size_t size) {
    uintptr_t start, end;
    size_t count = 0;

    struct model_region *first = model_find(model, address);
    if (!first || first->owner != owner) {
        model->stats[owner].refused++;
        model->reports[owner]++;
        return MOAT_NOT_OURS;
    }
    if (!model_range(address, size, &start, &end))
        return MOAT_INVALID_ARGUMENT;
    for (uintptr_t at = start; at < end; count++) {
        const struct model_region *part = model_find(model, at);
        if (!part || part->base != at || part->owner != owner || part->kind != MODEL_PLACEHOLDER ||
            model_end(part) > end)
            return MOAT_INVALID_ADDRESS;
        at = model_end(part);
    }
    if (count < 2)
        return MOAT_INVALID_ADDRESS;
    for (size_t i = model->region_count; i-- > 0;)
        if (model->regions[i].base >= start && model->regions[i].base < end) {
            free(model->regions[i].pages);
            model->regions[i] = model->regions[--model->region_count];
        }
    add_part(model, owner, start, end);
    model->stats[owner].regions_live -= count - 1;
    model->stats[owner].releases += count - 1;
    return MOAT_OK;
}
