/* SPDX-License-Identifier: MIT */
/*
 * contract_alloc2: extended parameters, address requirements, and what VirtualAlloc2 has in common
 * with VirtualAlloc.
 */
#include "support/alloc2.h"

#include <string.h>

static BYTE *maximum(void) {
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return info.lpMaximumApplicationAddress;
}

static DWORD with(uintptr_t lowest, uintptr_t highest, SIZE_T alignment, SIZE_T size) {
    const MEM_ADDRESS_REQUIREMENTS requirements = {(PVOID)lowest, (PVOID)highest, alignment};
    return alloc2_error(NULL, size, MEM_RESERVE, PAGE_NOACCESS, &requirements);
}

static void plain(void) {
    BYTE *base = alloc2(NULL, PAGE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, NULL);
    row("alloc2_plain", true, base != NULL && can_write(base));
    row("alloc2_plain_run", PAGE, run_of(base));
    row("alloc2_commit_again", 0, alloc2_error(base, PAGE, MEM_COMMIT, PAGE_READONLY, NULL));
    row("alloc2_commit_changes_protection", PAGE_READONLY, protect_of(base));
    release(base);
    row("alloc2_size_zero_err", ERROR_INVALID_PARAMETER,
        alloc2_error(NULL, 0, MEM_RESERVE, PAGE_NOACCESS, NULL));
    row("alloc2_type_zero_err", ERROR_INVALID_PARAMETER,
        alloc2_error(NULL, PAGE, 0, PAGE_NOACCESS, NULL));
    row("alloc2_prot_zero_err", ERROR_INVALID_PARAMETER,
        alloc2_error(NULL, PAGE, MEM_RESERVE, 0, NULL));
    const MEM_ADDRESS_REQUIREMENTS none = {NULL, NULL, 0};
    row("alloc2_no_requirements", 0, alloc2_error(NULL, PAGE, MEM_RESERVE, PAGE_NOACCESS, &none));
}

static DWORD of_type(BYTE type) {
    MEM_EXTENDED_PARAMETER parameter;
    memset(&parameter, 0, sizeof parameter);
    parameter.Type = type;
    SetLastError(0);
    BYTE *base = alloc2_with(NULL, PAGE, MEM_RESERVE, PAGE_NOACCESS, &parameter, 1);
    if (base == NULL)
        return GetLastError();
    release(base);
    return 0;
}

static void parameters(void) {
    MEM_ADDRESS_REQUIREMENTS none = {NULL, NULL, 0};
    MEM_EXTENDED_PARAMETER twice[2];

    row("alloc2_type_invalid_err", ERROR_INVALID_PARAMETER, of_type(0));
    row("alloc2_type_max_err", ERROR_INVALID_PARAMETER, of_type(MemExtendedParameterMax));
    memset(twice, 0, sizeof twice);
    twice[0].Type = MemExtendedParameterAddressRequirements;
    twice[0].Pointer = &none;
    twice[1] = twice[0];
    SetLastError(0);
    row("alloc2_twice_err", true,
        alloc2_with(NULL, PAGE, MEM_RESERVE, PAGE_NOACCESS, twice, 2) == NULL &&
            GetLastError() == ERROR_INVALID_PARAMETER);
    SetLastError(0);
    row("alloc2_null_parameters_err", true,
        alloc2_with(NULL, PAGE, MEM_RESERVE, PAGE_NOACCESS, NULL, 1) == NULL &&
            GetLastError() == ERROR_INVALID_PARAMETER);
}

static void requirements(void) {
    uintptr_t last = (uintptr_t)maximum();

    row("alloc2_alignment_small_err", ERROR_INVALID_PARAMETER, with(0, 0, 0x8000, PAGE));
    row("alloc2_alignment_odd_err", ERROR_INVALID_PARAMETER, with(0, 0, 0x30000, PAGE));
    row("alloc2_lowest_odd_err", ERROR_INVALID_PARAMETER, with(0x20001000, 0, 0, PAGE));
    row("alloc2_lowest_above_err", ERROR_INVALID_PARAMETER, with(last + 1, 0, 0, PAGE));
    row("alloc2_highest_inside_page_err", ERROR_INVALID_PARAMETER, with(0, 0x200007FF, 0, PAGE));
    row("alloc2_highest_not_last_err", ERROR_INVALID_PARAMETER, with(0, 0x20001001, 0, PAGE));
    row("alloc2_highest_above_err", ERROR_INVALID_PARAMETER, with(0, last + PAGE, 0, PAGE));
    row("alloc2_lowest_over_highest_err", ERROR_INVALID_PARAMETER,
        with(0x30000000, 0x20000FFF, 0, PAGE));
    row("alloc2_highest_maximum", 0, with(0, last, 0, GRANULE));
    row("alloc2_no_room_err", ERROR_NOT_ENOUGH_MEMORY, with(0, 0x20000FFF, 0x20000000, 2 * PAGE));

    for (SIZE_T alignment = GRANULE; alignment <= 16 * MIB; alignment *= 4) {
        const MEM_ADDRESS_REQUIREMENTS aligned = {NULL, NULL, alignment};
        BYTE *base = alloc2(NULL, PAGE, MEM_RESERVE, PAGE_NOACCESS, &aligned);
        row("alloc2_aligned", 0, (uintptr_t)base % alignment + (base == NULL));
        release(base);
    }

    const MEM_ADDRESS_REQUIREMENTS bounds = {(PVOID)0x20000000, (PVOID)0x5FFFFFFF, 0};
    for (int top_down = 0; top_down < 2; top_down++) {
        BYTE *base = alloc2(NULL, 5 * PAGE, MEM_RESERVE | (top_down ? MEM_TOP_DOWN : 0),
                            PAGE_NOACCESS, &bounds);
        row("alloc2_within", true,
            (uintptr_t)base >= 0x20000000 && (uintptr_t)base + 5 * PAGE - 1 <= 0x5FFFFFFF);
        row("alloc2_within_address_err", ERROR_INVALID_PARAMETER,
            alloc2_error(base, PAGE, MEM_COMMIT, PAGE_READWRITE, &bounds));
        release(base);
    }
}

int main(void) {
    if (!has_alloc2()) {
        row_skip("alloc2", "no VirtualAlloc2 here");
        return contract_end();
    }
    plain();
    parameters();
    requirements();
#ifdef MOAT_HAVE_VIRTUALALLOC2
    SetLastError(0);
    row("alloc2_other_process_err", ERROR_INVALID_HANDLE,
        VirtualAlloc2((HANDLE)77, NULL, PAGE, MEM_RESERVE, PAGE_NOACCESS, NULL, 0)
            ? 0
            : GetLastError());
    row("alloc2_no_process", true,
        VirtualAlloc2(NULL, NULL, PAGE, MEM_RESERVE, PAGE_NOACCESS, NULL, 0) != NULL);
    row("alloc2_numa_node", 0, of_type(MemExtendedParameterNumaNode));
    row("alloc2_null_requirements_err", ERROR_INVALID_PARAMETER,
        of_type(MemExtendedParameterAddressRequirements));
    row("alloc2_attributes_err", ERROR_INVALID_PARAMETER,
        of_type(MemExtendedParameterAttributeFlags));
#endif
    return contract_end();
}
