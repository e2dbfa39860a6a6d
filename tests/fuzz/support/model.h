/* SPDX-License-Identifier: MIT */
/*
 * model: what Moat should answer, kept as one array of pages a region.
 *
 * It does not choose addresses: where Moat places a region by itself, the model is told. Only live
 * regions are known, and what the fuzzer mapped itself: pages of which neither is true are free.
 */
#ifndef MOAT_TESTS_FUZZ_MODEL_H
#define MOAT_TESTS_FUZZ_MODEL_H

#include <moat/moat.h>
#include <moat/quota.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MODEL_PAGE = MOAT_PAGE_BYTES,
    MODEL_GRANULE = 65536,
    MODEL_LARGE_PAGE = 2 << 20,
    MODEL_REGIONS_MAX = 24,
    MODEL_OWNERS = 2,
    MODEL_MAPPINGS_MAX = 6,
    MODEL_MAPPING_PAGES_MAX = 48,
    MODEL_TOLD_MAX = 24,
};

#define MODEL_USER_END ((uintptr_t)0x7FFFFFFF0000)

/* Whether a page was written since it was reset; some calls may count as a write or not. */
enum model_written { MODEL_CLEAN, MODEL_WRITTEN, MODEL_PERHAPS_WRITTEN };

struct model_page {
    uint16_t protection; /* 0: not committed */
    uint8_t content;     /* 0: reads as zero; else the pattern it is filled with */
    uint8_t written;     /* enum model_written */
    bool unsure;         /* reset: reads as zero or as before, until written */
    bool lost;           /* the kernel dropped it, which an undo must tell */
    bool partly;         /* it dropped a part: such a page is several of its own */
    bool touched;        /* written since it was committed or discarded */
    bool locked;         /* in memory */
    bool given_back;     /* decommitted in this life of the region, and not committed since */
};

enum model_kind { MODEL_PLAIN, MODEL_PLACEHOLDER, MODEL_REPLACED };

struct model_region {
    uintptr_t base;
    size_t page_count;
    unsigned owner;
    uint32_t protection;
    enum model_kind kind;
    bool watched;
    unsigned lock_depth;   /* of this thread, which is the only one */
    unsigned guard_before; /* pages that nothing is placed in; 0: at an address that was named */
    unsigned guard_after;
    struct model_page *pages;
};

/* A shared mapping of the fuzzer's own. */
struct model_mapping {
    uintptr_t base;
    size_t page_count;
    uint32_t protections[MODEL_MAPPING_PAGES_MAX]; /* as the kernel can express them */
};

/* A range that was adopted. Later ones hide earlier ones, and are behind them in the array. */
struct model_told {
    uintptr_t start;
    uintptr_t end;
    unsigned owner;
};

struct model {
    struct model_region regions[MODEL_REGIONS_MAX];
    size_t region_count;
    struct model_mapping mappings[MODEL_MAPPINGS_MAX];
    size_t mapping_count;
    struct model_told told[MODEL_TOLD_MAX];
    size_t told_count;
    struct moat_stats stats[MODEL_OWNERS];
    uint64_t quota[MODEL_OWNERS]; /* 0: none */
    uint64_t reserve[MODEL_OWNERS];
    bool strict[MODEL_OWNERS];      /* execute=wx */
    uint64_t reports[MODEL_OWNERS]; /* of misuse: calls that had to be reported so far */
    enum moat_critical_level level;
};

/* A run of pages of one region. */
struct model_run {
    struct model_region *region;
    struct model_page *first;
    size_t count;
};

static inline uintptr_t model_round_down(uintptr_t value, uintptr_t unit) {
    return value / unit * unit;
}

static inline uintptr_t model_round_up(uintptr_t value, uintptr_t unit) {
    return (value + unit - 1) / unit * unit;
}

static inline uintptr_t model_end(const struct model_region *region) {
    return region->base + region->page_count * MODEL_PAGE;
}

bool model_protection_valid(uint32_t protection);

/* Pages of [address, address + size); false if that is empty, wraps or leaves user space. */
bool model_range(uintptr_t address, size_t size, uintptr_t *start, uintptr_t *end);

