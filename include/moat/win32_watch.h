/* SPDX-License-Identifier: MIT */
/*
 * win32_watch: GetWriteWatch and ResetWriteWatch, a part of <moat/win32.h>.
 *
 * They answer for reservations made with MEM_WRITE_WATCH, by whichever manager. How writes are
 * recorded, what counts as one, and what a forked child can know is told in <moat/watch.h>.
 */
#ifndef MOAT_WIN32_WATCH_H
#define MOAT_WIN32_WATCH_H

#include <moat/win32_types.h>

#ifndef _WIN32

#include <moat/export.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WRITE_WATCH_FLAG_RESET 0x01u

/*
 * Find the pages of a range that were written since they were committed or last reset.
 *
 *   dwFlags           WRITE_WATCH_FLAG_RESET: reset the pages that are returned; or 0
 *   lpBaseAddress     in a reservation made with MEM_WRITE_WATCH; rounded down to a page
 *   dwRegionSize      bytes, > 0; the end is rounded up to a page
 *   lpAddresses       receives the addresses of the pages, ascending
 *   lpdwCount         how many there is room for, > 0; receives how many there are
 *   lpdwGranularity   receives the size of a page
 *
 * Returns   0
 *           0xFFFFFFFF, with the last error, the first that applies of
 *             ERROR_NOACCESS            lpdwCount or lpdwGranularity is NULL
 *             ERROR_INVALID_PARAMETER   dwRegionSize or *lpdwCount is 0, or an unknown flag
 *             ERROR_NOACCESS            lpAddresses is NULL
 *             ERROR_INVALID_PARAMETER   the range is not in one reservation with write watch
 *             ERROR_NOT_ENOUGH_MEMORY   the kernel had none for the answer
 *             ERROR_NOT_SUPPORTED       it does not record any more: a filter of system calls
 *             ERROR_TIMEOUT             the pages stayed busy past the manager's deadline
 * After a failure nothing has changed.
 *
 * Threads   any, at once; a write is reported by this call, if it comes before or meanwhile, or by
 *           the next one
 * Since     0.2
 * Contract  learn.microsoft.com, memoryapi.h, GetWriteWatch
 */
MOAT_API UINT WINAPI GetWriteWatch(DWORD dwFlags, PVOID lpBaseAddress, SIZE_T dwRegionSize,
                                   PVOID *lpAddresses, ULONG_PTR *lpdwCount,
                                   LPDWORD lpdwGranularity);

/*
 * Have the pages of a range count as not written.
 *
 *   lpBaseAddress, dwRegionSize   as GetWriteWatch
 *
 * Returns   as GetWriteWatch, but for what its other parameters are refused for
 *
 * Threads   any, at once
 * Since     0.2
 * Contract  learn.microsoft.com, memoryapi.h, ResetWriteWatch
 */
MOAT_API UINT WINAPI ResetWriteWatch(LPVOID lpBaseAddress, SIZE_T dwRegionSize);

#ifdef __cplusplus
}
#endif

#endif /* _WIN32 */

#endif
