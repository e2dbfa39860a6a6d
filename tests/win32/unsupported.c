/* SPDX-License-Identifier: MIT */
/*
 * unsupported: powers of Windows that Moat does not have, as a Windows without them answers.
 *
 * Could fail by a flag that is taken and ignored: a program that probes would then rely on it. With
 * the real API there is nothing to say.
 */
#include "support/contract.h"

#ifndef _WIN32
static void flags(void) {
    BYTE *base = reserve_commit(PAGE, PAGE_READWRITE);

    row("unsupported_physical_err", ERROR_INVALID_PARAMETER,
        alloc_error(NULL, GRANULE, MEM_RESERVE | MEM_PHYSICAL, PAGE_READWRITE));

    row("unsupported_changes_nothing", PAGE, run_of(base));
    release(base);
}
#endif

/* Where the order of checks rests on the kernel's source alone and Wine has another. */
static void order(void) {
    BYTE *base = reserve_commit(PAGE, PAGE_READWRITE);
#ifdef _WIN32
    row_skip("unsupported", "the system has the powers that Moat lacks");
#else
    SetLastError(0);
    row("protect_bad_prot_null_old", false, !!VirtualProtect(base, PAGE, 0, NULL));
    row("protect_bad_prot_wins_over_null_old", ERROR_INVALID_PARAMETER, GetLastError());
    SetLastError(0);
    row("protect_null_old_size_zero", false, !!VirtualProtect(base, 0, PAGE_READONLY, NULL));
    row("protect_null_old_wins_over_size_zero", ERROR_NOACCESS, GetLastError());
    row("protect_wrap_err", ERROR_INVALID_PARAMETER,
        protect_error(base + PAGE, SIZE_MAX, PAGE_READONLY));
#endif
    row("unsupported_base_is_committed", MEM_COMMIT, state_of(base));
    release(base);
}

int main(void) {
#ifndef _WIN32
    flags();
#endif
    order();
    return contract_end();
}
