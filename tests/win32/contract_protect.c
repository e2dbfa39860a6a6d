/* SPDX-License-Identifier: MIT */
/*
 * contract_protect: VirtualProtect changes all pages of a range or none.
 *
 * Could fail by changing a prefix before it meets an uncommitted page, by accepting a NULL old
 * pointer, or by reporting another page's old protection than the first one's.
 */
#include "support/contract.h"

#include <stdalign.h>

static void changes(void) {
    BYTE *base = reserve_commit(8 * PAGE, PAGE_READWRITE);
    DWORD old = 0;

    base[0] = base[7 * PAGE] = 0x77;
    row("protect_ok", true, !!VirtualProtect(base + PAGE - 1, 2, PAGE_READONLY, &old));
    row("protect_old", PAGE_READWRITE, old);
    row("protect_every_touched_page", 2 * PAGE, run_of(base));
    row("protect_new", PAGE_READONLY, protect_of(base));
    row("protect_takes_effect", false, can_write(base));
    row("protect_content_kept", 0x77, base[0]);
    row("protect_rest", PAGE_READWRITE, protect_of(base + 2 * PAGE));

    row("protect_mixed_ok", true, !!VirtualProtect(base + PAGE, 7 * PAGE, PAGE_NOACCESS, &old));
    row("protect_old_of_first_page", PAGE_READONLY, old);
    row("protect_noaccess_traps", false, can_read(base + 7 * PAGE));
    row("protect_noaccess_state", MEM_COMMIT, state_of(base + 7 * PAGE));
    row("protect_all_ok", true, !!VirtualProtect(base, 8 * PAGE, PAGE_READWRITE, &old));
    row("protect_content_kept_through_noaccess", 0x77, base[7 * PAGE]);
    row("protect_joins_runs", 8 * PAGE, run_of(base));
    row("protect_same_again", true, !!VirtualProtect(base, 8 * PAGE, PAGE_READWRITE, &old));
    row("protect_same_again_old", PAGE_READWRITE, old);
    row("protect_keeps_allocation_protect", PAGE_READWRITE, query(base).AllocationProtect);
    release(base);

    base = reserve_commit(PAGE, PAGE_NOACCESS);
    row("protect_fresh_noaccess", 0, protect_error(base, PAGE, PAGE_READWRITE));
    row("protect_fresh_noaccess_zero", true, is_zero(base, PAGE));
    row("protect_keeps_allocation_noaccess", PAGE_NOACCESS, query(base).AllocationProtect);
    release(base);
}

static void old_values(void) {
    static const DWORD values[] = {PAGE_READONLY, PAGE_EXECUTE,           PAGE_READWRITE,
                                   PAGE_NOACCESS, PAGE_EXECUTE_READWRITE, PAGE_EXECUTE_READ,
                                   PAGE_READWRITE};
    BYTE *base = reserve_commit(PAGE, PAGE_READWRITE);
    DWORD expected = PAGE_READWRITE, old = 0;

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        row("protect_chain_ok", true, !!VirtualProtect(base, PAGE, values[i], &old));
        row("protect_chain_old", expected, old);
        row("protect_chain_reported", values[i], protect_of(base));
        expected = values[i];
    }
    release(base);
}

static void refusals(void) {
    BYTE *base = hole(8 * GRANULE);
    BYTE *first = reserve(base + 2 * GRANULE, GRANULE);
    BYTE *second = reserve(base + 3 * GRANULE, GRANULE);

    commit(first, GRANULE, PAGE_READWRITE);
    SetLastError(0);
    row("protect_null_old", false, !!VirtualProtect(first, PAGE, PAGE_READONLY, NULL));
    row("protect_null_old_err", ERROR_NOACCESS, GetLastError());
    row("protect_null_old_changes_nothing", PAGE_READWRITE, protect_of(first));

    row("protect_size_zero_err", ERROR_INVALID_PARAMETER, protect_error(first, 0, PAGE_READONLY));
    VirtualAlloc(first, GRANULE, MEM_COMMIT, PAGE_READWRITE);
    row("protect_uncommitted_err", ERROR_INVALID_ADDRESS,
        protect_error(second, PAGE, PAGE_READWRITE));
    row("protect_free_err", ERROR_INVALID_ADDRESS,
        protect_error(base + 5 * GRANULE, PAGE, PAGE_READWRITE));
    row("protect_past_end_err", ERROR_INVALID_ADDRESS,
        protect_error(second + GRANULE - PAGE, 2 * PAGE, PAGE_READONLY));
    row("protect_kernel_half_err", ERROR_INVALID_PARAMETER,
        protect_error((void *)(uintptr_t)0xFFFF800000000000, PAGE, PAGE_READONLY));
    row("protect_past_user_space_err", ERROR_INVALID_PARAMETER,
        protect_error(first, (SIZE_T)0x7FFFFFFF0000, PAGE_READONLY));

    commit(second, 2 * PAGE, PAGE_READWRITE);
    row("protect_across_reservations_err", ERROR_INVALID_ADDRESS,
        protect_error(first, GRANULE + 1, PAGE_READONLY));
    row("protect_into_uncommitted_err", ERROR_INVALID_ADDRESS,
        protect_error(second, 3 * PAGE, PAGE_READONLY));
    row("protect_failures_change_nothing", PAGE_READWRITE, protect_of(first));
    row("protect_failures_change_nothing_size", GRANULE, run_of(first));
    row("protect_failures_change_nothing_second", PAGE_READWRITE, protect_of(second));
    row("protect_failures_write", true, can_write(second) && can_write(first));

    row("protect_decommit", 0, free_error(first + 2 * PAGE, PAGE, MEM_DECOMMIT));
    row("protect_over_decommitted_err", ERROR_INVALID_ADDRESS,
        protect_error(first, 4 * PAGE, PAGE_READONLY));
    row("protect_over_decommitted_changes_nothing", PAGE_READWRITE, protect_of(first));
    release(first);
    release(second);
    row("protect_released_changes_nothing", MEM_FREE, state_of(first));
}

/* A page of its own, so that nothing else becomes read-only. */
static alignas(0x1000) char static_page[0x1000] = {1};

static void foreign_memory(void) {
    DWORD old = 0;

    static_page[1] = 2;
    row("protect_static_ok", true, !!VirtualProtect(static_page, PAGE, PAGE_READONLY, &old));
    row("protect_static_reported", PAGE_READONLY, protect_of(static_page));
    row("protect_static_takes_effect", false, can_write((BYTE *)static_page));
    row("protect_static_back_ok", true, !!VirtualProtect(static_page, PAGE, PAGE_READWRITE, &old));
    row("protect_static_back_old", PAGE_READONLY, old);
    row("protect_static_content", 2, (uintmax_t)static_page[1]);
    row("protect_static_writes", true, can_write((BYTE *)static_page));
}

int main(void) {
    changes();
    old_values();
    refusals();
    foreign_memory();
    return contract_end();
}
