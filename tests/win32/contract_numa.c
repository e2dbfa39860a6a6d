/* SPDX-License-Identifier: MIT */
/* contract_numa: VirtualAllocExNuma and the highest node. What single nodes do is not told here. */
#include "support/contract.h"

#ifndef NUMA_NO_PREFERRED_NODE
#define NUMA_NO_PREFERRED_NODE ((DWORD)-1)
#endif

static BYTE *alloc_near(void *address, DWORD type, DWORD protection, DWORD node) {
    SetLastError(0);
    return VirtualAllocExNuma(GetCurrentProcess(), address, 3 * PAGE, type, protection, node);
}

int main(void) {
    ULONG highest = 99;

    row("numa_highest_ok", true, !!GetNumaHighestNodeNumber(&highest));
    row("numa_highest_is_a_node", true, highest < 64);
    for (ULONG node = 0; node <= highest; node++) {
        BYTE *base = alloc_near(NULL, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, node);
        row("numa_node", true, base != NULL && can_write(base) && is_zero(base, 3 * PAGE));
        row("numa_run", 3 * PAGE, run_of(base));
        release(base);
    }
    BYTE *base = alloc_near(NULL, MEM_RESERVE, PAGE_READWRITE, NUMA_NO_PREFERRED_NODE);
    row("numa_none", true, base != NULL);
    row("numa_commit_what_stands", true,
        alloc_near(base, MEM_COMMIT, PAGE_READWRITE, 0) == base && can_write(base));
    row("numa_reserve_what_stands_err", true,
        alloc_near(base, MEM_RESERVE, PAGE_READWRITE, 0) == NULL &&
            GetLastError() == ERROR_INVALID_ADDRESS);
    release(base);
    row("numa_protection_err", true,
        alloc_near(NULL, MEM_RESERVE, 0, 0) == NULL && GetLastError() == ERROR_INVALID_PARAMETER);
#ifdef MOAT_HAVE_NUMA
    row("numa_no_such_node_err", true,
        alloc_near(NULL, MEM_RESERVE, PAGE_READWRITE, highest + 1) == NULL &&
            GetLastError() == ERROR_INVALID_PARAMETER);
    row("numa_no_such_node_commit_err", true,
        alloc_near(NULL, MEM_COMMIT, PAGE_READWRITE, 999) == NULL &&
            GetLastError() == ERROR_INVALID_PARAMETER);
#endif
    return contract_end();
}
