/* SPDX-License-Identifier: MIT */
/*
 * host: IHostMemoryManager over a moat_manager of its own.
 *
 * Easy to get wrong: the CLR takes S_FALSE for a failure, reads *pResult without having set it, and
 * asks GetLastError after a failed call, so every path here answers exactly S_OK or sets all three.
 * Only VirtualFree asks whose memory it is; the CLR queries and protects memory that no host gave.
 *
 * Edges. R() marks the releasing end, A() the acquiring end.
 *
 *   last-reference   Release gives a reference up -> the Release that drops the last destroys
 */
#define CONST_VTABLE

#include "face/host_pressure.h"
#include "face/win32_calls.h"

#include <moat/mscoree.h>
#include <moat/win32.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

const IID IID_IUnknown = {0, 0, 0, {0xC0, 0, 0, 0, 0, 0, 0, 0x46}};
const IID IID_IHostMemoryManager = {
    0x7BC698D1, 0xF9E3, 0x4460, {0x9C, 0xDE, 0xD0, 0x42, 0x48, 0xE9, 0xFA, 0x25}};
const IID IID_IHostMalloc = {
    0x1831991C, 0xCC53, 0x4A31, {0xB2, 0x18, 0x04, 0xE9, 0x10, 0x44, 0x64, 0x79}};
const IID IID_ICLRMemoryNotificationCallback = {
    0x47EB8E57, 0x0846, 0x4546, {0xAF, 0x76, 0x6F, 0x42, 0xFC, 0xFC, 0x26, 0x49}};

struct host_manager {
    IHostMemoryManager face; /* first: a pointer to it is a pointer to the whole */
    atomic_uint_least32_t references;
    struct moat_manager *manager;
};

static struct host_manager *whole(IHostMemoryManager *face) {
    return (struct host_manager *)face;
}

/* The result of a call, whose Win32 error becomes the thread's last if it failed. */
static HRESULT conclude(enum moat_status status) {
    const struct moat_status_info *info = moat_status_describe(status);

    if (status != MOAT_OK)
        SetLastError(info->win32_error);
    return (HRESULT)info->hresult;
}

static HRESULT refuse(HRESULT result, DWORD error) {
    SetLastError(error);
    return result;
}

/* The methods that come with a later version. */
static HRESULT not_implemented(void) {
    return refuse(E_NOTIMPL, ERROR_NOT_SUPPORTED);
}

static ULONG STDMETHODCALLTYPE add_ref(IHostMemoryManager *This) {
    /* relaxed: who adds a reference holds one, so nothing has to become visible by it. */
    return (ULONG)atomic_fetch_add_explicit(&whole(This)->references, 1, memory_order_relaxed) + 1;
}

static ULONG STDMETHODCALLTYPE release(IHostMemoryManager *This) {
    struct host_manager *host = whole(This);

    /* R(last-reference) A(last-reference) */
    ULONG left = (ULONG)atomic_fetch_sub_explicit(&host->references, 1, memory_order_acq_rel) - 1;
    if (left == 0) {
        moat_manager_destroy(host->manager);
        free(host);
    }
    return left;
}

static HRESULT STDMETHODCALLTYPE query_interface(IHostMemoryManager *This, REFIID riid,
                                                 void **ppvObject) {
    if (ppvObject == NULL)
        return E_POINTER;
    *ppvObject = NULL;
    if (riid == NULL)
        return E_POINTER;
    if (memcmp(riid, &IID_IUnknown, sizeof *riid) != 0 &&
        memcmp(riid, &IID_IHostMemoryManager, sizeof *riid) != 0)
        return E_NOINTERFACE;
    (void)add_ref(This);
    *ppvObject = This;
    return S_OK;
}

static HRESULT STDMETHODCALLTYPE create_malloc(IHostMemoryManager *This, DWORD dwMallocType,
                                               IHostMalloc **ppMalloc) {
    (void)This;
    (void)dwMallocType;
    if (ppMalloc == NULL)
        return refuse(E_POINTER, ERROR_NOACCESS);
    *ppMalloc = NULL;
    return not_implemented();
}

