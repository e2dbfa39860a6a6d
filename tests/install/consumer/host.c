/* SPDX-License-Identifier: MIT */
/*
 * A host in C: Win32 code that compiles unchanged, and the native API beside it.
 */
#include <moat/moat.h>
#include <moat/win32.h>

#include <string.h>

static int win32_works(void) {
    char *text = (char *)VirtualAlloc(NULL, 65536, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    if (!text)
        return 0;
    strcpy(text, "moat");
    MEMORY_BASIC_INFORMATION info;
    return VirtualQuery(text, &info, sizeof info) == sizeof info && info.State == MEM_COMMIT &&
           VirtualFree(text, 0, MEM_RELEASE) && !VirtualFree(text, 0, MEM_RELEASE) &&
           GetLastError() == ERROR_INVALID_ADDRESS;
}

static int native_works(void) {
    struct moat_manager *manager;
    void *base;
    if (moat_manager_create(NULL, &manager))
        return 0;
    int works =
        !moat_reserve(manager, NULL, 65536, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT, &base) &&
        !moat_release(manager, base);
    moat_manager_destroy(manager);
    return works;
}

int main(void) {
    return win32_works() && native_works() ? 0 : 1;
}
