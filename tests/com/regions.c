/* SPDX-License-Identifier: MIT */
/*
 * regions: whose memory it is, for the whole life of a manager, and the code of every refusal.
 *
 * Could fail by one manager freeing what another holds, by a Win32 code that travels as the wrong
 * result, by success that is not S_OK, or by an out-parameter that is not set.
 */
#define COBJMACROS

#include "support/check.h"

#include <moat/moat.h>
#include <moat/win32.h>

#include <stdalign.h>
#include <string.h>

#define PAGE    ((SIZE_T)MOAT_PAGE_BYTES)
#define GRANULE ((SIZE_T)65536)

/* Not a result of anything here: what a variable holds that was never set. */
#define UNSET ((SIZE_T)0xDEAD)

static HRESULT allocate(IHostMemoryManager *manager, void *address, SIZE_T size, DWORD type,
                        DWORD protection, void **memory) {
    *memory = (void *)UNSET;
    return IHostMemoryManager_VirtualAlloc(manager, address, size, type, protection,
                                           eAppDomainCritical, memory);
}

static BYTE *must_allocate(IHostMemoryManager *manager, SIZE_T size) {
    void *memory;
    check("an allocation", S_OK,
          allocate(manager, NULL, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, &memory));
    return memory;
}

static HRESULT release(IHostMemoryManager *manager, const void *address) {
    return IHostMemoryManager_VirtualFree(manager, (void *)(uintptr_t)address, 0, MEM_RELEASE);
}

static DWORD state_of(const void *address) {
    MEMORY_BASIC_INFORMATION info;
    return VirtualQuery(address, &info, sizeof info) != 0 ? info.State : 0;
}

/* The result of a refusal, its last error, and NULL. */
static void refused(const char *name, HRESULT expected, DWORD error, IHostMemoryManager *manager,
                    void *address, SIZE_T size, DWORD type, DWORD protection) {
    void *memory;
    SetLastError(0);
    check(name, expected, allocate(manager, address, size, type, protection, &memory));
    check(name, error, GetLastError());
    check(name, 1, memory == NULL);
}

