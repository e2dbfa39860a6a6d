/* SPDX-License-Identifier: MIT */
/*
 * rules: what COM asks of every object, and what a caller of another compiler sees of this one.
 *
 * Could fail by a reference too many or too few, by an out-pointer left as it was, or by a method
 * in the wrong slot, which the C compiler cannot see.
 */
#define COBJMACROS

#include "support/check.h"

#include <moat/win32.h>

#include <string.h>

static void identifiers(void) {
    static const BYTE unknown[] = {0, 0, 0, 0, 0, 0, 0, 0, 0xC0, 0, 0, 0, 0, 0, 0, 0x46};
    static const BYTE manager[] = {0xD1, 0x98, 0xC6, 0x7B, 0xE3, 0xF9, 0x60, 0x44,
                                   0x9C, 0xDE, 0xD0, 0x42, 0x48, 0xE9, 0xFA, 0x25};
    static const BYTE host_malloc[] = {0x1C, 0x99, 0x31, 0x18, 0x53, 0xCC, 0x31, 0x4A,
                                       0xB2, 0x18, 0x04, 0xE9, 0x10, 0x44, 0x64, 0x79};
    static const BYTE callback[] = {0x57, 0x8E, 0xEB, 0x47, 0x46, 0x08, 0x46, 0x45,
                                    0xAF, 0x76, 0x6F, 0x42, 0xFC, 0xFC, 0x26, 0x49};

    check("iid of IUnknown", 0, memcmp(unknown, &IID_IUnknown, 16));
    check("iid of IHostMemoryManager", 0, memcmp(manager, &IID_IHostMemoryManager, 16));
    check("iid of IHostMalloc", 0, memcmp(host_malloc, &IID_IHostMalloc, 16));
    check("iid of the callback", 0, memcmp(callback, &IID_ICLRMemoryNotificationCallback, 16));
}

static void results(void) {
    check("87 is E_INVALIDARG", E_INVALIDARG, HRESULT_FROM_WIN32(ERROR_INVALID_PARAMETER));
    check("487 as a result", (HRESULT)0x800701E7, HRESULT_FROM_WIN32(ERROR_INVALID_ADDRESS));
    check("0 as a result", S_OK, HRESULT_FROM_WIN32(ERROR_SUCCESS));
    check("a result as a result", E_FAIL, HRESULT_FROM_WIN32(E_FAIL));
    check("succeeded", 1, SUCCEEDED(S_OK) && SUCCEEDED(S_FALSE) && !SUCCEEDED(E_FAIL));
    check("failed", 1, FAILED(HOST_E_INVALIDOPERATION) && !FAILED(S_FALSE));
}

static void query_interface(IHostMemoryManager *manager) {
    void *got = NULL, *unknown = NULL;

    check("query for IHostMemoryManager", S_OK,
          IHostMemoryManager_QueryInterface(manager, &IID_IHostMemoryManager, &got));
    check("the same object", 1, got == manager);
    check("query for IUnknown", S_OK,
          IHostMemoryManager_QueryInterface(manager, &IID_IUnknown, &unknown));
    check("one identity", 1, unknown == manager);
    check("references are counted", 4, (intmax_t)IHostMemoryManager_AddRef(manager));
    check("release answers what is left", 3, (intmax_t)IHostMemoryManager_Release(manager));
    (void)IHostMemoryManager_Release(manager);
    check("references of both queries", 1, (intmax_t)IHostMemoryManager_Release(manager));

    got = &got;
    check("query for another interface", E_NOINTERFACE,
          IHostMemoryManager_QueryInterface(manager, &IID_IHostMalloc, &got));
    check("its out-pointer is NULL", 1, got == NULL);
    IID nearly = IID_IHostMemoryManager;
    nearly.Data4[7] ^= 1;
    check("all bytes of an iid count", E_NOINTERFACE,
          IHostMemoryManager_QueryInterface(manager, &nearly, &got));
    check("query without an out-pointer", E_POINTER,
          IHostMemoryManager_QueryInterface(manager, &IID_IUnknown, NULL));
    check("a failed query takes no reference", 2, (intmax_t)IHostMemoryManager_AddRef(manager));
    check("nor gives one", 1, (intmax_t)IHostMemoryManager_Release(manager));
}

/* Slot numbers are written out: this is what a host compiled against Microsoft's header does. */
static void slots(IHostMemoryManager *manager) {
    typedef ULONG (*count_method)(void *);
    typedef HRESULT (*alloc_method)(void *, void *, SIZE_T, DWORD, DWORD, int, void **);
    typedef HRESULT (*free_method)(void *, void *, SIZE_T, DWORD);
    typedef HRESULT (*query_method)(void *, void *, void *, SIZE_T, SIZE_T *);
    typedef HRESULT (*protect_method)(void *, void *, SIZE_T, DWORD, DWORD *);
    MEMORY_BASIC_INFORMATION info;
    void *memory = NULL;
    SIZE_T written = 0;
    DWORD old = 0;

    check("slot 1 adds", 2, (intmax_t)((count_method)method(manager, 1))(manager));
    check("slot 2 releases", 1, (intmax_t)((count_method)method(manager, 2))(manager));
    check("slot 4 allocates", S_OK,
          ((alloc_method)method(manager, 4))(manager, NULL, 4096, 0x3000, 4, 0, &memory));
    check("slot 6 queries", S_OK,
          ((query_method)method(manager, 6))(manager, memory, &info, sizeof info, &written));
    check("slot 6 has written", 48, (intmax_t)written);
    check("slot 6 tells the truth", 4096, (intmax_t)info.RegionSize);
    check("slot 7 protects", S_OK,
          ((protect_method)method(manager, 7))(manager, memory, 4096, 2, &old));
    check("slot 7 tells the old value", 4, (intmax_t)old);
    check("slot 5 frees", S_OK, ((free_method)method(manager, 5))(manager, memory, 0, 0x8000));
}

static void creation(void) {
    struct moat_options options;
    IHostMemoryManager *manager = NULL;

    check("create without an out-pointer", E_POINTER, moat_create_host_memory_manager(NULL, NULL));
    moat_options_init(&options);
    check("create with options", S_OK, moat_create_host_memory_manager(&options, &manager));
    check("a last release", 0, (intmax_t)IHostMemoryManager_Release(manager));

    options.struct_size = 1;
    check("create with an unknown size of options", E_INVALIDARG,
          moat_create_host_memory_manager(&options, &manager));
    check("create clears", 1, manager == NULL);
    check("its last error", ERROR_INVALID_PARAMETER, (intmax_t)GetLastError());
}

int main(void) {
    IHostMemoryManager *manager = create_manager();

    identifiers();
    results();
    query_interface(manager);
    slots(manager);
    check("the last reference", 0, (intmax_t)IHostMemoryManager_Release(manager));
    creation();
    return check_end();
}
