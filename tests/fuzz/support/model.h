/* SPDX-License-Identifier: MIT */
/*
 * model: what regions are, told as naively as possible: a list of regions, each an array of pages.
 *
 * Every call predicts the status of its namesake in moat.h and, on success, does to the model what
 * that one does to memory. Addresses that no region holds are taken to be free.
 */
#ifndef MOAT_TESTS_FUZZ_MODEL_H
#define MOAT_TESTS_FUZZ_MODEL_H

#include <moat/moat.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MODEL_PAGE = 4096, MODEL_GRANULE = 65536, MODEL_REGIONS_MAX = 24, MODEL_OWNERS = 2 };

#define MODEL_USER_END ((uintptr_t)0x7FFFFFFF0000)

struct model_page {
    uint16_t protection; /* 0: not committed */
    uint8_t content;     /* 0: reads as zero; else the pattern it is filled with */
    bool unsure;         /* reset: reads as zero or as before, until written */
    bool locked;         /* in memory */
};

struct model_region {
    uintptr_t base;
    size_t page_count;
    unsigned owner;
    uint32_t protection;
    struct model_page *pages;
};

struct model {
    struct model_region regions[MODEL_REGIONS_MAX];
    size_t region_count;
    struct moat_stats stats[MODEL_OWNERS];
};

bool model_protection_valid(uint32_t protection);

struct model_region *model_find(struct model *model, uintptr_t address);

/* The least base of a region above `address`, or UINTPTR_MAX. */
uintptr_t model_next(const struct model *model, uintptr_t address);

/* Whether a free page is one that a query shows as free and that can be reserved. */
enum moat_status model_reserve(const struct model *model, uintptr_t address, size_t size,
                               uint32_t protection, uint32_t flags, uintptr_t *base,
                               size_t *page_count);

/* Enter a region that was reserved. */
void model_add(struct model *model, unsigned owner, uintptr_t base, size_t page_count,
               uint32_t protection, bool committed);

enum moat_status model_commit(struct model *model, unsigned owner, uintptr_t address, size_t size,
                              uint32_t protection);
enum moat_status model_reset(struct model *model, unsigned owner, uintptr_t address, size_t size,
                             uint32_t protection);
enum moat_status model_decommit(struct model *model, unsigned owner, uintptr_t address,
                                size_t size);
enum moat_status model_release(struct model *model, unsigned owner, uintptr_t address);

/* `owner` may be MODEL_OWNERS: any. */
enum moat_status model_protect(struct model *model, unsigned owner, uintptr_t address, size_t size,
                               uint32_t protection, uint32_t *old);

/* What a query of an address in a region answers. */
void model_query(const struct model_region *region, uintptr_t address, struct moat_page_info *info);

bool model_readable(const struct model_page *page);
bool model_writable(const struct model_page *page);

/* Forget all regions of an owner, and its statistics. */
void model_drop_owner(struct model *model, unsigned owner);

#endif
