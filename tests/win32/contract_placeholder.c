/* SPDX-License-Identifier: MIT */
/*
 * contract_placeholder: reserve, split, replace, give back and join, and who may do none of it.
 */
#include "support/alloc2.h"

#include <string.h>

#define PLACEHOLDER (MEM_RESERVE | MEM_RESERVE_PLACEHOLDER)
#define REPLACE     (MEM_RESERVE | MEM_REPLACE_PLACEHOLDER)
#define PRESERVE    (MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER)
#define COALESCE    (MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS)

static BYTE *placeholder(SIZE_T size) {
    BYTE *base = alloc2(NULL, size, PLACEHOLDER, PAGE_NOACCESS, NULL);
    row("ph_reserve", true, base != NULL);
    return base;
}

static DWORD replace(const void *base, SIZE_T size, DWORD more) {
    return alloc2_error(base, size, REPLACE | more, PAGE_READWRITE, NULL);
}

static void creation(void) {
    row("ph_needs_noaccess_err", ERROR_INVALID_PARAMETER,
        alloc2_error(NULL, GRANULE, PLACEHOLDER, PAGE_READWRITE, NULL));
    row("ph_without_reserve_err", ERROR_INVALID_PARAMETER,
        alloc2_error(NULL, GRANULE, MEM_RESERVE_PLACEHOLDER, PAGE_NOACCESS, NULL));
    row("ph_with_commit_err", ERROR_INVALID_PARAMETER,
        alloc2_error(NULL, GRANULE, PLACEHOLDER | MEM_COMMIT, PAGE_NOACCESS, NULL));
    row("ph_by_virtualalloc_err", ERROR_INVALID_PARAMETER,
        alloc_error(NULL, GRANULE, PLACEHOLDER, PAGE_NOACCESS));

    BYTE *base = placeholder(4 * PAGE);
    MEMORY_BASIC_INFORMATION info = query(base);
    row("ph_state", MEM_RESERVE, info.State);
    row("ph_type", MEM_PRIVATE, info.Type);
    row("ph_allocation_protect", PAGE_NOACCESS, info.AllocationProtect);
    row("ph_run", 4 * PAGE, info.RegionSize);
    row("ph_reserve_over_err", ERROR_INVALID_ADDRESS,
        alloc_error(base, PAGE, MEM_RESERVE, PAGE_NOACCESS));
    row("ph_placeholder_over_err", ERROR_INVALID_ADDRESS,
        alloc2_error(base, 4 * PAGE, PLACEHOLDER, PAGE_NOACCESS, NULL));
    row("ph_commit_err", ERROR_INVALID_ADDRESS,
        alloc_error(base, PAGE, MEM_COMMIT, PAGE_READWRITE));
    release(base);
    row("ph_released_is_free", MEM_FREE, state_of(base));
}

static void splitting(void) {
    BYTE *base = placeholder(8 * PAGE);
    row("ph_split_all_err", ERROR_INVALID_ADDRESS, free_error(base, 8 * PAGE, PRESERVE));
    row("ph_split_past_end_err", ERROR_INVALID_ADDRESS,
        free_error(base + 7 * PAGE, 2 * PAGE, PRESERVE));
    row("ph_split_size_zero_err", ERROR_INVALID_PARAMETER, free_error(base, 0, PRESERVE));
    row("ph_coalesce_size_zero_err", ERROR_INVALID_PARAMETER, free_error(base, 0, COALESCE));
    row("ph_preserve_alone_err", ERROR_INVALID_PARAMETER,
        free_error(base, PAGE, MEM_PRESERVE_PLACEHOLDER));
    row("ph_coalesce_alone_err", ERROR_INVALID_PARAMETER,
        free_error(base, PAGE, MEM_COALESCE_PLACEHOLDERS));
    row("ph_preserve_decommit_err", ERROR_INVALID_PARAMETER,
        free_error(base, PAGE, MEM_DECOMMIT | MEM_PRESERVE_PLACEHOLDER));
    row("ph_split_head", 0, free_error(base, 3 * PAGE, PRESERVE));
    row("ph_split_head_run", 3 * PAGE, run_of(base));
    row("ph_split_tail_run", 5 * PAGE, run_of(base + 3 * PAGE));
    row("ph_split_tail_base", 3 * PAGE, offset_of(base, query(base + 4 * PAGE).AllocationBase));
    row("ph_coalesce_one_err", ERROR_INVALID_ADDRESS, free_error(base, 3 * PAGE, COALESCE));
    row("ph_coalesce_short_err", ERROR_INVALID_ADDRESS, free_error(base, 7 * PAGE, COALESCE));
    row("ph_coalesce_inside_err", ERROR_INVALID_ADDRESS,
        free_error(base + PAGE, 7 * PAGE, COALESCE));
    row("ph_coalesce", 0, free_error(base, 8 * PAGE, COALESCE));
    row("ph_coalesced_run", 8 * PAGE, run_of(base));
    row("ph_coalesced_again_err", ERROR_INVALID_ADDRESS, free_error(base, 8 * PAGE, COALESCE));
    release(base);

    BYTE *plain = reserve(NULL, 4 * PAGE);
    row("ph_split_plain_err", ERROR_INVALID_ADDRESS, free_error(plain, PAGE, PRESERVE));
    row("ph_preserve_plain_err", ERROR_INVALID_ADDRESS, free_error(plain, 4 * PAGE, PRESERVE));
    row("ph_coalesce_plain_err", ERROR_INVALID_ADDRESS, free_error(plain, 4 * PAGE, COALESCE));
    row("ph_replace_plain_err", ERROR_INVALID_ADDRESS, replace(plain, 4 * PAGE, 0));
    release(plain);
    row("ph_replace_free_err", ERROR_INVALID_ADDRESS, replace(hole(GRANULE), GRANULE, 0));
    row("ph_split_free_err", ERROR_INVALID_ADDRESS, free_error(hole(GRANULE), PAGE, PRESERVE));
}

