/* SPDX-License-Identifier: MIT */
/*
 * contract_reset: MEM_RESET says that content is not needed, and nothing else.
 *
 * Could fail by refusing uncommitted pages, by committing them, or by dropping what was written
 * after the reset.
 */
#include "support/contract.h"

/* A page after a reset holds its old bytes or zeroes, not a mixture and nothing else. */
static bool is_old_or_zero(const BYTE *page, BYTE old) {
    for (SIZE_T i = 0; i < PAGE; i++) {
        if (page[i] != page[0])
            return false;
    }
    return page[0] == old || page[0] == 0;
}

static void contents(void) {
    BYTE *base = reserve(NULL, 8 * PAGE);
    commit(base, 4 * PAGE, PAGE_READWRITE);
    for (SIZE_T i = 0; i < 4 * PAGE; i++)
        base[i] = 0x3C;

    BYTE *got = VirtualAlloc(base + PAGE + 0x123, PAGE, MEM_RESET, PAGE_READWRITE);
    row("reset_returns_page", PAGE, offset_of(base, got));
    row("reset_state", MEM_COMMIT, state_of(base + PAGE));
    row("reset_protect", PAGE_READWRITE, protect_of(base + PAGE));
    row("reset_no_split", 4 * PAGE, run_of(base));
    row("reset_old_or_zero", true, is_old_or_zero(base + PAGE, 0x3C));
    row("reset_old_or_zero_second_page", true, is_old_or_zero(base + 2 * PAGE, 0x3C));
    row("reset_other_pages_kept", true, base[PAGE - 1] == 0x3C && base[3 * PAGE] == 0x3C);

    for (SIZE_T i = 0; i < PAGE; i++)
        base[PAGE + i] = 0xC3;
    bool kept = true;
    for (SIZE_T i = 0; i < PAGE; i++)
        kept = kept && base[PAGE + i] == 0xC3;
    row("reset_write_after_is_kept", true, kept);
    release(base);
}

static void states(void) {
    BYTE *base = reserve(NULL, 8 * PAGE);
    commit(base + 2 * PAGE, PAGE, PAGE_READONLY);

    row("reset_uncommitted_ok", 0, alloc_error(base, PAGE, MEM_RESET, PAGE_READWRITE));
    row("reset_uncommitted_stays_reserved", MEM_RESERVE, state_of(base));
    row("reset_mixed_ok", 0, alloc_error(base, 8 * PAGE, MEM_RESET, PAGE_READWRITE));
    row("reset_mixed_stays", MEM_RESERVE, state_of(base + PAGE));
    row("reset_keeps_protection", PAGE_READONLY, protect_of(base + 2 * PAGE));
    row("reset_ignores_protection_value", 0,
        alloc_error(base + 2 * PAGE, PAGE, MEM_RESET, PAGE_NOACCESS));
    row("reset_ignores_protection", PAGE_READONLY, protect_of(base + 2 * PAGE));
    row("reset_readable", true, can_read(base + 2 * PAGE));
    commit(base + 4 * PAGE, PAGE, PAGE_NOACCESS);
    row("reset_noaccess_page_ok", 0, alloc_error(base + 4 * PAGE, PAGE, MEM_RESET, PAGE_READWRITE));
    row("reset_noaccess_page_stays", PAGE_NOACCESS, protect_of(base + 4 * PAGE));
    release(base);
}

static void refusals(void) {
    BYTE *base = hole(4 * GRANULE);
    BYTE *first = reserve(base, GRANULE);
    BYTE *second = reserve(base + GRANULE, GRANULE);

    commit(first, GRANULE, PAGE_READWRITE);
    row("reset_with_commit_err", ERROR_INVALID_PARAMETER,
        alloc_error(first, PAGE, MEM_RESET | MEM_COMMIT, PAGE_READWRITE));
    row("reset_with_topdown_err", ERROR_INVALID_PARAMETER,
        alloc_error(first, PAGE, MEM_RESET | MEM_TOP_DOWN, PAGE_READWRITE));
    row("reset_needs_valid_protect_err", ERROR_INVALID_PARAMETER,
        alloc_error(first, PAGE, MEM_RESET, 0));
    row("reset_size_zero_err", ERROR_INVALID_PARAMETER,
        alloc_error(first, 0, MEM_RESET, PAGE_READWRITE));
    row("reset_free_address_err", ERROR_INVALID_ADDRESS,
        alloc_error(base + 3 * GRANULE, PAGE, MEM_RESET, PAGE_READWRITE));
    row("reset_two_reservations_err", ERROR_INVALID_ADDRESS,
        alloc_error(first, 2 * GRANULE, MEM_RESET, PAGE_READWRITE));
    row("reset_past_end_err", ERROR_INVALID_ADDRESS,
        alloc_error(second, GRANULE + 1, MEM_RESET, PAGE_READWRITE));
    row("reset_wrap_err", ERROR_INVALID_PARAMETER,
        alloc_error(first, SIZE_MAX, MEM_RESET, PAGE_READWRITE));
    release(first);
    release(second);
}

int main(void) {
    contents();
    states();
    refusals();
    return contract_end();
}
