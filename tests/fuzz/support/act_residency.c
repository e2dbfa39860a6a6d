/* SPDX-License-Identifier: MIT */
/* act_residency: pages that stay, content that goes and comes back, and guards that go off. */
#define _GNU_SOURCE
#include "act.h"
#include "calls.h"
#include "input.h"
#include "touch.h"
#include "verify.h"
#include "world.h"

#include <moat/residency.h>

#include <sys/mman.h>
#include <unistd.h>

/* Missing from the headers of older libraries; the number is of all architectures. */
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

static struct model_page *page_at(uintptr_t address) {
    struct model_region *region = model_find(&world.model, address);
    return region ? &region->pages[(address - region->base) / MODEL_PAGE] : NULL;
}

/* --- Locks --- */

/* The first page that stands in the way decides, and a guard goes off by it. */
static enum moat_status model_lock_pages(const struct model_run *run) {
    for (size_t i = 0; i < run->count; i++) {
        struct model_page *page = &run->first[i];
        if (page->protection & MOAT_PAGE_GUARD) {
            model_set_protection(page, page->protection & ~MOAT_PAGE_GUARD);
            return MOAT_GUARD_TOUCHED;
        }
        if (!model_readable(page))
            return MOAT_NO_ACCESS;
    }
    return MOAT_OK;
}

static void note_locked(const struct model_run *run) {
    for (size_t i = 0; i < run->count; i++) {
        struct model_page *page = &run->first[i];
        page->locked = true;
        model_set_protection(page, page->protection);
    }
}

void act_lock_pages(unsigned owner) {
    bool any = (input_take(1) & 3) == 0;
    uintptr_t address = world_address();
    size_t size = world_size(address);
    uintptr_t start, end;
    struct model_run run;
    enum moat_status should = MOAT_INVALID_ARGUMENT;

    if (any && !page_at(address) && address < MODEL_USER_END)
        return; /* memory of others is not ours to lock */
    verify_note("%u lock pages %#lx size %#zx", owner, (unsigned long)address, size);
    if (model_range(address, size, &start, &end))
        should = model_find_run(&world.model, any ? MODEL_OWNERS : owner, address, size, &run)
                     ? model_lock_pages(&run)
                     : MOAT_NO_ACCESS;
    enum moat_status is = calls->lock_pages(any ? MODEL_OWNERS : owner, (void *)address, size);
    if (!should && is == MOAT_LOCK_LIMIT)
        return; /* of this machine: nothing has changed, and verify_locked sees to that */
    world_expect(is, should);
    if (!should)
        note_locked(&run);
    world_check_range(address, size);
}

void act_unlock_pages(unsigned owner) {
    bool any = (input_take(1) & 3) == 0;
    uintptr_t address = world_address();
    size_t size = world_size(address);
    uintptr_t start, end;
    struct model_run run;
    enum moat_status should = MOAT_INVALID_ARGUMENT;

    if (any && !page_at(address) && address < MODEL_USER_END)
        return;
    verify_note("%u unlock pages %#lx size %#zx", owner, (unsigned long)address, size);
    if (model_range(address, size, &start, &end))
        should = model_find_run(&world.model, any ? MODEL_OWNERS : owner, address, size, &run)
                     ? MOAT_OK
                     : MOAT_NOT_LOCKED;
    for (size_t i = 0; !should && i < run.count; i++)
        if (!run.first[i].locked)
            should = MOAT_NOT_LOCKED;
    world_expect(calls->unlock_pages(any ? MODEL_OWNERS : owner, (void *)address, size), should);
    for (size_t i = 0; !should && i < run.count; i++)
        run.first[i].locked = false;
    world_check_range(address, size);
}

/* --- Content --- */

static void perhaps_written(struct model_page *page) {
    if (page->protection && page->written == MODEL_CLEAN)
        page->written = MODEL_PERHAPS_WRITTEN;
}

static enum moat_status find_committable(unsigned owner, uintptr_t address, size_t size,
                                         uint32_t protection, struct model_run *run) {
    uintptr_t start, end;

    if (!model_protection_valid(protection) || !model_range(address, size, &start, &end))
        return MOAT_INVALID_ARGUMENT;
    return model_find_run(&world.model, owner, address, size, run) &&
                   run->region->kind != MODEL_PLACEHOLDER
               ? MOAT_OK
               : MOAT_INVALID_ADDRESS;
}

void act_discard(unsigned owner) {
    uintptr_t address = world_address();
    size_t size = world_size(address);
    struct model_run run;

    if ((input_take(1) & 7) != 0) {
        address = model_round_down(address, MODEL_PAGE);
        size = model_round_down(size, MODEL_PAGE);
    }
    verify_note("%u discard %#lx size %#zx", owner, (unsigned long)address, size);
    enum moat_status should = find_committable(owner, address, size, MOAT_PAGE_READWRITE, &run);
    if ((address | size) % MODEL_PAGE)
        should = MOAT_INVALID_ARGUMENT;
    for (size_t i = 0; !should && i < run.count; i++)
        if (!run.first[i].protection)
            should = MOAT_INVALID_ADDRESS;
    world_expect(calls->discard(owner, (void *)address, size), should);
    for (size_t i = 0; !should && i < run.count; i++) {
        run.first[i].content = 0;
        run.first[i].unsure = run.first[i].lost = run.first[i].partly = run.first[i].touched =
            false;
        run.first[i].written = MODEL_PERHAPS_WRITTEN; /* the kernel forgets the page */
    }
    world_check_range(address, size);
}