static void replacement(void) {
    BYTE *base = placeholder(3 * GRANULE);
    BYTE *middle = base + GRANULE;
    row("ph_split_middle", 0, free_error(middle, GRANULE, PRESERVE));
    row("ph_replace_short_err", ERROR_INVALID_ADDRESS, replace(middle, PAGE, 0));
    row("ph_replace_long_err", ERROR_INVALID_ADDRESS, replace(middle, 2 * GRANULE, 0));
    row("ph_replace_without_reserve_err", ERROR_INVALID_PARAMETER,
        alloc2_error(middle, GRANULE, MEM_REPLACE_PLACEHOLDER | MEM_COMMIT, PAGE_READWRITE, NULL));
    row("ph_replace_commit", 0, replace(middle, GRANULE, MEM_COMMIT));
    row("ph_replaced_state", MEM_COMMIT, state_of(middle));
    row("ph_replaced_allocation_protect", PAGE_READWRITE, query(middle).AllocationProtect);
    row("ph_replaced_zero", true, is_zero(middle, GRANULE));
    memset(middle, 1, GRANULE);
    row("ph_replace_again_err", ERROR_INVALID_ADDRESS, replace(middle, GRANULE, 0));
    row("ph_coalesce_over_replaced_err", ERROR_INVALID_ADDRESS,
        free_error(base, 3 * GRANULE, COALESCE));
    row("ph_give_back", 0, free_error(middle, GRANULE, PRESERVE));
    row("ph_given_back_state", MEM_RESERVE, state_of(middle));
    row("ph_given_back_allocation_protect", PAGE_NOACCESS, query(middle).AllocationProtect);
    row("ph_given_back_traps", false, can_read(middle));
    row("ph_replace_reserve", 0, replace(middle, GRANULE, 0));
    row("ph_replaced_reserved_state", MEM_RESERVE, state_of(middle));
    commit(middle, PAGE, PAGE_READWRITE);
    row("ph_replaced_again_zero", true, is_zero(middle, PAGE));
    row("ph_release_replaced", 0, free_error(middle, 0, MEM_RELEASE));
    row("ph_released_replaced_is_free", MEM_FREE, state_of(middle));
    row("ph_coalesce_over_hole_err", ERROR_INVALID_ADDRESS,
        free_error(base, 3 * GRANULE, COALESCE));
    row("ph_neighbours_stay", MEM_RESERVE, state_of(base + 2 * GRANULE));
    row("ph_hole_can_be_reserved", 0, alloc_error(middle, GRANULE, MEM_RESERVE, PAGE_NOACCESS));
    release(base);
    release(base + 2 * GRANULE);
}

int main(void) {
    if (!has_placeholders()) {
        row_skip("ph", "no placeholders here");
        return contract_end();
    }
    creation();
    splitting();
    replacement();
    return contract_end();
}
