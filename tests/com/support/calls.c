/* SPDX-License-Identifier: MIT */
/* calls: of every method, right and wrong in each way there is. Where several ways lead to one
 * result, all are tried, and the first other result is what comes out. */
#define _GNU_SOURCE
#include "scenes.h"

#include <stdint.h>
#include <ucontext.h>

HRESULT create_malloc(void) {
    IHostMalloc *made;
    return host->lpVtbl->CreateMalloc(host, MALLOC_THREADSAFE | MALLOC_EXECUTABLE, &made);
}

HRESULT create_malloc_null(void) {
    return host->lpVtbl->CreateMalloc(host, MALLOC_THREADSAFE, NULL);
}

HRESULT create_malloc_bits(void) {
    IHostMalloc *made;
    return host->lpVtbl->CreateMalloc(host, 4, &made);
}

static HRESULT alloc(void *address, SIZE_T size, DWORD type, DWORD protection) {
    void *memory;
    return host->lpVtbl->VirtualAlloc(host, address, size, type, protection, eTaskCritical,
                                      &memory);
}

HRESULT commit(void) {
    return alloc(region, PAGE, MEM_COMMIT, PAGE_READWRITE);
}

HRESULT commit_more(void) {
    return alloc(NULL, 1 << 20, MEM_COMMIT, PAGE_READWRITE);
}

HRESULT commit_readonly(void) {
    return alloc(region, REGION, MEM_COMMIT, PAGE_READONLY);
}

HRESULT alloc_null(void) {
    return host->lpVtbl->VirtualAlloc(host, NULL, PAGE, MEM_COMMIT, PAGE_READWRITE, eTaskCritical,
                                      NULL);
}

HRESULT alloc_invalid(void) {
    void *memory;
    HRESULT result = alloc(NULL, 0, MEM_COMMIT, PAGE_READWRITE);
    if (result == E_INVALIDARG)
        result = alloc(NULL, PAGE, MEM_COMMIT | MEM_RELEASE, PAGE_READWRITE);
    if (result == E_INVALIDARG)
        result = alloc(NULL, PAGE, MEM_COMMIT, 0);
    if (result == E_INVALIDARG)
        result = host->lpVtbl->VirtualAlloc(host, NULL, PAGE, MEM_COMMIT, PAGE_READWRITE,
                                            (EMemoryCriticalLevel)3, &memory);
    return result;
}

HRESULT reserve_over(void) {
    return alloc(region, PAGE, MEM_RESERVE, PAGE_READWRITE);
}

HRESULT alloc_large_pages(void) {
    const DWORD type = MEM_RESERVE | MEM_COMMIT | MEM_LARGE_PAGES;
    return alloc(NULL, GetLargePageMinimum() + (2 << 20), type, PAGE_READWRITE);
}

/* Pages that were never written cannot be told from pages that the kernel has dropped. */
HRESULT undo_too_late(void) {
    must(alloc(region, PAGE, MEM_RESET, PAGE_READWRITE) == S_OK, "a reset");
    return alloc(region, PAGE, MEM_RESET_UNDO, PAGE_READWRITE);
}

HRESULT undo_without_access(void) {
    must(alloc(region, PAGE, MEM_COMMIT, PAGE_NOACCESS) == S_OK, "a page without access");
    return alloc(region, PAGE, MEM_RESET_UNDO, PAGE_READWRITE);
}

static HRESULT free_memory(void *address, SIZE_T size, DWORD type) {
    return host->lpVtbl->VirtualFree(host, address, size, type);
}

HRESULT release(void) {
    return free_memory(region, 0, MEM_RELEASE);
}

HRESULT release_twice(void) {
    must(release() == S_OK, "the first release");
    return release();
}

HRESULT release_of_another(void) {
    IHostMemoryManager *other;
    must(moat_create_host_memory_manager(NULL, &other) == S_OK, "another manager");
    return free_memory(allocated(other), 0, MEM_RELEASE);
}

HRESULT release_adopted(void) {
    HRESULT result = free_memory(mapping, 0, MEM_RELEASE);
    if (result == HOST_E_INVALIDOPERATION)
        result = free_memory((void *)((uintptr_t)block & ~(uintptr_t)0xFFFF), 0, MEM_RELEASE);
    if (result == HOST_E_INVALIDOPERATION)
        result = free_memory(block, PAGE, MEM_DECOMMIT);
    return result;
}

HRESULT decommit(void) {
    return free_memory(region, REGION, MEM_DECOMMIT);
}

HRESULT decommit_inside(void) {
    return free_memory(region + PAGE, 0, MEM_DECOMMIT);
}

HRESULT decommit_middle(void) {
    return free_memory(region + 8 * PAGE, PAGE, MEM_DECOMMIT);
}

HRESULT free_invalid(void) {
    HRESULT result = free_memory(region, 0, 0);
    if (result == E_INVALIDARG)
        result = free_memory(region, REGION, MEM_RELEASE);
    if (result == E_INVALIDARG)
        result = free_memory(region, REGION + 1, MEM_DECOMMIT);
    return result;
}

