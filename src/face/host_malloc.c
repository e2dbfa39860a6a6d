/* SPDX-License-Identifier: MIT */
/*
 * host_malloc: IHostMalloc over a heap of its own.
 *
 * Easy to get wrong: the CLR frees NULL and looks at the result, so that is S_OK; it asks for the
 * last error after a failure, so every failure sets it; and the manager must outlive the heap, so
 * the object holds a reference on it, given up last. A heap needs no caller to be told about
 * threads: MALLOC_THREADSAFE is accepted, and what it promises holds without it.
 *
 * Edges. R() marks the releasing end, A() the acquiring end.
 *
 *   last-use   Release gives a reference up -> the Release that drops the last destroys
 */
#define CONST_VTABLE

#include "face/host_malloc.h"

#include "base/site.h"
#include "face/host_result.h"
#include "vm/range.h"

#include <moat/heap.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((int)MOAT_TASK_CRITICAL == (int)eTaskCritical &&
                   (int)MOAT_APPDOMAIN_CRITICAL == (int)eAppDomainCritical &&
                   (int)MOAT_PROCESS_CRITICAL == (int)eProcessCritical,
               "a level is handed on as it is");

#define CALL "CreateMalloc"

struct host_malloc {
    IHostMalloc face; /* first: a pointer to it is a pointer to the whole */
    atomic_uint_least32_t references;
    IHostMemoryManager *host;
    struct moat_manager *manager;
    struct moat_heap *heap;
};

static struct host_malloc *whole(IHostMalloc *face) {
    return (struct host_malloc *)face;
}

static ULONG STDMETHODCALLTYPE add_ref(IHostMalloc *This) {
    /* relaxed: who adds a reference holds one, so nothing has to become visible by it. */
    return (ULONG)atomic_fetch_add_explicit(&whole(This)->references, 1, memory_order_relaxed) + 1;
}

static ULONG STDMETHODCALLTYPE release(IHostMalloc *This) {
    struct host_malloc *object = whole(This);

    /* R(last-use) A(last-use) */
    ULONG left = (ULONG)atomic_fetch_sub_explicit(&object->references, 1, memory_order_acq_rel) - 1;
    if (left == 0) {
        IHostMemoryManager *host = object->host;
        struct moat_site_frame frame = moat_site_enter(MOAT_SITE_HERE);
        moat_heap_destroy(object->heap);
        moat_site_leave(frame);
        free(object);
        (void)host->lpVtbl->Release(host);
    }
    return left;
}

static HRESULT STDMETHODCALLTYPE query_interface(IHostMalloc *This, REFIID riid, void **ppvObject) {
    if (ppvObject == NULL)
        return E_POINTER;
    *ppvObject = NULL;
    if (riid == NULL)
        return E_POINTER;
    if (memcmp(riid, &IID_IUnknown, sizeof *riid) != 0 &&
        memcmp(riid, &IID_IHostMalloc, sizeof *riid) != 0)
        return E_NOINTERFACE;
    (void)add_ref(This);
    *ppvObject = This;
    return S_OK;
}

/* Alloc and DebugAlloc; without a file they are the same. */
static HRESULT allocate(IHostMalloc *This, SIZE_T size, EMemoryCriticalLevel level,
                        const char *file, int line, void **out) {
    struct host_malloc *object = whole(This);
    enum moat_critical_level before;

    if (out == NULL)
        return moat_host_refuse(E_POINTER, ERROR_NOACCESS);
    *out = NULL;
    enum moat_status status = moat_host_gate(object->manager, "Alloc");
    if (status != MOAT_OK)
        return moat_host_conclude(status);
    if (!moat_host_level(level, &before))
        return moat_host_conclude(MOAT_INVALID_ARGUMENT);
    status = moat_heap_alloc_debug(object->heap, size, file, line, out);
    (void)moat_set_critical_level(before);
    return moat_host_conclude(status);
}

static HRESULT STDMETHODCALLTYPE alloc(IHostMalloc *This, SIZE_T cbSize,
                                       EMemoryCriticalLevel eCriticalLevel, void **ppMem) {
    struct moat_site_frame frame = moat_site_enter(MOAT_SITE_HERE);
    HRESULT result = allocate(This, cbSize, eCriticalLevel, NULL, 0, ppMem);
    moat_site_leave(frame);
    return result;
}

static HRESULT STDMETHODCALLTYPE debug_alloc(IHostMalloc *This, SIZE_T cbSize,
                                             EMemoryCriticalLevel eCriticalLevel, char *pszFileName,
                                             int iLineNo, void **ppMem) {
    struct moat_site_frame frame = moat_site_enter(MOAT_SITE_HERE);
    HRESULT result = allocate(This, cbSize, eCriticalLevel, pszFileName, iLineNo, ppMem);
    moat_site_leave(frame);
    return result;
}

static HRESULT STDMETHODCALLTYPE free_block(IHostMalloc *This, void *pMem) {
    struct host_malloc *object = whole(This);

    struct moat_site_frame frame = moat_site_enter(MOAT_SITE_HERE);
    enum moat_status status = moat_host_gate(object->manager, "Free");
    if (status == MOAT_OK)
        status = moat_heap_free(object->heap, pMem);
    moat_site_leave(frame);
    return moat_host_conclude(status);
}

static const IHostMallocVtbl methods = {
    .QueryInterface = query_interface,
    .AddRef = add_ref,
    .Release = release,
    .Alloc = alloc,
    .DebugAlloc = debug_alloc,
    .Free = free_block,
};

enum moat_status moat_host_malloc_create(IHostMemoryManager *host, struct moat_manager *manager,
                                         DWORD type, IHostMalloc **out) {
    if (out == NULL)
        return MOAT_NO_ACCESS;
    *out = NULL;
    if (type & ~(DWORD)(MALLOC_THREADSAFE | MALLOC_EXECUTABLE))
        return moat_fail(MOAT_INVALID_ARGUMENT, CALL, 0, "no such type of heap");
    struct host_malloc *object = malloc(sizeof *object);
    if (object == NULL)
        return moat_fail(MOAT_NO_MEMORY, CALL, 0, "no memory for the object");
    enum moat_status status = moat_heap_create(
        manager, type & MALLOC_EXECUTABLE ? MOAT_HEAP_EXECUTABLE : 0, &object->heap);
    if (status != MOAT_OK) {
        free(object);
        return status;
    }
    object->face.lpVtbl = &methods;
    atomic_init(&object->references, 1);
    object->host = host;
    object->manager = manager;
    (void)host->lpVtbl->AddRef(host);
    *out = &object->face;
    return MOAT_OK;
}
