/* SPDX-License-Identifier: MIT */
/*
 * contract_commit: committing pages of a reservation, again and for the first time.
 *
 * Could fail by zeroing or keeping the old protection on a second commit, by committing a part
 * before finding the rest outside, or by returning the base instead of the page.
 */
#include "support/contract.h"

static void rounding(void) {
    BYTE *base = reserve(NULL, 16 * PAGE);
    BYTE *got = commit(base + 0xFFF, 2, PAGE_READWRITE);
    row("commit_two_bytes_two_pages_start", 0, offset_of(base, got));
    row("commit_two_bytes_two_pages_size", 2 * PAGE, run_of(base));
    row("commit_rest_stays_reserved", MEM_RESERVE, state_of(base + 2 * PAGE));

    got = commit(base + 5 * PAGE + 0x123, 1, PAGE_READWRITE);
    row("commit_returns_page_not_base", 5 * PAGE, offset_of(base, got));
    row("commit_one_byte_one_page", PAGE, run_of(base + 5 * PAGE));
    row("commit_allocation_base", 0, offset_of(base, query(got).AllocationBase));
    row("commit_before_stays_reserved", MEM_RESERVE, state_of(base + 4 * PAGE));

    got = commit(base, 16 * PAGE, PAGE_READWRITE);
    row("commit_whole_reservation", 16 * PAGE, run_of(base));
    row("commit_whole_reservation_start", 0, offset_of(base, got));
    release(base);

    base = reserve(NULL, 16 * PAGE);
    got = commit(base + 16 * PAGE - 1, 1, PAGE_READWRITE);
    row("commit_last_byte", 15 * PAGE, offset_of(base, got));
    row("commit_last_page_run", PAGE, run_of(got));
    release(base);
}

static void wrong_places(void) {
    BYTE *base = hole(8 * GRANULE);
    BYTE *first = reserve(base + 2 * GRANULE, GRANULE);
    BYTE *second = reserve(base + 3 * GRANULE, GRANULE);

    row("commit_free_address_err", ERROR_INVALID_ADDRESS,
        alloc_error(base, PAGE, MEM_COMMIT, PAGE_READWRITE));
    row("commit_past_end_err", ERROR_INVALID_ADDRESS,
        alloc_error(second, GRANULE + 1, MEM_COMMIT, PAGE_READWRITE));
    row("commit_two_reservations_err", ERROR_INVALID_ADDRESS,
        alloc_error(first, 2 * GRANULE, MEM_COMMIT, PAGE_READWRITE));
    row("commit_two_reservations_by_one_byte_err", ERROR_INVALID_ADDRESS,
        alloc_error(first + GRANULE - 1, 2, MEM_COMMIT, PAGE_READWRITE));
    row("commit_from_free_into_reservation_err", ERROR_INVALID_ADDRESS,
        alloc_error(first - PAGE, 2 * PAGE, MEM_COMMIT, PAGE_READWRITE));
    row("commit_size_zero_err", ERROR_INVALID_PARAMETER,
        alloc_error(first, 0, MEM_COMMIT, PAGE_READWRITE));
    row("commit_wrap_err", ERROR_INVALID_PARAMETER,
        alloc_error(first, SIZE_MAX, MEM_COMMIT, PAGE_READWRITE));
    row("commit_kernel_half_err", ERROR_INVALID_PARAMETER,
        alloc_error((void *)(uintptr_t)0xFFFF800000000000, PAGE, MEM_COMMIT, PAGE_READWRITE));
    row("commit_past_user_space_err", ERROR_INVALID_PARAMETER,
        alloc_error(first, (SIZE_T)0x7FFFFFFF0000, MEM_COMMIT, PAGE_READWRITE));
    row("commit_failures_change_nothing", MEM_RESERVE, state_of(first));
    row("commit_failures_change_nothing_size", GRANULE, run_of(first));
    row("commit_failures_change_nothing_second", GRANULE, run_of(second));
    release(first);
    release(second);
}

