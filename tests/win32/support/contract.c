/* SPDX-License-Identifier: MIT */
/*
 * contract: counting rows, and the small steps that rows are made of.
 */
#include "contract.h"

#include <stdio.h>
#include <stdlib.h>

static unsigned passed, failed, known, skipped;

#ifdef _WIN32
#include <string.h>

/* Where Wine is known to differ from Windows, and in nothing else. */
static const struct {
    const char *name;
    const char *reason;
} differences[] = {
    {"alloc_type_reset_with_commit_err", "Wine takes MEM_RESET with other types"},
    {"alloc_type_reset_with_reserve_err", "Wine takes MEM_RESET with other types"},
    {"reset_with_commit_err", "Wine takes MEM_RESET with other types"},
    {"reset_with_topdown_err", "Wine takes MEM_RESET with other types"},
    {"alloc_type_writewatch_commit_needs_reserve_err", "Wine takes WRITE_WATCH with COMMIT"},
    {"alloc_prot_guard_noaccess_err", "Wine takes PAGE_GUARD with NOACCESS"},
    {"protect_prot_guard_noaccess_err", "Wine takes PAGE_GUARD with NOACCESS"},
    {"alloc_prot_nocache_noaccess_err", "Wine takes any modifiers"},
    {"alloc_prot_nocache_guard_err", "Wine takes any modifiers"},
    {"alloc_prot_writecombine_noaccess_err", "Wine takes any modifiers"},
    {"alloc_prot_writecombine_nocache_err", "Wine takes any modifiers"},
    {"alloc_bad_prot_wins_over_bad_commit_address", "Wine checks the address first"},
    {"protect_bad_prot_wins_over_uncommitted", "Wine checks the address first"},
    {"reset_needs_valid_protect_err", "Wine does not look at the protection"},
    {"release_twice_err", "Wine 8 says 87"},
    {"release_free_address_err", "Wine 8 says 87"},
    {"release_granule_tail_err", "Wine 8 says 87"},
    {"decommit_free_address_err", "Wine 8 says 87"},
    {"decommit_free_address_size_zero_err", "Wine 8 says 87"},
    {"free_type_zero_at_free_addr_err", "Wine 10 checks the address first"},
    {"free_type_both_flags_at_free_addr_err", "Wine 10 checks the address first"},
    {"free_preserve_on_plain_reservation_err", "Wine 8 has no placeholders"},
    {"decommit_size_max_err", "Wine wraps and decommits"},
    {"decommit_size_max_changes_nothing", "Wine wraps and decommits"},
    {"decommit_size_zero_takes_all", "Wine splits the run by forgotten protections"},
    {"decommit_size_zero_in_first_page_takes_all", "Wine splits the run the same way"},
    {"query_after_decommit_one_run", "Wine splits the run the same way"},
    {"race_disjoint_pages_all_reserved", "Wine splits the run the same way"},
    {"protect_free_err", "Wine says 87"},
    {"protect_past_end_err", "Wine says 87"},
    {"protect_across_reservations_err", "Wine says 87"},
    {"protect_size_zero_err", "Wine accepts it"},
    {"ww_flag_with_commit_only_err", "Wine takes WRITE_WATCH with COMMIT"},
    {"ww_faulting_write_not_counted", "Wine counts a write that faults"},
    {"ww_protect_back_keeps_dirty", "Wine counts a write that faults"},
    {"ww_decommit_clears_its_pages", "Wine keeps records over a decommit"},
    {"ww_recommit_clean", "Wine keeps records over a decommit"},
    {"unlock_not_locked_err", "Wine does not know what is locked"},
    {"unlock_partly_locked_err", "Wine does not know what is locked"},
    {"unlock_uncommitted_err", "Wine does not know what is locked"},
    {"unlock_released_err", "Wine does not know what is locked"},
    {"lock_size_zero_err", "Wine accepts it"},
    {"lock_wrap_err", "Wine accepts it"},
    {"unlock_size_zero_err", "Wine accepts it"},
    {"lock_uncommitted_err", "Wine says 5 of all that mlock refuses"},
    {"lock_noaccess_err", "Wine says 5 of all that mlock refuses"},
    {"lock_released_err", "Wine says 5 of all that mlock refuses"},
    {"alloc2_lowest_odd_err", "Wine 8 takes no lower limit"},
    {"alloc2_lowest_above_err", "Wine 8 takes no lower limit"},
    {"alloc2_lowest_over_highest_err", "Wine 8 takes no lower limit"},
    {"alloc2_within", "Wine 8 takes no lower limit"},
    {"fault_lock_err", "Wine says 5 of all that mlock refuses"},
    {"fault_lock_drops_it", "Wine's VirtualLock is no access"},
    {"fault_lock_again", "Wine's VirtualLock is no access"},
    {"fault_decommitted_no_guard", "Wine remembers the guard of a decommitted page"},
};

