/* SPDX-License-Identifier: MIT */
/*
 * contract_memory: locking, undoing a reset, discarding, offering; code that is written and run.
 *
 * Could fail by an error that differs, by locks that are counted, or by content that is called kept
 * and is not.
 */
#include "support/contract.h"

#include <string.h>

#ifdef _WIN32
/* Older headers of mingw-w64 do not declare these. */
typedef DWORD(WINAPI *discard_function)(PVOID, SIZE_T);
typedef DWORD(WINAPI *offer_function)(PVOID, SIZE_T, int);
typedef DWORD(WINAPI *reclaim_function)(const void *, SIZE_T);

static void *find(const char *name) {
    return (void *)(uintptr_t)GetProcAddress(GetModuleHandleA("kernelbase.dll"), name);
}
#endif

static DWORD lock_error(const void *address, SIZE_T size) {
    SetLastError(0);
    return VirtualLock((LPVOID)(uintptr_t)address, size) ? 0 : GetLastError();
}

static DWORD unlock_error(const void *address, SIZE_T size) {
    SetLastError(0);
    return VirtualUnlock((LPVOID)(uintptr_t)address, size) ? 0 : GetLastError();
}

static void locks(void) {
    BYTE *base = reserve_commit(8 * PAGE, PAGE_READWRITE);

    if (lock_error(base, PAGE) == ERROR_WORKING_SET_QUOTA) {
        row_skip("lock", "the process may lock nothing");
        release(base);
        return;
    }
    row("lock_again_ok", 0, lock_error(base, PAGE));
    row("lock_no_split", 8 * PAGE, run_of(base));
    row("lock_protect_same", PAGE_READWRITE, protect_of(base));
    row("lock_unaligned_two_pages", 0, lock_error(base + 2 * PAGE - 1, 2));
    row("unlock_two_pages", 0, unlock_error(base + PAGE, 2 * PAGE));
    row("unlock_not_counted", 0, unlock_error(base, 1));
    row("unlock_not_locked_err", ERROR_NOT_LOCKED, unlock_error(base, PAGE));
    row("lock_some", 0, lock_error(base + 4 * PAGE, PAGE));
    row("unlock_partly_locked_err", ERROR_NOT_LOCKED, unlock_error(base + 4 * PAGE, 2 * PAGE));
    row("lock_size_zero_err", ERROR_INVALID_PARAMETER, lock_error(base, 0));
    row("lock_wrap_err", ERROR_INVALID_PARAMETER, lock_error(base, SIZE_MAX));
    row("unlock_size_zero_err", ERROR_INVALID_PARAMETER, unlock_error(base, 0));

    row("lock_then_decommit", 0, free_error(base + 4 * PAGE, PAGE, MEM_DECOMMIT));
    row("lock_uncommitted_err", ERROR_NOACCESS, lock_error(base + 3 * PAGE, 2 * PAGE));
    row("unlock_uncommitted_err", ERROR_NOT_LOCKED, unlock_error(base + 4 * PAGE, PAGE));
    commit(base + 4 * PAGE, PAGE, PAGE_NOACCESS);
    row("lock_noaccess_err", ERROR_NOACCESS, lock_error(base + 4 * PAGE, PAGE));
    commit(base + 4 * PAGE, PAGE, PAGE_READONLY);
    row("lock_read_only_ok", 0, lock_error(base + 4 * PAGE, PAGE));
    row("lock_then_protect", 0, protect_error(base + 4 * PAGE, PAGE, PAGE_READWRITE));
    row("lock_kept_by_protect", 0, unlock_error(base + 4 * PAGE, PAGE));
    row("lock_all", 0, lock_error(base, 8 * PAGE));
    release(base);
    row("lock_released_err", ERROR_NOACCESS, lock_error(base, PAGE));
    row("unlock_released_err", ERROR_NOT_LOCKED, unlock_error(base, PAGE));
}

static void undo(void) {
    BYTE *base = reserve_commit(8 * PAGE, PAGE_READWRITE);

    memset(base, 0x3C, 8 * PAGE);
    row("undo_reset_first", 0, alloc_error(base, 8 * PAGE, MEM_RESET, PAGE_READWRITE));
    DWORD error = alloc_error(base, 8 * PAGE, MEM_RESET_UNDO, PAGE_READWRITE);
    if (error == ERROR_INVALID_PARAMETER) {
        row_skip("undo", "MEM_RESET_UNDO is not known here");
        release(base);
        return;
    }
    bool same = true;
    for (SIZE_T i = 0; i < 8 * PAGE; i++)
        same = same && base[i] == 0x3C;
    row("undo_success_means_intact", error == 0, same);
    row("undo_past_end_err", ERROR_INVALID_ADDRESS,
        alloc_error(base, 8 * PAGE + 1, MEM_RESET_UNDO, PAGE_READWRITE));
    row("undo_free_address_err", ERROR_INVALID_ADDRESS,
        alloc_error(base + GRANULE, PAGE, MEM_RESET_UNDO, PAGE_READWRITE));
    row("undo_size_zero_err", ERROR_INVALID_PARAMETER,
        alloc_error(base, 0, MEM_RESET_UNDO, PAGE_READWRITE));
    row("undo_with_reset_err", ERROR_INVALID_PARAMETER,
        alloc_error(base, PAGE, MEM_RESET_UNDO | MEM_RESET, PAGE_READWRITE));
    row("undo_needs_valid_protect_err", ERROR_INVALID_PARAMETER,
        alloc_error(base, PAGE, MEM_RESET_UNDO, 0));
    row("undo_state", MEM_COMMIT, state_of(base));
    row("undo_no_split", 8 * PAGE, run_of(base));
    release(base);
}

