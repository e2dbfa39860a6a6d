/* SPDX-License-Identifier: MIT */
/*
 * contract_free: decommit and release, where they are refused and with which error.
 *
 * Could fail by demanding an exact base, by answering a decommit past the end as commit and protect
 * do, or by freeing a part before finding the rest outside.
 */
#include "support/contract.h"

static void releases(void) {
    BYTE *base = reserve_commit(4 * PAGE, PAGE_READWRITE);
    row("release_with_size_err", ERROR_INVALID_PARAMETER, free_error(base, PAGE, MEM_RELEASE));
    row("release_with_exact_size_err", ERROR_INVALID_PARAMETER,
        free_error(base, 4 * PAGE, MEM_RELEASE));
    row("release_inside_err", ERROR_INVALID_ADDRESS, free_error(base + PAGE, 0, MEM_RELEASE));
    row("release_last_byte_err", ERROR_INVALID_ADDRESS,
        free_error(base + 4 * PAGE - 1, 0, MEM_RELEASE));
    row("release_failures_change_nothing", 4 * PAGE, run_of(base));
    row("release_first_page_last_byte", 0, free_error(base + PAGE - 1, 0, MEM_RELEASE));
    row("release_is_free", MEM_FREE, state_of(base));
    row("release_traps", false, can_read(base));
    row("release_twice_err", ERROR_INVALID_ADDRESS, free_error(base, 0, MEM_RELEASE));
    row("release_free_address_err", ERROR_INVALID_ADDRESS,
        free_error(hole(GRANULE), 0, MEM_RELEASE));

    base = reserve(NULL, PAGE);
    row("release_granule_tail_err", ERROR_INVALID_ADDRESS, free_error(base + PAGE, 0, MEM_RELEASE));
    row("release_never_committed", 0, free_error(base, 0, MEM_RELEASE));

    base = reserve(NULL, 8 * PAGE);
    commit(base + PAGE, PAGE, PAGE_READWRITE);
    commit(base + 3 * PAGE, PAGE, PAGE_READONLY);
    commit(base + 5 * PAGE, PAGE, PAGE_NOACCESS);
    commit(base + 6 * PAGE, PAGE, PAGE_READWRITE | PAGE_GUARD);
    row("release_mixed_states", 0, free_error(base, 0, MEM_RELEASE));
    row("release_mixed_states_is_free", MEM_FREE, state_of(base));
    row("release_mixed_states_all_free", true, run_of(base) >= 8 * PAGE);
}

static void bad_addresses(void) {
    const void *kernel_half = (void *)(uintptr_t)0xFFFF800000000000;

    row("release_kernel_half_err", ERROR_INVALID_PARAMETER,
        free_error(kernel_half, 0, MEM_RELEASE));
    row("decommit_kernel_half_err", ERROR_INVALID_PARAMETER,
        free_error(kernel_half, PAGE, MEM_DECOMMIT));
    row("decommit_free_address_err", ERROR_INVALID_ADDRESS,
        free_error(hole(GRANULE), PAGE, MEM_DECOMMIT));
    row("decommit_free_address_size_zero_err", ERROR_INVALID_ADDRESS,
        free_error(hole(GRANULE), 0, MEM_DECOMMIT));

    /* NULL is settled to be refused, not with which of the two errors. */
    DWORD error = free_error(NULL, 0, MEM_RELEASE);
    row("release_null_err", true,
        error == ERROR_INVALID_PARAMETER || error == ERROR_INVALID_ADDRESS);
    error = free_error(NULL, PAGE, MEM_DECOMMIT);
    row("decommit_null_err", true,
        error == ERROR_INVALID_PARAMETER || error == ERROR_INVALID_ADDRESS);
}

