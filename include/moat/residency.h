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
 * Take a reset back: have the kernel keep the content of pages that moat_reset gave up, and say
 * whether all of it is still there.
 *
 *   address, size, protection, start   as for moat_reset; the protection must be valid and is
 *                                      ignored
 *
 * Uncommitted pages in the range have no content to lose. A committed page that nobody has written
 * since it was committed cannot be told from one that was dropped, and counts as lost; so does,
 * while a forked child lives, a page of zeroes that was written before the fork. Pages that are
 * read-only are writable to other threads while this looks at them. In a region whose writes are
 * recorded (<moat/watch.h>) this may count as a write, and so may moat_reset and moat_discard.
 *
 * Returns   MOAT_OK             every page holds what it held before the reset
 *           MOAT_CONTENT_LOST   some pages read as zero; all others are kept as by MOAT_OK
 *           MOAT_NO_ACCESS      manager is NULL; or a committed page has no access (PAGE_NOACCESS,
 *                               PAGE_GUARD), and so cannot be looked at: nothing has changed
 *           MOAT_MAP_LIMIT, MOAT_NO_MEMORY   read-only pages could not be made writable, or not be
 *                               made read-only again
 *           else as moat_commit
 * After MOAT_MAP_LIMIT or MOAT_NO_MEMORY some pages are kept, and read-only pages may be left
 * writable, which a query then says. After any other failure but MOAT_CONTENT_LOST nothing has
 * changed.
 * Threads   any, at once
 * Since     0.2
 * Contract  VirtualAlloc, MEM_RESET_UNDO
 */
MOAT_API MOAT_CHECKED enum moat_status moat_reset_undo(struct moat_manager *manager, void *address,
                                                       size_t size, uint32_t protection,
                                                       void **start);

/*
 * Drop the content of committed pages now. They stay committed, keep their protection, and read as
 * zero where the kernel does as it says, which it was asked at the start.
 *
 *   address   a multiple of the page size, in a region of this manager
 *   size      bytes, > 0, a multiple of the page size
 *
 * Returns   MOAT_OK
 *           MOAT_INVALID_ARGUMENT   not whole pages, the size is 0, or outside user space
 *           MOAT_INVALID_ADDRESS    not inside one region of this manager, or not all committed
 *           MOAT_NO_ACCESS          manager is NULL
 *           MOAT_NO_MEMORY          the kernel refused: some pages may have lost their content
 *           MOAT_TIMEOUT, MOAT_ABANDONED, MOAT_UNAVAILABLE
 * After any other failure nothing has changed.
 * Threads   any, at once
 * Since     0.2
 * Contract  DiscardVirtualMemory
 */
MOAT_API MOAT_CHECKED enum moat_status moat_discard(struct moat_manager *manager, void *address,
                                                    size_t size);

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
 * Threads   any, at once
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
 * Threads   any, at once
 * Since     0.2
 * Contract  VirtualUnlock
 */
MOAT_API MOAT_CHECKED enum moat_status moat_unlock_pages(struct moat_manager *manager,
                                                         void *address, size_t size);

#ifdef __cplusplus
}
#endif

#endif