static bool is_wine(void) {
    HMODULE ntdll = GetModuleHandleA("ntdll.dll");
    return ntdll != NULL && GetProcAddress(ntdll, "wine_get_version") != NULL;
}

static const char *difference(const char *name) {
    if (!is_wine())
        return NULL;
    for (size_t i = 0; i < sizeof differences / sizeof *differences; i++) {
        if (strcmp(differences[i].name, name) == 0)
            return differences[i].reason;
    }
    return NULL;
}
#else
static const char *difference(const char *name) {
    (void)name;
    return NULL;
}
#endif

void row(const char *name, uintmax_t expected, uintmax_t got) {
    const char *reason = NULL;

    if (expected == got) {
        passed++;
        return;
    }
    reason = difference(name);
    printf("%s: %s: expected %#jx (%ju), got %#jx (%ju)%s%s\n",
           reason != NULL ? "known difference" : "FAIL", name, expected, expected, got, got,
           reason != NULL ? ": " : "", reason != NULL ? reason : "");
    if (reason != NULL)
        known++;
    else
        failed++;
}

void row_skip(const char *name, const char *reason) {
    printf("skip: %s: %s\n", name, reason);
    skipped++;
}

int contract_end(void) {
    if (known != 0 || skipped != 0)
        printf("%u known differences, %u skipped\n", known, skipped);
    printf("%u passed, %u failed\n", passed, failed);
    return failed == 0 && passed != 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Win32 takes addresses as LPVOID; rows do not write through them. */
static LPVOID address_of(const void *address) {
    return (LPVOID)(uintptr_t)address;
}

/* A failing call must say why: without this a stale error would count. */
static DWORD error_now(void) {
    DWORD error = GetLastError();
    return error != 0 ? error : (DWORD)-1;
}

DWORD alloc_error(const void *address, SIZE_T size, DWORD type, DWORD protection) {
    SetLastError(0);
    BYTE *start = VirtualAlloc(address_of(address), size, type, protection);
    if (start == NULL)
        return error_now();
    if ((type & MEM_RESERVE) != 0 || address == NULL)
        release(start);
    return 0;
}

DWORD free_error(const void *address, SIZE_T size, DWORD type) {
    SetLastError(0);
    return VirtualFree(address_of(address), size, type) ? 0 : error_now();
}

DWORD protect_error(const void *address, SIZE_T size, DWORD protection) {
    DWORD old;
    SetLastError(0);
    return VirtualProtect(address_of(address), size, protection, &old) ? 0 : error_now();
}

DWORD query_error(const void *address) {
    MEMORY_BASIC_INFORMATION info;
    SetLastError(0);
    return VirtualQuery(address, &info, sizeof info) != 0 ? 0 : error_now();
}

static BYTE *must(BYTE *start, const char *what, SIZE_T size) {
    if (start == NULL) {
        printf("FAIL: %s of %#zx bytes, error %u\n", what, (size_t)size, (unsigned)GetLastError());
        exit(EXIT_FAILURE);
    }
    return start;
}

BYTE *reserve(const void *address, SIZE_T size) {
    return must(VirtualAlloc(address_of(address), size, MEM_RESERVE, PAGE_NOACCESS), "reserve",
                size);
}

BYTE *reserve_commit(SIZE_T size, DWORD protection) {
    return must(VirtualAlloc(NULL, size, MEM_RESERVE | MEM_COMMIT, protection), "reserve_commit",
                size);
}

BYTE *commit(const void *address, SIZE_T size, DWORD protection) {
    return must(VirtualAlloc(address_of(address), size, MEM_COMMIT, protection), "commit", size);
}

void release(const void *base) {
    if (!VirtualFree(address_of(base), 0, MEM_RELEASE)) {
        printf("FAIL: release, error %u\n", (unsigned)GetLastError());
        exit(EXIT_FAILURE);
    }
}

BYTE *hole(SIZE_T size) {
    BYTE *base = reserve(NULL, size);
    release(base);
    return base;
}

MEMORY_BASIC_INFORMATION query(const void *address) {
    MEMORY_BASIC_INFORMATION info;
    if (VirtualQuery(address, &info, sizeof info) != sizeof info) {
        printf("FAIL: query, error %u\n", (unsigned)GetLastError());
        exit(EXIT_FAILURE);
    }
    return info;
}

DWORD state_of(const void *address) {
    return query(address).State;
}

DWORD protect_of(const void *address) {
    return query(address).Protect;
}

SIZE_T run_of(const void *address) {
    return query(address).RegionSize;
}

uintmax_t offset_of(const void *base, const void *address) {
    return address == NULL ? UINTMAX_MAX : (uintmax_t)((uintptr_t)address - (uintptr_t)base);
}

bool is_zero(const BYTE *start, SIZE_T size) {
    for (SIZE_T i = 0; i < size; i++) {
        if (start[i] != 0)
            return false;
    }
    return true;
}
