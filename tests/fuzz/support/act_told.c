/* SPDX-License-Identifier: MIT */
/* act_told: what is at an address, and what traps beside a region. */
#include "act.h"
#include "input.h"
#include "probe.h"
#include "verify.h"
#include "verify_told.h"
#include "world.h"

#include <moat/placement.h>

void act_describe(unsigned owner) {
    uintptr_t address = world_address();

    (void)owner;
    verify_note("describe %#lx", (unsigned long)address);
    verify_told(&world.model, world.managers, address);
}

void act_guards(unsigned owner) {
    uintptr_t address = world_address();
    const struct model_region *region = model_find(&world.model, address);
    bool ours = region && region->owner == owner;
    size_t before = 1, after = 1;

    verify_note("%u guards of %#lx", owner, (unsigned long)address);
    enum moat_status is =
        moat_guard_verify(world.managers[owner], (const void *)address, &before, &after);
    if (is == MOAT_NOT_SUPPORTED)
        return;
    world_expect(is, ours ? MOAT_OK : MOAT_NOT_OURS);
    if (is && (before || after))
        verify_fail("a failed call counted %zu and %zu guards", before, after);
    if (is)
        return;
    bool readable = probe_readable(region->base - MODEL_PAGE, 1) != 0;
    if (readable != (before == 0))
        verify_fail("%zu pages trap before %#lx", before, (unsigned long)region->base);
    readable = probe_readable(model_end(region), 1) != 0;
    if (readable != (after == 0))
        verify_fail("%zu pages trap behind %#lx", after, (unsigned long)region->base);
    if (before < region->guard_before || after < region->guard_after)
        verify_fail("%zu and %zu guards of %#lx, not %u and %u", before, after,
                    (unsigned long)region->base, region->guard_before, region->guard_after);
}
