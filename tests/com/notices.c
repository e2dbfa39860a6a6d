/* SPDX-License-Identifier: MIT */
/*
 * notices: what a runtime says around the files it maps, and what it may rely on then.
 *
 * The runtime looks at the result of NeedsVirtualAddressSpace alone, and tries once more if that is
 * a success; so that one must not promise what is not there. Could fail by a free that takes the
 * runtime's own mapping, by a query that tells of another allocation, or by address space that
 * stays with the host.
 */
#define _GNU_SOURCE
#define COBJMACROS

#include "support/check.h"

#include <moat/moat.h>
#include <moat/win32.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE    ((SIZE_T)MOAT_PAGE_BYTES)
#define GRANULE ((SIZE_T)65536)
#define VIEW    (5 * PAGE)
#define GIB     ((SIZE_T)1 << 30)

static const HRESULT wrong_place = HRESULT_FROM_WIN32(ERROR_INVALID_ADDRESS);

static BYTE *map_view(int flags) {
    char name[] = "/tmp/moat-notices-XXXXXX";
    int file = mkstemp(name);
    void *view = MAP_FAILED;

    if (file >= 0 && unlink(name) == 0 && ftruncate(file, (off_t)VIEW) == 0)
        view = mmap(NULL, VIEW, PROT_READ | PROT_WRITE, flags, file, 0);
    if (view == MAP_FAILED) {
        perror("mapping a file");
        exit(1);
    }
    close(file);
    return view;
}

static MEMORY_BASIC_INFORMATION query(IHostMemoryManager *manager, const BYTE *address) {
    MEMORY_BASIC_INFORMATION info;
    SIZE_T written = 0;

    memset(&info, 0, sizeof info);
    check("a query", S_OK,
          IHostMemoryManager_VirtualQuery(manager, (void *)(uintptr_t)address, &info, sizeof info,
                                          &written));
    check("all of it", sizeof info, (intmax_t)written);
    return info;
}

static HRESULT acquired(IHostMemoryManager *manager, const BYTE *start, SIZE_T size) {
    return IHostMemoryManager_AcquiredVirtualAddressSpace(manager, (void *)(uintptr_t)start, size);
}

static HRESULT released(IHostMemoryManager *manager, const BYTE *start) {
    return IHostMemoryManager_ReleasedVirtualAddressSpace(manager, (void *)(uintptr_t)start);
}

static HRESULT needs(IHostMemoryManager *manager, const BYTE *start, SIZE_T size) {
    return IHostMemoryManager_NeedsVirtualAddressSpace(manager, (void *)(uintptr_t)start, size);
}

static void refused(const char *name, HRESULT expected, DWORD error, HRESULT result) {
    check(name, expected, result);
    check(name, error, GetLastError());
    SetLastError(0);
}

/* From MapViewOfFile to UnmapViewOfFile. */
static void life_of_a_view(IHostMemoryManager *manager, int flags, DWORD type) {
    BYTE *view = map_view(flags);
    DWORD old = 0;

    check("acquired", S_OK, acquired(manager, view, VIEW));
    MEMORY_BASIC_INFORMATION info = query(manager, view + PAGE);
    check("its start", 1, info.AllocationBase == view && info.BaseAddress == view + PAGE);
    check("its end", VIEW - PAGE, (intmax_t)info.RegionSize);
    check("it is committed", MEM_COMMIT, info.State);
    check("its type", type, info.Type);
    check("its protection", PAGE_READWRITE, info.Protect);

    check("protect in it", S_OK,
          IHostMemoryManager_VirtualProtect(manager, view, VIEW, PAGE_READONLY, &old));
    check("the old protection", PAGE_READWRITE, old);
    check("the new one", PAGE_READONLY, query(manager, view).Protect);
    refused("protect beyond it", wrong_place, ERROR_INVALID_ADDRESS,
            IHostMemoryManager_VirtualProtect(manager, view + PAGE, VIEW, PAGE_READWRITE, &old));

    refused("a release", HOST_E_INVALIDOPERATION, ERROR_INVALID_ADDRESS,
            IHostMemoryManager_VirtualFree(manager, view, 0, MEM_RELEASE));
    refused("a decommit", HOST_E_INVALIDOPERATION, ERROR_INVALID_ADDRESS,
            IHostMemoryManager_VirtualFree(manager, view, PAGE, MEM_DECOMMIT));
    check("it is still there", MEM_COMMIT, query(manager, view).State);

    check("unmapped", 0, munmap(view, VIEW));
    check("free before word of it comes", MEM_FREE, query(manager, view).State);
    check("released", S_OK, released(manager, view));
    refused("released twice", HOST_E_INVALIDOPERATION, ERROR_INVALID_ADDRESS,
            released(manager, view));
}

