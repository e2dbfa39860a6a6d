/* SPDX-License-Identifier: MIT */
/* act_space: the fuzzer maps and unmaps, tells Moat of it or not, and wants address space back. */
#define _GNU_SOURCE
#include "act.h"
#include "calls.h"
#include "input.h"
#include "resting.h"
#include "verify.h"
#include "world.h"

#include <moat/space.h>

#include <sys/mman.h>

static uintptr_t mapping_start(unsigned choice) {
    const struct model *model = &world.model;
    return model->mapping_count ? model->mappings[choice % model->mapping_count].base : 0;
}

/* Shared, so that the kernel never takes two of them for one. */
void act_map(unsigned owner) {
    uintptr_t address = model_round_down(world_address(), MODEL_PAGE);
    size_t page_count = input_take(1) % MODEL_MAPPING_PAGES_MAX + 1;
    size_t size = page_count * MODEL_PAGE;

    (void)owner;
    if (!world_in_window(address) || !world_in_window(address + size) ||
        world.model.mapping_count == MODEL_MAPPINGS_MAX)
        return;
    void *got = mmap((void *)address, size, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (got == MAP_FAILED)
        return; /* Moat holds something there, if only the tail of a region */
    verify_note("map %#lx size %#zx", (unsigned long)address, size);
    if (model_find(&world.model, address) || model_next(&world.model, address) < address + size)
        verify_fail("a page of a region at %#lx was not mapped", (unsigned long)address);
    model_map(&world.model, address, page_count);
    world_check_range(address, size);
}

void act_unmap(unsigned owner) {
    struct model_mapping *mapping = model_find_mapping(&world.model, mapping_start(input_take(1)));

    (void)owner;
    if (!mapping)
        return;
    verify_note("unmap %#lx", (unsigned long)mapping->base);
    munmap((void *)mapping->base, mapping->page_count * MODEL_PAGE);
    model_unmap(&world.model, mapping);
}

/* A mapping, or a part of one, or more; or anything. */
void act_adopt(unsigned owner) {
    unsigned choice = input_take(1);
    uintptr_t address = mapping_start(choice >> 3);
    struct model_mapping *mapping = model_find_mapping(&world.model, address);
    size_t size = input_size();

    if (!mapping || choice < 32) {
        address = world_address();
    } else {
        size_t first = choice & 1 ? input_take(1) % mapping->page_count : 0;
        address += first * MODEL_PAGE;
        if (choice & 6)
            size = (input_take(1) % (mapping->page_count - first) + 1) * MODEL_PAGE;
    }
    if (world.model.told_count == MODEL_TOLD_MAX)
        return;
    verify_note("%u adopt %#lx size %#zx", owner, (unsigned long)address, size);
    enum moat_status should = model_adopt(&world.model, owner, address, size);
    enum moat_status is = calls->adopt(owner, (const void *)address, size);
    /* What lies beside regions that Moat has placed is not known. */
    if (!is && should == MOAT_INVALID_ADDRESS && !world_in_window(address))
        is = calls->disown(owner, (const void *)address) ? MOAT_CORRUPT : should;
    world_expect(is, should);
}

void act_disown(unsigned owner) {
    const struct model *model = &world.model;
    unsigned choice = input_take(1);
    uintptr_t address = model->told_count && choice >= 32
                            ? model->told[choice % model->told_count].start
                            : world_address();

    verify_note("%u disown %#lx", owner, (unsigned long)address);
    enum moat_status should = model_disown(&world.model, owner, address);
    world_expect(calls->disown(owner, (const void *)address), should);
}

void act_trim(unsigned owner) {
    unsigned choice = input_take(1);
    uintptr_t address = choice & 1 ? world_address() : 0;
    size_t size = choice & 2 ? input_size() : 0;
    size_t given = SIZE_MAX;
    uintptr_t start, end;

    verify_note("trim %#lx size %#zx", (unsigned long)address, size);
    enum moat_status is =
        calls->trim(owner, (const void *)address, size, choice & 4 ? NULL : &given);
    bool valid = size == 0 || model_range(address, size, &start, &end);
    /* What lies empty is not known; only that one who needs nothing gets it. */
    if (!valid && is != (address ? MOAT_INVALID_ARGUMENT : MOAT_NO_MEMORY) &&
        !(address == 0 && !is))
        world_expect(is, address ? MOAT_INVALID_ARGUMENT : MOAT_NO_MEMORY);
    if (valid && is)
        world_expect(is, MOAT_NO_MEMORY);
    if (valid && address == 0 && size != 0 && size < (size_t)1 << 30)
        world_expect(is, MOAT_OK);
    if (!(choice & 4) && (given % MODEL_GRANULE || (is && given) || (!is && !size && !given)))
        verify_fail("trim gave %#zx bytes and answered %s", given, moat_status_describe(is)->name);
    resting_forget();
    world_check_all();
}