static void offers(void) {
#ifdef _WIN32
    discard_function DiscardVirtualMemory = (discard_function)find("DiscardVirtualMemory");
    offer_function OfferVirtualMemory = (offer_function)find("OfferVirtualMemory");
    reclaim_function ReclaimVirtualMemory = (reclaim_function)find("ReclaimVirtualMemory");
    const int normal = 4;
    if (!DiscardVirtualMemory || !OfferVirtualMemory || !ReclaimVirtualMemory) {
        row_skip("offer", "this system does not have it");
        return;
    }
#else
    const OFFER_PRIORITY normal = VmOfferPriorityNormal;
#endif
    BYTE *base = reserve_commit(8 * PAGE, PAGE_READWRITE);

    memset(base, 0x3C, 8 * PAGE);
    SetLastError(4711);
    row("discard_ok", 0, DiscardVirtualMemory(base + PAGE, 2 * PAGE));
    row("discard_leaves_neighbours", true, base[PAGE - 1] == 0x3C && base[3 * PAGE] == 0x3C);
    row("discard_state", MEM_COMMIT, state_of(base + PAGE));
    row("discard_access", true, can_write(base + PAGE));
    row("discard_unaligned_err", ERROR_INVALID_PARAMETER, DiscardVirtualMemory(base + 1, PAGE));
    row("discard_odd_size_err", ERROR_INVALID_PARAMETER, DiscardVirtualMemory(base, PAGE + 1));
    row("offer_leaves_last_error", 4711, GetLastError());

    memset(base, 0x3C, 8 * PAGE);
    row("offer_ok", 0, OfferVirtualMemory(base, 4 * PAGE, normal));
    DWORD error = ReclaimVirtualMemory(base, 4 * PAGE);
    row("reclaim_ok_or_busy", true, error == 0 || error == ERROR_BUSY);
    bool same = true;
    for (SIZE_T i = 0; i < 4 * PAGE; i++)
        same = same && base[i] == 0x3C;
    row("reclaim_success_means_intact", error == 0, same);
    row("offer_unaligned_err", ERROR_INVALID_PARAMETER, OfferVirtualMemory(base + 1, PAGE, normal));
    row("reclaim_odd_size_err", ERROR_INVALID_PARAMETER, ReclaimVirtualMemory(base, PAGE + 1));
#ifndef _WIN32
    /* Which error Windows has for these is not documented. */
    row("offer_priority_err", ERROR_INVALID_PARAMETER,
        OfferVirtualMemory(base, PAGE, (OFFER_PRIORITY)5));
    row("offer_free_address_err", ERROR_INVALID_ADDRESS,
        OfferVirtualMemory(base + GRANULE, PAGE, normal));
    row("decommit_for_offer", 0, free_error(base, PAGE, MEM_DECOMMIT));
    row("discard_uncommitted_err", ERROR_INVALID_ADDRESS, DiscardVirtualMemory(base, PAGE));
    row("offer_uncommitted_err", ERROR_INVALID_ADDRESS, OfferVirtualMemory(base, PAGE, normal));
    row("reclaim_uncommitted_err", ERROR_INVALID_ADDRESS, ReclaimVirtualMemory(base, PAGE));
    row("reclaim_never_written", ERROR_BUSY,
        ReclaimVirtualMemory(commit(base, PAGE, PAGE_READWRITE), PAGE));
#endif
    release(base);
}

/* As a JIT does: written while it cannot run, run while it cannot be written. */
static void code(void) {
#if defined(__x86_64__)
    static const BYTE code[] = {0xB8, 42, 0, 0, 0, 0xC3}; /* mov eax, 42; ret */
#elif defined(__aarch64__)
    static const BYTE code[] = {0x40, 0x05, 0x80, 0x52, 0xC0, 0x03, 0x5F, 0xD6};
#else
    static const BYTE code[] = {0};
    row_skip("jit", "no code for this processor");
    return;
#endif
    BYTE *base = reserve_commit(PAGE, PAGE_READWRITE);
    DWORD old;
    int (*function)(void);

    for (int i = 0; i < 3; i++) {
        memcpy(base, code, sizeof code);
#ifdef __x86_64__
        base[1] = (BYTE)(42 + i);
#endif
        row("jit_protect", true, !!VirtualProtect(base, PAGE, PAGE_EXECUTE_READ, &old));
        row("jit_flush", true, !!FlushInstructionCache(GetCurrentProcess(), base, sizeof code));
        memcpy((void *)&function, &base, sizeof function);
#ifdef __x86_64__
        row("jit_runs", (uintmax_t)(42 + i), (uintmax_t)function());
#else
        row("jit_runs", 42, (uintmax_t)function());
#endif
        row("jit_not_writable", false, can_write(base));
        row("jit_protect_back", true, !!VirtualProtect(base, PAGE, PAGE_READWRITE, &old));
        row("jit_protect_back_old", PAGE_EXECUTE_READ, old);
    }
    row("flush_everything", true, !!FlushInstructionCache(GetCurrentProcess(), NULL, 0));
#ifndef _WIN32
    SetLastError(0);
    row("flush_other_process", false, !!FlushInstructionCache(base, base, PAGE));
    row("flush_other_process_err", ERROR_INVALID_HANDLE, GetLastError());
#endif
    release(base);
}

int main(void) {
    locks();
    undo();
    offers();
    code();
    return contract_end();
}
