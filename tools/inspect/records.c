/* SPDX-License-Identifier: MIT */
/*
 * records: the records of all regions, which come and go meanwhile.
 *
 * A record is read, everything that hangs on it, and then its life word once more: a generation
 * that is the same and odd says that one and the same region was read.
 */
#include "books.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK        4096u
#define TRIES        4u
#define RECORDS_MAX  (UINT64_C(1) << 24)
#define CHECK_KEYS   9
#define SHOWN_SHIFT  24
#define FLAGS_SHIFT  16
#define LIFE_LOCKED  (UINT64_C(1) << 29)
#define LIFE_CLOSING (UINT64_C(1) << 31)
#define USER_END     UINT64_C(0x800000000000)

/* A record as it was copied. */
struct raw {
    uint64_t life, base, size, space, owner, span_start, span_end;
    uint32_t protection, link;
};

static uint64_t word_at(const unsigned char *from, uint32_t offset) {
    uint64_t word;
    memcpy(&word, from + offset, sizeof word);
    return word;
}

static uint32_t half_at(const unsigned char *from, uint32_t offset) {
    uint32_t half;
    memcpy(&half, from + offset, sizeof half);
    return half;
}

static struct raw decode(const struct layout *layout, const unsigned char *record) {
    return (struct raw){
        .life = word_at(record, OF(layout, record_life)),
        .base = word_at(record, OF(layout, record_base)),
        .size = word_at(record, OF(layout, record_size)),
        .space = word_at(record, OF(layout, record_space)),
        .owner = word_at(record, OF(layout, record_owner)),
        .span_start = word_at(record, OF(layout, record_span_start)),
        .span_end = word_at(record, OF(layout, record_span_end)),
        .protection = half_at(record, OF(layout, record_protection)),
        .link = half_at(record, OF(layout, record_link)),
    };
}

static uint64_t word_of(const struct books *books, uint64_t address) {
    uint64_t word = 0;
    return target_read(&books->target, address, &word, sizeof word) ? word : 0;
}

static uint64_t registry_word(const struct books *books, uint32_t offset) {
    return word_of(books, AT(&books->layout, registry) + offset);
}

static uint64_t fold(uint64_t word, uint64_t key) {
    return (word ^ word >> 29) * (key | 1);
}

/* As src/region/integrity.c has it. */
static bool is_checked(const struct region *region, uint32_t link, const uint64_t *key) {
    uint64_t sum = key[0];

    sum += fold(region->base, key[1]);
    sum += fold(region->size, key[2]);
    sum += fold(region->space, key[3]);
    sum += fold(region->owner, key[4]);
    sum += fold((uint64_t)region->flags << 32 | region->protection, key[5]);
    sum += fold(region->span_start, key[6]);
    sum += fold(region->span_end, key[7]);
    sum += fold((uint64_t)region->handle << 32 | region->generation, key[8]);
    return (uint32_t)(sum >> 32) == link;
}

/* Whether what hangs on the record may be looked for at all. */
static bool is_possible(const struct layout *layout, const struct region *region) {
    uint64_t page = OF(layout, page_bytes);

    return region->size > 0 && region->base % page == 0 && region->size % page == 0 &&
           region->base < USER_END && region->size < USER_END - region->base &&
           region->span_start < USER_END && region->span_end < USER_END &&
           region->space % sizeof(uint64_t) == 0;
}

static struct region region_of(const struct raw *raw, uint32_t handle) {
    return (struct region){
        .handle = handle,
        .generation = (uint32_t)(raw->life >> 32),
        .base = raw->base,
        .size = raw->size,
        .span_start = raw->span_start,
        .span_end = raw->span_end,
        .space = raw->space,
        .owner = raw->owner,
        .protection = raw->protection & 0xFFFF,
        .flags = raw->protection >> FLAGS_SHIFT & 0xFF,
        .locked = (raw->life & LIFE_LOCKED) != 0,
        .closing = (raw->life & LIFE_CLOSING) != 0,
        .manager = UINT32_MAX,
        .resident = UINT64_MAX,
    };
}

static uint64_t record_address(const struct books *books, uint32_t handle) {
    return books->records + (uint64_t)handle * OF(&books->layout, record_bytes);
}

bool record_lives(const struct books *books, const struct region *region) {
    uint64_t life =
        word_of(books, record_address(books, region->handle) + OF(&books->layout, record_life));
    return (uint32_t)(life >> 32) == region->generation;
}

