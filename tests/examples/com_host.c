/* SPDX-License-Identifier: MIT */
/*
 * com_host: both sides of the hosting interface. The host makes a memory manager with a quota and
 * hands it to a runtime, which knows nothing of Moat: it sees an IHostMemoryManager, lives within
 * what that gives, asks for the reserve when it must, and registers to hear when memory is low.
 */
#include "support/must.h"

#include <moat/mscoree.h>
#include <moat/win32.h>

#include <stdatomic.h>
#include <string.h>

enum { MIB = 1 << 20, QUOTA = 8 * MIB, KEPT = 2 * MIB };

static void succeeds(HRESULT result, const char *what) {
    must(result == S_OK, what);
}

/* What a runtime implements for the host: an object with one method of its own. */
struct listener {
    ICLRMemoryNotificationCallback face; /* first: the interface is the object's address */
    atomic_ulong references;
    atomic_uint notices;
};

static HRESULT STDMETHODCALLTYPE ask(ICLRMemoryNotificationCallback *This, REFIID wanted,
                                     void **object) {
    bool known = memcmp(wanted, &IID_IUnknown, sizeof *wanted) == 0 ||
                 memcmp(wanted, &IID_ICLRMemoryNotificationCallback, sizeof *wanted) == 0;
    *object = known ? This : NULL;
    if (known)
        This->lpVtbl->AddRef(This);
    return known ? S_OK : E_NOINTERFACE;
}

static ULONG STDMETHODCALLTYPE take(ICLRMemoryNotificationCallback *This) {
    return (ULONG)atomic_fetch_add(&((struct listener *)This)->references, 1) + 1;
}

static ULONG STDMETHODCALLTYPE drop(ICLRMemoryNotificationCallback *This) {
    return (ULONG)atomic_fetch_sub(&((struct listener *)This)->references, 1) - 1;
}

/* In a thread of the host's. A collector would shrink its heap here, or note that it should. */
static HRESULT STDMETHODCALLTYPE hear(ICLRMemoryNotificationCallback *This,
                                      EMemoryAvailable available) {
    (void)available;
    atomic_fetch_add(&((struct listener *)This)->notices, 1);
    return S_OK;
}

static ICLRMemoryNotificationCallbackVtbl methods = {ask, take, drop, hear};
static struct listener listener = {.face = {&methods}, .references = 1};

static void use_pages(IHostMemoryManager *memory) {
    IHostMemoryManagerVtbl *calls = memory->lpVtbl;
    MEMORY_BASIC_INFORMATION info;
    SIZE_T size;
    void *heap, *page;

    succeeds(calls->VirtualAlloc(memory, NULL, 16 * MIB, MEM_RESERVE, PAGE_READWRITE, eTaskCritical,
                                 &heap),
             "reserve more than may be committed: that is only address space");
    succeeds(calls->VirtualAlloc(memory, heap, QUOTA - KEPT, MEM_COMMIT, PAGE_READWRITE,
                                 eTaskCritical, &page),
             "commit all that a task may have");
    memset(heap, 42, QUOTA - KEPT);
    void *next = (char *)heap + QUOTA - KEPT;
    must(calls->VirtualAlloc(memory, next, MIB, MEM_COMMIT, PAGE_READWRITE, eTaskCritical, &page) ==
             E_OUTOFMEMORY,
         "a task that wants more is refused");
    succeeds(
        calls->VirtualAlloc(memory, next, MIB, MEM_COMMIT, PAGE_READWRITE, eProcessCritical, &page),
        "the runtime itself may have what is kept");
    succeeds(calls->VirtualQuery(memory, heap, &info, sizeof info, &size), "query");
    must(info.State == MEM_COMMIT && info.RegionSize == QUOTA - KEPT + MIB, "it knows both");
    succeeds(calls->VirtualFree(memory, heap, 0, MEM_RELEASE), "release");
    must(calls->VirtualFree(memory, heap, 0, MEM_RELEASE) == HOST_E_INVALIDOPERATION,
         "a second release is refused, and nothing is touched");
}

static void use_heap(IHostMemoryManager *memory) {
    char file[] = __FILE__;
    IHostMalloc *heap;
    void *block, *noted;

    succeeds(memory->lpVtbl->CreateMalloc(memory, MALLOC_THREADSAFE, &heap), "a heap");
    succeeds(heap->lpVtbl->Alloc(heap, 100, eTaskCritical, &block), "a block");
    succeeds(heap->lpVtbl->DebugAlloc(heap, 100, eTaskCritical, file, __LINE__, &noted), "another");
    must(heap->lpVtbl->Free(heap, &heap) == HOST_E_INVALIDOPERATION, "the stack is not a block");
    succeeds(heap->lpVtbl->Free(heap, block), "free");
    must(heap->lpVtbl->Free(heap, block) == HOST_E_INVALIDOPERATION, "a second free is refused");
    must(heap->lpVtbl->Release(heap) == 0, "the heap goes, with the block that was forgotten");
}

static void run(IHostMemoryManager *memory) {
    succeeds(memory->lpVtbl->RegisterMemoryNotificationCallback(memory, &listener.face), "listen");
    must(atomic_load(&listener.references) == 2, "the host holds the listener");
    use_pages(memory);
    use_heap(memory);
    succeeds(memory->lpVtbl->RegisterMemoryNotificationCallback(memory, NULL), "listen no longer");
    must(atomic_load(&listener.references) == 1, "and gives it back");
}

int main(void) {
    struct moat_options options;
    struct moat_stats stats;
    IHostMemoryManager *memory;

    moat_options_init(&options);
    options.quota_bytes = QUOTA;
    options.reserve_bytes = KEPT;
    succeeds(moat_create_host_memory_manager(&options, &memory), "create");
    run(memory);
    must(moat_stats_read(moat_host_native_manager(memory), &stats) == MOAT_OK, "stats");
    must(stats.regions_live == 0 && stats.bytes_committed == 0, "the runtime gave everything back");
    printf("%u regions came and went; the quota refused %u commits, misuse %u frees; %u notices\n",
           (unsigned)stats.reserves, (unsigned)stats.quota_refusals, (unsigned)stats.refused,
           atomic_load(&listener.notices));
    must(stats.quota_refusals > 0 && stats.refused > 0, "what was refused is counted");
    must(memory->lpVtbl->Release(memory) == 0, "nobody holds the manager");
    return 0;
}
