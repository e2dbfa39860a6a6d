/* SPDX-License-Identifier: MIT */
/*
 * contract_flags: which types and protections VirtualAlloc, VirtualFree and VirtualProtect take.
 *
 * Could fail by being as lax as Wine, or by checking an address before the flags.
 */
#include "support/contract.h"

#include <stdio.h>

static const DWORD accesses[] = {PAGE_NOACCESS, PAGE_READONLY,     PAGE_READWRITE,
                                 PAGE_EXECUTE,  PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE};
#define ACCESS_COUNT (sizeof accesses / sizeof *accesses)

static void alloc_types(void) {
    static const struct {
        const char *name;
        DWORD type, error;
    } cases[] = {
        {"alloc_type_zero_err", 0, ERROR_INVALID_PARAMETER},
        {"alloc_type_reserve", MEM_RESERVE, 0},
        {"alloc_type_commit", MEM_COMMIT, 0},
        {"alloc_type_reserve_commit", MEM_RESERVE | MEM_COMMIT, 0},
        {"alloc_type_topdown_reserve", MEM_RESERVE | MEM_TOP_DOWN, 0},
        {"alloc_type_topdown_reserve_commit", MEM_RESERVE | MEM_COMMIT | MEM_TOP_DOWN, 0},
        {"alloc_type_topdown_alone_err", MEM_TOP_DOWN, ERROR_INVALID_PARAMETER},
        {"alloc_type_writewatch_alone_err", MEM_WRITE_WATCH, ERROR_INVALID_PARAMETER},
        {"alloc_type_writewatch_topdown_err", MEM_WRITE_WATCH | MEM_TOP_DOWN,
         ERROR_INVALID_PARAMETER},
        {"alloc_type_writewatch_commit_needs_reserve_err", MEM_WRITE_WATCH | MEM_COMMIT,
         ERROR_INVALID_PARAMETER},
        {"alloc_type_largepages_alone_err", MEM_LARGE_PAGES, ERROR_INVALID_PARAMETER},
        {"alloc_type_largepages_reserve_err", MEM_LARGE_PAGES | MEM_RESERVE,
         ERROR_INVALID_PARAMETER},
        {"alloc_type_largepages_commit_err", MEM_LARGE_PAGES | MEM_COMMIT, ERROR_INVALID_PARAMETER},
        {"alloc_type_physical_alone_err", MEM_PHYSICAL, ERROR_INVALID_PARAMETER},
        {"alloc_type_physical_commit_err", MEM_PHYSICAL | MEM_RESERVE | MEM_COMMIT,
         ERROR_INVALID_PARAMETER},
        {"alloc_type_decommit_err", MEM_DECOMMIT, ERROR_INVALID_PARAMETER},
        {"alloc_type_release_err", MEM_RELEASE, ERROR_INVALID_PARAMETER},
        {"alloc_type_free_err", MEM_FREE, ERROR_INVALID_PARAMETER},
        {"alloc_type_reserve_decommit_err", MEM_RESERVE | MEM_DECOMMIT, ERROR_INVALID_PARAMETER},
        {"alloc_type_reserve_release_err", MEM_RESERVE | MEM_RELEASE, ERROR_INVALID_PARAMETER},
        {"alloc_type_reserve_free_err", MEM_RESERVE | MEM_FREE, ERROR_INVALID_PARAMETER},
        {"alloc_type_reserve_one_err", MEM_RESERVE | 0x1, ERROR_INVALID_PARAMETER},
        {"alloc_type_reserve_placeholder_err", MEM_RESERVE | 0x40000, ERROR_INVALID_PARAMETER},
        {"alloc_type_round_to_page_err", MEM_RESERVE | 0x40000000, ERROR_INVALID_PARAMETER},
        {"alloc_type_top_bit_err", MEM_RESERVE | 0x80000000u, ERROR_INVALID_PARAMETER},
        {"alloc_type_reset_with_commit_err", MEM_RESET | MEM_COMMIT, ERROR_INVALID_PARAMETER},
        {"alloc_type_reset_with_reserve_err", MEM_RESET | MEM_RESERVE, ERROR_INVALID_PARAMETER},
        {"alloc_type_reset_with_undo_err", MEM_RESET | MEM_RESET_UNDO, ERROR_INVALID_PARAMETER},
        {"alloc_type_undo_with_commit_err", MEM_RESET_UNDO | MEM_COMMIT, ERROR_INVALID_PARAMETER},
        {"alloc_type_undo_with_reserve_err", MEM_RESET_UNDO | MEM_RESERVE, ERROR_INVALID_PARAMETER},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        row(cases[i].name, cases[i].error,
            alloc_error(NULL, GRANULE, cases[i].type, PAGE_READWRITE));

    BYTE *base = reserve(NULL, GRANULE);
    row("alloc_type_topdown_commit_in_reservation", 0,
        alloc_error(base, PAGE, MEM_COMMIT | MEM_TOP_DOWN, PAGE_READWRITE));
    row("alloc_type_topdown_commit_commits", MEM_COMMIT, state_of(base));
    release(base);
}

/* Every single value and every pair of the eight, to reserve, to commit, and for VirtualProtect. */
static void protection_pairs(void) {
    BYTE *base = reserve_commit(PAGE, PAGE_READWRITE);
    char name[64];

    for (DWORD value = 0; value < 0x100; value++) {
        bool pair_or_less = (value & (value - 1) & ((value & (value - 1)) - 1)) == 0;
        DWORD expected = ERROR_INVALID_PARAMETER;
        if (!pair_or_less)
            continue;
        for (size_t i = 0; i < ACCESS_COUNT; i++) {
            if (value == accesses[i])
                expected = 0;
        }
        snprintf(name, sizeof name, "alloc_prot_%02x_reserve", (unsigned)value);
        row(name, expected, alloc_error(NULL, PAGE, MEM_RESERVE, value));
        snprintf(name, sizeof name, "alloc_prot_%02x_reserve_commit", (unsigned)value);
        row(name, expected, alloc_error(NULL, PAGE, MEM_RESERVE | MEM_COMMIT, value));
        snprintf(name, sizeof name, "protect_prot_%02x", (unsigned)value);
        row(name, expected, protect_error(base, PAGE, value));
    }
    release(base);
}

static void protection_modifiers(void) {
    static const struct {
        const char *name;
        DWORD protection, error;
    } cases[] = {
        {"alloc_prot_guard_alone_err", PAGE_GUARD, ERROR_INVALID_PARAMETER},
        {"alloc_prot_nocache_alone_err", PAGE_NOCACHE, ERROR_INVALID_PARAMETER},
        {"alloc_prot_writecombine_alone_err", PAGE_WRITECOMBINE, ERROR_INVALID_PARAMETER},
        {"alloc_prot_guard_readwrite", PAGE_GUARD | PAGE_READWRITE, 0},
        {"alloc_prot_guard_readonly", PAGE_GUARD | PAGE_READONLY, 0},
        {"alloc_prot_guard_execute_read", PAGE_GUARD | PAGE_EXECUTE_READ, 0},
        {"alloc_prot_nocache_readwrite", PAGE_NOCACHE | PAGE_READWRITE, 0},
        {"alloc_prot_writecombine_readwrite", PAGE_WRITECOMBINE | PAGE_READWRITE, 0},
        {"alloc_prot_guard_noaccess_err", PAGE_GUARD | PAGE_NOACCESS, ERROR_INVALID_PARAMETER},
        {"alloc_prot_nocache_noaccess_err", PAGE_NOCACHE | PAGE_NOACCESS, ERROR_INVALID_PARAMETER},
        {"alloc_prot_nocache_guard_err", PAGE_NOCACHE | PAGE_GUARD | PAGE_READWRITE,
         ERROR_INVALID_PARAMETER},
        {"alloc_prot_writecombine_noaccess_err", PAGE_WRITECOMBINE | PAGE_NOACCESS,
         ERROR_INVALID_PARAMETER},
        {"alloc_prot_writecombine_nocache_err", PAGE_WRITECOMBINE | PAGE_NOCACHE | PAGE_READWRITE,
         ERROR_INVALID_PARAMETER},
        {"alloc_prot_guard_writecopy_err", PAGE_GUARD | PAGE_WRITECOPY, ERROR_INVALID_PARAMETER},
        {"alloc_prot_guard_two_accesses_err", PAGE_GUARD | PAGE_READWRITE | PAGE_READONLY,
         ERROR_INVALID_PARAMETER},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        row(cases[i].name, cases[i].error,
            alloc_error(NULL, PAGE, MEM_RESERVE | MEM_COMMIT, cases[i].protection));

    BYTE *base = reserve_commit(PAGE, PAGE_READWRITE);
    row("protect_prot_guard_alone_err", ERROR_INVALID_PARAMETER,
        protect_error(base, PAGE, PAGE_GUARD));
    row("protect_prot_failures_change_nothing", PAGE_READWRITE, protect_of(base));
    row("protect_prot_guard_noaccess_err", ERROR_INVALID_PARAMETER,
        protect_error(base, PAGE, PAGE_GUARD | PAGE_NOACCESS));
    release(base);
}

static void free_types(void) {
    BYTE *base = reserve_commit(PAGE, PAGE_READWRITE);
    BYTE *nowhere = hole(GRANULE);
    static const struct {
        const char *name;
        DWORD type;
    } cases[] = {
        {"free_type_zero_err", 0},
        {"free_type_both_flags_err", MEM_DECOMMIT | MEM_RELEASE},
        {"free_type_free_err", MEM_FREE},
        {"free_type_commit_err", MEM_COMMIT},
        {"free_type_release_and_unknown_err", MEM_RELEASE | 0x80000000u},
        {"free_type_decommit_coalesce_err", MEM_DECOMMIT | 0x1},
        {"free_type_decommit_preserve_err", MEM_DECOMMIT | 0x2},
        {"free_type_coalesce_alone_err", 0x1},
        {"free_type_preserve_alone_err", 0x2},
        {"free_type_release_coalesce_preserve_err", MEM_RELEASE | 0x3},
        {"free_type_coalesce_size_zero_err", MEM_RELEASE | 0x1},
        {"free_type_preserve_size_zero_err", MEM_RELEASE | 0x2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        row(cases[i].name, ERROR_INVALID_PARAMETER, free_error(base, 0, cases[i].type));
    row("free_type_failures_change_nothing", MEM_COMMIT, state_of(base));

    row("free_type_zero_at_free_addr_err", ERROR_INVALID_PARAMETER, free_error(nowhere, 0, 0));
    row("free_type_both_flags_at_free_addr_err", ERROR_INVALID_PARAMETER,
        free_error(nowhere, 0, MEM_DECOMMIT | MEM_RELEASE));
    row("free_preserve_on_plain_reservation_err", ERROR_INVALID_ADDRESS,
        free_error(base, PAGE, MEM_RELEASE | 0x2));
    row("free_preserve_changes_nothing", MEM_COMMIT, state_of(base));
    release(base);
}

/* An invalid protection or a size of zero wins over a bad address. */
static void order(void) {
    BYTE *nowhere = hole(GRANULE);
    BYTE *reserved = reserve(NULL, GRANULE);

    row("alloc_bad_prot_wins_over_bad_commit_address", ERROR_INVALID_PARAMETER,
        alloc_error(nowhere, PAGE, MEM_COMMIT, 0));
    row("alloc_bad_prot_wins_over_overlap", ERROR_INVALID_PARAMETER,
        alloc_error(reserved, PAGE, MEM_RESERVE, PAGE_WRITECOPY));
    row("alloc_bad_type_wins_over_overlap", ERROR_INVALID_PARAMETER,
        alloc_error(reserved, PAGE, MEM_RESERVE | MEM_RELEASE, PAGE_READWRITE));
    row("alloc_zero_size_wins_over_bad_commit_address", ERROR_INVALID_PARAMETER,
        alloc_error(nowhere, 0, MEM_COMMIT, PAGE_READWRITE));
    row("alloc_zero_size_wins_over_overlap", ERROR_INVALID_PARAMETER,
        alloc_error(reserved, 0, MEM_RESERVE, PAGE_READWRITE));
    row("protect_bad_prot_wins_over_uncommitted", ERROR_INVALID_PARAMETER,
        protect_error(reserved, PAGE, 0));
    release(reserved);
}

int main(void) {
    alloc_types();
    protection_pairs();
    protection_modifiers();
    free_types();
    order();
    return contract_end();
}
