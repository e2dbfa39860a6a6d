/* SPDX-License-Identifier: MIT */
/* pages: tokens in the first and the last word of a page, and queries run by run. */
#include "pages.h"

enum { LAST = PAGE / sizeof(uint32_t) - 1 };

static volatile uint32_t *words(const struct object *object, size_t page) {
    return (volatile uint32_t *)(void *)(object->base + page * PAGE);
}

void pages_fresh(struct object *object, size_t page) {
    object->token[page] = 0;
    object->soft[page] = 0;
    object->written[page] = 0;
}

void pages_write(struct object *object, size_t page, uint32_t token) {
    words(object, page)[0] = token;
    words(object, page)[LAST] = token;
    object->token[page] = token;
    object->soft[page] = 0;
    object->written[page] = 1;
}

void pages_verify(struct object *object, size_t page) {
    uint8_t kind = object->kind[page];

    if (kind != KIND_READONLY && kind != KIND_READWRITE)
        return;
    if (kind == KIND_READWRITE && soak_springs(PLANT_CONTENT))
        words(object, page)[LAST] ^= 1;
    uint32_t first = words(object, page)[0], last = words(object, page)[LAST];
    uint32_t token = object->token[page];

    EXPECT(ORACLE_CONTENT,
           (first == token && last == token) || (object->soft[page] && first == 0 && last == 0),
           "%p holds %#x and %#x, not %#x", (volatile void *)words(object, page), first, last,
           token);
}

bool pages_all_committed(const struct object *object, size_t first, size_t count) {
    for (size_t page = first; page < first + count; page++)
        if (object->kind[page] == KIND_NONE)
            return false;
    return true;
}

/* The run of a page, as a query tells it, cut to the region; it must be this region's. */
static size_t run_of(const struct object *object, size_t page, struct moat_page_info *info) {
    unsigned char *at = object->base + page * PAGE;
    enum moat_status status = moat_query(at, info);

    EXPECT(ORACLE_QUERY,
           status == MOAT_OK && info->base == at && info->allocation_base == object->base &&
               info->owner == object->manager && info->size >= PAGE,
           "%p of %p: of %p, state %d, %zu bytes", (void *)at, (void *)object->base,
           info->allocation_base, info->state, info->size);
    size_t run = info->size / PAGE;
    EXPECT(ORACLE_QUERY, run <= object->pages - page, "a run of %zu pages leaves the region", run);
    return run;
}

void pages_compare(const struct object *object) {
    struct moat_page_info info;

    for (size_t page = 0, run; page < object->pages; page += run) {
        run = run_of(object, page, &info);
        for (size_t i = page; i < page + run; i++) {
            uint32_t should = soak_protections[object->kind[i]];

            if (soak_springs(PLANT_QUERY))
                should ^= MOAT_PAGE_NOACCESS;
            EXPECT(ORACLE_QUERY, info.protection == should,
                   "page %zu of %p is told to be %#x and not %#x", i, (void *)object->base,
                   info.protection, should);
        }
    }
}

void pages_follow(struct object *object, size_t first, size_t count) {
    struct moat_page_info info;

    for (size_t page = first, run; page < first + count; page += run) {
        run = run_of(object, page, &info);
        for (size_t i = page; i < page + run && i < first + count; i++) {
            EXPECT(ORACLE_QUERY,
                   info.state == MOAT_STATE_RESERVED ||
                       info.protection == soak_protections[object->kind[i]],
                   "page %zu of %p was %#x and is %#x after a refusal", i, (void *)object->base,
                   soak_protections[object->kind[i]], info.protection);
            if (info.state == MOAT_STATE_RESERVED)
                object->kind[i] = KIND_NONE;
        }
    }
}
