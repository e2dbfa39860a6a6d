/* SPDX-License-Identifier: MIT */
/*
 * rules_cxx: the abstract classes put the methods where the contract has them.
 *
 * Each class is implemented by an object whose methods answer their own slot number, and called by
 * slot; the manager from C is called through its class. Fails when two methods are exchanged, or a
 * class has a slot that is not the contract's (a virtual destructor, say).
 */
#include "support/check.h"

#include <moat/win32.h>

#include <type_traits>

/* A destructor behind the methods moves none of them, but objects of C would lack its slot. */
static_assert(!std::has_virtual_destructor<IHostMemoryManager>::value &&
                  !std::has_virtual_destructor<IHostMalloc>::value &&
                  !std::has_virtual_destructor<ICLRMemoryNotificationCallback>::value,
              "interfaces have no virtual destructor");

namespace {

/* A static object, as the CLR's own callback is: references are not counted. */
class Callback final : public ICLRMemoryNotificationCallback {
  public:
    HRESULT STDMETHODCALLTYPE QueryInterface(REFIID, void **) override {
        return 0;
    }
    ULONG STDMETHODCALLTYPE AddRef() override {
        return 1;
    }
    ULONG STDMETHODCALLTYPE Release() override {
        return 2;
    }
    HRESULT STDMETHODCALLTYPE OnMemoryNotification(EMemoryAvailable) override {
        return 3;
    }
};

class Heap final : public IHostMalloc {
  public:
    HRESULT STDMETHODCALLTYPE QueryInterface(REFIID, void **) override {
        return 0;
    }
    ULONG STDMETHODCALLTYPE AddRef() override {
        return 1;
    }
    ULONG STDMETHODCALLTYPE Release() override {
        return 2;
    }
    HRESULT STDMETHODCALLTYPE Alloc(SIZE_T, EMemoryCriticalLevel, void **) override {
        return 3;
    }
    HRESULT STDMETHODCALLTYPE DebugAlloc(SIZE_T, EMemoryCriticalLevel, char *, int,
                                         void **) override {
        return 4;
    }
    HRESULT STDMETHODCALLTYPE Free(void *) override {
        return 5;
    }
};

class Manager final : public IHostMemoryManager {
  public:
    HRESULT STDMETHODCALLTYPE QueryInterface(REFIID, void **) override {
        return 0;
    }
    ULONG STDMETHODCALLTYPE AddRef() override {
        return 1;
    }
    ULONG STDMETHODCALLTYPE Release() override {
        return 2;
    }
    HRESULT STDMETHODCALLTYPE CreateMalloc(DWORD, IHostMalloc **) override {
        return 3;
    }
    HRESULT STDMETHODCALLTYPE VirtualAlloc(void *, SIZE_T, DWORD, DWORD, EMemoryCriticalLevel,
                                           void **) override {
        return 4;
    }
    HRESULT STDMETHODCALLTYPE VirtualFree(LPVOID, SIZE_T, DWORD) override {
        return 5;
    }
    HRESULT STDMETHODCALLTYPE VirtualQuery(void *, void *, SIZE_T, SIZE_T *) override {
        return 6;
    }
    HRESULT STDMETHODCALLTYPE VirtualProtect(void *, SIZE_T, DWORD, DWORD *) override {
        return 7;
    }
    HRESULT STDMETHODCALLTYPE GetMemoryLoad(DWORD *, SIZE_T *) override {
        return 8;
    }
    HRESULT STDMETHODCALLTYPE
    RegisterMemoryNotificationCallback(ICLRMemoryNotificationCallback *) override {
        return 9;
    }
    HRESULT STDMETHODCALLTYPE NeedsVirtualAddressSpace(LPVOID, SIZE_T) override {
        return 10;
    }
    HRESULT STDMETHODCALLTYPE AcquiredVirtualAddressSpace(LPVOID, SIZE_T) override {
        return 11;
    }
    HRESULT STDMETHODCALLTYPE ReleasedVirtualAddressSpace(LPVOID) override {
        return 12;
    }
};

/* The methods read no argument, so any list will do on the ABIs that Moat runs on. */
void check_slots(const char *name, void *object, unsigned count) {
    using answer = HRESULT (*)(void *, void *, void *);
    for (unsigned i = 0; i < count; i++)
        check(name, i, reinterpret_cast<answer>(method(object, i))(object, nullptr, nullptr));
}

void use_from_cxx() {
    IHostMemoryManager *manager = create_manager();
    IUnknown *unknown = nullptr;
    check("QueryInterface", S_OK,
          manager->QueryInterface(IID_IUnknown, reinterpret_cast<void **>(&unknown)));
    check("identity", 1, unknown == manager);
    check("Release", 1, static_cast<intmax_t>(unknown->Release()));
    check("E_NOINTERFACE", E_NOINTERFACE,
          manager->QueryInterface(IID_IHostMalloc, reinterpret_cast<void **>(&unknown)));
    check("cleared", 1, unknown == nullptr);

    void *memory = nullptr;
    DWORD old = 0;
    SIZE_T written = 0;
    MEMORY_BASIC_INFORMATION info = {};
    check("VirtualAlloc", S_OK,
          manager->VirtualAlloc(nullptr, 8192, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE,
                                eTaskCritical, &memory));
    static_cast<char *>(memory)[8191] = 1;
    check("VirtualProtect", S_OK, manager->VirtualProtect(memory, 4096, PAGE_READONLY, &old));
    check("old protection", PAGE_READWRITE, old);
    check("VirtualQuery", S_OK, manager->VirtualQuery(memory, &info, sizeof info, &written));
    check("its size", 4096, static_cast<intmax_t>(info.RegionSize));
    check("VirtualFree", S_OK, manager->VirtualFree(memory, 0, MEM_RELEASE));
    check("VirtualFree again", HOST_E_INVALIDOPERATION,
          manager->VirtualFree(memory, 0, MEM_RELEASE));
    check("the global name still is the function", ERROR_INVALID_ADDRESS,
          ::VirtualFree(memory, 0, MEM_RELEASE) ? 0 : ::GetLastError());

    static Callback callback;
    check("RegisterMemoryNotificationCallback", S_OK,
          manager->RegisterMemoryNotificationCallback(&callback));
    check("last Release", 0, static_cast<intmax_t>(manager->Release()));
}

void use_heap_from_cxx() {
    IHostMemoryManager *manager = create_manager();
    IHostMalloc *heap = nullptr;
    IUnknown *unknown = nullptr, *again = nullptr;
    void *block = nullptr, *debug = nullptr;
    char file[] = "rules_cxx.cpp";

    check("CreateMalloc", S_OK,
          manager->CreateMalloc(MALLOC_THREADSAFE | MALLOC_EXECUTABLE, &heap));
    check("heap: QueryInterface", S_OK,
          heap->QueryInterface(IID_IUnknown, reinterpret_cast<void **>(&unknown)));
    check("heap: QueryInterface of what that gave", S_OK,
          unknown->QueryInterface(IID_IHostMalloc, reinterpret_cast<void **>(&again)));
    check("heap: identity", 1, unknown == heap && again == heap);
    check("heap: E_POINTER", E_POINTER, heap->QueryInterface(IID_IHostMalloc, nullptr));
    check("heap: is no manager", E_NOINTERFACE,
          heap->QueryInterface(IID_IHostMemoryManager, reinterpret_cast<void **>(&again)));
    check("heap: Release", 1, static_cast<intmax_t>(unknown->Release()) - 1);
    check("heap: Release of two", 1, static_cast<intmax_t>(heap->Release()));
    check("heap keeps its manager", 1, static_cast<intmax_t>(manager->Release()));
    check("Alloc", S_OK, heap->Alloc(100, eTaskCritical, &block));
    check("DebugAlloc", S_OK, heap->DebugAlloc(100, eAppDomainCritical, file, __LINE__, &debug));
    static_cast<char *>(block)[99] = static_cast<char *>(debug)[99] = 1;
    check("Free", S_OK, heap->Free(block));
    check("Free again", HOST_E_INVALIDOPERATION, heap->Free(block));
    check("Free of NULL", S_OK, heap->Free(nullptr));
    check("heap: last Release, with a live block", 0, static_cast<intmax_t>(heap->Release()));
}

} // namespace

int main() {
    Callback callback;
    Heap heap;
    Manager manager;

    check_slots("ICLRMemoryNotificationCallback", &callback, 4);
    check_slots("IHostMalloc", &heap, 6);
    check_slots("IHostMemoryManager", &manager, 13);
    use_from_cxx();
    use_heap_from_cxx();
    return check_end();
}