static void decommit_ranges(void) {
    BYTE *base = reserve_commit(16 * PAGE, PAGE_READWRITE);
    base[0] = base[2 * PAGE] = base[15 * PAGE] = 0x5A;

    row("decommit_every_touched_page", 0, free_error(base + PAGE - 1, 2, MEM_DECOMMIT));
    row("decommit_state", MEM_RESERVE, state_of(base));
    row("decommit_two_pages", 2 * PAGE, run_of(base));
    row("decommit_traps", false, can_read(base));
    row("decommit_keeps_the_rest", 0x5A, base[2 * PAGE]);
    row("decommit_again_ok", 0, free_error(base, 2 * PAGE, MEM_DECOMMIT));
    row("decommit_mixed_ok", 0, free_error(base, 3 * PAGE, MEM_DECOMMIT));
    row("decommit_mixed_size", 3 * PAGE, run_of(base));
    row("decommit_inside", 0, free_error(base + 8 * PAGE + 5, 1, MEM_DECOMMIT));
    row("decommit_inside_one_page", PAGE, run_of(base + 8 * PAGE));
    row("decommit_inside_before", MEM_COMMIT, state_of(base + 7 * PAGE));
    row("decommit_inside_after", MEM_COMMIT, state_of(base + 9 * PAGE));

    row("decommit_size_zero_inside_err", ERROR_INVALID_ADDRESS,
        free_error(base + 10 * PAGE, 0, MEM_DECOMMIT));
    row("decommit_past_end_err", ERROR_INVALID_PARAMETER,
        free_error(base + 15 * PAGE, PAGE + 1, MEM_DECOMMIT));
    row("decommit_far_past_end_err", ERROR_INVALID_PARAMETER,
        free_error(base + 15 * PAGE, 16 * MIB, MEM_DECOMMIT));
    row("decommit_past_user_space_err", ERROR_INVALID_PARAMETER,
        free_error(base, (SIZE_T)0x7FFFFFFF0000, MEM_DECOMMIT));
    row("decommit_past_end_changes_nothing", 0x5A, base[15 * PAGE]);
    release(base);

    base = reserve(NULL, 4 * PAGE);
    row("decommit_never_committed_ok", 0, free_error(base, 4 * PAGE, MEM_DECOMMIT));
    row("decommit_never_committed_size_zero_ok", 0, free_error(base, 0, MEM_DECOMMIT));
    release(base);
}

static void decommit_all(void) {
    BYTE *base = reserve(NULL, 8 * PAGE);
    commit(base + PAGE, 2 * PAGE, PAGE_READWRITE);
    commit(base + 5 * PAGE, PAGE, PAGE_READONLY);
    row("decommit_size_zero_ok", 0, free_error(base, 0, MEM_DECOMMIT));
    row("decommit_size_zero_state", MEM_RESERVE, state_of(base + PAGE));
    row("decommit_size_zero_takes_all", 8 * PAGE, run_of(base));

    commit(base, 8 * PAGE, PAGE_READWRITE);
    row("decommit_size_zero_in_first_page_ok", 0, free_error(base + PAGE - 1, 0, MEM_DECOMMIT));
    row("decommit_size_zero_in_first_page_state", MEM_RESERVE, state_of(base + 7 * PAGE));
    row("decommit_size_zero_in_first_page_takes_all", 8 * PAGE, run_of(base));
    row("decommit_keeps_allocation", 0, offset_of(base, query(base).AllocationBase));
    release(base);
}

static void decommit_neighbours(void) {
    BYTE *base = hole(4 * GRANULE);
    BYTE *first = reserve(base, GRANULE);
    BYTE *second = reserve(base + GRANULE, GRANULE);

    commit(first, GRANULE, PAGE_READWRITE);
    commit(second, GRANULE, PAGE_READWRITE);
    row("decommit_into_neighbour_err", ERROR_INVALID_PARAMETER,
        free_error(first, 2 * GRANULE, MEM_DECOMMIT));
    row("decommit_into_neighbour_by_one_byte_err", ERROR_INVALID_PARAMETER,
        free_error(first, GRANULE + 1, MEM_DECOMMIT));
    row("decommit_into_neighbour_changes_nothing", MEM_COMMIT, state_of(first));
    row("decommit_into_neighbour_changes_nothing_second", MEM_COMMIT, state_of(second));
    release(second);
    row("decommit_into_free_err", ERROR_INVALID_PARAMETER,
        free_error(first, GRANULE + 1, MEM_DECOMMIT));

    row("decommit_size_max_err", ERROR_INVALID_PARAMETER,
        free_error(first + PAGE, SIZE_MAX, MEM_DECOMMIT));
    row("decommit_size_max_changes_nothing", GRANULE, run_of(first));
    release(first);
}

static void forgotten(void) {
    BYTE *base = reserve(NULL, 4 * PAGE);
    commit(base, PAGE, PAGE_READWRITE | PAGE_GUARD);
    commit(base + PAGE, PAGE, PAGE_READONLY);
    row("decommit_forgets_ok", 0, free_error(base, 2 * PAGE, MEM_DECOMMIT));
    row("decommit_forgets_protect", 0, protect_of(base));
    row("query_after_decommit_one_run", 4 * PAGE, run_of(base));
    commit(base, 4 * PAGE, PAGE_READWRITE);
    row("decommit_forgets_old_protection", 4 * PAGE, run_of(base));
    row("decommit_forgets_guard", PAGE_READWRITE, protect_of(base));
    row("decommit_forgets_writes", true, can_write(base));
    release(base);
}

int main(void) {
    releases();
    bad_addresses();
    decommit_ranges();
    decommit_all();
    decommit_neighbours();
    forgotten();
    return contract_end();
}
