/* SPDX-License-Identifier: MIT */
/*
 * mscoree: the CLR hosting interfaces for memory, and a manager that implements them with Moat.
 *
 * Binary compatible with Microsoft's mscoree.h: the order of the methods, the IIDs and the values
 * are the contract, the names are for people. Where the system's own mscoree.h declares an
 * interface, that declaration is used; not every one does (mingw-w64's has none of these). C sees
 * structs with an lpVtbl (and call macros with COBJMACROS), C++ abstract classes, which have no
 * virtual destructor because that would take a slot.
 */
#ifndef MOAT_MSCOREE_H
#define MOAT_MSCOREE_H

#include <moat/export.h>
#include <moat/options.h>
#include <moat/win32_types.h>

#ifdef _WIN32
#include <corerror.h>
#include <mscoree.h>
#include <unknwn.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

#ifndef _WIN32

/* Results. HRESULT is signed: failures are negative. What Moat never answers is here for sources
 * that name it: S_FALSE, E_NOTIMPL, E_UNEXPECTED, E_ACCESSDENIED, HOST_E_DEADLOCK and _INTERRUPTED
 * (of synchronisation objects) and HOST_E_EXITPROCESS_* (of the runtime, on its way out). */
/* clang-format off */
#define S_OK           ((HRESULT)0x00000000)
#define S_FALSE        ((HRESULT)0x00000001)
#define E_NOTIMPL      ((HRESULT)0x80004001)
#define E_NOINTERFACE  ((HRESULT)0x80004002)
#define E_POINTER      ((HRESULT)0x80004003)
#define E_FAIL         ((HRESULT)0x80004005)
#define E_UNEXPECTED   ((HRESULT)0x8000FFFF)
#define E_ACCESSDENIED ((HRESULT)0x80070005)
#define E_OUTOFMEMORY  ((HRESULT)0x8007000E)
#define E_INVALIDARG   ((HRESULT)0x80070057)

#define HOST_E_DEADLOCK                  ((HRESULT)0x80131020)
#define HOST_E_INTERRUPTED               ((HRESULT)0x80131021)
#define HOST_E_INVALIDOPERATION          ((HRESULT)0x80131022) /* not this manager's memory */
#define HOST_E_CLRNOTAVAILABLE           ((HRESULT)0x80131023) /* unloaded, or corruption found */
#define HOST_E_TIMEOUT                   ((HRESULT)0x80131024) /* waited as long as `timeout` */
#define HOST_E_NOT_OWNER                 ((HRESULT)0x80131025) /* locked by another thread */
#define HOST_E_ABANDONED                 ((HRESULT)0x80131026) /* the wait was called off */
#define HOST_E_EXITPROCESS_THREADABORT   ((HRESULT)0x80131027)
#define HOST_E_EXITPROCESS_ADUNLOAD      ((HRESULT)0x80131028)
#define HOST_E_EXITPROCESS_TIMEOUT       ((HRESULT)0x80131029)
#define HOST_E_EXITPROCESS_OUTOFMEMORY   ((HRESULT)0x8013102A)
#define HOST_E_EXITPROCESS_STACKOVERFLOW ((HRESULT)0x8013102B)
/* clang-format on */

#define SUCCEEDED(result) ((HRESULT)(result) >= 0)
#define FAILED(result)    ((HRESULT)(result) < 0)

/* A Win32 error as a result; 0 stays S_OK. */
#define HRESULT_FROM_WIN32(error)                                                                  \
    ((HRESULT)(error) <= 0 ? (HRESULT)(error) : (HRESULT)((0xFFFFu & (DWORD)(error)) | 0x80070000u))

/* As on Windows, tables of methods can be asked to be constant. */
#ifdef CONST_VTABLE
#define CONST_VTBL const
#else
#define CONST_VTBL
#endif

extern MOAT_API const IID IID_IUnknown;

#ifndef __IUnknown_INTERFACE_DEFINED__
#define __IUnknown_INTERFACE_DEFINED__
typedef struct IUnknown IUnknown;
#ifdef __cplusplus
struct IUnknown {
    virtual HRESULT STDMETHODCALLTYPE QueryInterface(REFIID riid, void **ppvObject) = 0;
    virtual ULONG STDMETHODCALLTYPE AddRef() = 0;
    virtual ULONG STDMETHODCALLTYPE Release() = 0;
};
#else
typedef struct IUnknownVtbl {
    HRESULT(STDMETHODCALLTYPE *QueryInterface)(IUnknown *This, REFIID riid, void **ppvObject);
    ULONG(STDMETHODCALLTYPE *AddRef)(IUnknown *This);
    ULONG(STDMETHODCALLTYPE *Release)(IUnknown *This);
} IUnknownVtbl;
struct IUnknown {
    CONST_VTBL struct IUnknownVtbl *lpVtbl;
};
#endif
#endif

