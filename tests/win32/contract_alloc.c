/* SPDX-License-Identifier: MIT */
/*
 * contract_alloc: what VirtualAlloc reserves, where, and how large.
 *
 * Could fail by rounding the end of a reservation to 64 KiB, by handing out or reporting the rest
 * of the last granule, or by a reserve that changes something before it fails.
 */
#include "support/contract.h"

static void sizes_and_bases(void) {
    BYTE *base = reserve(NULL, 1);
    row("alloc_reserve_base_granular", 0, (uintptr_t)base % GRANULE);
    row("alloc_reserve_one_byte_is_a_page", PAGE, run_of(base));
    row("alloc_reserve_state", MEM_RESERVE, state_of(base));
    row("alloc_reserve_type_private", MEM_PRIVATE, query(base).Type);
    row("alloc_reserve_traps", false, can_read(base));
    release(base);

    base = reserve(NULL, GRANULE + 1);
    row("alloc_reserve_size_not_to_granule", GRANULE + PAGE, run_of(base));
    row("alloc_granule_tail_is_free", MEM_FREE, state_of(base + GRANULE + PAGE));
    row("alloc_granule_tail_allocation_base", 0,
        (uintptr_t)query(base + GRANULE + PAGE).AllocationBase);
    row("alloc_granule_tail_reserve_err", ERROR_INVALID_ADDRESS,
        alloc_error(base + GRANULE + PAGE, PAGE, MEM_RESERVE, PAGE_NOACCESS));
    row("alloc_granule_tail_commit_err", ERROR_INVALID_ADDRESS,
        alloc_error(base + GRANULE + PAGE, PAGE, MEM_COMMIT, PAGE_READWRITE));
    row("alloc_granule_tail_failures_change_nothing", GRANULE + PAGE, run_of(base));
    release(base);

    base = reserve_commit(64 * MIB, PAGE_READWRITE);
    row("alloc_large_size", 64 * MIB, run_of(base));
    row("alloc_large_last_byte", true, can_write(base + 64 * MIB - 1));
    release(base);

    base = reserve(NULL, (SIZE_T)4096 * MIB);
    row("alloc_reserve_4_gib", (SIZE_T)4096 * MIB, run_of(base));
    release(base);
}

