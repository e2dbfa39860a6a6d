/* SPDX-License-Identifier: MIT */
/*
 * watch: which pages of a region were written since they were last reset? What garbage collectors
 * keep their card tables with.
 *
 * Writes are recorded in regions that were reserved with MOAT_RESERVE_WRITE_WATCH. A page is clean
 * when it is committed; the first write makes it written, also one that changes nothing, by any
 * thread or by the kernel (read(2) into it). It stays written until it is reset or decommitted:
 * reading it, moat_protect and a commit of committed pages neither set nor clear anything, and a
 * page that nobody may access any more is reported still. An access that is refused is no write.
 * After moat_reset or moat_discard a page is reported or not, until it is written again.
 *
 * Two ways, by the option `watch`:
 *
 *   kernel   asynchronous write protection (Linux 6.7). The first write to a clean page costs about
 *            a microsecond. What locks pages in memory writes to them, as the kernel sees it:
 *            writable pages are reported once after mlock(2) or VirtualLock, and locked pages
 *            when they become writable
 *   fault    clean pages are mapped read-only, and the handler of <moat/fault.h> lets the first
 *            write through. It must be installed before the first such region is reserved, and stay
 *            so. System calls that are to write into a clean page fail with EFAULT. Every stretch
 *            of written pages costs a mapping: at the mapping limit all pages of the region are
 *            called written. The array that moat_watch_get fills must not lie in the region
 *
 * Exact either way while other threads write: a write that comes before or during a call that
 * resets is reported by that call, or else by the next one.
 *
 * In a forked child of a program that uses the kernel's way, what was recorded before the fork is
 * not known: pages that hold something are reported until they are reset. The same holds in a
 * process that closes the two descriptors which Moat has opened for this (userfaultfd and
 * /proc/self/pagemap); it opens them anew.
 */
#ifndef MOAT_WATCH_H
#define MOAT_WATCH_H

#include <moat/export.h>
#include <moat/status.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct moat_manager;

/* What moat_watch_get does besides. */
#define MOAT_WATCH_RESET 0x1u /* reset the pages that are reported, and only those */

/*
 * Find the written pages of a range.
 *
 *   manager   whose regions are meant; NULL: any manager's
 *   flags     MOAT_WATCH_RESET or 0
 *   address   in a region with MOAT_RESERVE_WRITE_WATCH; rounded down to a page
 *   size      bytes, > 0; the end is rounded up to a page
 *   pages     receives the addresses of written pages, ascending
 *   count     how many there is room for at `pages`, > 0; receives how many were found. If that is
 *             all there was room for, there may be more: the next call starts behind the last one
 *
 * Pages that are not committed are never reported.
 *
 * Returns   MOAT_OK
 *           MOAT_NO_ACCESS          pages or count is NULL
 *           MOAT_INVALID_ARGUMENT   size or *count is 0, an unknown flag, or address is not in a
 *                                   region that is watched, of this manager
 *           MOAT_LEAVES_REGION      the range runs past the end of the region
 *           MOAT_NO_MEMORY, MOAT_MAP_LIMIT   the kernel had no memory, no descriptor after a fork,
 *                                   or would not split another mapping
 *           MOAT_NOT_SUPPORTED      it does not record any more: a filter of system calls was set
 *           MOAT_TIMEOUT, MOAT_ABANDONED   another call on these pages stayed unfinished
 *           MOAT_UNAVAILABLE, MOAT_CORRUPT
 * After a failure *count is as it was, and so are the records; `pages` holds anything. Where the
 * kernel refuses to undo a reset as well, which takes a filter of system calls, they are lost.
 * Threads   any, at once
 * Since     0.2
 * Contract  GetWriteWatch
 */
MOAT_API MOAT_CHECKED enum moat_status moat_watch_get(struct moat_manager *manager, uint32_t flags,
                                                      const void *address, size_t size,
                                                      void **pages, size_t *count);

/*
 * Have all pages of a range count as not written.
 *
 *   manager, address, size   as moat_watch_get
 *
 * Returns   MOAT_OK
 *           MOAT_INVALID_ARGUMENT, MOAT_LEAVES_REGION, MOAT_NO_MEMORY, MOAT_MAP_LIMIT,
 *           MOAT_NOT_SUPPORTED, MOAT_TIMEOUT, MOAT_ABANDONED, MOAT_UNAVAILABLE, MOAT_CORRUPT
 *                                   as moat_watch_get
 * After MOAT_NO_MEMORY or MOAT_MAP_LIMIT some pages are reset and others are not; after another
 * failure none is.
 * Threads   any, at once
 * Since     0.2
 * Contract  ResetWriteWatch
 */
MOAT_API MOAT_CHECKED enum moat_status moat_watch_reset(struct moat_manager *manager,
                                                        const void *address, size_t size);

#ifdef __cplusplus
}
#endif

#endif
