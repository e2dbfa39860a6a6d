/* SPDX-License-Identifier: MIT */
/*
 * contract_query: what VirtualQuery says of any address.
 *
 * Could fail by starting a run before the queried page, by merging neighbours, by splitting where
 * nothing that is reported differs, or by knowing only memory from VirtualAlloc.
 */
#include "support/contract.h"

#include <string.h>

/* One past the highest application address. */
#define USER_END ((uintptr_t)0x7FFFFFFF0000)

/* Linux without randomised addresses puts the stack in the last pages below 0x7FFFFFFFF000, where
 * Windows has none: those are answered for as what they are. */
static bool stack_is_in_user_space(void) {
    return (uintptr_t)__builtin_frame_address(0) < USER_END - 16 * MIB;
}

static void arguments(void) {
    MEMORY_BASIC_INFORMATION info[2];
    BYTE *base = reserve(NULL, PAGE);

    row("query_returns_size", sizeof *info, VirtualQuery(base, info, sizeof *info));
    row("query_size_is_48", 48, sizeof *info);
    memset(info, 0xEE, sizeof info);
    row("query_longer_buffer", sizeof *info, VirtualQuery(base, info, sizeof info));
    row("query_longer_buffer_untouched", 0xEE, *(BYTE *)&info[1]);

    memset(info, 0xEE, sizeof info);
    SetLastError(0);
    row("query_short_buffer", 0, VirtualQuery(base, info, sizeof *info - 1));
    row("query_short_buffer_err", ERROR_BAD_LENGTH, GetLastError());
    SetLastError(0);
    row("query_no_length", 0, VirtualQuery(base, info, 0));
    row("query_no_length_err", ERROR_BAD_LENGTH, GetLastError());
    row("query_short_buffer_untouched", 0xEE, *(BYTE *)info);
    SetLastError(0);
    row("query_null_buffer", 0, VirtualQuery(base, NULL, sizeof *info));
    row("query_null_buffer_err", ERROR_NOACCESS, GetLastError());
    SetLastError(0);
    row("query_null_buffer_no_length_err", 0, VirtualQuery(base, NULL, 0));
    row("query_short_wins_over_null", ERROR_BAD_LENGTH, GetLastError());

    row("query_kernel_half_err", ERROR_INVALID_PARAMETER,
        query_error((void *)(uintptr_t)0xFFFF800000000000));
    row("query_top_byte_err", ERROR_INVALID_PARAMETER, query_error((void *)UINTPTR_MAX));
    row("query_noncanonical_err", ERROR_INVALID_PARAMETER,
        query_error((void *)(uintptr_t)0x1000000000000));
    if (stack_is_in_user_space())
        row("query_user_end_err", ERROR_INVALID_PARAMETER, query_error((void *)USER_END));
    release(base);
}

static void runs(void) {
    BYTE *base = reserve(NULL, 16 * PAGE);
    commit(base + 4 * PAGE, 8 * PAGE, PAGE_READWRITE);
    MEMORY_BASIC_INFORMATION info = query(base + 6 * PAGE + 0x123);

    row("query_base_is_the_page", 6 * PAGE, offset_of(base, info.BaseAddress));
    row("query_run_counts_from_the_page", 6 * PAGE, info.RegionSize);
    row("query_allocation_base", 0, offset_of(base, info.AllocationBase));
    row("query_committed_state", MEM_COMMIT, info.State);
    row("query_committed_protect", PAGE_READWRITE, info.Protect);
    row("query_committed_type", MEM_PRIVATE, info.Type);
    row("query_committed_allocation_protect", PAGE_NOACCESS, info.AllocationProtect);

    info = query(base + PAGE);
    row("query_reserved_state", MEM_RESERVE, info.State);
    row("query_reserved_protect", 0, info.Protect);
    row("query_reserved_type", MEM_PRIVATE, info.Type);
    row("query_reserved_run", 3 * PAGE, info.RegionSize);
    row("query_reserved_allocation_protect", PAGE_NOACCESS, info.AllocationProtect);
    row("query_reserved_run_to_the_end", 4 * PAGE, run_of(base + 12 * PAGE));

    commit(base + 12 * PAGE, PAGE, PAGE_READWRITE);
    row("query_separate_commits_merge", 9 * PAGE, run_of(base + 4 * PAGE));
    base[8 * PAGE] = 1;
    row("query_touch_does_not_split", 9 * PAGE, run_of(base + 4 * PAGE));
    VirtualAlloc(base + 6 * PAGE, PAGE, MEM_RESET, PAGE_READWRITE);
    row("query_reset_does_not_split", 9 * PAGE, run_of(base + 4 * PAGE));
    commit(base + 6 * PAGE, PAGE, PAGE_READONLY);
    row("query_protection_splits", 2 * PAGE, run_of(base + 4 * PAGE));
    row("query_protection_splits_after", PAGE, run_of(base + 6 * PAGE));
    commit(base + 6 * PAGE, PAGE, PAGE_READWRITE);
    row("query_same_protection_joins", 9 * PAGE, run_of(base + 4 * PAGE));
    release(base);
}

