/* SPDX-License-Identifier: MIT */
/*
 * status: every way a Moat call can end, and what it is called on the other faces.
 *
 * One table (moat_status_describe) maps a status to its Win32 error and its HRESULT. Nothing else
 * decides codes, and they differ only where Win32 and the hosting interface do.
 */
#ifndef MOAT_STATUS_H
#define MOAT_STATUS_H

#include <moat/export.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* clang-format off */
enum moat_status {
    MOAT_OK = 0,
    MOAT_INVALID_ARGUMENT, /* a flag, protection, size or option that no state could make right   */
    MOAT_INVALID_ADDRESS,  /* the wrong place, or pages in the wrong state                        */
    MOAT_NOT_OURS,         /* freed or locked, and not, or no longer, of this manager or heap     */
    MOAT_LEAVES_REGION,    /* a range that runs past the region it starts in: decommit, watch     */
    MOAT_NO_ACCESS,        /* a pointer is NULL, or pages have no access                          */
    MOAT_BAD_LENGTH,       /* a query buffer too short for what is to be written                  */
    MOAT_NO_MEMORY,        /* no address range, or no memory for one                              */
    MOAT_COMMIT_LIMIT,     /* the kernel or a quota refused to back the pages                     */
    MOAT_MAP_LIMIT,        /* vm.max_map_count: the kernel will not split another mapping         */
    MOAT_NOT_SUPPORTED,    /* a power this build, kernel or machine does not have                 */
    MOAT_NO_PRIVILEGE,     /* large pages, and the machine's owner has set none aside             */
    MOAT_TIMEOUT,          /* the region or its pages stayed busy past the manager's deadline     */
    MOAT_NOT_OWNER,        /* another thread holds the region lock                                */
    MOAT_ABANDONED,        /* the wait was called off, or who held the lock ended                 */
    MOAT_UNAVAILABLE,      /* the runtime was declared unloaded, or corruption has latched        */
    MOAT_CORRUPT,          /* the books or the kernel contradict themselves; latches              */
    MOAT_CONTENT_LOST,     /* undoing a reset came too late: some pages read as zero              */
    MOAT_NOT_LOCKED,       /* an unlock of pages that are not locked in memory                    */
    MOAT_LOCK_LIMIT,       /* RLIMIT_MEMLOCK: no more pages may be locked in memory               */
    MOAT_NO_LARGE_PAGES,   /* the large pages that were set aside are all in use                  */
    MOAT_GUARD_TOUCHED,    /* a guard page was in the way; it is none any more                    */
    MOAT_CODE_BLOCKED,     /* execute=wx: rights that would let written memory be executed        */
    MOAT_STATUS_COUNT
};
/* clang-format on */

/* What one status is called elsewhere. */
struct moat_status_info {
    const char *name;     /* the enumerator, for logs: "MOAT_NOT_OURS" */
    const char *text;     /* one lower-case sentence without a full stop */
    uint32_t win32_error; /* what GetLastError answers; 0 for MOAT_OK */
    uint32_t hresult;     /* what the hosting interface returns; 0 (S_OK) for MOAT_OK */
};

/*
 * The row of the status table for `status`: what to write into a log, and what the other faces say.
 *
 *   status   any value
 *
 * Returns   never NULL: a value outside the enumeration gets the row of MOAT_CORRUPT
 * Threads   any, at once; async-signal-safe
 * Since     0.1
 */
MOAT_API const struct moat_status_info *moat_status_describe(enum moat_status status);

#ifdef __cplusplus
}
#endif

#endif