static void given_addresses(void) {
    BYTE *base = hole(16 * GRANULE);
    BYTE *got = reserve(base + 0x8000, 1);
    row("alloc_reserve_rounds_start_down", 0, offset_of(base, got));
    row("alloc_reserve_rounds_start_down_size", 0x9000, run_of(base));
    release(base);

    got = reserve(base + 0xFFFF, 0x3000);
    row("alloc_reserve_rounds_both", 0, offset_of(base, got));
    row("alloc_reserve_rounds_both_size", 0x13000, run_of(base));
    release(base);

    got = VirtualAlloc(base + 0x8000, 1, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    row("alloc_reserve_commit_rounds_start_down", 0, offset_of(base, got));
    row("alloc_reserve_commit_from_rounded_base", MEM_COMMIT, state_of(base));
    row("alloc_reserve_commit_from_rounded_base_size", 0x9000, run_of(base));
    row("alloc_reserve_commit_zero", true, is_zero(base, 0x9000));
    release(base);

    for (unsigned i = 0; i < 3; i++) {
        got = reserve(base, 2 * GRANULE);
        row("alloc_released_address_again", 0, offset_of(base, got));
        release(base);
    }
    got = reserve(base + GRANULE, GRANULE);
    row("alloc_part_of_released_range", GRANULE, offset_of(base, got));
    release(got);
}

static void overlaps(void) {
    BYTE *base = hole(16 * GRANULE);
    BYTE *middle = reserve(base + 4 * GRANULE, 4 * GRANULE);
    static const struct {
        const char *name;
        SIZE_T offset, size;
    } cases[] = {
        {"alloc_overlap_same_err", 4 * 0x10000, 4 * 0x10000},
        {"alloc_overlap_inside_err", 5 * 0x10000, 0x1000},
        {"alloc_overlap_inside_unaligned_err", 5 * 0x10000 + 0x1234, 1},
        {"alloc_overlap_from_below_err", 3 * 0x10000, 0x10001},
        {"alloc_overlap_from_above_err", 7 * 0x10000, 2 * 0x10000},
        {"alloc_overlap_around_err", 2 * 0x10000, 8 * 0x10000},
        {"alloc_overlap_by_rounding_down_err", 7 * 0x10000 + 0xFFFF, 0x10000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        row(cases[i].name, ERROR_INVALID_ADDRESS,
            alloc_error(base + cases[i].offset, cases[i].size, MEM_RESERVE, PAGE_READWRITE));
        row(cases[i].name, ERROR_INVALID_ADDRESS,
            alloc_error(base + cases[i].offset, cases[i].size, MEM_RESERVE | MEM_COMMIT,
                        PAGE_READWRITE));
    }
    row("alloc_overlap_changes_nothing", 4 * GRANULE, run_of(middle));
    row("alloc_overlap_changes_nothing_below", MEM_FREE, state_of(base + 3 * GRANULE));
    row("alloc_overlap_changes_nothing_above", MEM_FREE, state_of(base + 8 * GRANULE));

    BYTE *below = reserve(base + 2 * GRANULE, 2 * GRANULE);
    BYTE *above = reserve(base + 8 * GRANULE, 2 * GRANULE);
    row("alloc_adjacent_below_ok", 2 * GRANULE, offset_of(base, below));
    row("alloc_adjacent_above_ok", 8 * GRANULE, offset_of(base, above));
    row("alloc_adjacent_never_merges", 2 * GRANULE, run_of(below));
    row("alloc_adjacent_never_merges_middle", 4 * GRANULE, run_of(middle));
    row("alloc_adjacent_own_bases", 4 * GRANULE, offset_of(base, query(middle).AllocationBase));
    release(middle);
    row("alloc_release_between_neighbours", MEM_FREE, state_of(middle));
    row("alloc_free_run_between_neighbours", 4 * GRANULE, run_of(middle));
    row("alloc_neighbours_stay", MEM_RESERVE, state_of(above));
    release(below);
    release(above);
}

static void bad_ranges(void) {
    const void *low = (void *)(uintptr_t)0x1000;
    const void *kernel_half = (void *)(uintptr_t)0xFFFF800000000000;
    const void *end = (void *)(uintptr_t)0x7FFFFFFF0000;
    const void *near_end = (void *)(uintptr_t)0x7FFFFFFE0000;

    row("alloc_below_64k_err", ERROR_INVALID_PARAMETER,
        alloc_error(low, PAGE, MEM_RESERVE, PAGE_READWRITE));
    row("alloc_below_64k_last_byte_err", ERROR_INVALID_PARAMETER,
        alloc_error((void *)(uintptr_t)0xFFFF, PAGE, MEM_RESERVE, PAGE_READWRITE));
    row("alloc_kernel_half_err", ERROR_INVALID_PARAMETER,
        alloc_error(kernel_half, PAGE, MEM_RESERVE, PAGE_READWRITE));
    row("alloc_noncanonical_err", ERROR_INVALID_PARAMETER,
        alloc_error((void *)(uintptr_t)0x1000000000000, PAGE, MEM_RESERVE, PAGE_READWRITE));
    row("alloc_at_user_end_err", ERROR_INVALID_PARAMETER,
        alloc_error(end, PAGE, MEM_RESERVE, PAGE_READWRITE));
    row("alloc_past_user_end_err", ERROR_INVALID_PARAMETER,
        alloc_error(near_end, 2 * GRANULE, MEM_RESERVE, PAGE_READWRITE));
    row("alloc_wrap_err", ERROR_INVALID_PARAMETER,
        alloc_error(near_end, SIZE_MAX - PAGE, MEM_RESERVE, PAGE_READWRITE));
    row("alloc_wrap_size_max_err", ERROR_INVALID_PARAMETER,
        alloc_error(hole(GRANULE), SIZE_MAX, MEM_RESERVE, PAGE_READWRITE));
    row("alloc_size_zero_err", ERROR_INVALID_PARAMETER,
        alloc_error(NULL, 0, MEM_RESERVE, PAGE_READWRITE));
    row("alloc_size_zero_given_address_err", ERROR_INVALID_PARAMETER,
        alloc_error(hole(GRANULE), 0, MEM_RESERVE, PAGE_READWRITE));
    row("alloc_size_zero_commit_err", ERROR_INVALID_PARAMETER,
        alloc_error(NULL, 0, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
    row("alloc_size_max_err", ERROR_INVALID_PARAMETER,
        alloc_error(NULL, SIZE_MAX, MEM_RESERVE, PAGE_READWRITE));
    row("alloc_size_no_hole_err", ERROR_NOT_ENOUGH_MEMORY,
        alloc_error(NULL, (SIZE_T)0x7FFFFF000000, MEM_RESERVE, PAGE_READWRITE));
}

static void null_commits(void) {
    BYTE *base = VirtualAlloc(NULL, PAGE + 1, MEM_COMMIT, PAGE_READWRITE);
    row("alloc_null_commit_reserves", true, base != NULL);
    if (base == NULL)
        return;
    row("alloc_null_commit_base_granular", 0, (uintptr_t)base % GRANULE);
    row("alloc_null_commit_state", MEM_COMMIT, state_of(base));
    row("alloc_null_commit_size", 2 * PAGE, run_of(base));
    row("alloc_null_commit_allocation_base", 0, offset_of(base, query(base).AllocationBase));
    row("alloc_null_commit_zero", true, is_zero(base, 2 * PAGE));
    row("alloc_null_commit_writable", true, can_write(base + 2 * PAGE - 1));
    release(base);

    base = VirtualAlloc(NULL, PAGE, MEM_COMMIT | MEM_TOP_DOWN, PAGE_READWRITE);
    row("alloc_null_commit_topdown", true, base != NULL && state_of(base) == MEM_COMMIT);
    release(base);
}

int main(void) {
    sizes_and_bases();
    given_addresses();
    overlaps();
    bad_ranges();
    null_commits();
    return contract_end();
}
