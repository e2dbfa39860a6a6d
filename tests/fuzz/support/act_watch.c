/* SPDX-License-Identifier: MIT */
/* act_watch: which pages were written, asked for piece by piece, and reset. */
#include "act.h"
#include "calls.h"
#include "input.h"
#include "probe.h"
#include "verify.h"
#include "world.h"

#include <moat/watch.h>

enum { ROOM_MAX = 2048 };

static enum moat_status model_watch(unsigned owner, uintptr_t address, size_t size,
                                    struct model_run *run) {
    uintptr_t start, end;

    if (!model_range(address, size, &start, &end))
        return MOAT_INVALID_ARGUMENT;
    const struct model_region *region = model_find(&world.model, start);
    if (!region || !region->watched || (owner < MODEL_OWNERS && region->owner != owner))
        return MOAT_INVALID_ARGUMENT;
    return model_find_run(&world.model, owner, address, size, run) ? MOAT_OK : MOAT_LEAVES_REGION;
}

/* Every page that was found may have been, and up to the last of them none is missing. */
static void check_found(const struct model_run *run, void *const *pages, size_t found, size_t room,
                        bool reset) {
    uintptr_t start = run->region->base + (uintptr_t)(run->first - run->region->pages) * MODEL_PAGE;
    size_t next = 0;

    for (size_t i = 0; i < run->count && (next < found || found < room); i++) {
        struct model_page *page = &run->first[i];
        uintptr_t address = start + i * MODEL_PAGE;
        if (next < found && (uintptr_t)pages[next] == address) {
            next++;
            if (page->written == MODEL_CLEAN || page->protection == 0)
                verify_fail("watch of page %#lx: it was not written", (unsigned long)address);
            if (reset)
                page->written = page->unsure ? MODEL_PERHAPS_WRITTEN : MODEL_CLEAN;
        } else if (page->written == MODEL_WRITTEN) {
            verify_fail("watch of page %#lx: it was written", (unsigned long)address);
        }
    }
    if (next < found)
        verify_fail("watch found %p, which is out of order or out of range", pages[next]);
}

void act_watch_get(unsigned owner) {
    static void *pages[ROOM_MAX];
    unsigned choice = input_take(1);
    uintptr_t address = world_address();
    size_t size = world_size(address);
    uint32_t flags = choice & 1 ? MOAT_WATCH_RESET : 0;
    size_t room = choice & 2 ? ROOM_MAX : choice >> 4, found = room;
    bool any = (choice & 12) == 12;
    struct model_run run;

    verify_note("%u watch %#lx size %#zx flags %u room %zu%s", owner, (unsigned long)address, size,
                flags, room, any ? " of any" : "");
    enum moat_status should = model_watch(any ? MODEL_OWNERS : owner, address, size, &run);
    if (room == 0)
        should = MOAT_INVALID_ARGUMENT;
    world_expect(calls->watch_get(any ? MODEL_OWNERS : owner, flags, (const void *)address, size,
                                  pages, &found),
                 should);
    if (should && found != room)
        verify_fail("a failed watch changed the count to %zu", found);
    if (found > room)
        verify_fail("watch found %zu pages with room for %zu", found, room);
    if (!should)
        check_found(&run, pages, found, room, flags != 0);
}

void act_watch_reset(unsigned owner) {
    uintptr_t address = world_address();
    size_t size = world_size(address);
    unsigned whose = input_take(1) & 1 ? MODEL_OWNERS : owner;
    struct model_run run;

    verify_note("%u watch reset %#lx size %#zx", whose, (unsigned long)address, size);
    enum moat_status should = model_watch(whose, address, size, &run);
    world_expect(calls->watch_reset(whose, (const void *)address, size), should);
    for (size_t i = 0; !should && i < run.count; i++)
        run.first[i].written = run.first[i].unsure ? MODEL_PERHAPS_WRITTEN : MODEL_CLEAN;
}

/* By the kernel, of what is there already. Where faults record, it may be refused. */
void act_kernel_write(unsigned owner) {
    uintptr_t address = model_round_down(world_address(), MODEL_PAGE);
    struct model_region *region = model_find(&world.model, address);

    if (!region)
        return;
    struct model_page *page = &region->pages[(address - region->base) / MODEL_PAGE];
    bool by_kernel = moat_manager_options(world.managers[region->owner])->watch != MOAT_WATCH_FAULT;
    bool clean = region->watched && page->written != MODEL_WRITTEN;
    bool should = model_writable(page) && (by_kernel || !clean);
    verify_note("%u write by the kernel %#lx", owner, (unsigned long)address);
    bool done = probe_writable(address, 1) == 1;
    /* A page that is perhaps written may let a write through or not; an automatic choice may have
     * been that faults record. */
    bool open =
        clean && model_writable(page) && (page->written == MODEL_PERHAPS_WRITTEN || by_kernel);
    if (done != should && !open)
        verify_fail("the kernel %s to %#lx", done ? "wrote" : "could not write",
                    (unsigned long)address);
    if (done && !page->unsure)
        model_wrote(page);
    if (done) { /* what was dropped before is a page again, of zeroes */
        page->written = MODEL_WRITTEN;
        page->lost = false;
    }
}
