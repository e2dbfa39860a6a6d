/* SPDX-License-Identifier: MIT */
/*
 * contract_system: GetSystemInfo and the last error.
 *
 * Could fail by a last error that is shared between threads or cleared by success.
 */
#include "support/contract.h"

static void machine(void) {
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    row("system_page_size", PAGE, info.dwPageSize);
    row("system_granularity", GRANULE, info.dwAllocationGranularity);
    row("system_lowest_address", 0x10000, (uintptr_t)info.lpMinimumApplicationAddress);
    row("system_highest_address", 0x7FFFFFFEFFFF, (uintptr_t)info.lpMaximumApplicationAddress);
    row("system_has_processors", true, info.dwNumberOfProcessors >= 1);
    row("system_mask_has_first", 1, info.dwActiveProcessorMask & 1);
    row("system_info_size", 48, sizeof info);
}

static void other_thread(void *seen) {
    DWORD *error = seen;
    *error = GetLastError();
    SetLastError(77);
}

static void last_error(void) {
    DWORD old, seen = 1;

    SetLastError(12345);
    row("last_error_is_what_was_set", 12345, GetLastError());
    SetLastError(0xFFFFFFFF);
    row("last_error_any_value", 0xFFFFFFFF, GetLastError());

    SetLastError(4242);
    BYTE *base = VirtualAlloc(NULL, PAGE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    row("last_error_kept_by_alloc", 4242, GetLastError());
    VirtualProtect(base, PAGE, PAGE_READONLY, &old);
    row("last_error_kept_by_protect", 4242, GetLastError());
    query(base);
    row("last_error_kept_by_query", 4242, GetLastError());
    VirtualFree(base, PAGE, MEM_DECOMMIT);
    row("last_error_kept_by_decommit", 4242, GetLastError());
    release(base);
    row("last_error_kept_by_release", 4242, GetLastError());

    row("last_error_set_by_alloc", 0, (uintptr_t)VirtualAlloc(NULL, 0, MEM_RESERVE, PAGE_READONLY));
    row("last_error_of_alloc", ERROR_INVALID_PARAMETER, GetLastError());

    SetLastError(4242);
    run_threads(1, NULL, other_thread, &seen, 0);
    row("last_error_fresh_thread", 0, seen);
    row("last_error_own_thread", 4242, GetLastError());
}

int main(void) {
    machine();
    last_error();
    return contract_end();
}
