/* SPDX-License-Identifier: MIT */
/* win32_numa: VirtualAlloc with a node, and how many of those there are. */
#include "face/win32_calls.h"

#include "base/error_text.h"
#include "base/site.h"

#include <moat/numa.h>
#include <moat/win32.h>

_Static_assert(NUMA_NO_PREFERRED_NODE == MOAT_WIN32_NO_NODE, "a node is passed on as it is");

LPVOID WINAPI VirtualAllocExNuma(HANDLE hProcess, LPVOID lpAddress, SIZE_T dwSize,
                                 DWORD flAllocationType, DWORD flProtect, DWORD nndPreferred) {
    struct moat_manager *manager;
    void *start = NULL;

    if (hProcess != GetCurrentProcess()) {
        moat_error_note("VirtualAllocExNuma", (uintptr_t)lpAddress, "another process");
        moat_error_code_set(ERROR_INVALID_HANDLE);
        return NULL;
    }
    struct moat_site_frame frame = moat_site_enter(MOAT_SITE_HERE);
    enum moat_status status = moat_manager_default(&manager);
    if (status == MOAT_OK)
        status = moat_win32_alloc_near(manager, lpAddress, dwSize, flAllocationType, flProtect,
                                       nndPreferred, &start);
    moat_site_leave(frame);
    if (status == MOAT_OK)
        return start;
    moat_error_code_set(moat_status_describe(status)->win32_error);
    return NULL;
}

BOOL WINAPI GetNumaHighestNodeNumber(PULONG HighestNodeNumber) {
    uint64_t nodes;

    if (HighestNodeNumber == NULL) {
        moat_error_note("GetNumaHighestNodeNumber", 0, "HighestNodeNumber is NULL");
        moat_error_code_set(ERROR_NOACCESS);
        return FALSE;
    }
    if (moat_numa_nodes(&nodes) != MOAT_OK)
        return FALSE;
    ULONG highest = 0;
    while (nodes >>= 1)
        highest++;
    *HighestNodeNumber = highest;
    return TRUE;
}
