/* SPDX-License-Identifier: MIT */
/*
 * malloc: CreateMalloc and the object it makes: identity, references, whose block it is, and the
 * code of every refusal.
 *
 * Could fail by a heap that outlives its manager or dies with it too early, by one heap freeing
 * what another holds, by success that is not S_OK, or by *ppMem left as it was.
 */
#define COBJMACROS

#include "support/check.h"

#include <moat/lock.h>
#include <moat/moat.h>
#include <moat/quota.h>
#include <moat/win32.h>

#include <string.h>

/* Not a result of anything here: what a variable holds that was never set. */
#define UNSET ((void *)0xDEAD)

static IHostMalloc *create_malloc(IHostMemoryManager *manager, DWORD type) {
    IHostMalloc *heap = NULL;
    check("CreateMalloc", S_OK, IHostMemoryManager_CreateMalloc(manager, type, &heap));
    check("CreateMalloc gives one", 1, heap != NULL);
    return heap;
}

static BYTE *must_alloc(IHostMalloc *heap, SIZE_T size) {
    void *memory = UNSET;
    check("Alloc", S_OK, IHostMalloc_Alloc(heap, size, eTaskCritical, &memory));
    check("aligned", 0, (intmax_t)((uintptr_t)memory % 16));
    memset(memory, 0x5A, size);
    return memory;
}

static DWORD state_of(const void *address) {
    MEMORY_BASIC_INFORMATION info;
    return VirtualQuery(address, &info, sizeof info) != 0 ? info.State : 0;
}

static void arguments(IHostMemoryManager *manager) {
    IHostMalloc *heap = UNSET;
    check("CreateMalloc without a pointer", E_POINTER,
          IHostMemoryManager_CreateMalloc(manager, MALLOC_THREADSAFE, NULL));
    check("its last error", ERROR_NOACCESS, (intmax_t)GetLastError());
    check("an unknown type", E_INVALIDARG, IHostMemoryManager_CreateMalloc(manager, 4, &heap));
    check("clears", 1, heap == NULL);
    check("its last error", ERROR_INVALID_PARAMETER, (intmax_t)GetLastError());
    for (DWORD type = 0; type < 4; type++) {
        heap = create_malloc(manager, type);
        check("a last release", 0, (intmax_t)IHostMalloc_Release(heap));
    }
}

static void identity(IHostMemoryManager *manager) {
    IHostMalloc *heap = create_malloc(manager, MALLOC_THREADSAFE);
    void *got = NULL, *unknown = NULL;

    check("query for IHostMalloc", S_OK, IHostMalloc_QueryInterface(heap, &IID_IHostMalloc, &got));
    check("query for IUnknown", S_OK, IHostMalloc_QueryInterface(heap, &IID_IUnknown, &unknown));
    check("one identity", 1, got == heap && unknown == heap);
    check("references are counted", 4, (intmax_t)IHostMalloc_AddRef(heap));
    (void)IHostMalloc_Release(heap);
    (void)IHostMalloc_Release(heap);
    check("references of both queries", 1, (intmax_t)IHostMalloc_Release(heap));
    got = UNSET;
    check("query for another interface", E_NOINTERFACE,
          IHostMalloc_QueryInterface(heap, &IID_IHostMemoryManager, &got));
    check("its out-pointer is NULL", 1, got == NULL);
    check("query without an out-pointer", E_POINTER,
          IHostMalloc_QueryInterface(heap, &IID_IUnknown, NULL));
    check("query without an interface", E_POINTER, IHostMalloc_QueryInterface(heap, NULL, &got));
    check("the last release", 0, (intmax_t)IHostMalloc_Release(heap));
}

/* Slot numbers are written out: this is what the CLR does. */
static void slots(IHostMemoryManager *manager) {
    typedef ULONG (*count_method)(void *);
    typedef HRESULT (*create_method)(void *, DWORD, void **);
    typedef HRESULT (*alloc_method)(void *, SIZE_T, int, void **);
    typedef HRESULT (*debug_method)(void *, SIZE_T, int, char *, int, void **);
    typedef HRESULT (*free_method)(void *, void *);
    char file[] = "slots.c";
    void *heap = NULL, *one = NULL, *other = NULL;

    check("slot 3 creates", S_OK, ((create_method)method(manager, 3))(manager, 1, &heap));
    check("slot 3 allocates", S_OK, ((alloc_method)method(heap, 3))(heap, 100, 0, &one));
    check("slot 4 allocates", S_OK, ((debug_method)method(heap, 4))(heap, 100, 2, file, 7, &other));
    check("two blocks", 1, one != other && one != NULL && other != NULL);
    check("slot 5 frees", S_OK, ((free_method)method(heap, 5))(heap, one));
    check("slot 5 frees", S_OK, ((free_method)method(heap, 5))(heap, other));
    check("slot 1 adds", 2, (intmax_t)((count_method)method(heap, 1))(heap));
    check("slot 2 releases", 1, (intmax_t)((count_method)method(heap, 2))(heap));
    check("slot 2 releases", 0, (intmax_t)((count_method)method(heap, 2))(heap));
}

