/* SPDX-License-Identifier: MIT */
/* residency: what each call does to the pages of the model, and what it must answer. */
#include "residency.h"

#include "verify.h"

#include <moat/fault.h>
#include <moat/residency.h>

struct pages {
    struct model_page *first;
    size_t count;
};

/* The pages of a range in one region of the owner; false if it is not in one. */
static bool find(struct model *model, unsigned owner, uintptr_t address, size_t size,
                 struct pages *pages) {
    struct model_region *region = model_find(model, address);
    if (!region || region->owner != owner)
        return false;
    size_t first = (address - region->base) / MODEL_PAGE;
    size_t end = (address + size - region->base + MODEL_PAGE - 1) / MODEL_PAGE;
    *pages = (struct pages){&region->pages[first], end - first};
    return end <= region->page_count;
}

static void expect(const char *what, enum moat_status is, enum moat_status should) {
    if (is != should)
        verify_fail("%s: %s instead of %s: %s", what, moat_status_describe(is)->name,
                    moat_status_describe(should)->name, moat_last_error_text());
}

static enum moat_status model_lock(const struct pages *pages) {
    for (size_t i = 0; i < pages->count; i++) {
        struct model_page *page = &pages->first[i];
        if (page->protection & MOAT_PAGE_GUARD) {
            page->protection &= (uint16_t)~MOAT_PAGE_GUARD;
            return MOAT_GUARD_TOUCHED;
        }
        if (!model_readable(page))
            return MOAT_NO_ACCESS;
    }
    return MOAT_OK;
}

static void lock(const struct pages *pages, struct moat_manager *manager, void *start,
                 size_t size) {
    enum moat_status should = pages ? model_lock(pages) : MOAT_NO_ACCESS;
    enum moat_status is = moat_lock_pages(manager, start, size);
    if (!should && is == MOAT_LOCK_LIMIT)
        return; /* of this machine */
    expect("lock", is, should);
    for (size_t i = 0; !should && i < pages->count; i++)
        pages->first[i].locked = true;
}

static void unlock(const struct pages *pages, struct moat_manager *manager, void *start,
                   size_t size) {
    enum moat_status should = pages ? MOAT_OK : MOAT_NOT_LOCKED;
    for (size_t i = 0; !should && i < pages->count; i++)
        if (!pages->first[i].locked)
            should = MOAT_NOT_LOCKED;
    expect("unlock", moat_unlock_pages(manager, start, size), should);
    for (size_t i = 0; !should && i < pages->count; i++)
        pages->first[i].locked = false;
}

static void discard(const struct pages *pages, struct moat_manager *manager, void *start,
                    size_t size) {
    enum moat_status should = pages ? MOAT_OK : MOAT_INVALID_ADDRESS;
    for (size_t i = 0; !should && i < pages->count; i++)
        if (!pages->first[i].protection)
            should = MOAT_INVALID_ADDRESS;
    if (((uintptr_t)start | size) % MODEL_PAGE)
        should = MOAT_INVALID_ARGUMENT;
    expect("discard", moat_discard(manager, start, size), should);
    for (size_t i = 0; !should && i < pages->count; i++) {
        pages->first[i].content = 0;
        pages->first[i].unsure = false;
    }
}

static void undo(const struct pages *pages, struct moat_manager *manager, void *start,
                 size_t size) {
    enum moat_status should = pages ? MOAT_OK : MOAT_INVALID_ADDRESS;
    bool may_be_lost = false;
    for (size_t i = 0; !should && i < pages->count; i++) {
        const struct model_page *page = &pages->first[i];
        may_be_lost |= page->protection && (page->unsure || page->content == 0);
        if (page->protection && !model_readable(page))
            should = MOAT_NO_ACCESS;
    }
    enum moat_status is = moat_reset_undo(manager, start, size, MOAT_PAGE_READWRITE, NULL);
    if (!should && may_be_lost && is == MOAT_CONTENT_LOST)
        return;
    expect("undo", is, should);
    for (size_t i = 0; !should && i < pages->count; i++)
        pages->first[i].unsure = false;
}

static void touch_guard(struct model *model, void *address) {
    struct model_region *region = model_find(model, (uintptr_t)address);
    struct model_page *page =
        region ? &region->pages[((uintptr_t)address - region->base) / MODEL_PAGE] : NULL;
    bool armed = page && (page->protection & MOAT_PAGE_GUARD);
    if (moat_guard_fault(address) != armed)
        verify_fail("a guard went off, or did not: %d", armed);
    if (armed)
        page->protection &= (uint16_t)~MOAT_PAGE_GUARD;
}

void residency_try(struct model *model, struct moat_manager *manager, unsigned owner,
                   unsigned which, uintptr_t address, size_t size) {
    static void (*const calls[])(const struct pages *, struct moat_manager *, void *,
                                 size_t) = {lock, unlock, discard, undo};
    static const char *const names[] = {"lock", "unlock", "discard", "undo", "touch"};
    struct pages pages;
    void *start = (void *)address;

    which %= 5;
    verify_note("%u %s %#lx size %#zx", owner, names[which], (unsigned long)address, size);
    if (which == 4) {
        touch_guard(model, start);
        return;
    }
    if (size == 0 || address >= MODEL_USER_END || size > MODEL_USER_END - address) {
        if (moat_lock_pages(manager, start, size) == MOAT_OK ||
            moat_unlock_pages(manager, start, size) == MOAT_OK ||
            moat_discard(manager, start, size) == MOAT_OK ||
            moat_reset_undo(manager, start, size, MOAT_PAGE_READWRITE, NULL) == MOAT_OK)
            verify_fail("a range that never is right");
        return;
    }
    calls[which](find(model, owner, address, size, &pages) ? &pages : NULL, manager, start, size);
}
