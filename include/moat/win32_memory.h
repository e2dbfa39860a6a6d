/* SPDX-License-Identifier: MIT */
/*
 * win32_memory: the rest of memoryapi.h that Moat has, for sources that were written against
 * <windows.h>. Included by win32.h, and under its rules.
 */
#ifndef MOAT_WIN32_MEMORY_H
#define MOAT_WIN32_MEMORY_H

#include <moat/win32_types.h>

#ifndef _WIN32

#include <moat/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Last errors, beside those of win32.h. */
#define ERROR_INVALID_HANDLE      6u
#define ERROR_GEN_FAILURE         31u
#define ERROR_NOT_LOCKED          158u
#define ERROR_BUSY                170u
#define ERROR_NO_SYSTEM_RESOURCES 1450u
#define ERROR_WORKING_SET_QUOTA   1453u

/* An NT status that is its own last error. */
#define STATUS_GUARD_PAGE_VIOLATION 0x80000001u

/* How soon offered memory may go. Linux knows one way: sooner than what was not offered. */
typedef enum OFFER_PRIORITY {
    VmOfferPriorityVeryLow = 1,
    VmOfferPriorityLow,
    VmOfferPriorityBelowNormal,
    VmOfferPriorityNormal
} OFFER_PRIORITY;

/*
 * Lock committed pages in memory, anywhere in the process.
 *
 *   lpAddress   rounded down to a page
 *   dwSize      bytes, > 0; the end is rounded up to a page
 *
 * Locks are not counted: one VirtualUnlock undoes them all. VirtualFree unlocks what it takes.
 *
 * Returns   TRUE
 *           FALSE, with the last error
 *             ERROR_INVALID_PARAMETER       dwSize is 0, or the range is outside user space
 *             ERROR_NOACCESS                a page is not committed, or PAGE_NOACCESS, or in
 *                                           another reservation than the first one
 *             STATUS_GUARD_PAGE_VIOLATION   a page was a guard, and is not any more
 *             ERROR_WORKING_SET_QUOTA       the process may not lock that much: RLIMIT_MEMLOCK
 *                                           here, the minimum working set on Windows
 *             ERROR_NOT_ENOUGH_MEMORY, ERROR_TIMEOUT
 * After a failure nothing has changed, but for that guard.
 *
 * Threads   any, at once
 * Since     0.2
 * Contract  learn.microsoft.com, memoryapi.h, VirtualLock
 */
MOAT_API BOOL WINAPI VirtualLock(LPVOID lpAddress, SIZE_T dwSize);

/*
 * Unlock pages that are all locked.
 *
 *   lpAddress, dwSize   as for VirtualLock; need not be what one call has locked
 *
 * Returns   TRUE
 *           FALSE, with the last error
 *             ERROR_INVALID_PARAMETER   dwSize is 0, or the range is outside user space
 *             ERROR_NOT_LOCKED          a page is not locked: nothing has changed
 *             ERROR_NOT_ENOUGH_MEMORY, ERROR_TIMEOUT
 *
 * Threads   any, at once
 * Since     0.2
 * Contract  learn.microsoft.com, memoryapi.h, VirtualUnlock
 */
MOAT_API BOOL WINAPI VirtualUnlock(LPVOID lpAddress, SIZE_T dwSize);

/*
 * Drop the content of committed pages, which stay committed.
 *
 *   VirtualAddress   a multiple of the page size, in a reservation of VirtualAlloc
 *   Size             bytes, a multiple of the page size, > 0
 *
 * Returns   ERROR_SUCCESS             what the pages hold is undefined; here they read as zero
 *           ERROR_INVALID_PARAMETER   not whole pages, Size is 0, or outside user space
 *           ERROR_INVALID_ADDRESS     not in one reservation, or not all committed
 *           ERROR_NOT_ENOUGH_MEMORY   the kernel refused: some pages may have lost their content
 *           ERROR_TIMEOUT
 * After any other failure nothing has changed. The last error is left alone.
 *
 * Threads   any, at once
 * Since     0.2
 * Contract  learn.microsoft.com, memoryapi.h, DiscardVirtualMemory
 */
MOAT_API DWORD WINAPI DiscardVirtualMemory(PVOID VirtualAddress, SIZE_T Size);

/*
 * Let the system drop the content of committed pages if it runs short of memory, until
 * ReclaimVirtualMemory. As MEM_RESET: until then the pages can be used, and what is written to one
 * is kept.
 *
 *   VirtualAddress, Size   as for DiscardVirtualMemory
 *   Priority               one of VmOfferPriority*; without effect
 *
 * Returns   ERROR_SUCCESS, or as DiscardVirtualMemory; ERROR_INVALID_PARAMETER also for another
 *           priority. The last error is left alone
 * Threads   any, at once
 * Since     0.2
 * Contract  learn.microsoft.com, memoryapi.h, OfferVirtualMemory
 */
MOAT_API DWORD WINAPI OfferVirtualMemory(PVOID VirtualAddress, SIZE_T Size,
                                         OFFER_PRIORITY Priority);

/*
 * Take offered pages back.
 *
 *   VirtualAddress, Size   as for DiscardVirtualMemory
 *
 * Returns   ERROR_SUCCESS    every page holds what it held
 *           ERROR_BUSY       taken back, but some pages have lost their content and read as zero;
 *                            also where a page was never written since it was committed
 *           ERROR_NOACCESS   a page has no access, and so cannot be looked at
 *           or as DiscardVirtualMemory
 * The last error is left alone.
 * Threads   any, at once
 * Since     0.2
 * Contract  learn.microsoft.com, memoryapi.h, ReclaimVirtualMemory
 */
MOAT_API DWORD WINAPI ReclaimVirtualMemory(const void *VirtualAddress, SIZE_T Size);

/*
 * The least size of a large page, which size and address of MEM_LARGE_PAGES are multiples of.
 *
 * Returns   2 MiB, or 0: this machine has none. VirtualAlloc says ERROR_PRIVILEGE_NOT_HELD where
 *           none are set aside for use
 * Threads   any
 * Since     0.2
 * Contract  learn.microsoft.com, memoryapi.h, GetLargePageMinimum
 */
MOAT_API SIZE_T WINAPI GetLargePageMinimum(VOID);

/*
 * A handle of the calling process, for FlushInstructionCache.
 *
 * Returns   a constant, which needs no closing
 * Threads   any; async-signal-safe
 * Since     0.2
 * Contract  learn.microsoft.com, processthreadsapi.h, GetCurrentProcess
 */
MOAT_API HANDLE WINAPI GetCurrentProcess(VOID);

/*
 * Have the processor see code that was just written.
 *
 *   hProcess        GetCurrentProcess(): there is no other one
 *   lpBaseAddress   where it was written, readable; NULL means everything, for which nothing is
 *                   done: x86-64 needs nothing, and other processors want to be told where
 *   dwSize          bytes
 *
 * Returns   TRUE
 *           FALSE, with the last error ERROR_INVALID_HANDLE
 * Threads   any
 * Since     0.2
 * Contract  learn.microsoft.com, processthreadsapi.h, FlushInstructionCache
 */
MOAT_API BOOL WINAPI FlushInstructionCache(HANDLE hProcess, LPCVOID lpBaseAddress, SIZE_T dwSize);

#ifdef __cplusplus
}
#endif

#endif /* _WIN32 */

#endif
