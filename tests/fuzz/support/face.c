/* SPDX-License-Identifier: MIT */
/* face: native arguments become those of Win32, and codes are seen to be those of the contract. */
#include "face.h"

#include "contract.h"
#include "verify.h"
#include "world.h"

#include <moat/win32.h>

#include <stddef.h>

IHostMemoryManager *face_host;

/* What the last foreign call said. */
static struct {
    bool native; /* it was none */
    bool com;
    struct contract_codes codes;
} said;

void face_before(void) {
    SetLastError(FACE_UNTOUCHED);
}

static enum moat_status conclude(bool com, bool good, uint32_t result) {
    uint32_t error = GetLastError();

    said.native = false;
    said.com = com;
    if (good != (error == FACE_UNTOUCHED) || (com && good != (result == 0)))
        verify_fail("the last error is %u after a call that answered %#x", error, result);
    said.codes = (struct contract_codes){good ? 0 : error, result};
    enum moat_status status = contract_find(said.codes.error, result);
    if (status == MOAT_STATUS_COUNT)
        verify_fail("no call has the last error %u with the result %#x", error, result);
    return status;
}

enum moat_status face_after_win32(bool good) {
    return conclude(false, good, 0);
}

enum moat_status face_after_com(HRESULT result) {
    return conclude(true, result == S_OK, (uint32_t)result);
}

static bool alike(enum moat_status is, enum moat_status should) {
    struct contract_codes codes = contract_of(should);

    if (said.native)
        return is == should;
    return said.codes.error == codes.error && (!said.com || said.codes.result == codes.result);
}

void face_expect(enum moat_status should) {
    struct contract_codes codes = contract_of(should);

    if (!alike(MOAT_OK, should))
        verify_fail("the codes are %u and %#x, not %u and %#x: %s", said.codes.error,
                    said.codes.result, codes.error, codes.result, moat_last_error_text());
}

static enum moat_status native(enum moat_status status) {
    said.native = true;
    return status;
}

/* --- VirtualAlloc --- */

/* By the call that names a node as well; any node is good enough, and none is as good. */
static void *allocate_win32(void *address, size_t size, uint32_t type, uint32_t protection) {
    const size_t choice = size / MODEL_PAGE % 8;

    if (choice != 1 && choice != 2)
        return VirtualAlloc(address, size, type, protection);
    return VirtualAllocExNuma(GetCurrentProcess(), address, size, type, protection,
                              choice == 1 ? NUMA_NO_PREFERRED_NODE : 0);
}

/* The level is that of the call: the thread has another one meanwhile. */
static enum moat_status allocate(unsigned owner, void *address, size_t size, uint32_t type,
                                 uint32_t protection, void **start) {
    const enum moat_critical_level level = world.model.level;

    face_before();
    if (owner == FACE_WIN32) {
        *start = allocate_win32(address, size, type, protection);
        return face_after_win32(*start != NULL);
    }
    (void)moat_set_critical_level((enum moat_critical_level)((level + 1) % 3));
    enum moat_status status = face_after_com(face_host->lpVtbl->VirtualAlloc(
        face_host, address, size, type, protection, (EMemoryCriticalLevel)level, start));
    (void)moat_set_critical_level(level);
    return status;
}

static uint32_t type_of(uint32_t flags) {
    return (flags & MOAT_RESERVE_COMMIT ? MEM_COMMIT : 0) |
           (flags & MOAT_RESERVE_TOP_DOWN ? MEM_TOP_DOWN : 0) |
           (flags & MOAT_RESERVE_WRITE_WATCH ? MEM_WRITE_WATCH : 0) |
           (flags & MOAT_RESERVE_LARGE_PAGES ? MEM_LARGE_PAGES : 0) |
           (flags & ~0xFu ? MEM_PHYSICAL : 0);
}

/* MEM_COMMIT reserves as well where there is no address. */
static enum moat_status reserve(unsigned owner, void *address, size_t size, uint32_t protection,
                                uint32_t flags, void **base) {
    bool implied = !address && flags == MOAT_RESERVE_COMMIT && size / MODEL_PAGE % 2;

    return allocate(owner, address, size, type_of(flags) | (implied ? 0 : MEM_RESERVE), protection,
                    base);
}

static enum moat_status commit(unsigned owner, void *address, size_t size, uint32_t protection,
                               void **start) {
    if (!address) /* that would be a reserve */
        return native(calls_native.commit(owner, address, size, protection, start));
    return allocate(owner, address, size, MEM_COMMIT | (size % 2 ? MEM_TOP_DOWN : 0), protection,
                    start);
}

/* --- OfferVirtualMemory --- */