#endif /* !_WIN32 */

/* Microsoft's mscoree.h declares the interfaces and their enumerations together. */
#ifndef __IHostMemoryManager_INTERFACE_DEFINED__
#define __IHostMemoryManager_INTERFACE_DEFINED__
#define __IHostMalloc_INTERFACE_DEFINED__
#define __ICLRMemoryNotificationCallback_INTERFACE_DEFINED__

/* How much memory there is. */
typedef enum {
    eMemoryAvailableLow = 1,
    eMemoryAvailableNeutral = 2,
    eMemoryAvailableHigh = 3
} EMemoryAvailable;

/* What a failed allocation would cost the runtime. */
typedef enum {
    eTaskCritical = 0,      /* the task that asked, which is aborted */
    eAppDomainCritical = 1, /* an application domain */
    eProcessCritical = 2    /* the whole runtime */
} EMemoryCriticalLevel;

/* Bits of dwMallocType of CreateMalloc. */
typedef enum {
    MALLOC_THREADSAFE = 0x1, /* called from several threads at once */
    MALLOC_EXECUTABLE = 0x2  /* blocks may be executed */
} MALLOC_TYPE;

extern MOAT_API const IID IID_IHostMemoryManager;
extern MOAT_API const IID IID_IHostMalloc;
extern MOAT_API const IID IID_ICLRMemoryNotificationCallback;

typedef struct IHostMemoryManager IHostMemoryManager;
typedef struct IHostMalloc IHostMalloc;
typedef struct ICLRMemoryNotificationCallback ICLRMemoryNotificationCallback;

#ifdef __cplusplus

struct ICLRMemoryNotificationCallback : public IUnknown {
    virtual HRESULT STDMETHODCALLTYPE OnMemoryNotification(EMemoryAvailable eMemoryAvailable) = 0;
};

struct IHostMalloc : public IUnknown {
    virtual HRESULT STDMETHODCALLTYPE Alloc(SIZE_T cbSize, EMemoryCriticalLevel eCriticalLevel,
                                            void **ppMem) = 0;
    virtual HRESULT STDMETHODCALLTYPE DebugAlloc(SIZE_T cbSize, EMemoryCriticalLevel eCriticalLevel,
                                                 char *pszFileName, int iLineNo, void **ppMem) = 0;
    virtual HRESULT STDMETHODCALLTYPE Free(void *pMem) = 0;
};

struct IHostMemoryManager : public IUnknown {
    virtual HRESULT STDMETHODCALLTYPE CreateMalloc(DWORD dwMallocType, IHostMalloc **ppMalloc) = 0;
    virtual HRESULT STDMETHODCALLTYPE VirtualAlloc(void *pAddress, SIZE_T dwSize,
                                                   DWORD flAllocationType, DWORD flProtect,
                                                   EMemoryCriticalLevel eCriticalLevel,
                                                   void **ppMem) = 0;
    virtual HRESULT STDMETHODCALLTYPE VirtualFree(LPVOID lpAddress, SIZE_T dwSize,
                                                  DWORD dwFreeType) = 0;
    virtual HRESULT STDMETHODCALLTYPE VirtualQuery(void *lpAddress, void *lpBuffer, SIZE_T dwLength,
                                                   SIZE_T *pResult) = 0;
    virtual HRESULT STDMETHODCALLTYPE VirtualProtect(void *lpAddress, SIZE_T dwSize,
                                                     DWORD flNewProtect, DWORD *pflOldProtect) = 0;
    virtual HRESULT STDMETHODCALLTYPE GetMemoryLoad(DWORD *pMemoryLoad,
                                                    SIZE_T *pAvailableBytes) = 0;
    virtual HRESULT STDMETHODCALLTYPE
    RegisterMemoryNotificationCallback(ICLRMemoryNotificationCallback *pCallback) = 0;
    virtual HRESULT STDMETHODCALLTYPE NeedsVirtualAddressSpace(LPVOID startAddress,
                                                               SIZE_T size) = 0;
    virtual HRESULT STDMETHODCALLTYPE AcquiredVirtualAddressSpace(LPVOID startAddress,
                                                                  SIZE_T size) = 0;
    virtual HRESULT STDMETHODCALLTYPE ReleasedVirtualAddressSpace(LPVOID startAddress) = 0;
};