struct model_region *model_find(struct model *model, uintptr_t address);

/* The pages of a range that lies in one region of this owner; MODEL_OWNERS: of any. */
bool model_find_run(struct model *model, unsigned owner, uintptr_t address, size_t size,
                    struct model_run *run);

/* The least start of a region or mapping above `address`, or UINTPTR_MAX. */
uintptr_t model_next(const struct model *model, uintptr_t address);

/* Whether so much more may be committed, at the level that is in force. */
bool model_quota_allows(const struct model *model, unsigned owner, size_t bytes);

/* Whether a reserve finds its place; what it commits is another matter. */
enum moat_status model_reserve(const struct model *model, uintptr_t address, size_t size,
                               uint32_t protection, uint32_t flags, uintptr_t *base,
                               size_t *page_count);

/* Enter a region that was reserved, with these MOAT_RESERVE_* flags. */
struct model_region *model_add(struct model *model, unsigned owner, uintptr_t base,
                               size_t page_count, uint32_t protection, uint32_t flags);

enum moat_status model_commit(struct model *model, unsigned owner, uintptr_t address, size_t size,
                              uint32_t protection);
enum moat_status model_reset(struct model *model, unsigned owner, uintptr_t address, size_t size,
                             uint32_t protection);
enum moat_status model_decommit(struct model *model, unsigned owner, uintptr_t address,
                                size_t size);
enum moat_status model_release(struct model *model, unsigned owner, uintptr_t address);

/* `owner`, who calls, may be MODEL_OWNERS: nobody; and `whose` the region has to be: anybody's.
 * Mappings are changed as well. */
enum moat_status model_protect(struct model *model, unsigned owner, unsigned whose,
                               uintptr_t address, size_t size, uint32_t protection, uint32_t *old);

/* What a query of an address in a region answers. */
void model_query(const struct model_region *region, uintptr_t address, struct moat_page_info *info);

/* Whether an owner may protect pages so, whatever they are; and those of a range, of any owner's
 * region or of a mapping. */
bool model_may_execute(const struct model *model, unsigned owner, uint32_t protection);
bool model_may_execute_pages(const struct model *model, const struct model_run *run,
                             uint32_t protection);

/* What a page of a region is protected with, to those who ask. */
uint32_t model_seen(const struct model_region *region, const struct model_page *page);

bool model_readable(const struct model_page *page);
bool model_writable(const struct model_page *page);

/* Give a committed page another protection. The kernel writes to locked pages that become writable,
 * so that no later write has to wait. */
void model_set_protection(struct model_page *page, uint32_t protection);

/* A page was written: all that this changes but the content. */
void model_wrote(struct model_page *page);

/* Forget all regions of an owner, what it was told of, and its statistics. */
void model_drop_owner(struct model *model, unsigned owner);

/* --- Placeholders (model_placeholder.c) --- */

enum moat_status model_replace(struct model *model, unsigned owner, uintptr_t address, size_t size,
                               uint32_t protection, uint32_t flags);
enum moat_status model_preserve(struct model *model, unsigned owner, uintptr_t address,
                                size_t size);
enum moat_status model_coalesce(struct model *model, unsigned owner, uintptr_t address,
                                size_t size);

/* --- Address space of others (model_space.c) --- */

struct model_mapping *model_find_mapping(struct model *model, uintptr_t address);
void model_map(struct model *model, uintptr_t base, size_t page_count);
void model_unmap(struct model *model, struct model_mapping *mapping);

/* As model_protect, for pages that no region holds. */
enum moat_status model_protect_mapped(struct model *model, unsigned owner, uintptr_t start,
                                      uintptr_t end, uint32_t protection, uint32_t *old);

/* What a query of an address in a mapping answers; *owner is MODEL_OWNERS if nobody's. */
void model_query_mapped(const struct model *model, const struct model_mapping *mapping,
                        uintptr_t address, struct moat_page_info *info, unsigned *owner);

enum moat_status model_adopt(struct model *model, unsigned owner, uintptr_t address, size_t size);
enum moat_status model_disown(struct model *model, unsigned owner, uintptr_t address);
void model_disown_all(struct model *model, unsigned owner);

#endif
