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

#include "base/site.h"
#include "face/host_malloc.h"
#include "face/host_pressure.h"
#include "face/host_result.h"
#include "face/win32_calls.h"
#include "vm/range.h"

#include <moat/mscoree.h>
#include <moat/space.h>
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

static enum moat_status gate(IHostMemoryManager *This, const char *method) {
    return moat_host_gate(whole(This)->manager, method);
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
        struct moat_site_frame frame = moat_site_enter(MOAT_SITE_HERE);
        moat_manager_destroy(host->manager);
        moat_site_leave(frame);
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
    if (ppMalloc == NULL)
        return moat_host_refuse(E_POINTER, ERROR_NOACCESS);
    *ppMalloc = NULL;
    enum moat_status status = gate(This, "CreateMalloc");
    if (status == MOAT_OK)
        status = moat_host_malloc_create(This, whole(This)->manager, dwMallocType, ppMalloc);
    return moat_host_conclude(status);
}

static HRESULT STDMETHODCALLTYPE virtual_alloc(IHostMemoryManager *This, void *pAddress,
                                               SIZE_T dwSize, DWORD flAllocationType,
                                               DWORD flProtect, EMemoryCriticalLevel eCriticalLevel,
                                               void **ppMem) {
    enum moat_critical_level before;

    if (ppMem == NULL)
        return moat_host_refuse(E_POINTER, ERROR_NOACCESS);
    *ppMem = NULL;
    enum moat_status status = gate(This, "VirtualAlloc");
    if (status != MOAT_OK)
        return moat_host_conclude(status);
    if (!moat_host_level(eCriticalLevel, &before))
        return moat_host_conclude(MOAT_INVALID_ARGUMENT);
    struct moat_site_frame frame = moat_site_enter(MOAT_SITE_HERE);
    status = moat_win32_alloc(whole(This)->manager, pAddress, dwSize, flAllocationType, flProtect,
                              ppMem);
    moat_site_leave(frame);
    (void)moat_set_critical_level(before);
    return moat_host_conclude(status);
}

static HRESULT STDMETHODCALLTYPE virtual_free(IHostMemoryManager *This, LPVOID lpAddress,
                                              SIZE_T dwSize, DWORD dwFreeType) {
    struct moat_site_frame frame = moat_site_enter(MOAT_SITE_HERE);
    enum moat_status status = gate(This, "VirtualFree");
    if (status == MOAT_OK)
        status = moat_win32_free(whole(This)->manager, lpAddress, dwSize, dwFreeType);
    moat_site_leave(frame);
    return moat_host_conclude(status);
}

static HRESULT STDMETHODCALLTYPE virtual_query(IHostMemoryManager *This, void *lpAddress,
                                               void *lpBuffer, SIZE_T dwLength, SIZE_T *pResult) {
    if (pResult == NULL)
        return moat_host_refuse(E_POINTER, ERROR_NOACCESS);
    *pResult = 0;
    enum moat_status status = gate(This, "VirtualQuery");
    if (status == MOAT_OK)
        status = moat_win32_query(lpAddress, lpBuffer, dwLength, pResult);
    return moat_host_conclude(status);
}

static HRESULT STDMETHODCALLTYPE virtual_protect(IHostMemoryManager *This, void *lpAddress,
                                                 SIZE_T dwSize, DWORD flNewProtect,
                                                 DWORD *pflOldProtect) {
    struct moat_site_frame frame = moat_site_enter(MOAT_SITE_HERE);
    enum moat_status status = gate(This, "VirtualProtect");
    if (status == MOAT_OK)
        status = moat_win32_protect(whole(This)->manager, lpAddress, dwSize, flNewProtect,
                                    pflOldProtect);
    moat_site_leave(frame);
    return moat_host_conclude(status);
}

static HRESULT STDMETHODCALLTYPE get_memory_load(IHostMemoryManager *This, DWORD *pMemoryLoad,
                                                 SIZE_T *pAvailableBytes) {
    if (pMemoryLoad != NULL)
        *pMemoryLoad = 0;
    if (pAvailableBytes != NULL)
        *pAvailableBytes = 0;
    if (pMemoryLoad == NULL || pAvailableBytes == NULL)
        return moat_host_refuse(E_POINTER, ERROR_NOACCESS);
    enum moat_status status = gate(This, "GetMemoryLoad");
    if (status == MOAT_OK)
        status = moat_host_memory_load(whole(This)->manager, pMemoryLoad, pAvailableBytes);
    return moat_host_conclude(status);
}

static HRESULT STDMETHODCALLTYPE register_memory_notification_callback(
    IHostMemoryManager *This, ICLRMemoryNotificationCallback *pCallback) {
    enum moat_status status = gate(This, "RegisterMemoryNotificationCallback");
    if (status == MOAT_OK)
        status = moat_host_notify(whole(This)->manager, pCallback);
    return moat_host_conclude(status);
}

static HRESULT STDMETHODCALLTYPE needs_virtual_address_space(IHostMemoryManager *This,
                                                             LPVOID startAddress, SIZE_T size) {
    struct moat_site_frame frame = moat_site_enter(MOAT_SITE_HERE);
    enum moat_status status = gate(This, "NeedsVirtualAddressSpace");
    if (status == MOAT_OK)
        status = moat_trim(startAddress, size, NULL);
    moat_site_leave(frame);
    return moat_host_conclude(status);
}

static HRESULT STDMETHODCALLTYPE acquired_virtual_address_space(IHostMemoryManager *This,
                                                                LPVOID startAddress, SIZE_T size) {
    struct moat_site_frame frame = moat_site_enter(MOAT_SITE_HERE);
    enum moat_status status = gate(This, "AcquiredVirtualAddressSpace");
    if (status == MOAT_OK)
        status = moat_adopt(whole(This)->manager, startAddress, size);
    moat_site_leave(frame);
    return moat_host_conclude(status);
}

static HRESULT STDMETHODCALLTYPE released_virtual_address_space(IHostMemoryManager *This,
                                                                LPVOID startAddress) {
    struct moat_site_frame frame = moat_site_enter(MOAT_SITE_HERE);
    enum moat_status status = gate(This, "ReleasedVirtualAddressSpace");
    if (status == MOAT_OK)
        status = moat_disown(whole(This)->manager, startAddress);
    moat_site_leave(frame);
    return moat_host_conclude(status);
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
    .NeedsVirtualAddressSpace = needs_virtual_address_space,
    .AcquiredVirtualAddressSpace = acquired_virtual_address_space,
    .ReleasedVirtualAddressSpace = released_virtual_address_space,
};

HRESULT moat_create_host_memory_manager(const struct moat_options *options,
                                        IHostMemoryManager **out) {
    if (out == NULL)
        return moat_host_refuse(E_POINTER, ERROR_NOACCESS);
    *out = NULL;

    struct host_manager *host = malloc(sizeof *host);
    if (host == NULL)
        return moat_host_conclude(
            moat_fail(MOAT_NO_MEMORY, "create", 0, "no memory for the object"));
    enum moat_status status = moat_manager_create(options, &host->manager);
    if (status != MOAT_OK) {
        free(host);
        return moat_host_conclude(status);
    }
    host->face.lpVtbl = &methods;
    atomic_init(&host->references, 1);
    *out = &host->face;
    return S_OK;
}

struct moat_manager *moat_host_native_manager(IHostMemoryManager *host) {
    return host != NULL && host->lpVtbl == &methods ? whole(host)->manager : NULL;
}
