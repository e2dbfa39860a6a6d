/* SPDX-License-Identifier: MIT */
/*
 * contract_guard: how PAGE_GUARD, PAGE_NOCACHE and PAGE_WRITECOMBINE are reported and kept.
 *
 * What an access to a guard page does is not asked here. Could fail by losing a modifier in the
 * page states, or by letting one outlive a decommit.
 */
#include "support/contract.h"

#define GUARDED (PAGE_READWRITE | PAGE_GUARD)

static void guards(void) {
    BYTE *base = reserve_commit(4 * PAGE, PAGE_READWRITE);
    DWORD old = 0;

    base[PAGE] = 0x42;
    row("guard_protect_ok", true, !!VirtualProtect(base + PAGE, PAGE, GUARDED, &old));
    row("guard_protect_old", PAGE_READWRITE, old);
    row("guard_reported", GUARDED, protect_of(base + PAGE));
    row("guard_state", MEM_COMMIT, state_of(base + PAGE));
    row("guard_splits_the_run", PAGE, run_of(base));
    row("guard_only_that_page", PAGE, run_of(base + PAGE));
    row("guard_allocation_protect", PAGE_READWRITE, query(base + PAGE).AllocationProtect);
    row("guard_remove_ok", true, !!VirtualProtect(base + PAGE, PAGE, PAGE_READWRITE, &old));
    row("guard_remove_old", GUARDED, old);
    row("guard_remove_raises_nothing", true, can_read(base + PAGE));
    row("guard_content_kept", 0x42, base[PAGE]);
    row("guard_remove_joins_runs", 4 * PAGE, run_of(base));

    row("guard_commit_again_ok", 0, alloc_error(base, PAGE, MEM_COMMIT, GUARDED));
    row("guard_commit_again_reported", GUARDED, protect_of(base));
    row("guard_decommit_ok", 0, free_error(base, PAGE, MEM_DECOMMIT));
    commit(base, PAGE, PAGE_READWRITE);
    row("guard_decommit_forgets", PAGE_READWRITE, protect_of(base));
    release(base);
}

static void guards_at_birth(void) {
    BYTE *base = reserve_commit(2 * PAGE, GUARDED);
    DWORD old = 0;
    row("guard_alloc_reported", GUARDED, protect_of(base));
    row("guard_alloc_allocation_protect", GUARDED, query(base).AllocationProtect);
    row("guard_alloc_remove_ok", true, !!VirtualProtect(base, 2 * PAGE, PAGE_READWRITE, &old));
    row("guard_alloc_zero", true, is_zero(base, 2 * PAGE));
    row("guard_alloc_allocation_protect_stays", GUARDED, query(base).AllocationProtect);
    release(base);

    base = VirtualAlloc(NULL, PAGE, MEM_RESERVE, GUARDED);
    row("guard_reserve_ok", true, base != NULL);
    row("guard_reserve_protect", 0, protect_of(base));
    row("guard_reserve_allocation_protect", GUARDED, query(base).AllocationProtect);
    commit(base, PAGE, PAGE_READWRITE);
    row("guard_reserve_does_not_guard", PAGE_READWRITE, protect_of(base));
    row("guard_reserve_access", true, can_write(base));
    release(base);

    static const DWORD accesses[] = {PAGE_READONLY, PAGE_EXECUTE, PAGE_EXECUTE_READ,
                                     PAGE_EXECUTE_READWRITE};
    for (size_t i = 0; i < sizeof accesses / sizeof *accesses; i++) {
        base = reserve_commit(PAGE, accesses[i] | PAGE_GUARD);
        row("guard_other_accesses", accesses[i] | PAGE_GUARD, protect_of(base));
        release(base);
    }
}

/* NOCACHE belongs to the allocation, whatever later calls say. */
static void caching(void) {
    BYTE *base = reserve_commit(PAGE, PAGE_READWRITE | PAGE_NOCACHE);
    DWORD old = 0;
    row("nocache_reported", PAGE_READWRITE | PAGE_NOCACHE, protect_of(base));
    row("nocache_access", true, can_write(base));
    row("nocache_protect_ok", true, !!VirtualProtect(base, PAGE, PAGE_READONLY, &old));
    row("nocache_protect_old", PAGE_READWRITE | PAGE_NOCACHE, old);
    row("nocache_kept", PAGE_READONLY | PAGE_NOCACHE, protect_of(base));
    release(base);

    base = reserve_commit(PAGE, PAGE_READWRITE);
    row("nocache_named_later_ok", true,
        !!VirtualProtect(base, PAGE, PAGE_READONLY | PAGE_NOCACHE, &old));
    row("nocache_named_later_dropped", PAGE_READONLY, protect_of(base));
    release(base);
}

int main(void) {
    guards();
    guards_at_birth();
    caching();
    return contract_end();
}