#else

/* clang-format off */
typedef struct ICLRMemoryNotificationCallbackVtbl {
    HRESULT (STDMETHODCALLTYPE *QueryInterface)(ICLRMemoryNotificationCallback *This, REFIID riid,
                                                void **ppvObject);
    ULONG (STDMETHODCALLTYPE *AddRef)(ICLRMemoryNotificationCallback *This);
    ULONG (STDMETHODCALLTYPE *Release)(ICLRMemoryNotificationCallback *This);
    HRESULT (STDMETHODCALLTYPE *OnMemoryNotification)(ICLRMemoryNotificationCallback *This,
                                                      EMemoryAvailable eMemoryAvailable);
} ICLRMemoryNotificationCallbackVtbl;

struct ICLRMemoryNotificationCallback {
    CONST_VTBL struct ICLRMemoryNotificationCallbackVtbl *lpVtbl;
};

typedef struct IHostMallocVtbl {
    HRESULT (STDMETHODCALLTYPE *QueryInterface)(IHostMalloc *This, REFIID riid, void **ppvObject);
    ULONG (STDMETHODCALLTYPE *AddRef)(IHostMalloc *This);
    ULONG (STDMETHODCALLTYPE *Release)(IHostMalloc *This);
    HRESULT (STDMETHODCALLTYPE *Alloc)(IHostMalloc *This, SIZE_T cbSize,
                                       EMemoryCriticalLevel eCriticalLevel, void **ppMem);
    HRESULT (STDMETHODCALLTYPE *DebugAlloc)(IHostMalloc *This, SIZE_T cbSize,
                                            EMemoryCriticalLevel eCriticalLevel,
                                            char *pszFileName, int iLineNo, void **ppMem);
    HRESULT (STDMETHODCALLTYPE *Free)(IHostMalloc *This, void *pMem);
} IHostMallocVtbl;

struct IHostMalloc {
    CONST_VTBL struct IHostMallocVtbl *lpVtbl;
};

typedef struct IHostMemoryManagerVtbl {
    HRESULT (STDMETHODCALLTYPE *QueryInterface)(IHostMemoryManager *This, REFIID riid,
                                                void **ppvObject);
    ULONG (STDMETHODCALLTYPE *AddRef)(IHostMemoryManager *This);
    ULONG (STDMETHODCALLTYPE *Release)(IHostMemoryManager *This);
    HRESULT (STDMETHODCALLTYPE *CreateMalloc)(IHostMemoryManager *This, DWORD dwMallocType,
                                              IHostMalloc **ppMalloc);
    HRESULT (STDMETHODCALLTYPE *VirtualAlloc)(IHostMemoryManager *This, void *pAddress,
                                              SIZE_T dwSize, DWORD flAllocationType,
                                              DWORD flProtect,
                                              EMemoryCriticalLevel eCriticalLevel, void **ppMem);
    HRESULT (STDMETHODCALLTYPE *VirtualFree)(IHostMemoryManager *This, LPVOID lpAddress,
                                             SIZE_T dwSize, DWORD dwFreeType);
    HRESULT (STDMETHODCALLTYPE *VirtualQuery)(IHostMemoryManager *This, void *lpAddress,
                                              void *lpBuffer, SIZE_T dwLength, SIZE_T *pResult);
    HRESULT (STDMETHODCALLTYPE *VirtualProtect)(IHostMemoryManager *This, void *lpAddress,
                                                SIZE_T dwSize, DWORD flNewProtect,
                                                DWORD *pflOldProtect);
    HRESULT (STDMETHODCALLTYPE *GetMemoryLoad)(IHostMemoryManager *This, DWORD *pMemoryLoad,
                                               SIZE_T *pAvailableBytes);
    HRESULT (STDMETHODCALLTYPE *RegisterMemoryNotificationCallback)(
        IHostMemoryManager *This, ICLRMemoryNotificationCallback *pCallback);
    HRESULT (STDMETHODCALLTYPE *NeedsVirtualAddressSpace)(IHostMemoryManager *This,
                                                          LPVOID startAddress, SIZE_T size);
    HRESULT (STDMETHODCALLTYPE *AcquiredVirtualAddressSpace)(IHostMemoryManager *This,
                                                             LPVOID startAddress, SIZE_T size);
    HRESULT (STDMETHODCALLTYPE *ReleasedVirtualAddressSpace)(IHostMemoryManager *This,
                                                             LPVOID startAddress);
} IHostMemoryManagerVtbl;