static void alloc_refusals(IHostMemoryManager *manager) {
    const HRESULT address_result = HRESULT_FROM_WIN32(ERROR_INVALID_ADDRESS);
    BYTE *held = must_allocate(manager, GRANULE);

    refused("size 0", E_INVALIDARG, ERROR_INVALID_PARAMETER, manager, NULL, 0, MEM_RESERVE,
            PAGE_READWRITE);
    refused("type 0", E_INVALIDARG, ERROR_INVALID_PARAMETER, manager, NULL, PAGE, 0,
            PAGE_READWRITE);
    refused("protection 0", E_INVALIDARG, ERROR_INVALID_PARAMETER, manager, NULL, PAGE, MEM_RESERVE,
            0);
    refused("write watch", E_INVALIDARG, ERROR_INVALID_PARAMETER, manager, held, PAGE,
            MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
    /* The second where the machine has such pages. */
    void *large;
    HRESULT result = allocate(manager, NULL, PAGE, MEM_RESERVE | MEM_COMMIT | MEM_LARGE_PAGES,
                              PAGE_READWRITE, &large);
    check("large pages", 1,
          result == HRESULT_FROM_WIN32(ERROR_PRIVILEGE_NOT_HELD) || result == E_INVALIDARG);
    refused("a reserve in the way", address_result, ERROR_INVALID_ADDRESS, manager, held, PAGE,
            MEM_RESERVE, PAGE_READWRITE);
    refused("a commit past the end", address_result, ERROR_INVALID_ADDRESS, manager, held,
            GRANULE + 1, MEM_COMMIT, PAGE_READWRITE);
    refused("a commit nowhere", address_result, ERROR_INVALID_ADDRESS, manager, (void *)0x30000,
            PAGE, MEM_COMMIT, PAGE_READWRITE);
    refused("no room", E_OUTOFMEMORY, ERROR_NOT_ENOUGH_MEMORY, manager, NULL,
            (SIZE_T)0x7FFFFF000000, MEM_RESERVE, PAGE_READWRITE);

    SetLastError(0);
    check("without an out-pointer", E_POINTER,
          IHostMemoryManager_VirtualAlloc(manager, NULL, PAGE, MEM_RESERVE, PAGE_READWRITE,
                                          eTaskCritical, NULL));
    check("its last error", ERROR_NOACCESS, GetLastError());
    check("release", S_OK, release(manager, held));
}

/* What the CLR does with metadata: fill, then commit again to make it read-only. */
static void life(IHostMemoryManager *manager) {
    void *base, *memory;

    SetLastError(4242);
    check("reserve", S_OK, allocate(manager, NULL, GRANULE, MEM_RESERVE, PAGE_NOACCESS, &base));
    check("commit", S_OK,
          allocate(manager, (BYTE *)base + 100, PAGE, MEM_COMMIT, PAGE_READWRITE, &memory));
    check("commit answers the page", 1, memory == base);
    memset(base, 7, 2 * PAGE);
    check("commit again", S_OK,
          allocate(manager, base, 2 * PAGE, MEM_COMMIT, PAGE_READONLY, &memory));
    check("content kept", 7, ((BYTE *)base)[2 * PAGE - 1]);
    check("reset", S_OK, allocate(manager, base, PAGE, MEM_RESET, PAGE_READWRITE, &memory));
    check("decommit", S_OK, IHostMemoryManager_VirtualFree(manager, base, PAGE, MEM_DECOMMIT));
    check("decommitted", MEM_RESERVE, state_of(base));
    check("the rest is not", MEM_COMMIT, state_of((BYTE *)base + PAGE));
    check("release", S_OK, release(manager, base));
    check("released", MEM_FREE, state_of(base));
    check("success leaves the last error", 4242, GetLastError());
}

/* A free of memory that this manager did not give: the code, and nothing else happens. */
static void not_ours(const char *name, IHostMemoryManager *manager, const void *address) {
    void *target = (void *)(uintptr_t)address;
    SetLastError(0);
    check(name, HOST_E_INVALIDOPERATION, release(manager, address));
    check(name, ERROR_INVALID_ADDRESS, GetLastError());
    check(name, HOST_E_INVALIDOPERATION,
          IHostMemoryManager_VirtualFree(manager, target, PAGE, MEM_DECOMMIT));
    check(name, HOST_E_INVALIDOPERATION,
          IHostMemoryManager_VirtualFree(manager, target, PAGE, MEM_RELEASE | 0x2));
}

static void frees(IHostMemoryManager *manager, IHostMemoryManager *other) {
    BYTE *held = must_allocate(manager, GRANULE);
    BYTE *theirs = must_allocate(other, GRANULE);
    BYTE *process = VirtualAlloc(NULL, GRANULE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    BYTE *gone = must_allocate(manager, PAGE);
    char on_stack = 0;

    check("release", S_OK, release(manager, gone));
    theirs[0] = process[0] = 9;
    not_ours("free NULL", manager, NULL);
    not_ours("free twice", manager, gone);
    not_ours("free the stack", manager, &on_stack);
    not_ours("free code", manager, (const void *)(uintptr_t)&frees);
    not_ours("free another manager's", manager, theirs);
    not_ours("free the process's", manager, process);
    not_ours("free an alias of the kernel half", manager,
             (void *)((uintptr_t)held | 0xFFFF000000000000));
    not_ours("free an alias beyond 48 bits", manager,
             (void *)((uintptr_t)held | (uintptr_t)1 << 48));
    check("another manager's content", 9, theirs[0]);
    check("the process's content", 9, process[0]);
    check("the process does not free ours", 0, VirtualFree(held, 0, MEM_RELEASE));

    check("release inside", HOST_E_INVALIDOPERATION, release(manager, held + PAGE));
    check("release with a size", E_INVALIDARG,
          IHostMemoryManager_VirtualFree(manager, held, GRANULE, MEM_RELEASE));
    check("type first", E_INVALIDARG, IHostMemoryManager_VirtualFree(manager, NULL, 0, 0));
    check("decommit past the end", E_INVALIDARG,
          IHostMemoryManager_VirtualFree(manager, held, GRANULE + 1, MEM_DECOMMIT));
    check("decommit size 0 inside", HRESULT_FROM_WIN32(ERROR_INVALID_ADDRESS),
          IHostMemoryManager_VirtualFree(manager, held + PAGE, 0, MEM_DECOMMIT));
    check("a placeholder operation on ours", HRESULT_FROM_WIN32(ERROR_INVALID_ADDRESS),
          IHostMemoryManager_VirtualFree(manager, held, PAGE, MEM_RELEASE | 0x2));
    check("nothing happened", MEM_COMMIT, state_of(held));

    void *memory;
    check("commit in another manager's", HRESULT_FROM_WIN32(ERROR_INVALID_ADDRESS),
          allocate(manager, theirs, PAGE, MEM_COMMIT, PAGE_READONLY, &memory));
    check("reset in another manager's", HRESULT_FROM_WIN32(ERROR_INVALID_ADDRESS),
          allocate(manager, theirs, PAGE, MEM_RESET, PAGE_READWRITE, &memory));
    check("the owner frees", S_OK, release(other, theirs));
    check("the process frees", 1, VirtualFree(process, 0, MEM_RELEASE));
    check("release", S_OK, release(manager, held));
}

static alignas(4096) char static_page[4096] = {1};

static void whole_process(IHostMemoryManager *manager, IHostMemoryManager *other) {
    BYTE *theirs = must_allocate(other, PAGE);
    MEMORY_BASIC_INFORMATION info;
    SIZE_T written = UNSET;
    DWORD old = 0;

    check("query the stack", S_OK,
          IHostMemoryManager_VirtualQuery(manager, &info, &info, sizeof info, &written));
    check("query has written", sizeof info, (intmax_t)written);
    check("the stack is committed", MEM_COMMIT, info.State);
    check("query code", S_OK,
          IHostMemoryManager_VirtualQuery(manager, (void *)(uintptr_t)&whole_process, &info,
                                          sizeof info, &written));
    check("code is executable", PAGE_EXECUTE_READ, info.Protect);
    check("query another manager's", S_OK,
          IHostMemoryManager_VirtualQuery(manager, theirs, &info, sizeof info, &written));
    check("another manager's base", 1, info.AllocationBase == theirs);

    check("protect a static", S_OK,
          IHostMemoryManager_VirtualProtect(manager, static_page, PAGE, PAGE_READONLY, &old));
    check("its old protection", PAGE_READWRITE, old);
    check("protect it back", S_OK,
          IHostMemoryManager_VirtualProtect(manager, static_page, PAGE, PAGE_READWRITE, &old));
    check("its protection between", PAGE_READONLY, old);
    static_page[0] = 2;
    check("protect another manager's", S_OK,
          IHostMemoryManager_VirtualProtect(manager, theirs, PAGE, PAGE_READONLY, &old));
    check("release", S_OK, release(other, theirs));
}

static void query_and_protect_refusals(IHostMemoryManager *manager) {
    BYTE *held = must_allocate(manager, PAGE);
    MEMORY_BASIC_INFORMATION info;
    SIZE_T written = UNSET;
    DWORD old = 0;

    check("a short buffer", HRESULT_FROM_WIN32(ERROR_BAD_LENGTH),
          IHostMemoryManager_VirtualQuery(manager, held, &info, sizeof info - 1, &written));
    check("the result is set", 0, (intmax_t)written);
    check("its last error", ERROR_BAD_LENGTH, GetLastError());
    written = UNSET;
    check("no buffer", E_POINTER,
          IHostMemoryManager_VirtualQuery(manager, held, NULL, sizeof info, &written));
    check("the result is set", 0, (intmax_t)written);
    written = UNSET;
    check("the kernel half", E_INVALIDARG,
          IHostMemoryManager_VirtualQuery(manager, (void *)(uintptr_t)0xFFFF800000000000, &info,
                                          sizeof info, &written));
    check("the result is set", 0, (intmax_t)written);
    check("no result pointer", E_POINTER,
          IHostMemoryManager_VirtualQuery(manager, held, &info, sizeof info, NULL));

    check("no old pointer", E_POINTER,
          IHostMemoryManager_VirtualProtect(manager, held, PAGE, PAGE_READONLY, NULL));
    check("its last error", ERROR_NOACCESS, GetLastError());
    check("protection before pointer", E_INVALIDARG,
          IHostMemoryManager_VirtualProtect(manager, held, PAGE, 0, NULL));
    check("protect size 0", E_INVALIDARG,
          IHostMemoryManager_VirtualProtect(manager, held, 0, PAGE_READONLY, &old));
    check("protect free memory", HRESULT_FROM_WIN32(ERROR_INVALID_ADDRESS),
          IHostMemoryManager_VirtualProtect(manager, (void *)(uintptr_t)0x30000, PAGE,
                                            PAGE_READONLY, &old));
    check("release", S_OK, release(manager, held));
}

/* Every refusal leaves its own sentence, also one that no native call has seen. */
static void texts(IHostMemoryManager *manager) {
    MEMORY_BASIC_INFORMATION info;
    SIZE_T written;
    void *memory;

    (void)allocate(manager, NULL, PAGE, 0, PAGE_READWRITE, &memory);
    check("text of a bad type", 1, strstr(moat_last_error_text(), "type") != NULL);
    (void)IHostMemoryManager_VirtualQuery(manager, NULL, &info, 1, &written);
    check("text of a short buffer", 1, strstr(moat_last_error_text(), "buffer") != NULL);
    (void)IHostMemoryManager_VirtualFree(manager, NULL, PAGE, MEM_RELEASE);
    check("text of a release with a size", 1, strstr(moat_last_error_text(), "size") != NULL);
    (void)allocate(manager, NULL, PAGE, MEM_RESERVE | MEM_COMMIT | MEM_LARGE_PAGES, PAGE_READWRITE,
                   &memory);
    check("text of large pages", 1, strstr(moat_last_error_text(), "large") != NULL);
    (void)VirtualFree((void *)(uintptr_t)0xFFFF800000000000, 0, MEM_RELEASE);
    check("text of the kernel half", 1, strstr(moat_last_error_text(), "user space") != NULL);
}

int main(void) {
    IHostMemoryManager *manager = create_manager(), *other = create_manager();

    life(manager);
    alloc_refusals(manager);
    frees(manager, other);
    whole_process(manager, other);
    query_and_protect_refusals(manager);
    texts(manager);
    check("last release", 0, (intmax_t)IHostMemoryManager_Release(manager));
    check("last release of the other", 0, (intmax_t)IHostMemoryManager_Release(other));
    return check_end();
}