/* Whole pages, all committed, to those who name no protection: about every second such range. */
static bool is_offer(unsigned owner, void *address, size_t size, uint32_t protection) {
    uintptr_t at = (uintptr_t)address, start, end;
    struct model_run run;

    if (owner != FACE_WIN32 || protection != MOAT_PAGE_READWRITE || (at | size) % MODEL_PAGE ||
        at / MODEL_PAGE % 2 || !model_range(at, size, &start, &end) ||
        !model_find_run(&world.model, MODEL_OWNERS, at, size, &run))
        return false;
    for (size_t i = 0; i < run.count; i++)
        if (!run.first[i].protection)
            return false;
    return true;
}

/* Of calls whose code is what they return: the last error is left alone. */
static enum moat_status after_code(uint32_t error) {
    if (GetLastError() != FACE_UNTOUCHED)
        verify_fail("a call sets the last error that returns its code");
    if (error)
        SetLastError(error);
    return face_after_win32(error == 0);
}

static enum moat_status offer(void *address, size_t size, void **start) {
    face_before();
    enum moat_status status = after_code(OfferVirtualMemory(address, size, VmOfferPriorityLow));
    *start = status ? NULL : address;
    return status;
}

/* Lost content has a code of its own. */
static enum moat_status reclaim(void *address, size_t size, void **start) {
    face_before();
    uint32_t error = ReclaimVirtualMemory(address, size);
    *start = error ? NULL : address;
    if (error != ERROR_BUSY)
        return after_code(error);
    (void)after_code(0);
    return native(MOAT_CONTENT_LOST);
}

static enum moat_status reset(unsigned owner, void *address, size_t size, uint32_t protection,
                              void **start) {
    if (is_offer(owner, address, size, protection))
        return offer(address, size, start);
    return allocate(owner, address, size, MEM_RESET, protection, start);
}

static enum moat_status reset_undo(unsigned owner, void *address, size_t size, uint32_t protection,
                                   void **start) {
    if (is_offer(owner, address, size, protection))
        return reclaim(address, size, start);
    return allocate(owner, address, size, MEM_RESET_UNDO, protection, start);
}

/* --- VirtualAlloc2 --- */

static enum moat_status allocate2(void *address, size_t size, uint32_t type, uint32_t protection,
                                  MEM_EXTENDED_PARAMETER *parameter, void **start) {
    face_before();
    *start = VirtualAlloc2(size % 2 ? GetCurrentProcess() : NULL, address, size, type, protection,
                           parameter, parameter ? 1 : 0);
    return face_after_win32(*start != NULL);
}

static enum moat_status reserve_within(unsigned owner, size_t size, uint32_t protection,
                                       uint32_t flags, const struct moat_address_limits *limits,
                                       void **base) {
    MEM_ADDRESS_REQUIREMENTS requirements = {(PVOID)limits->lowest, (PVOID)limits->highest,
                                             limits->alignment};
    MEM_EXTENDED_PARAMETER parameter = {.Type = MemExtendedParameterAddressRequirements};

    if (owner != FACE_WIN32)
        return native(calls_native.reserve_within(owner, size, protection, flags, limits, base));
    parameter.Pointer = &requirements;
    return allocate2(NULL, size, type_of(flags) | MEM_RESERVE, protection, &parameter, base);
}

static enum moat_status placeholder(unsigned owner, void *address, size_t size, uint32_t flags,
                                    void **base) {
    if (owner != FACE_WIN32)
        return native(calls_native.placeholder(owner, address, size, flags, base));
    return allocate2(address, size, type_of(flags) | MEM_RESERVE | MEM_RESERVE_PLACEHOLDER,
                     PAGE_NOACCESS, NULL, base);
}

static enum moat_status replace(unsigned owner, void *address, size_t size, uint32_t protection,
                                uint32_t flags, void **base) {
    if (owner != FACE_WIN32)
        return native(calls_native.replace(owner, address, size, protection, flags, base));
    return allocate2(address, size, type_of(flags) | MEM_RESERVE | MEM_REPLACE_PLACEHOLDER,
                     protection, NULL, base);
}

/* --- VirtualFree --- */

static enum moat_status give(unsigned owner, void *address, size_t size, uint32_t type) {
    face_before();
    if (owner == FACE_WIN32)
        return face_after_win32(VirtualFree(address, size, type));
    return face_after_com(face_host->lpVtbl->VirtualFree(face_host, address, size, type));
}

/* What is not ours is a bad argument to Win32 above user space: face_model looks at that. */
static bool is_user(unsigned owner, const void *address) {
    return owner != FACE_WIN32 || (uintptr_t)address < MODEL_USER_END;
}

static enum moat_status decommit(unsigned owner, void *address, size_t size) {
    if (!is_user(owner, address))
        return native(calls_native.decommit(owner, address, size));
    return give(owner, address, size, MEM_DECOMMIT);
}

