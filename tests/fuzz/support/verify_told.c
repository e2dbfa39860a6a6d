/* SPDX-License-Identifier: MIT */
/* verify_told: descriptions, and their words. */
#define _GNU_SOURCE
#include "verify_told.h"

#include "verify.h"

#include <moat/describe.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_SIZE = 3000 };

static uint32_t first; /* the thread of the process that began */

void verify_told_begin(void) {
    first = (uint32_t)gettid();
}

/* Describe, and have it worded, in more room and in less. */
static void describe(uintptr_t address, struct moat_description *told) {
    char text[TEXT_SIZE], cut[40];
    bool is_user = address < MODEL_USER_END;

    enum moat_status status = moat_describe_address((const void *)address, told);
    if (is_user && status)
        verify_fail("describe %#lx: %s", (unsigned long)address,
                    moat_status_describe(status)->name);
    if (status)
        return;
    size_t length = moat_description_print(told, text, sizeof(text));
    if (moat_description_print(told, cut, sizeof(cut)) != length || length != strlen(text) ||
        strncmp(text, cut, sizeof(cut) - 1) != 0 || strlen(cut) != sizeof(cut) - 1)
        verify_fail("%zu bytes describe %#lx: %s; cut to %s", length, (unsigned long)address, text,
                    cut);
}

_Noreturn static void fail(const struct moat_description *told, const char *wrong) {
    char text[TEXT_SIZE];

    moat_description_print(told, text, sizeof(text));
    verify_fail("%s of %p is not what it was told to be, kind %d: %s", wrong, told->address,
                told->kind, text);
}

static enum moat_address_kind kind_of(const struct model_region *region,
                                      const struct model_page *page) {
    if (region->kind == MODEL_PLACEHOLDER)
        return MOAT_ADDRESS_PLACEHOLDER;
    if (page->protection)
        return page->protection & MOAT_PAGE_GUARD ? MOAT_ADDRESS_GUARD_PAGE
                                                  : MOAT_ADDRESS_COMMITTED;
    return page->given_back ? MOAT_ADDRESS_DECOMMITTED : MOAT_ADDRESS_RESERVED;
}

/* This thread, or in a child the one that forked. */
static bool is_us(const struct moat_event *event) {
    return event->thread == (uint32_t)gettid() || event->thread == first;
}

static void verify_live(const struct moat_description *told, const struct model_region *region,
                        const struct moat_manager *owner) {
    uintptr_t address = (uintptr_t)told->address;
    const struct model_page *page = &region->pages[(address - region->base) / MODEL_PAGE];

    if (told->kind != kind_of(region, page))
        fail(told, "the kind");
    if ((uintptr_t)told->base != region->base || told->size != region->page_count * MODEL_PAGE ||
        told->offset != (int64_t)(address - region->base))
        fail(told, "the region");
    if (told->owner != owner || told->heap || !is_us(&told->reserved))
        fail(told, "the owner");
    if (told->protection != (page->protection ? model_seen(region, page) : 0) ||
        told->reserved_protection != region->protection)
        fail(told, "the protection");
    if (told->kind == MOAT_ADDRESS_DECOMMITTED &&
        (!is_us(&told->freed) || (uintptr_t)told->freed_base > address ||
         address - (uintptr_t)told->freed_base >= told->freed_size))
        fail(told, "the decommit");
}

void verify_told(struct model *model, struct moat_manager *const *owners, uintptr_t address) {
    const struct model_region *region = model_find(model, address);
    const struct model_mapping *mapping = model_find_mapping(model, address);
    struct moat_description told;
    unsigned owner;

    describe(address, &told);
    if (region) {
        verify_live(&told, region, owners[region->owner]);
    } else if (mapping) {
        struct moat_page_info info;
        model_query_mapped(model, mapping, address, &info, &owner);
        if (told.kind != MOAT_ADDRESS_FOREIGN || told.protection != info.protection ||
            told.base != info.allocation_base ||
            told.owner != (owner < MODEL_OWNERS ? owners[owner] : NULL))
            fail(&told, "the mapping");
    } else if (told.kind <= MOAT_ADDRESS_PLACEHOLDER && told.kind != MOAT_ADDRESS_FREE) {
        fail(&told, "that it is in a region");
    } else if (told.kind == MOAT_ADDRESS_PAST_END || told.kind == MOAT_ADDRESS_BEFORE_START) {
        /* The fuzzer's own anchor, too, has an end. */
        region = model_find(model, (uintptr_t)told.base);
        if (region && told.size != region->page_count * MODEL_PAGE)
            fail(&told, "the region beside");
    }
}

static void verify_freed(const struct moat_description *told, uintptr_t start, uintptr_t end) {
    if (!is_us(&told->freed) || (uintptr_t)told->freed_base != start ||
        told->freed_size != end - start)
        fail(told, "what was given back");
}

void verify_told_decommitted(uintptr_t address, uintptr_t start, uintptr_t end) {
    struct moat_description told;

    describe(address, &told);
    if (told.kind != MOAT_ADDRESS_DECOMMITTED)
        fail(&told, "that it was decommitted");
    verify_freed(&told, start, end);
}

void verify_told_released(struct model *model, uintptr_t address, uintptr_t start, uintptr_t end) {
    struct moat_description told;

    describe(address, &told);
    /* A region right beside it may be taken for the one that was missed. */
    bool beside = model_find(model, model_round_down(address, MODEL_PAGE) - 1) ||
                  model_find(model, model_round_down(address, MODEL_PAGE) + MODEL_PAGE);
    if (beside && told.kind != MOAT_ADDRESS_RELEASED)
        return;
    if (told.kind != MOAT_ADDRESS_RELEASED || (uintptr_t)told.base != start ||
        told.size != end - start)
        fail(&told, "that it was released");
    verify_freed(&told, start, end);
}
