/* SPDX-License-Identifier: MIT */
/* alloc2: from kernelbase.dll on Windows, where import libraries may not have it yet. */
#include "alloc2.h"

#include <string.h>

typedef PVOID(WINAPI *function)(HANDLE, PVOID, SIZE_T, ULONG, ULONG, MEM_EXTENDED_PARAMETER *,
                                ULONG);

static function find(void) {
#ifdef _WIN32
    HMODULE library = GetModuleHandleA("kernelbase.dll");
    FARPROC found = library != NULL ? GetProcAddress(library, "VirtualAlloc2") : NULL;
    function result;
    memcpy(&result, &found, sizeof result);
    return result;
#else
    return VirtualAlloc2;
#endif
}

bool has_alloc2(void) {
    return find() != NULL;
}

bool has_placeholders(void) {
    if (!has_alloc2())
        return false;
    BYTE *base = alloc2(NULL, GRANULE, MEM_RESERVE | MEM_RESERVE_PLACEHOLDER, PAGE_NOACCESS, NULL);
    if (base == NULL)
        return false;
    release(base);
    return true;
}

BYTE *alloc2_with(const void *address, SIZE_T size, DWORD type, DWORD protection,
                  MEM_EXTENDED_PARAMETER *parameters, ULONG count) {
    return find()(GetCurrentProcess(), (PVOID)(uintptr_t)address, size, type, protection,
                  parameters, count);
}

BYTE *alloc2(const void *address, SIZE_T size, DWORD type, DWORD protection,
             const MEM_ADDRESS_REQUIREMENTS *requirements) {
    MEM_EXTENDED_PARAMETER parameter;
    MEM_ADDRESS_REQUIREMENTS copy;

    if (requirements == NULL)
        return alloc2_with(address, size, type, protection, NULL, 0);
    copy = *requirements;
    memset(&parameter, 0, sizeof parameter);
    parameter.Type = MemExtendedParameterAddressRequirements;
    parameter.Pointer = &copy;
    return alloc2_with(address, size, type, protection, &parameter, 1);
}

DWORD alloc2_error(const void *address, SIZE_T size, DWORD type, DWORD protection,
                   const MEM_ADDRESS_REQUIREMENTS *requirements) {
    SetLastError(0);
    BYTE *base = alloc2(address, size, type, protection, requirements);
    if (base == NULL)
        return GetLastError();
    if (address == NULL)
        release(base);
    return 0;
}