struct IHostMemoryManager {
    CONST_VTBL struct IHostMemoryManagerVtbl *lpVtbl;
};

#ifdef COBJMACROS
#define ICLRMemoryNotificationCallback_QueryInterface(This, riid, object) \
    ((This)->lpVtbl->QueryInterface((This), (riid), (object)))
#define ICLRMemoryNotificationCallback_AddRef(This) ((This)->lpVtbl->AddRef((This)))
#define ICLRMemoryNotificationCallback_Release(This) ((This)->lpVtbl->Release((This)))
#define ICLRMemoryNotificationCallback_OnMemoryNotification(This, level) \
    ((This)->lpVtbl->OnMemoryNotification((This), (level)))
#define IHostMalloc_QueryInterface(This, riid, object) \
    ((This)->lpVtbl->QueryInterface((This), (riid), (object)))
#define IHostMalloc_AddRef(This) ((This)->lpVtbl->AddRef((This)))
#define IHostMalloc_Release(This) ((This)->lpVtbl->Release((This)))
#define IHostMalloc_Alloc(This, size, level, memory) \
    ((This)->lpVtbl->Alloc((This), (size), (level), (memory)))
#define IHostMalloc_DebugAlloc(This, size, level, file, line, memory) \
    ((This)->lpVtbl->DebugAlloc((This), (size), (level), (file), (line), (memory)))
#define IHostMalloc_Free(This, memory) ((This)->lpVtbl->Free((This), (memory)))
#define IHostMemoryManager_QueryInterface(This, riid, object) \
    ((This)->lpVtbl->QueryInterface((This), (riid), (object)))
#define IHostMemoryManager_AddRef(This) ((This)->lpVtbl->AddRef((This)))
#define IHostMemoryManager_Release(This) ((This)->lpVtbl->Release((This)))
#define IHostMemoryManager_CreateMalloc(This, type, malloc) \
    ((This)->lpVtbl->CreateMalloc((This), (type), (malloc)))
#define IHostMemoryManager_VirtualAlloc(This, address, size, type, protect, level, memory) \
    ((This)->lpVtbl->VirtualAlloc((This), (address), (size), (type), (protect), (level), (memory)))
#define IHostMemoryManager_VirtualFree(This, address, size, type) \
    ((This)->lpVtbl->VirtualFree((This), (address), (size), (type)))
#define IHostMemoryManager_VirtualQuery(This, address, buffer, length, result) \
    ((This)->lpVtbl->VirtualQuery((This), (address), (buffer), (length), (result)))
#define IHostMemoryManager_VirtualProtect(This, address, size, protect, old) \
    ((This)->lpVtbl->VirtualProtect((This), (address), (size), (protect), (old)))
#define IHostMemoryManager_GetMemoryLoad(This, load, available) \
    ((This)->lpVtbl->GetMemoryLoad((This), (load), (available)))
#define IHostMemoryManager_RegisterMemoryNotificationCallback(This, callback) \
    ((This)->lpVtbl->RegisterMemoryNotificationCallback((This), (callback)))
#define IHostMemoryManager_NeedsVirtualAddressSpace(This, start, size) \
    ((This)->lpVtbl->NeedsVirtualAddressSpace((This), (start), (size)))
#define IHostMemoryManager_AcquiredVirtualAddressSpace(This, start, size) \
    ((This)->lpVtbl->AcquiredVirtualAddressSpace((This), (start), (size)))
#define IHostMemoryManager_ReleasedVirtualAddressSpace(This, start) \
    ((This)->lpVtbl->ReleasedVirtualAddressSpace((This), (start)))
#endif
/* clang-format on */

