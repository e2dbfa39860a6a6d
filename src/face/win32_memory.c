/* SPDX-License-Identifier: MIT */
/*
 * win32_memory: the rest of memoryapi.h. The newer of these functions return their error and leave
 * the last error alone.
 */
#include "base/error_text.h"
#include "base/site.h"
#include "os/os.h"
#include "vm/range.h"

#include <moat/moat.h>
#include <moat/residency.h>
#include <moat/win32.h>

static BOOL conclude(enum moat_status status) {
    if (status == MOAT_OK)
        return TRUE;
    moat_error_code_set(moat_status_describe(status)->win32_error);
    return FALSE;
}

static DWORD error_of(enum moat_status status) {
    return moat_status_describe(status)->win32_error;
}

BOOL WINAPI VirtualLock(LPVOID lpAddress, SIZE_T dwSize) {
    struct moat_site_frame frame = moat_site_enter(MOAT_SITE_HERE);
    enum moat_status status = moat_lock_pages(NULL, lpAddress, dwSize);
    moat_site_leave(frame);
    return conclude(status);
}

BOOL WINAPI VirtualUnlock(LPVOID lpAddress, SIZE_T dwSize) {
    struct moat_site_frame frame = moat_site_enter(MOAT_SITE_HERE);
    enum moat_status status = moat_unlock_pages(NULL, lpAddress, dwSize);
    moat_site_leave(frame);
    return conclude(status);
}

DWORD WINAPI DiscardVirtualMemory(PVOID VirtualAddress, SIZE_T Size) {
    struct moat_manager *manager;
    struct moat_site_frame frame = moat_site_enter(MOAT_SITE_HERE);
    enum moat_status status = moat_manager_default(&manager);
    if (status == MOAT_OK)
        status = moat_discard(manager, VirtualAddress, Size);
    moat_site_leave(frame);
    return error_of(status);
}

/* Whole, committed pages of one reservation. Who decommits them at this moment gets what he would
 * get a moment later. */
static enum moat_status check_pages(const char *call, const void *start, SIZE_T size) {
    uintptr_t at = (uintptr_t)start;
    struct moat_page_info info;
    struct moat_range range;

    if ((at | size) % MOAT_PAGE_SIZE != 0 || !moat_range_of(at, size, MOAT_OS_USER_END, &range))
        return moat_fail(MOAT_INVALID_ARGUMENT, call, at, "address and size must be whole pages");
    for (; at < range.end; at += info.size) {
        enum moat_status status = moat_query((const void *)at, &info);
        if (status != MOAT_OK)
            return status;
        if (info.state != MOAT_STATE_COMMITTED)
            return moat_fail(MOAT_INVALID_ADDRESS, call, at, "a page is not committed");
    }
    return MOAT_OK;
}

DWORD WINAPI OfferVirtualMemory(PVOID VirtualAddress, SIZE_T Size, OFFER_PRIORITY Priority) {
    static const char call[] = "OfferVirtualMemory";
    struct moat_manager *manager;

    if (Priority < VmOfferPriorityVeryLow || Priority > VmOfferPriorityNormal)
        return error_of(
            moat_fail(MOAT_INVALID_ARGUMENT, call, (uintptr_t)VirtualAddress, "no such priority"));
    struct moat_site_frame frame = moat_site_enter(MOAT_SITE_HERE);
    enum moat_status status = check_pages(call, VirtualAddress, Size);
    if (status == MOAT_OK)
        status = moat_manager_default(&manager);
    if (status == MOAT_OK)
        status = moat_reset(manager, VirtualAddress, Size, MOAT_PAGE_READWRITE, NULL);
    moat_site_leave(frame);
    return error_of(status);
}

DWORD WINAPI ReclaimVirtualMemory(const void *VirtualAddress, SIZE_T Size) {
    void *start = (void *)(uintptr_t)VirtualAddress;
    struct moat_manager *manager;

    struct moat_site_frame frame = moat_site_enter(MOAT_SITE_HERE);
    enum moat_status status = check_pages("ReclaimVirtualMemory", start, Size);
    if (status == MOAT_OK)
        status = moat_manager_default(&manager);
    if (status == MOAT_OK)
        status = moat_reset_undo(manager, start, Size, MOAT_PAGE_READWRITE, NULL);
    moat_site_leave(frame);
    return status == MOAT_CONTENT_LOST ? ERROR_BUSY : error_of(status);
}

SIZE_T WINAPI GetLargePageMinimum(VOID) {
    return moat_os_large_pages_exist() ? MOAT_OS_LARGE_PAGE : 0;
}

HANDLE WINAPI GetCurrentProcess(VOID) {
    return (HANDLE)(intptr_t)-1;
}

BOOL WINAPI FlushInstructionCache(HANDLE hProcess, LPCVOID lpBaseAddress, SIZE_T dwSize) {
    if (hProcess != GetCurrentProcess()) {
        moat_error_note("FlushInstructionCache", (uintptr_t)lpBaseAddress, "another process");
        moat_error_code_set(ERROR_INVALID_HANDLE);
        return FALSE;
    }
    if (lpBaseAddress != NULL && dwSize != 0)
        moat_os_flush_code(lpBaseAddress, dwSize);
    return TRUE;
}
