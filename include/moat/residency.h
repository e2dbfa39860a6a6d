/* SPDX-License-Identifier: MIT */
/*
 * residency: pages that must stay in memory, and pages whose content may go.
 *
 * moat_reset of <moat/moat.h> says that content is not needed for now. Here is how to take that
 * back, how to drop content at once, and how to lock pages in memory.
 *
 * Threads: every call may run in any thread at any time, and waits as those of <moat/moat.h> do.
 * Signals: none is async-signal-safe.
 */
#ifndef MOAT_RESIDENCY_H
#define MOAT_RESIDENCY_H

#include <moat/export.h>
#include <moat/status.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct moat_manager;

/*
 * Lock committed pages in memory: from now on no access to them waits for the kernel to fetch them.
 *
 *   manager   whose regions are meant; NULL: any memory of the process, as for moat_protect
 *   address   rounded down to a page
 *   size      bytes, > 0; the end is rounded up to a page. In one region
 *
 * There is no counting: pages that are locked stay so, and one unlock undoes all locks. Decommit
 * and release unlock what they take; a change of protection keeps the lock. At vm.max_map_count a
 * part of the pages that were locked together may be neither unlocked nor decommitted.
 *
 * Returns   MOAT_OK                 every page is in memory
 *           MOAT_INVALID_ARGUMENT   the size is 0, or the range is outside user space
 *           MOAT_NO_ACCESS          a page is not committed, has no access (PAGE_NOACCESS), is in
 *                                   another region, another manager's, or Moat's own
 *           MOAT_GUARD_TOUCHED      a page was an armed guard, and is not any more: as Windows,
 *                                   this call counts as an access
 *           MOAT_LOCK_LIMIT         RLIMIT_MEMLOCK
 *           MOAT_MAP_LIMIT, MOAT_NO_MEMORY, MOAT_TIMEOUT, MOAT_ABANDONED, MOAT_UNAVAILABLE
 * After a failure nothing has changed, but for the first guard in the range, and for memory that no
 * manager reserved: there a prefix may stay locked.
 * Since     0.2
 * Contract  VirtualLock
 */
MOAT_API MOAT_CHECKED enum moat_status moat_lock_pages(struct moat_manager *manager, void *address,
                                                       size_t size);

/*
 * Unlock pages.
 *
 * Parameters as moat_lock_pages; the range need not be one that was locked in one call.
 *
 * Returns   MOAT_OK
 *           MOAT_INVALID_ARGUMENT   the size is 0, or the range is outside user space
 *           MOAT_NOT_LOCKED         a page is not locked, not committed, in another region, another
 *                                   manager's, or Moat's own. Of memory that no manager reserved it
 *                                   is not known what is locked: only a hole is told
 *           MOAT_MAP_LIMIT, MOAT_NO_MEMORY, MOAT_TIMEOUT, MOAT_ABANDONED, MOAT_UNAVAILABLE
 * After a failure nothing has changed.
 * Since     0.2
 * Contract  VirtualUnlock
 */
MOAT_API MOAT_CHECKED enum moat_status moat_unlock_pages(struct moat_manager *manager,
                                                         void *address, size_t size);

#ifdef __cplusplus
}
#endif

#endif
