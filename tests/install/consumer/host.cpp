// SPDX-License-Identifier: MIT
//
// A host in C++: the hosting interface as the runtime sees it, and the Win32 names beside it.
#include <moat/mscoree.h>
#include <moat/win32.h>

int main() {
    IHostMemoryManager *manager = nullptr;
    if (moat_create_host_memory_manager(nullptr, &manager) != S_OK)
        return 1;
    void *base = nullptr;
    bool works = manager->VirtualAlloc(nullptr, 65536, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE,
                                       eTaskCritical, &base) == S_OK;
    works = works && manager->VirtualFree(base, 0, MEM_RELEASE) == S_OK;
    // The process-wide manager owns nothing here.
    works = works && !::VirtualFree(base, 0, MEM_RELEASE);
    return works && manager->Release() == 0 ? 0 : 1;
}