static enum moat_status release(unsigned owner, void *address) {
    if (!is_user(owner, address))
        return native(calls_native.release(owner, address));
    return give(owner, address, 0, MEM_RELEASE);
}

/* A size of 0 is refused by its type already. */
static enum moat_status preserve(unsigned owner, void *address, size_t size) {
    if (!is_user(owner, address) || size == 0)
        return native(calls_native.preserve(owner, address, size));
    return give(owner, address, size, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER);
}

static enum moat_status coalesce(unsigned owner, void *address, size_t size) {
    if (!is_user(owner, address) || size == 0)
        return native(calls_native.coalesce(owner, address, size));
    return give(owner, address, size, MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS);
}

/* --- VirtualProtect --- */

static enum moat_status protect(unsigned owner, void *address, size_t size, uint32_t protection,
                                uint32_t *old) {
    if (owner == MODEL_OWNERS)
        return native(calls_native.protect(owner, address, size, protection, old));
    face_before();
    if (owner == FACE_WIN32)
        return face_after_win32(VirtualProtect(address, size, protection, old));
    return face_after_com(
        face_host->lpVtbl->VirtualProtect(face_host, address, size, protection, old));
}

/* --- What Win32 has for regions of any manager --- */

static enum moat_status watch_get(unsigned owner, uint32_t flags, const void *address, size_t size,
                                  void **pages, size_t *count) {
    ULONG_PTR found = *count;
    DWORD granularity = 0;

    if (owner != MODEL_OWNERS)
        return native(calls_native.watch_get(owner, flags, address, size, pages, count));
    face_before();
    UINT result = GetWriteWatch(flags, (void *)address, size, pages, &found, &granularity);
    if (result != 0 && result != UINT32_MAX)
        verify_fail("GetWriteWatch answers %#x", result);
    if (result == 0 && granularity != MODEL_PAGE)
        verify_fail("the granularity is %u", granularity);
    *count = found;
    return face_after_win32(result == 0);
}

static enum moat_status watch_reset(unsigned owner, const void *address, size_t size) {
    if (owner != MODEL_OWNERS)
        return native(calls_native.watch_reset(owner, address, size));
    face_before();
    return face_after_win32(ResetWriteWatch((void *)address, size) == 0);
}

static enum moat_status lock_pages(unsigned owner, void *address, size_t size) {
    if (owner != MODEL_OWNERS)
        return native(calls_native.lock_pages(owner, address, size));
    face_before();
    return face_after_win32(VirtualLock(address, size));
}

static enum moat_status unlock_pages(unsigned owner, void *address, size_t size) {
    if (owner != MODEL_OWNERS)
        return native(calls_native.unlock_pages(owner, address, size));
    face_before();
    return face_after_win32(VirtualUnlock(address, size));
}

static enum moat_status discard(unsigned owner, void *address, size_t size) {
    if (owner != FACE_WIN32)
        return native(calls_native.discard(owner, address, size));
    face_before();
    return after_code(DiscardVirtualMemory(address, size));
}

/* --- Notices of the hosting interface --- */

static enum moat_status adopt(unsigned owner, const void *address, size_t size) {
    if (owner != FACE_COM)
        return native(calls_native.adopt(owner, address, size));
    face_before();
    return face_after_com(
        face_host->lpVtbl->AcquiredVirtualAddressSpace(face_host, (void *)address, size));
}

static enum moat_status disown(unsigned owner, const void *address) {
    if (owner != FACE_COM)
        return native(calls_native.disown(owner, address));
    face_before();
    return face_after_com(
        face_host->lpVtbl->ReleasedVirtualAddressSpace(face_host, (void *)address));
}

static enum moat_status trim(unsigned owner, const void *address, size_t size, size_t *given) {
    if (owner != FACE_COM || given)
        return native(calls_native.trim(owner, address, size, given));
    face_before();
    return face_after_com(
        face_host->lpVtbl->NeedsVirtualAddressSpace(face_host, (void *)address, size));
}

const struct calls calls_foreign = {
    .protects_any = true,
    .alike = alike,
    .reserve = reserve,
    .reserve_within = reserve_within,
    .commit = commit,
    .reset = reset,
    .reset_undo = reset_undo,
    .decommit = decommit,
    .release = release,
    .protect = protect,
    .watch_get = watch_get,
    .watch_reset = watch_reset,
    .lock_pages = lock_pages,
    .unlock_pages = unlock_pages,
    .discard = discard,
    .placeholder = placeholder,
    .replace = replace,
    .preserve = preserve,
    .coalesce = coalesce,
    .adopt = adopt,
    .disown = disown,
    .trim = trim,
};