static void alloc_refused(const char *name, IHostMalloc *heap, SIZE_T size, int level,
                          HRESULT expected, DWORD error) {
    char file[] = "refused.c";
    void *memory = UNSET;
    SetLastError(0);
    check(name, expected, IHostMalloc_Alloc(heap, size, (EMemoryCriticalLevel)level, &memory));
    check(name, 1, memory == NULL);
    check(name, (intmax_t)error, (intmax_t)GetLastError());
    memory = UNSET;
    SetLastError(0);
    check(name, expected,
          IHostMalloc_DebugAlloc(heap, size, (EMemoryCriticalLevel)level, file, 1, &memory));
    check(name, 1, memory == NULL);
    check(name, (intmax_t)error, (intmax_t)GetLastError());
}

static void free_refused(const char *name, IHostMalloc *heap, const void *address) {
    SetLastError(0);
    check(name, HOST_E_INVALIDOPERATION, IHostMalloc_Free(heap, (void *)(uintptr_t)address));
    check(name, ERROR_INVALID_ADDRESS, (intmax_t)GetLastError());
}

static void refusals(IHostMemoryManager *manager) {
    IHostMalloc *heap = create_malloc(manager, MALLOC_THREADSAFE);
    IHostMalloc *other = create_malloc(manager, MALLOC_THREADSAFE);
    BYTE *block = must_alloc(heap, 100), *large = must_alloc(heap, 100000);
    void *region = NULL;

    alloc_refused("more than user space", heap, SIZE_MAX, eProcessCritical, E_OUTOFMEMORY,
                  ERROR_NOT_ENOUGH_MEMORY);
    alloc_refused("more than there is", heap, (SIZE_T)1 << 46, eTaskCritical, E_OUTOFMEMORY,
                  ERROR_NOT_ENOUGH_MEMORY);
    alloc_refused("no such level", heap, 1, 3, E_INVALIDARG, ERROR_INVALID_PARAMETER);
    alloc_refused("no such level", heap, 1, -1, E_INVALIDARG, ERROR_INVALID_PARAMETER);
    check("Alloc without a pointer", E_POINTER, IHostMalloc_Alloc(heap, 1, eTaskCritical, NULL));
    check("its last error", ERROR_NOACCESS, (intmax_t)GetLastError());
    check("DebugAlloc without a pointer", E_POINTER,
          IHostMalloc_DebugAlloc(heap, 1, eTaskCritical, NULL, 0, NULL));

    check("Free of NULL", S_OK, IHostMalloc_Free(heap, NULL));
    free_refused("inside a block", heap, block + 16);
    free_refused("inside a large block", heap, large + 16);
    free_refused("a stack", heap, &region);
    free_refused("unmapped", heap, (void *)0x10000);
    free_refused("another heap's", other, block);
    free_refused("another heap's", other, large);
    check("VirtualAlloc", S_OK,
          IHostMemoryManager_VirtualAlloc(manager, NULL, 65536, MEM_RESERVE | MEM_COMMIT,
                                          PAGE_READWRITE, eTaskCritical, &region));
    free_refused("a region", heap, region);
    check("VirtualFree of a block", HOST_E_INVALIDOPERATION,
          IHostMemoryManager_VirtualFree(manager, block, 0, MEM_RELEASE));
    check("VirtualFree of a large block", HOST_E_INVALIDOPERATION,
          IHostMemoryManager_VirtualFree(manager, large, 0, MEM_RELEASE));
    check("VirtualFree", S_OK, IHostMemoryManager_VirtualFree(manager, region, 0, MEM_RELEASE));

    check("nothing of that touched it", 1, block[0] == 0x5A && block[99] == 0x5A);
    check("Free", S_OK, IHostMalloc_Free(heap, block));
    free_refused("a second time", heap, block);
    check("Free", S_OK, IHostMalloc_Free(heap, large));
    free_refused("a second time", heap, large);
    check("the last release", 0, (intmax_t)IHostMalloc_Release(other));
    check("the last release", 0, (intmax_t)IHostMalloc_Release(heap));
}

/* What is live is freed with the last Release, and the manager lives until then. */
static void last_release(void) {
    IHostMemoryManager *manager = create_manager();
    IHostMalloc *heap = create_malloc(manager, MALLOC_THREADSAFE);
    BYTE *large = must_alloc(heap, 1000000), *small = must_alloc(heap, 10);

    check("a heap holds its manager", 1, (intmax_t)IHostMemoryManager_Release(manager));
    check("and goes on", S_OK, IHostMalloc_Free(heap, must_alloc(heap, 5000)));
    check("held", MEM_COMMIT, state_of(large));
    check("held", MEM_COMMIT, state_of(small));
    check("the last release", 0, (intmax_t)IHostMalloc_Release(heap));
    check("given back", MEM_FREE, state_of(large));
    check("given back", MEM_FREE, state_of(small));
}