HRESULT free_null(void) {
    HRESULT result = free_memory(NULL, 0, MEM_RELEASE);
    if (result == HOST_E_INVALIDOPERATION)
        result = free_memory(region + PAGE, 0, MEM_RELEASE);
    if (result == HOST_E_INVALIDOPERATION)
        result = free_memory(&host, 0, MEM_RELEASE);
    return result;
}

static HRESULT query_with(void *address, void *buffer, SIZE_T length, SIZE_T *written) {
    return host->lpVtbl->VirtualQuery(host, address, buffer, length, written);
}

HRESULT query(void) {
    MEMORY_BASIC_INFORMATION info;
    SIZE_T written;
    HRESULT result = query_with(&info, &info, sizeof info, &written);
    return result == S_OK ? query_with(region, &info, sizeof info, &written) : result;
}

HRESULT query_null(void) {
    MEMORY_BASIC_INFORMATION info;
    SIZE_T written;
    HRESULT result = query_with(region, &info, sizeof info, NULL);
    return result == E_POINTER ? query_with(region, NULL, sizeof info, &written) : result;
}

HRESULT query_above(void) {
    MEMORY_BASIC_INFORMATION info;
    SIZE_T written;
    return query_with((void *)UINTPTR_MAX, &info, sizeof info, &written);
}

HRESULT query_short(void) {
    MEMORY_BASIC_INFORMATION info;
    SIZE_T written;
    return query_with(region, &info, sizeof info - 1, &written);
}

static HRESULT protect_with(void *address, SIZE_T size, DWORD protection) {
    DWORD old;
    return host->lpVtbl->VirtualProtect(host, address, size, protection, &old);
}

HRESULT protect(void) {
    HRESULT result = protect_with(mapping, PAGE, PAGE_READONLY);
    return result == S_OK ? protect_with(region, REGION, PAGE_READONLY) : result;
}

HRESULT protect_null(void) {
    return host->lpVtbl->VirtualProtect(host, region, PAGE, PAGE_READONLY, NULL);
}

HRESULT protect_invalid(void) {
    HRESULT result = protect_with(region, PAGE, 0);
    return result == E_INVALIDARG ? protect_with(region, 0, PAGE_READONLY) : result;
}

HRESULT protect_free(void) {
    must(decommit() == S_OK, "a decommit");
    HRESULT result = protect_with(region, PAGE, PAGE_READONLY);
    if (result == WIN32_487)
        result = protect_with((void *)0x10000, PAGE, PAGE_READONLY);
    return result == WIN32_487 ? protect_with(block, 1, PAGE_READONLY) : result;
}

HRESULT protect_middle(void) {
    return protect_with(region + 8 * PAGE, PAGE, PAGE_READONLY);
}

HRESULT alloc_code(void) {
    HRESULT result = alloc(NULL, PAGE, MEM_RESERVE, PAGE_EXECUTE_READWRITE);
    return result == WIN32_1655 ? alloc(region, PAGE, MEM_COMMIT, PAGE_EXECUTE_READ) : result;
}

HRESULT protect_code(void) {
    return protect_with(region, PAGE, PAGE_EXECUTE_READ);
}

/* A call on another stack, and what came of it. */
static struct {
    ucontext_t caller, callee;
    HRESULT (*call)(void);
    HRESULT result;
} apart;

static void answer(void) {
    apart.result = apart.call();
}

/* Call with the stack of this thread in `size` bytes of memory. */
static HRESULT on_stack(void *memory, size_t size, HRESULT (*call)(void)) {
    apart.call = call;
    must(getcontext(&apart.callee) == 0, "a context");
    apart.callee.uc_stack = (stack_t){.ss_sp = memory, .ss_size = size};
    apart.callee.uc_link = &apart.caller;
    makecontext(&apart.callee, answer, 0);
    must(swapcontext(&apart.caller, &apart.callee) == 0, "another stack");
    return apart.result;
}

HRESULT free_own_stack(void) {
    return on_stack(region, REGION, release);
}

HRESULT heap_free_own_stack(void) {
    must(heap->lpVtbl->Alloc(heap, LARGE, eTaskCritical, &block) == S_OK, "a large block");
    char *start = (char *)(((uintptr_t)block + PAGE - 1) & ~(uintptr_t)(PAGE - 1));
    return on_stack(start, LARGE - 2 * PAGE, heap_free);
}

HRESULT memory_load(void) {
    DWORD load = 101;
    SIZE_T available = 0;
    HRESULT result = host->lpVtbl->GetMemoryLoad(host, &load, &available);
    must(result != S_OK || (load <= 100 && available > 0), "figures that can be true");
    return result;
}

HRESULT memory_load_null(void) {
    DWORD load;
    SIZE_T available;
    HRESULT result = host->lpVtbl->GetMemoryLoad(host, NULL, &available);
    return result == E_POINTER ? host->lpVtbl->GetMemoryLoad(host, &load, NULL) : result;
}

static ULONG STDMETHODCALLTYPE count(ICLRMemoryNotificationCallback *This) {
    (void)This;
    return 1;
}