static void neighbours(void) {
    BYTE *base = hole(4 * GRANULE);
    VirtualAlloc(base, GRANULE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    VirtualAlloc(base + GRANULE, GRANULE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    reserve(base + 3 * GRANULE, GRANULE);

    row("query_neighbours_do_not_merge", GRANULE, run_of(base));
    row("query_neighbour_base", GRANULE, offset_of(base, query(base + GRANULE).AllocationBase));
    row("query_free_run_to_next_allocation", GRANULE, run_of(base + 2 * GRANULE));
    row("query_free_run_from_the_page", GRANULE - 3 * PAGE,
        run_of(base + 2 * GRANULE + 3 * PAGE + 1));
    release(base);
    release(base + GRANULE);
    release(base + 3 * GRANULE);
}

static void free_memory(void) {
    MEMORY_BASIC_INFORMATION info = query(hole(GRANULE));
    row("query_free_state", MEM_FREE, info.State);
    row("query_free_allocation_base", 0, (uintptr_t)info.AllocationBase);
    row("query_free_allocation_protect", 0, info.AllocationProtect);
    row("query_free_protect", PAGE_NOACCESS, info.Protect);
    row("query_free_type", 0, info.Type);
    row("query_free_run_not_empty", true, info.RegionSize >= GRANULE);

    info = query(NULL);
    row("query_null_is_free", MEM_FREE, info.State);
    row("query_null_base", 0, (uintptr_t)info.BaseAddress);
    row("query_null_run_covers_first_granule", true, info.RegionSize >= GRANULE);
}

/* What the allocator did not allocate. */
static char static_data[2 * 0x1000] = {1};

static void foreign_memory(void) {
    char on_stack = 1;
    MEMORY_BASIC_INFORMATION info = query(&on_stack);
    row("query_stack_state", MEM_COMMIT, info.State);
    row("query_stack_protect", PAGE_READWRITE, info.Protect);
    row("query_stack_type", MEM_PRIVATE, info.Type);
    row("query_stack_has_base", true, info.AllocationBase != NULL);
    row("query_stack_base_is_the_page", (uintptr_t)&on_stack / PAGE * PAGE,
        (uintptr_t)info.BaseAddress);
    row("query_stack_run", true, info.RegionSize >= PAGE && info.RegionSize % PAGE == 0);

    static_data[PAGE] = 2;
    info = query(&static_data[PAGE]);
    row("query_static_state", MEM_COMMIT, info.State);
    row("query_static_type", MEM_IMAGE, info.Type);

    info = query((const void *)(uintptr_t)&foreign_memory);
    row("query_code_state", MEM_COMMIT, info.State);
    row("query_code_protect", PAGE_EXECUTE_READ, info.Protect);
    row("query_code_type", MEM_IMAGE, info.Type);
}

/* The walk that debuggers and runtimes do: every answer leads on to the next. */
static void whole_space(void) {
    uintptr_t address = 0, steps = 0;
    bool seen = false, ordered = true;
    BYTE *base = reserve(NULL, 3 * PAGE);
    MEMORY_BASIC_INFORMATION info;

    while (steps < 1000000 && VirtualQuery((void *)address, &info, sizeof info) != 0) {
        ordered = ordered && (uintptr_t)info.BaseAddress == address && info.RegionSize >= PAGE;
        seen = seen || (info.AllocationBase == base && info.RegionSize == 3 * PAGE);
        if (!ordered)
            break;
        address += info.RegionSize;
        steps++;
    }
    row("query_walk_is_gapless", true, ordered);
    row("query_walk_meets_reservation", true, seen);
    if (stack_is_in_user_space())
        row("query_walk_ends_at_user_end", USER_END, address);
    release(base);
}

int main(void) {
    arguments();
    runs();
    neighbours();
    free_memory();
    foreign_memory();
    whole_space();
    return contract_end();
}