/* What an undo must find lost, and what it may. Pages that are gone are noted as such. */
static enum moat_status look_for_losses(const struct model_run *run, bool *open) {
    uintptr_t start = run->region->base + (uintptr_t)(run->first - run->region->pages) * MODEL_PAGE;
    enum moat_status should = MOAT_OK;

    /* Of a page that is several of the kernel's, a part may have been written and the rest not. */
    *open = MODEL_PAGE > sysconf(_SC_PAGESIZE);
    for (size_t i = 0; i < run->count; i++)
        if (run->first[i].protection && !model_readable(&run->first[i]))
            return MOAT_NO_ACCESS;
    for (size_t i = 0; i < run->count; i++) {
        struct model_page *page = &run->first[i];
        if (!page->protection)
            continue;
        *open |= page->unsure || !page->touched;
        verify_content(page, start + i * MODEL_PAGE);
        if (page->lost)
            should = MOAT_CONTENT_LOST;
    }
    return should;
}

void act_reset_undo(unsigned owner) {
    bool last = world.reset_size && (input_take(1) & 3);
    uintptr_t address = last ? world.reset_address : world_address();
    size_t size = last ? world.reset_size : world_size(address);
    uint32_t protection = input_protection();
    void *start = NULL;
    bool open = false;
    struct model_run run;

    verify_note("%u undo reset %#lx size %#zx protection %#x", owner, (unsigned long)address, size,
                protection);
    enum moat_status should = find_committable(owner, address, size, protection, &run);
    if (!should)
        should = look_for_losses(&run, &open);
    enum moat_status is = calls->reset_undo(owner, (void *)address, size, protection, &start);
    if (should || !open || is != MOAT_CONTENT_LOST)
        world_expect(is, should);
    if (!is && (uintptr_t)start != model_round_down(address, MODEL_PAGE))
        verify_fail("the start is %p", start);
    for (size_t i = 0; (!is || is == MOAT_CONTENT_LOST) && i < run.count; i++) {
        struct model_page *page = &run.first[i];
        uintptr_t at = run.region->base + (uintptr_t)(page - run.region->pages) * MODEL_PAGE;
        if (!page->protection)
            continue;
        if (is)
            verify_content(page, at); /* it may have gone while the undo was under way */
        page->touched &= !page->lost; /* it cannot be told from one that was never written */
        page->unsure = page->lost = false;
        perhaps_written(page);
    }
    world_check_range(address, size);
}

/* Have the kernel drop now what it may drop at any time. */
void act_drop_content(unsigned owner) {
    bool last = world.reset_size && (input_take(1) & 3);
    uintptr_t address = model_round_down(last ? world.reset_address : world_address(), MODEL_PAGE);
    struct model_region *region = model_find(&world.model, address);

    (void)owner;
    if (!region)
        return;
    verify_note("drop what was reset %#lx", (unsigned long)address);
    for (uintptr_t at = address; at < model_end(region); at += MODEL_PAGE)
        if (page_at(at)->unsure && !page_at(at)->locked)
            (void)madvise((void *)at, MODEL_PAGE, MADV_PAGEOUT);
    world_check_range(address, model_end(region) - address);
}

/* --- Guards --- */

void act_guard_fault(unsigned owner) {
    uintptr_t address = world_address();
    struct model_page *page = page_at(address);
    bool armed = page && (page->protection & MOAT_PAGE_GUARD);

    verify_note("%u guard fault %#lx", owner, (unsigned long)address);
    if (moat_guard_fault((void *)address) != armed)
        verify_fail("a guard is%s armed, by the answer", armed ? " not" : "");
    if (armed)
        model_set_protection(page, page->protection & ~MOAT_PAGE_GUARD);
    world_check_range(address, MODEL_PAGE);
}

/* An access to a page that is guarded, or to one that is not. */
void act_touch(unsigned owner) {
    uintptr_t address = world_address();
    struct model_region *region = model_find(&world.model, address);
    struct model_page *page = page_at(address);
    struct moat_fault told;

    if (!page || !page->protection || (page->protection & MOAT_PAGE_NOACCESS))
        return;
    bool armed = (page->protection & MOAT_PAGE_GUARD) != 0;
    model_set_protection(page, page->protection & ~MOAT_PAGE_GUARD);
    bool write = model_writable(page) && !page->unsure && !page->partly && (input_take(1) & 1);
    uint64_t word = page->content ? model_round_down(address, MODEL_PAGE) | page->content : 0;
    verify_note("%u %s %#lx, %s", owner, write ? "write" : "read", (unsigned long)address,
                armed ? "a guard" : "no guard");
    unsigned times = write ? touch_write(address, (uint8_t)(word >> address % 8 * 8), &told)
                           : touch_read(address, &told);
    if (times != armed)
        verify_fail("%u guards were told of", times);
    if (write)
        model_wrote(page);
    struct moat_page_info info;
    model_query(region, address, &info);
    if (armed &&
        (told.kind != MOAT_FAULT_GUARD_PAGE || told.address != (void *)address ||
         told.owner != world.managers[region->owner] || told.protection != info.protection ||
         (told.access != MOAT_FAULT_UNKNOWN &&
          told.access != (write ? MOAT_FAULT_WRITE : MOAT_FAULT_READ))))
        verify_fail("told of a guard at %p, access %d, protection %#x", told.address, told.access,
                    told.protection);
    world_check_range(address, MODEL_PAGE);
}