static void wrong_notices(IHostMemoryManager *manager) {
    BYTE *view = map_view(MAP_SHARED);
    void *region = NULL;

    check("a region", S_OK,
          IHostMemoryManager_VirtualAlloc(manager, NULL, GRANULE, MEM_RESERVE, PAGE_READWRITE,
                                          eTaskCritical, &region));
    refused("no size", E_INVALIDARG, ERROR_INVALID_PARAMETER, acquired(manager, view, 0));
    refused("too much", E_INVALIDARG, ERROR_INVALID_PARAMETER, acquired(manager, view, SIZE_MAX));
    refused("nowhere", E_INVALIDARG, ERROR_INVALID_PARAMETER, acquired(manager, NULL, PAGE));
    refused("half a page", E_INVALIDARG, ERROR_INVALID_PARAMETER, acquired(manager, view + 9, 9));
    refused("a region", wrong_place, ERROR_INVALID_ADDRESS, acquired(manager, region, PAGE));
    refused("released that is none", HOST_E_INVALIDOPERATION, ERROR_INVALID_ADDRESS,
            released(manager, region));
    refused("released nowhere", HOST_E_INVALIDOPERATION, ERROR_INVALID_ADDRESS,
            released(manager, NULL));
    check("the region is as it was", MEM_RESERVE, query(manager, region).State);

    check("acquired", S_OK, acquired(manager, view, VIEW));
    refused("released inside", HOST_E_INVALIDOPERATION, ERROR_INVALID_ADDRESS,
            released(manager, view + PAGE));
    munmap(view, VIEW);
    refused("what is not mapped", wrong_place, ERROR_INVALID_ADDRESS,
            acquired(manager, view, VIEW));
    check("released", S_OK, released(manager, view));
    check("freed", S_OK, IHostMemoryManager_VirtualFree(manager, region, 0, MEM_RELEASE));
}

static void two_managers(IHostMemoryManager *manager) {
    IHostMemoryManager *other = create_manager();
    BYTE *view = map_view(MAP_SHARED);

    check("acquired", S_OK, acquired(other, view, VIEW));
    refused("released by another", HOST_E_INVALIDOPERATION, ERROR_INVALID_ADDRESS,
            released(manager, view));
    check("query by another", 1, query(manager, view + PAGE).AllocationBase == view);
    memset(view, 'v', VIEW);
    check("the last reference", 0, (intmax_t)IHostMemoryManager_Release(other));
    check("the view outlives it", 'v', view[VIEW - 1]);
    refused("and is known no more", HOST_E_INVALIDOPERATION, ERROR_INVALID_ADDRESS,
            released(manager, view));
    munmap(view, VIEW);
}

static SIZE_T address_space(void) {
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (statm && fscanf(statm, "%lu", &pages) != 1)
        pages = 0;
    if (statm)
        fclose(statm);
    return pages * PAGE;
}

static void *map_file_of(SIZE_T size) {
    void *view = mmap(NULL, size, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return view == MAP_FAILED ? NULL : view;
}

/* A map fails, the host is asked, and the same map goes. In a process with little address space. */
static int need_in_a_small_process(IHostMemoryManager *manager) {
    struct rlimit limit;
    void *region = NULL;

    if (IHostMemoryManager_VirtualAlloc(manager, NULL, GRANULE, MEM_RESERVE, PAGE_READWRITE,
                                        eTaskCritical, &region) != S_OK ||
        getrlimit(RLIMIT_AS, &limit) != 0)
        return 1;
    limit.rlim_cur = address_space() + GIB / 2;
    if (setrlimit(RLIMIT_AS, &limit) != 0 || map_file_of(GIB) != NULL)
        return 2;
    if (needs(manager, NULL, GIB) != E_OUTOFMEMORY || GetLastError() != ERROR_NOT_ENOUGH_MEMORY)
        return 3; /* the region is in the way */
    if (IHostMemoryManager_VirtualFree(manager, region, 0, MEM_RELEASE) != S_OK)
        return 4;
    if (map_file_of(GIB) != NULL)
        return 5;
    if (needs(manager, NULL, GIB) != S_OK)
        return 6;
    void *view = map_file_of(GIB);
    if (view == NULL || acquired(manager, view, GIB) != S_OK)
        return 7;
    /* What is left will do for the host. */
    if (IHostMemoryManager_VirtualAlloc(manager, NULL, GRANULE, MEM_RESERVE | MEM_COMMIT,
                                        PAGE_READWRITE, eTaskCritical, &region) != S_OK)
        return 8;
    memset(region, 1, GRANULE);
    return IHostMemoryManager_VirtualFree(manager, region, 0, MEM_RELEASE) == S_OK ? 0 : 9;
}

static void a_need(IHostMemoryManager *manager) {
    int state = -1;

    check("what is there anyway", S_OK, needs(manager, NULL, GRANULE));
    refused("more than there is", E_OUTOFMEMORY, ERROR_NOT_ENOUGH_MEMORY,
            needs(manager, NULL, (SIZE_T)1 << 50));
    refused("beyond the end", E_INVALIDARG, ERROR_INVALID_PARAMETER,
            needs(manager, (BYTE *)(uintptr_t)GRANULE, SIZE_MAX));
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(need_in_a_small_process(manager));
    check("a process of its own", 1, child > 0 && waitpid(child, &state, 0) == child);
    check("a failed map goes after a need", 0, state);
    /* Nothing is held now: all there is goes, and then there is none. */
    (void)needs(manager, NULL, 0);
    refused("nothing is left", E_OUTOFMEMORY, ERROR_NOT_ENOUGH_MEMORY, needs(manager, NULL, 0));
}

int main(void) {
    IHostMemoryManager *manager = create_manager();

    life_of_a_view(manager, MAP_SHARED, MEM_MAPPED);
    life_of_a_view(manager, MAP_PRIVATE, MEM_IMAGE);
    wrong_notices(manager);
    two_managers(manager);
    a_need(manager);
    check("the last reference", 0, (intmax_t)IHostMemoryManager_Release(manager));
    return check_end();
}