static void again(void) {
    BYTE *base = reserve(NULL, 8 * PAGE);
    commit(base, 4 * PAGE, PAGE_READWRITE);
    for (SIZE_T i = 0; i < 4 * PAGE; i++)
        base[i] = (BYTE)(i % 251 + 1);

    row("commit_again_ok", 0, alloc_error(base, 4 * PAGE, MEM_COMMIT, PAGE_READWRITE));
    row("commit_again_keeps_content", 251, base[250]);

    row("commit_again_readonly_ok", 0, alloc_error(base, PAGE, MEM_COMMIT, PAGE_READONLY));
    row("commit_again_changes_protection", PAGE_READONLY, protect_of(base));
    row("commit_again_only_that_page", PAGE_READWRITE, protect_of(base + PAGE));
    row("commit_again_readonly_cannot_write", false, can_write(base));
    row("commit_again_readonly_keeps_content", 1, base[0]);

    BYTE *got = commit(base + PAGE, 7 * PAGE, PAGE_READWRITE);
    row("commit_mixed_start", PAGE, offset_of(base, got));
    row("commit_mixed_run", 7 * PAGE, run_of(base + PAGE));
    row("commit_mixed_keeps_old", PAGE % 251 + 1, base[PAGE]);
    row("commit_mixed_zeroes_new", true, is_zero(base + 4 * PAGE, 4 * PAGE));

    row("commit_again_noaccess", 0, alloc_error(base, 8 * PAGE, MEM_COMMIT, PAGE_NOACCESS));
    row("commit_noaccess_is_committed", MEM_COMMIT, state_of(base));
    row("commit_noaccess_protect", PAGE_NOACCESS, protect_of(base));
    row("commit_noaccess_traps", false, can_read(base));
    commit(base, 8 * PAGE, PAGE_READWRITE);
    row("commit_noaccess_and_back_keeps_content", 251, base[250]);
    row("commit_never_changes_allocation_protect", PAGE_NOACCESS, query(base).AllocationProtect);
    release(base);
}

static void protections(void) {
    static const struct {
        const char *state_name, *read_name, *write_name, *zero_name;
        DWORD protection;
        bool readable, writable;
    } cases[] = {
        {"commit_readonly", "commit_readonly_reads", "commit_readonly_writes",
         "commit_readonly_zero", PAGE_READONLY, true, false},
        {"commit_readwrite", "commit_readwrite_reads", "commit_readwrite_writes",
         "commit_readwrite_zero", PAGE_READWRITE, true, true},
        {"commit_execute", "commit_execute_reads", "commit_execute_writes", "commit_execute_zero",
         PAGE_EXECUTE, true, false},
        {"commit_execute_read", "commit_execute_read_reads", "commit_execute_read_writes",
         "commit_execute_read_zero", PAGE_EXECUTE_READ, true, false},
        {"commit_execute_readwrite", "commit_execute_readwrite_reads",
         "commit_execute_readwrite_writes", "commit_execute_readwrite_zero", PAGE_EXECUTE_READWRITE,
         true, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        BYTE *base = reserve(NULL, 3 * PAGE);
        commit(base + PAGE, PAGE, cases[i].protection);
        row(cases[i].state_name, cases[i].protection, protect_of(base + PAGE));
        row(cases[i].read_name, cases[i].readable, can_read(base + PAGE));
        row(cases[i].write_name, cases[i].writable, can_write(base + PAGE));
        row(cases[i].zero_name, true, is_zero(base + PAGE, PAGE));
        row("commit_neighbour_before_traps", false, can_read(base + PAGE - 1));
        row("commit_neighbour_after_traps", false, can_read(base + 2 * PAGE));
        release(base);
    }
}

/* Pages read as zero whatever was there before they became committed. */
static void zero_fill(void) {
    BYTE *base = reserve_commit(4 * PAGE, PAGE_READWRITE);
    row("zero_fresh", true, is_zero(base, 4 * PAGE));
    for (SIZE_T i = 0; i < 4 * PAGE; i++)
        base[i] = 0xA5;
    row("zero_decommit", 0, free_error(base + PAGE, 2 * PAGE, MEM_DECOMMIT));
    commit(base, 4 * PAGE, PAGE_READWRITE);
    row("zero_after_decommit_commit", true, is_zero(base + PAGE, 2 * PAGE));
    row("zero_not_the_page_before", 0xA5, base[PAGE - 1]);
    row("zero_not_the_page_after", 0xA5, base[3 * PAGE]);
    release(base);

    BYTE *again = VirtualAlloc(base, 4 * PAGE, MEM_RESERVE | MEM_COMMIT, PAGE_READONLY);
    row("zero_same_address_reserved", 0, offset_of(base, again));
    row("zero_after_release_and_reserve", true, again != NULL && is_zero(again, 4 * PAGE));
    release(base);
}

int main(void) {
    rounding();
    wrong_places();
    again();
    protections();
    zero_fill();
    return contract_end();
}