#define MOAT_SLOT(table, method, index)                                                            \
    MOAT_LAYOUT(offsetof(table, method) == (index) * sizeof(void *), #table " " #method)
MOAT_SLOT(ICLRMemoryNotificationCallbackVtbl, OnMemoryNotification, 3);
MOAT_SLOT(IHostMallocVtbl, Alloc, 3);
MOAT_SLOT(IHostMallocVtbl, DebugAlloc, 4);
MOAT_SLOT(IHostMallocVtbl, Free, 5);
MOAT_SLOT(IHostMemoryManagerVtbl, CreateMalloc, 3);
MOAT_SLOT(IHostMemoryManagerVtbl, VirtualAlloc, 4);
MOAT_SLOT(IHostMemoryManagerVtbl, VirtualFree, 5);
MOAT_SLOT(IHostMemoryManagerVtbl, VirtualQuery, 6);
MOAT_SLOT(IHostMemoryManagerVtbl, VirtualProtect, 7);
MOAT_SLOT(IHostMemoryManagerVtbl, GetMemoryLoad, 8);
MOAT_SLOT(IHostMemoryManagerVtbl, RegisterMemoryNotificationCallback, 9);
MOAT_SLOT(IHostMemoryManagerVtbl, NeedsVirtualAddressSpace, 10);
MOAT_SLOT(IHostMemoryManagerVtbl, AcquiredVirtualAddressSpace, 11);
MOAT_SLOT(IHostMemoryManagerVtbl, ReleasedVirtualAddressSpace, 12);
#undef MOAT_SLOT

#endif /* __cplusplus */

MOAT_LAYOUT(sizeof(EMemoryAvailable) == 4 && sizeof(EMemoryCriticalLevel) == 4, "enums are ints");

#endif /* __IHostMemoryManager_INTERFACE_DEFINED__ */

/*
 * Create a memory manager for a host to hand to the CLR, over a moat_manager of its own.
 *
 *   options   from moat_options_init (<moat/options.h>), copied; NULL for the defaults.
 *             MOAT_OPTIONS of the environment is applied on top
 *   out       receives the manager with one reference; NULL after a failure
 *
 * The methods, beyond the documented contract; HOSTING.md has each result of each with its cause.
 * Sizes are bytes. VirtualAlloc, VirtualFree, VirtualQuery and VirtualProtect take what those of
 * <moat/win32.h> take, to the same effect.
 *   - Results: success is exactly S_OK. A failure also sets the thread's Win32 last error, to the
 *     code that win32.h documents, and leaves a sentence for moat_last_error_text; but for
 *     QueryInterface. Bad arguments are E_INVALIDARG, no memory of any kind is E_OUTOFMEMORY, and a
 *     code without a documented result is HRESULT_FROM_WIN32. Pointers to write through are not
 *     NULL, else E_POINTER; what they point to is NULL or 0 after a failure, but for the buffer of
 *     VirtualQuery and *pflOldProtect, which stay as they were.
 *   - HOST_E_CLRNOTAVAILABLE comes from every method below, if not E_POINTER, while the host has
 *     declared the runtime unable to run or unloaded (moat_set_runtime_state), and for good after a
 *     call answered E_FAIL: that one found corruption, as the report on standard error tells.
 *   - HOST_E_TIMEOUT, HOST_E_ABANDONED and HOST_E_NOT_OWNER: VirtualAlloc that commits or resets,
 *     VirtualFree and VirtualProtect wait while another thread works on the same pages or holds the
 *     lock of the region (moat_lock), for the manager's timeout, and until waits are called off or
 *     that thread ends; VirtualFree that releases a region which another thread has locked is
 *     HOST_E_NOT_OWNER at once. VirtualAlloc that reserves waits for a reserve or release of the
 *     same place, and is HOST_E_TIMEOUT at most. All of these are in <moat/lock.h>.
 *   - VirtualAlloc: the critical level says how much of the commit quota is open to the call
 *     (<moat/quota.h>); one that is none of the three is E_INVALIDARG. MEM_LARGE_PAGES where none
 *     are set aside is HRESULT_FROM_WIN32(1314). MEM_RESET_UNDO is HRESULT_FROM_WIN32(31) when
 *     content is lost, and E_POINTER when a page has no access. With the option execute=wx,
 *     what it refuses of VirtualAlloc, VirtualProtect and CreateMalloc is HRESULT_FROM_WIN32(1655).
 *   - VirtualFree accepts only what this very manager reserved: anything else, NULL and memory of
 *     another manager or of a heap included, is HOST_E_INVALIDOPERATION. Invalid types and sizes
 *     come first. Memory that the calling thread has its stack in is HRESULT_FROM_WIN32(487), of
 *     Free of a heap too.
 *   - VirtualQuery fills in a MEMORY_BASIC_INFORMATION; *pResult is always set.
 *   - VirtualQuery and VirtualProtect answer for the whole process; but memory of heaps and Moat's
 *     own is not to be protected: HRESULT_FROM_WIN32(487).
 *   - GetMemoryLoad: *pMemoryLoad is what is in use, 0 to 100 percent, *pAvailableBytes what is
 *     left, by the machine, the control groups and the quota of this manager, at most a second old
 *     (moat_memory_load_read of <moat/pressure.h>).
 *   - RegisterMemoryNotificationCallback: one callback a manager, called by a thread of Moat's own
 *     with the level found first, unless neutral, and with each new one; what it returns is
 *     ignored. It is referenced until another is registered, NULL is (which is S_OK), or the
 *     manager is released; each of these waits for a call in progress, but when made by the
 *     callback itself. After a failure the one before stays.
 *   - CreateMalloc: any bits of MALLOC_TYPE, others are E_INVALIDARG. Every IHostMalloc may be
 *     called from all threads at once, MALLOC_THREADSAFE or not. It is a heap of its own as in
 *     <moat/heap.h>, holds a reference on the manager, and its last Release frees what is live
 *     (after listing it, with leaks=report). Alloc and DebugAlloc of 0 bytes give a block of its
 *     own; blocks start on multiples of 16 and are not zeroed; a level that is none of the three is
 *     E_INVALIDARG. pszFileName is copied; NULL is as Alloc. Free of NULL is S_OK, of all else that
 *     is no live block of this very object HOST_E_INVALIDOPERATION: nothing is read.
 *   - AcquiredVirtualAddressSpace: VirtualQuery then answers with the start of that range, for the
 *     rest as the kernel says; VirtualProtect stays in it (487), VirtualFree refuses it. What is
 *     not mapped, or part of a region, is HRESULT_FROM_WIN32(487); a start that is no multiple of a
 *     page, or below 64 KiB, E_INVALIDARG. ReleasedVirtualAddressSpace ends that; a start it was
 *     not told of is HOST_E_INVALIDOPERATION. Neither maps or unmaps anything.
 *   - NeedsVirtualAddressSpace gives back what Moat holds and does not use until so much can be
 *     mapped, there or, with NULL, anywhere; with size 0, all of it. S_OK: so much could be mapped,
 *     or something was given back; E_OUTOFMEMORY: there was nothing; E_INVALIDARG: the range leaves
 *     user space. <moat/space.h> has all three.
 *   - HRESULT_FROM_WIN32(50): there is no /proc to ask. VirtualQuery (of what is not Moat's),
 *     AcquiredVirtualAddressSpace, and, if sysinfo(2) fails too and there is no quota,
 *     GetMemoryLoad and RegisterMemoryNotificationCallback.
 *   - QueryInterface knows IUnknown and the interface that it is asked of, else E_NOINTERFACE. The
 *     last Release of the manager, with those of its heaps done, releases every region that it
 *     still holds; no other call on it may be running or follow. Once corruption was found it
 *     leaves them as they are.
 *   - Signals: VirtualQuery is async-signal-safe, and waits for nobody; no other method is.
 *
 * Returns   S_OK
 *           E_POINTER       out is NULL
 *           E_INVALIDARG    an option is out of range or MOAT_OPTIONS does not parse
 *           E_OUTOFMEMORY   no memory for the manager or its books
 *           other           as the status of moat_manager_create maps (moat_status_describe)
 * After a failure nothing is held; moat_last_error_text of <moat/moat.h> says why it failed.
 * Threads   any; the manager's methods too, at once
 * Since     0.1
 * Contract  learn.microsoft.com, .NET Framework unmanaged API, hosting, IHostMemoryManager
 */
MOAT_API HRESULT moat_create_host_memory_manager(const struct moat_options *options,
                                                 IHostMemoryManager **out);

struct moat_manager;

/*
 * The native manager behind a memory manager, for what the interface has no method for: region
 * locks, the runtime state, statistics.
 *
 *   host   one that moat_create_host_memory_manager made, or NULL
 *
 * Returns   valid as long as a reference to `host` is held; NULL if Moat did not make it
 * Threads   any, at once
 * Since     0.2
 */
MOAT_API struct moat_manager *moat_host_native_manager(IHostMemoryManager *host);

#ifdef __cplusplus
}
#endif

#endif
