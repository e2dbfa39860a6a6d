/* SPDX-License-Identifier: MIT */
/*
 * win32_numa: VirtualAllocExNuma and the nodes there are, a part of <moat/win32.h>.
 *
 * What a node means for memory is told in <moat/numa.h>.
 */
#ifndef MOAT_WIN32_NUMA_H
#define MOAT_WIN32_NUMA_H

#include <moat/win32_types.h>

#ifndef _WIN32

#include <moat/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/* As a preferred node: none. */
#define NUMA_NO_PREFERRED_NODE ((DWORD)-1)

/*
 * VirtualAlloc, of memory that is to come from one node if that has any left.
 *
 *   hProcess           GetCurrentProcess()
 *   lpAddress          as VirtualAlloc has it
 *   dwSize             as VirtualAlloc has it
 *   flAllocationType   as VirtualAlloc has it
 *   flProtect          as VirtualAlloc has it
 *   nndPreferred       0 to the highest node, or NUMA_NO_PREFERRED_NODE. It counts for what is
 *                      reserved now; pages of a reservation that stands come from where its memory
 *                      does. Large pages do not heed it
 *
 * Returns   as VirtualAlloc; and NULL, with the last error, the first that applies of
 *             ERROR_INVALID_HANDLE      another process
 *             ERROR_INVALID_PARAMETER   no such node
 * After a failure nothing has changed.
 *
 * Threads   any, at once
 * Since     0.4
 * Contract  learn.microsoft.com, memoryapi.h, VirtualAllocExNuma
 */
MOAT_API LPVOID WINAPI VirtualAllocExNuma(HANDLE hProcess, LPVOID lpAddress, SIZE_T dwSize,
                                          DWORD flAllocationType, DWORD flProtect,
                                          DWORD nndPreferred);

/*
 * The highest number of a node that this process may have memory from; 0 where there are none.
 *
 *   HighestNodeNumber   receives it
 *
 * Returns   TRUE
 *           FALSE, with the last error ERROR_NOACCESS: HighestNodeNumber is NULL
 *
 * Threads   any, at once
 * Since     0.4
 * Contract  learn.microsoft.com, systemtopologyapi.h, GetNumaHighestNodeNumber
 */
MOAT_API BOOL WINAPI GetNumaHighestNodeNumber(PULONG HighestNodeNumber);

#ifdef __cplusplus
}
#endif

#endif /* _WIN32 */

#endif