static void executable(IHostMemoryManager *manager) {
    IHostMalloc *heap = create_malloc(manager, MALLOC_THREADSAFE | MALLOC_EXECUTABLE);
    BYTE *block = must_alloc(heap, 16);
    MEMORY_BASIC_INFORMATION info;
    check("query", sizeof info, (intmax_t)VirtualQuery(block, &info, sizeof info));
    check("protection", PAGE_EXECUTE_READWRITE, (intmax_t)info.Protect);
#ifdef __x86_64__
    static const BYTE instructions[] = {0x8D, 0x47, 0x01, 0xC3}; /* lea eax, [rdi + 1]; ret */
    union {
        BYTE *bytes;
        int (*call)(int);
    } function = {block};
    memcpy(block, instructions, sizeof instructions);
    check("it runs", 42, function.call(41));
#endif
    check("what is live goes with the heap", 0, (intmax_t)IHostMalloc_Release(heap));
}

/* The reserve of the quota is for critical requests. */
static void critical_levels(void) {
    struct moat_options options;
    IHostMemoryManager *manager = NULL;
    void *memory = NULL;

    moat_options_init(&options);
    options.quota_bytes = 8 << 20;
    options.reserve_bytes = 4 << 20;
    check("create", S_OK, moat_create_host_memory_manager(&options, &manager));
    IHostMalloc *heap = create_malloc(manager, MALLOC_THREADSAFE);
    check("up to the reserve", S_OK, IHostMalloc_Alloc(heap, 4 << 20, eTaskCritical, &memory));
    alloc_refused("past it", heap, 1 << 20, eTaskCritical, E_OUTOFMEMORY, ERROR_COMMITMENT_LIMIT);
    check("half of it", S_OK, IHostMalloc_Alloc(heap, 2 << 20, eAppDomainCritical, &memory));
    alloc_refused("past it", heap, 1 << 20, eAppDomainCritical, E_OUTOFMEMORY,
                  ERROR_COMMITMENT_LIMIT);
    check("all of it", S_OK, IHostMalloc_Alloc(heap, 2 << 20, eProcessCritical, &memory));
    alloc_refused("past it", heap, 1, eProcessCritical, E_OUTOFMEMORY, ERROR_COMMITMENT_LIMIT);
    check("the level was of the call", MOAT_TASK_CRITICAL,
          moat_set_critical_level(MOAT_TASK_CRITICAL));
    check("the last release", 0, (intmax_t)IHostMalloc_Release(heap));
    check("the last release", 0, (intmax_t)IHostMemoryManager_Release(manager));
}

/* While the runtime is declared gone nothing is served; what is held stays, and can be given up. */
static void unavailable(void) {
    IHostMemoryManager *manager = create_manager();
    IHostMalloc *heap = create_malloc(manager, MALLOC_THREADSAFE), *other = UNSET;
    BYTE *block = must_alloc(heap, 100000);
    struct moat_manager *native = moat_host_native_manager(manager);

    check("unloaded", MOAT_OK, moat_set_runtime_state(native, MOAT_RUNTIME_UNLOADED));
    alloc_refused("Alloc", heap, 10, eProcessCritical, HOST_E_CLRNOTAVAILABLE,
                  ERROR_INTERNAL_ERROR);
    check("Free", HOST_E_CLRNOTAVAILABLE, IHostMalloc_Free(heap, block));
    check("its last error", ERROR_INTERNAL_ERROR, (intmax_t)GetLastError());
    check("Free of NULL", HOST_E_CLRNOTAVAILABLE, IHostMalloc_Free(heap, NULL));
    check("CreateMalloc", HOST_E_CLRNOTAVAILABLE,
          IHostMemoryManager_CreateMalloc(manager, MALLOC_THREADSAFE, &other));
    check("clears", 1, other == NULL);
    check("untouched", 0x5A, block[99999]);
    check("back again", MOAT_OK, moat_set_runtime_state(native, MOAT_RUNTIME_AVAILABLE));
    check("Free", S_OK, IHostMalloc_Free(heap, block));
    block = must_alloc(heap, 100000);
    check("unloaded", MOAT_OK, moat_set_runtime_state(native, MOAT_RUNTIME_UNLOADED));
    check("the manager is held", 1, (intmax_t)IHostMemoryManager_Release(manager));
    check("the last release", 0, (intmax_t)IHostMalloc_Release(heap));
    check("given back", MEM_FREE, state_of(block));
}

int main(void) {
    IHostMemoryManager *manager = create_manager();

    arguments(manager);
    identity(manager);
    slots(manager);
    refusals(manager);
    executable(manager);
    last_release();
    critical_levels();
    unavailable();
    check("no heap is left", 0, (intmax_t)IHostMemoryManager_Release(manager));
    return check_end();
}
