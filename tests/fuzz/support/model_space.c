/* SPDX-License-Identifier: MIT */
/* model_space: mappings of the fuzzer's own, and what managers were told of. */
#include "model.h"

enum {
    ANY_EXECUTE = MOAT_PAGE_EXECUTE | MOAT_PAGE_EXECUTE_READ | MOAT_PAGE_EXECUTE_READWRITE,
};

static uintptr_t mapping_end(const struct model_mapping *mapping) {
    return mapping->base + mapping->page_count * MODEL_PAGE;
}

struct model_mapping *model_find_mapping(struct model *model, uintptr_t address) {
    for (size_t i = 0; i < model->mapping_count; i++)
        if (address >= model->mappings[i].base && address < mapping_end(&model->mappings[i]))
            return &model->mappings[i];
    return NULL;
}

void model_map(struct model *model, uintptr_t base, size_t page_count) {
    struct model_mapping *mapping = &model->mappings[model->mapping_count++];
    mapping->base = base;
    mapping->page_count = page_count;
    for (size_t i = 0; i < page_count; i++)
        mapping->protections[i] = MOAT_PAGE_READWRITE;
}

void model_unmap(struct model *model, struct model_mapping *mapping) {
    *mapping = model->mappings[--model->mapping_count];
}

/* Of a protection the kernel knows rights alone, and none of those that a guard has. */
static uint32_t as_rights(uint32_t protection) {
    uint32_t basic = protection & 0x77;

    if (protection & MOAT_PAGE_GUARD)
        return MOAT_PAGE_NOACCESS;
    return basic == MOAT_PAGE_EXECUTE ? MOAT_PAGE_EXECUTE_READ : basic;
}

/* The range that an address counts to, the last one told of, and how far from there to either side
 * nothing was told of later. */
static const struct model_told *around(const struct model *model, uintptr_t page, uintptr_t *start,
                                       uintptr_t *end) {
    const struct model_told *holder = NULL;
    size_t later = 0;

    for (size_t i = 0; i < model->told_count; i++)
        if (page >= model->told[i].start && page < model->told[i].end) {
            holder = &model->told[i];
            later = i + 1;
        }
    *start = holder ? holder->start : 0;
    *end = holder ? holder->end : UINTPTR_MAX;
    for (size_t i = later; i < model->told_count; i++) {
        if (model->told[i].start > page && model->told[i].start < *end)
            *end = model->told[i].start;
        if (model->told[i].end <= page && model->told[i].end > *start)
            *start = model->told[i].end;
    }
    return holder;
}

static uint32_t *page_of(struct model *model, uintptr_t at) {
    struct model_mapping *mapping = model_find_mapping(model, at);
    return mapping ? &mapping->protections[(at - mapping->base) / MODEL_PAGE] : NULL;
}

enum moat_status model_protect_mapped(struct model *model, unsigned owner, uintptr_t start,
                                      uintptr_t end, uint32_t protection, uint32_t *old) {
    uintptr_t since, until;
    bool whole = true, allowed = model_may_execute(model, owner, protection);
    bool strict = owner < MODEL_OWNERS && model->strict[owner];

    (void)around(model, start, &since, &until);
    for (uintptr_t at = start; whole && at < end; at += MODEL_PAGE) {
        whole = page_of(model, at) != NULL;
        if (whole && strict && (protection & ANY_EXECUTE))
            allowed &= (*page_of(model, at) & ANY_EXECUTE) != 0;
    }
    if (owner < MODEL_OWNERS && (!whole || end > until || !allowed))
        model->reports[owner]++;
    if (!whole || end > until)
        return MOAT_INVALID_ADDRESS;
    if (!allowed)
        return MOAT_CODE_BLOCKED;
    *old = *page_of(model, start);
    for (uintptr_t at = start; at < end; at += MODEL_PAGE)
        *page_of(model, at) = as_rights(protection);
    return MOAT_OK;
}

void model_query_mapped(const struct model *model, const struct model_mapping *mapping,
                        uintptr_t address, struct moat_page_info *info, unsigned *owner) {
    size_t page = (address - mapping->base) / MODEL_PAGE;
    size_t first = page, last = page + 1;
    uint32_t protection = mapping->protections[page];
    uintptr_t since, until;
    const struct model_told *told =
        around(model, model_round_down(address, MODEL_PAGE), &since, &until);

    while (first > 0 && mapping->protections[first - 1] == protection)
        first--;
    while (last < mapping->page_count && mapping->protections[last] == protection)
        last++;
    uintptr_t start = mapping->base + first * MODEL_PAGE;
    uintptr_t end = mapping->base + last * MODEL_PAGE;
    if (start < since || told)
        start = told ? told->start : since;
    if (end > until)
        end = until;
    *owner = told ? told->owner : MODEL_OWNERS;
    *info = (struct moat_page_info){
        .base = (void *)(mapping->base + page * MODEL_PAGE),
        .size = end - (mapping->base + page * MODEL_PAGE),
        .allocation_base = (void *)start,
        .state = MOAT_STATE_COMMITTED,
        .kind = MOAT_KIND_MAPPED,
        .protection = protection,
        .allocation_protection = protection,
    };
}

enum moat_status model_adopt(struct model *model, unsigned owner, uintptr_t address, size_t size) {
    uintptr_t start, end;

    if (address < MODEL_GRANULE || address % MODEL_PAGE ||
        !model_range(address, size, &start, &end))
        return MOAT_INVALID_ARGUMENT;
    for (uintptr_t at = start; at < end; at += MODEL_PAGE)
        if (!page_of(model, at))
            return MOAT_INVALID_ADDRESS;
    model->told[model->told_count++] = (struct model_told){start, end, owner};
    model->stats[owner].adopted_regions++;
    model->stats[owner].adopted_bytes += end - start;
    return MOAT_OK;
}

static void forget(struct model *model, size_t index) {
    const struct model_told *told = &model->told[index];

    model->stats[told->owner].adopted_regions--;
    model->stats[told->owner].adopted_bytes -= told->end - told->start;
    model->told_count--;
    for (size_t i = index; i < model->told_count; i++)
        model->told[i] = model->told[i + 1];
}

enum moat_status model_disown(struct model *model, unsigned owner, uintptr_t address) {
    for (size_t i = 0; i < model->told_count; i++)
        if (model->told[i].start == address && model->told[i].owner == owner) {
            forget(model, i);
            return MOAT_OK;
        }
    return MOAT_NOT_OURS;
}

void model_disown_all(struct model *model, unsigned owner) {
    for (size_t i = model->told_count; i-- > 0;)
        if (model->told[i].owner == owner)
            forget(model, i);
}