static HRESULT STDMETHODCALLTYPE virtual_alloc(IHostMemoryManager *This, void *pAddress,
                                               SIZE_T dwSize, DWORD flAllocationType,
                                               DWORD flProtect, EMemoryCriticalLevel eCriticalLevel,
                                               void **ppMem) {
    (void)eCriticalLevel;
    if (ppMem == NULL)
        return refuse(E_POINTER, ERROR_NOACCESS);
    return conclude(moat_win32_alloc(whole(This)->manager, pAddress, dwSize, flAllocationType,
                                     flProtect, ppMem));
}

static HRESULT STDMETHODCALLTYPE virtual_free(IHostMemoryManager *This, LPVOID lpAddress,
                                              SIZE_T dwSize, DWORD dwFreeType) {
    return conclude(moat_win32_free(whole(This)->manager, lpAddress, dwSize, dwFreeType));
}

static HRESULT STDMETHODCALLTYPE virtual_query(IHostMemoryManager *This, void *lpAddress,
                                               void *lpBuffer, SIZE_T dwLength, SIZE_T *pResult) {
    (void)This;
    if (pResult == NULL)
        return refuse(E_POINTER, ERROR_NOACCESS);
    return conclude(moat_win32_query(lpAddress, lpBuffer, dwLength, pResult));
}

static HRESULT STDMETHODCALLTYPE virtual_protect(IHostMemoryManager *This, void *lpAddress,
                                                 SIZE_T dwSize, DWORD flNewProtect,
                                                 DWORD *pflOldProtect) {
    (void)This;
    return conclude(moat_win32_protect(lpAddress, dwSize, flNewProtect, pflOldProtect));
}

static HRESULT STDMETHODCALLTYPE get_memory_load(IHostMemoryManager *This, DWORD *pMemoryLoad,
                                                 SIZE_T *pAvailableBytes) {
    return conclude(moat_host_memory_load(whole(This)->manager, pMemoryLoad, pAvailableBytes));
}

static HRESULT STDMETHODCALLTYPE register_memory_notification_callback(
    IHostMemoryManager *This, ICLRMemoryNotificationCallback *pCallback) {
    return conclude(moat_host_notify(whole(This)->manager, pCallback));
}

/* NeedsVirtualAddressSpace and AcquiredVirtualAddressSpace. */
static HRESULT STDMETHODCALLTYPE ignore_range(IHostMemoryManager *This, LPVOID startAddress,
                                              SIZE_T size) {
    (void)This;
    (void)startAddress;
    (void)size;
    return not_implemented();
}

static HRESULT STDMETHODCALLTYPE released_virtual_address_space(IHostMemoryManager *This,
                                                                LPVOID startAddress) {
    (void)This;
    (void)startAddress;
    return not_implemented();
}

static const IHostMemoryManagerVtbl methods = {
    .QueryInterface = query_interface,
    .AddRef = add_ref,
    .Release = release,
    .CreateMalloc = create_malloc,
    .VirtualAlloc = virtual_alloc,
    .VirtualFree = virtual_free,
    .VirtualQuery = virtual_query,
    .VirtualProtect = virtual_protect,
    .GetMemoryLoad = get_memory_load,
    .RegisterMemoryNotificationCallback = register_memory_notification_callback,
    .NeedsVirtualAddressSpace = ignore_range,
    .AcquiredVirtualAddressSpace = ignore_range,
    .ReleasedVirtualAddressSpace = released_virtual_address_space,
};

HRESULT moat_create_host_memory_manager(const struct moat_options *options,
                                        IHostMemoryManager **out) {
    if (out == NULL)
        return refuse(E_POINTER, ERROR_NOACCESS);
    *out = NULL;

    struct host_manager *host = malloc(sizeof *host);
    if (host == NULL)
        return conclude(MOAT_NO_MEMORY);
    enum moat_status status = moat_manager_create(options, &host->manager);
    if (status != MOAT_OK) {
        free(host);
        return conclude(status);
    }
    host->face.lpVtbl = &methods;
    atomic_init(&host->references, 1);
    *out = &host->face;
    return S_OK;
}
