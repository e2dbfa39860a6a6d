/* SPDX-License-Identifier: MIT */
/*
 * contract_large: MEM_LARGE_PAGES. Most machines have no such pages, or no right to them: then only
 * the order of refusals can be seen.
 */
#include "support/contract.h"

#include <string.h>

#define LARGE (MEM_RESERVE | MEM_COMMIT | MEM_LARGE_PAGES)

static void refusals(void) {
    row("large_size_zero_err", ERROR_INVALID_PARAMETER,
        alloc_error(NULL, 0, LARGE, PAGE_READWRITE));
    row("large_range_err", ERROR_INVALID_PARAMETER,
        alloc_error((void *)(uintptr_t)0x7FFFFFFF0000, 2 * MIB, LARGE, PAGE_READWRITE));
    row("large_protection_err", ERROR_INVALID_PARAMETER, alloc_error(NULL, 2 * MIB, LARGE, 0));
    row("large_write_watch_err", ERROR_INVALID_PARAMETER,
        alloc_error(NULL, 2 * MIB, LARGE | MEM_WRITE_WATCH, PAGE_READWRITE));
}

static void without_pages(void) {
    row("large_right_before_alignment_err", ERROR_PRIVILEGE_NOT_HELD,
        alloc_error(NULL, PAGE, LARGE, PAGE_READWRITE));
}

static void with_pages(SIZE_T size) {
    BYTE *base = VirtualAlloc(NULL, size, LARGE, PAGE_READWRITE);
    row("large_aligned", 0, (uintptr_t)base % size);
    row("large_committed", MEM_COMMIT, state_of(base));
    row("large_run", size, run_of(base));
    row("large_zero", true, is_zero(base, size));
    memset(base, 0x3C, size);
    row("large_alignment_err", ERROR_INVALID_PARAMETER,
        alloc_error(NULL, size + PAGE, LARGE, PAGE_READWRITE));
    row("large_decommit_err", ERROR_INVALID_ADDRESS, free_error(base, PAGE, MEM_DECOMMIT));
    row("large_decommit_all_err", ERROR_INVALID_ADDRESS, free_error(base, 0, MEM_DECOMMIT));
    row("large_content_kept", 0x3C, base[size - 1]);
    row("large_release", 0, free_error(base, 0, MEM_RELEASE));
    row("large_released", MEM_FREE, state_of(base));
}

int main(void) {
    SIZE_T size = GetLargePageMinimum();
    DWORD error = alloc_error(NULL, size != 0 ? size : 2 * MIB, LARGE, PAGE_READWRITE);

    row("large_minimum", 0, size % (64 * 1024));
    refusals();
    if (error == ERROR_PRIVILEGE_NOT_HELD)
        without_pages();
    else if (error == 0)
        with_pages(size);
#ifdef _WIN32
    else if (error == ERROR_INVALID_PARAMETER)
        row_skip("large", "MEM_LARGE_PAGES is not known here");
#endif
    else
        row("large_err", ERROR_NO_SYSTEM_RESOURCES, error);
    return contract_end();
}