static void read_birth(const struct books *books, struct region *region) {
    const struct layout *layout = &books->layout;
    uint64_t birth = books->births + (uint64_t)region->handle * OF(layout, birth_bytes);
    uint32_t bits = OF(layout, moment_thread_bits);
    unsigned char copy[LAYOUT_BIRTH_MAX];

    if (!target_read(&books->target, birth, copy, OF(layout, birth_bytes)))
        return;
    uint64_t when = word_at(copy, OF(layout, birth_when));
    region->born = when >> bits << OF(layout, moment_time_shift);
    region->thread = (uint32_t)(when & ((UINT64_C(1) << bits) - 1));
    region->site = word_at(copy, OF(layout, birth_site));
}

static void find_manager(const struct books *books, struct region *region) {
    for (size_t number = 0; number < books->manager_count; number++)
        if (books->managers[number] && books->managers[number] == region->owner)
            region->manager = (uint32_t)number;
}

/* The pages that trap on either side at least: a page before, and the rest of the last granule; or
 * where that has none, the granule behind. */
static void set_guards(const struct layout *layout, struct region *region) {
    uint64_t granule = OF(layout, granule_bytes), end = region->base + region->size;
    uint64_t rounded = (end + granule - 1) / granule * granule;

    region->guard_start = region->base - OF(layout, page_bytes);
    region->guard_end = rounded > end ? rounded : end + OF(layout, page_bytes);
    if (region->span_start < region->guard_start)
        region->guard_start = region->span_start;
    if (region->span_end > region->guard_end)
        region->guard_end = region->span_end;
}

static void add(struct books *books, const struct region *region) {
    size_t count = books->region_count;

    if ((count & (count - 1)) == 0)
        books->regions = need(books->regions, (count ? 2 * count : 1) * sizeof *books->regions);
    books->regions[books->region_count++] = *region;
    books->dubious += region->trust != WHOLE;
}

/* Read one region until it was the same before and after. False: there is none. */
static bool read_region(struct books *books, uint32_t handle, const uint64_t *key,
                        struct region *region) {
    const struct layout *layout = &books->layout;
    unsigned char record[LAYOUT_RECORD_MAX];

    for (unsigned tries = 0; tries < TRIES; tries++) {
        if (!target_read(&books->target, record_address(books, handle), record,
                         OF(layout, record_bytes)))
            return false;
        struct raw raw = decode(layout, record);
        if ((raw.life >> 32 & 1) == 0 || raw.protection >> SHOWN_SHIFT == 0)
            return false; /* free, or not to be found yet */
        free(region->runs);
        *region = region_of(&raw, handle);
        set_guards(layout, region);
        read_birth(books, region);
        find_manager(books, region);
        if (!is_checked(region, raw.link, key) || !is_possible(layout, region))
            region->trust = CHANGED;
        else
            pages_read(books, region);
        if (record_lives(books, region))
            return true;
    }
    region->trust = TORN;
    return true;
}

/* The records of a chunk that are worth a look. */
static void read_chunk(struct books *books, uint32_t first, uint32_t count, const uint64_t *key,
                       unsigned char *bytes) {
    const struct layout *layout = &books->layout;
    struct region region;

    if (!target_read(&books->target, record_address(books, first), bytes,
                     (size_t)count * OF(layout, record_bytes)))
        return;
    for (uint32_t i = 0; i < count; i++) {
        struct raw raw = decode(layout, bytes + (size_t)i * OF(layout, record_bytes));
        if ((raw.life >> 32 & 1) == 0)
            continue;
        region = (struct region){.runs = NULL};
        if (read_region(books, first + i, key, &region))
            add(books, &region);
        else
            books->passed++;
    }
}

static int by_base(const void *left, const void *right) {
    const struct region *a = left, *b = right;
    return (a->base > b->base) - (a->base < b->base);
}

bool records_read(struct books *books) {
    const struct layout *layout = &books->layout;
    uint64_t pool = registry_word(books, OF(layout, registry_pool));
    uint64_t dealt = word_of(books, pool + OF(layout, pool_dealt));
    uint64_t key[CHECK_KEYS];
    books->records = registry_word(books, OF(layout, registry_records));
    books->births = registry_word(books, OF(layout, registry_births));
    uint32_t size = OF(layout, record_bytes);

    if (pool == 0 || dealt > RECORDS_MAX ||
        !target_read(&books->target, AT(layout, registry) + OF(layout, registry_check_key), key,
                     sizeof key))
        return false;
    unsigned char *bytes = need(NULL, (size_t)CHUNK * size);
    for (uint64_t first = 1; first <= dealt; first += CHUNK) {
        uint64_t count = dealt - first + 1 < CHUNK ? dealt - first + 1 : CHUNK;
        read_chunk(books, (uint32_t)first, (uint32_t)count, key, bytes);
    }
    free(bytes);
    if (books->region_count)
        qsort(books->regions, books->region_count, sizeof *books->regions, by_base);
    return true;
}
