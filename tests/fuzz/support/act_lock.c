/* SPDX-License-Identifier: MIT */
/* act_lock: region locks of one thread, which hinder it in nothing; and how critical it is. */
#include "act.h"
#include "input.h"
#include "verify.h"
#include "world.h"

#include <moat/lock.h>

static struct model_region *find(unsigned owner, uintptr_t address) {
    struct model_region *region = model_find(&world.model, address);
    return region && region->owner == owner ? region : NULL;
}

/* The same region again, mostly, so that locks are nested. */
static uintptr_t choose(void) {
    if ((input_take(1) & 3) == 0)
        world.lock_address = world_address();
    return world.lock_address;
}

void act_lock(unsigned owner) {
    uintptr_t address = choose();
    struct model_region *region = find(owner, address);

    verify_note("%u lock %#lx", owner, (unsigned long)address);
    world_expect(moat_lock(world.managers[owner], (const void *)address),
                 region ? MOAT_OK : MOAT_NOT_OURS);
    if (region)
        region->lock_depth++;
    else
        world.model.reports[owner]++;
}

void act_unlock(unsigned owner) {
    uintptr_t address = choose();
    struct model_region *region = find(owner, address);
    enum moat_status should = MOAT_NOT_OURS;

    if (region)
        should = region->lock_depth ? MOAT_OK : MOAT_NOT_OWNER;
    world.model.reports[owner] += !region;
    verify_note("%u unlock %#lx", owner, (unsigned long)address);
    world_expect(moat_unlock(world.managers[owner], (const void *)address), should);
    if (!should)
        region->lock_depth--;
}

void act_level(unsigned owner) {
    unsigned level = input_take(1) % 4;

    (void)owner;
    verify_note("level %u", level);
    enum moat_critical_level before = moat_set_critical_level((enum moat_critical_level)level);
    if (before != world.model.level)
        verify_fail("the level was %d, not %d", before, world.model.level);
    world.model.level =
        level <= MOAT_PROCESS_CRITICAL ? (enum moat_critical_level)level : MOAT_TASK_CRITICAL;
}