static HRESULT STDMETHODCALLTYPE notify(ICLRMemoryNotificationCallback *This,
                                        EMemoryAvailable available) {
    (void)This;
    (void)available;
    return S_OK;
}

HRESULT register_callback(void) {
    static struct ICLRMemoryNotificationCallbackVtbl table = {
        .AddRef = count, .Release = count, .OnMemoryNotification = notify};
    static ICLRMemoryNotificationCallback callback = {&table};
    HRESULT result = host->lpVtbl->RegisterMemoryNotificationCallback(host, &callback);
    return result == S_OK ? host->lpVtbl->RegisterMemoryNotificationCallback(host, NULL) : result;
}

HRESULT needs(void) {
    return host->lpVtbl->NeedsVirtualAddressSpace(host, NULL, REGION);
}

HRESULT needs_too_much(void) {
    /* What there was to give back is gone with the first. */
    (void)host->lpVtbl->NeedsVirtualAddressSpace(host, NULL, 0);
    return host->lpVtbl->NeedsVirtualAddressSpace(host, NULL, (SIZE_T)1 << 62);
}

HRESULT needs_outside(void) {
    return host->lpVtbl->NeedsVirtualAddressSpace(host, mapping, SIZE_MAX / 2);
}

HRESULT acquired(void) {
    return host->lpVtbl->AcquiredVirtualAddressSpace(host, mapping, PAGE);
}

HRESULT acquired_nothing(void) {
    HRESULT result = host->lpVtbl->AcquiredVirtualAddressSpace(host, mapping, 0);
    if (result == E_INVALIDARG)
        result = host->lpVtbl->AcquiredVirtualAddressSpace(host, mapping, SIZE_MAX);
    if (result == E_INVALIDARG)
        result = host->lpVtbl->AcquiredVirtualAddressSpace(host, mapping + 1, PAGE);
    return result;
}

HRESULT acquired_region(void) {
    HRESULT result = host->lpVtbl->AcquiredVirtualAddressSpace(host, region, PAGE);
    if (result == WIN32_487)
        result = host->lpVtbl->AcquiredVirtualAddressSpace(host, (void *)0x10000, PAGE);
    return result;
}

HRESULT released(void) {
    return host->lpVtbl->ReleasedVirtualAddressSpace(host, mapping);
}

HRESULT released_unknown(void) {
    HRESULT result = host->lpVtbl->ReleasedVirtualAddressSpace(host, region);
    if (result == HOST_E_INVALIDOPERATION)
        result = host->lpVtbl->ReleasedVirtualAddressSpace(host, mapping + PAGE);
    return result;
}

static char source[] = "scenes.c";

static HRESULT alloc_block(SIZE_T size, EMemoryCriticalLevel level) {
    void *memory;
    return heap->lpVtbl->Alloc(heap, size, level, &memory);
}

static HRESULT debug_alloc_block(SIZE_T size, EMemoryCriticalLevel level) {
    void *memory;
    return heap->lpVtbl->DebugAlloc(heap, size, level, source, 7, &memory);
}

HRESULT heap_alloc(void) {
    HRESULT result = alloc_block(0, eTaskCritical);
    return result == S_OK ? alloc_block(LARGE, eProcessCritical) : result;
}

HRESULT heap_alloc_null(void) {
    return heap->lpVtbl->Alloc(heap, 1, eTaskCritical, NULL);
}

HRESULT heap_alloc_level(void) {
    return alloc_block(1, (EMemoryCriticalLevel)3);
}

HRESULT heap_alloc_large(void) {
    return alloc_block(LARGE, eProcessCritical);
}

HRESULT heap_debug_alloc(void) {
    HRESULT result = debug_alloc_block(0, eTaskCritical);
    return result == S_OK ? debug_alloc_block(LARGE, eProcessCritical) : result;
}

HRESULT heap_debug_alloc_null(void) {
    return heap->lpVtbl->DebugAlloc(heap, 1, eTaskCritical, source, 7, NULL);
}

HRESULT heap_debug_alloc_level(void) {
    return debug_alloc_block(1, (EMemoryCriticalLevel)3);
}

HRESULT heap_debug_alloc_large(void) {
    return debug_alloc_block(LARGE, eProcessCritical);
}

HRESULT heap_free(void) {
    return heap->lpVtbl->Free(heap, block);
}

HRESULT heap_free_null(void) {
    return heap->lpVtbl->Free(heap, NULL);
}

HRESULT heap_free_foreign(void) {
    IHostMalloc *other;
    void *foreign;
    must(host->lpVtbl->CreateMalloc(host, MALLOC_THREADSAFE, &other) == S_OK, "another heap");
    must(other->lpVtbl->Alloc(other, 100, eTaskCritical, &foreign) == S_OK, "its block");
    void *const wrong[] = {foreign, (char *)block + 1, (char *)block + 16, region,
                           &host,   (void *)1};
    HRESULT result = HOST_E_INVALIDOPERATION;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0] && result == HOST_E_INVALIDOPERATION; i++)
        result = heap->lpVtbl->Free(heap, wrong[i]);
    return result;
}

HRESULT heap_free_twice(void) {
    must(heap_free() == S_OK, "the first Free");
    return heap_free();
}
