/* SPDX-License-Identifier: MIT */
/*
 * win32: VirtualAlloc and its family on the manager of the process, and the thread's last error.
 */
#include "face/win32_calls.h"

#include "base/error_text.h"
#include "base/site.h"
#include "os/os.h"
#include "vm/misuse.h"

#include <moat/win32.h>

#define ADDRESS_LOWEST  ((uintptr_t)0x10000)
#define ADDRESS_HIGHEST ((uintptr_t)0x7FFFFFFEFFFF)

/* Whether the call succeeded; if not, its error is the thread's last. */
static BOOL conclude(enum moat_status status) {
    if (status == MOAT_OK)
        return TRUE;
    moat_error_code_set(moat_status_describe(status)->win32_error);
    return FALSE;
}

LPVOID WINAPI VirtualAlloc(LPVOID lpAddress, SIZE_T dwSize, DWORD flAllocationType,
                           DWORD flProtect) {
    struct moat_manager *manager;
    void *start = NULL;

    struct moat_site_frame frame = moat_site_enter(MOAT_SITE_HERE);
    enum moat_status status = moat_manager_default(&manager);
    if (status == MOAT_OK)
        status = moat_win32_alloc(manager, lpAddress, dwSize, flAllocationType, flProtect, &start);
    moat_site_leave(frame);
    return conclude(status) ? start : NULL;
}

/* Natively such an address is merely not ours; Win32 calls it a bad argument. */
static enum moat_status refuse_address(const struct moat_manager *manager, const void *address,
                                       size_t size) {
    struct moat_refusal refusal = {
        .call = "VirtualFree",
        .address = (uintptr_t)address,
        .size = size,
        .manager = manager,
        .status = MOAT_INVALID_ARGUMENT,
        .kind = MOAT_FOUND_FOREIGN,
    };
    return moat_misuse_refuse(manager ? moat_manager_options(manager) : NULL, &refusal);
}

BOOL WINAPI VirtualFree(LPVOID lpAddress, SIZE_T dwSize, DWORD dwFreeType) {
    struct moat_manager *manager;

    struct moat_site_frame frame = moat_site_enter(MOAT_SITE_HERE);
    enum moat_status status = moat_manager_default(&manager);
    if ((uintptr_t)lpAddress > ADDRESS_HIGHEST)
        status = refuse_address(manager, lpAddress, dwSize);
    else if (status == MOAT_OK)
        status = moat_win32_free(manager, lpAddress, dwSize, dwFreeType);
    moat_site_leave(frame);
    return conclude(status);
}

SIZE_T WINAPI VirtualQuery(LPCVOID lpAddress, PMEMORY_BASIC_INFORMATION lpBuffer, SIZE_T dwLength) {
    size_t written;

    (void)conclude(moat_win32_query(lpAddress, lpBuffer, dwLength, &written));
    return written;
}

BOOL WINAPI VirtualProtect(LPVOID lpAddress, SIZE_T dwSize, DWORD flNewProtect,
                           PDWORD lpflOldProtect) {
    struct moat_manager *manager;

    struct moat_site_frame frame = moat_site_enter(MOAT_SITE_HERE);
    enum moat_status status = moat_manager_default(&manager);
    if (status == MOAT_OK)
        status = moat_win32_protect(manager, lpAddress, dwSize, flNewProtect, lpflOldProtect);
    moat_site_leave(frame);
    return conclude(status);
}

DWORD WINAPI GetLastError(VOID) {
    return moat_error_code();
}

VOID WINAPI SetLastError(DWORD dwErrCode) {
    moat_error_code_set(dwErrCode);
}

static WORD architecture(void) {
#if defined(__x86_64__)
    return PROCESSOR_ARCHITECTURE_AMD64;
#elif defined(__aarch64__)
    return PROCESSOR_ARCHITECTURE_ARM64;
#else
    return PROCESSOR_ARCHITECTURE_UNKNOWN;
#endif
}

VOID WINAPI GetSystemInfo(LPSYSTEM_INFO lpSystemInfo) {
    DWORD processors = moat_os_processor_count();
    const DWORD mask_bits = sizeof(DWORD_PTR) * 8;

    *lpSystemInfo = (SYSTEM_INFO){
        .dwPageSize = (DWORD)MOAT_PAGE_SIZE,
        .lpMinimumApplicationAddress = (LPVOID)ADDRESS_LOWEST,
        .lpMaximumApplicationAddress = (LPVOID)ADDRESS_HIGHEST,
        .dwActiveProcessorMask =
            processors < mask_bits ? ((DWORD_PTR)1 << processors) - 1 : ~(DWORD_PTR)0,
        .dwNumberOfProcessors = processors,
        .dwAllocationGranularity = (DWORD)MOAT_GRANULARITY,
    };
    lpSystemInfo->wProcessorArchitecture = architecture();
    if (lpSystemInfo->wProcessorArchitecture == PROCESSOR_ARCHITECTURE_AMD64)
        lpSystemInfo->dwProcessorType = 8664;
}
