/* SPDX-License-Identifier: MIT */
/*
 * space: address space that Moat shares with others: ranges they map, and ranges they need.
 *
 * A runtime maps files and sections itself. What it tells here Moat knows of: a query of such a
 * range answers with its start and its owner, and calls that free refuse it. What the pages are,
 * the kernel decides and a query asks it, so a range that was unmapped meanwhile is free to a query
 * and can be reserved, told or not.
 */
#ifndef MOAT_SPACE_H
#define MOAT_SPACE_H

#include <moat/export.h>
#include <moat/status.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct moat_manager;

/*
 * Tell that a range was mapped by somebody else, and is this manager's to report.
 *
 *   address   start of the range, a multiple of a page
 *   size      bytes, > 0; rounded up to a page
 *
 * A query of a page in it reports `address` as allocation base, the manager as owner, and for the
 * rest what the kernel says, no run beyond the range; moat_protect changes it as foreign memory,
 * no further than to its end; moat_release and moat_decommit refuse it. moat_manager_destroy
 * forgets it and unmaps nothing. Ranges may overlap earlier ones, which are then out of date, and
 * hide them: word of an unmapping may come later than that of the next mapping at the same place.
 *
 * Returns   MOAT_OK
 *           MOAT_INVALID_ARGUMENT   size is 0, address is no multiple of a page or below 64 KiB,
 *                                   or the range wraps or leaves user space
 *           MOAT_INVALID_ADDRESS    a page is part of a region or of Moat's own memory, or nothing
 *                                   is mapped there
 *           MOAT_NOT_SUPPORTED      the kernel does not tell what is mapped (no /proc)
 *           MOAT_NO_MEMORY          none for the books
 *           MOAT_NO_ACCESS          manager is NULL
 *           MOAT_UNAVAILABLE
 * After a failure nothing has changed.
 * Cost      a question to the kernel for each mapping in the range. Each query of foreign memory,
 *           and each call here, looks at all ranges there are or ever were at once: some 6 ns each
 * Threads   any, at once
 * Since     0.2
 * Contract  IHostMemoryManager::AcquiredVirtualAddressSpace
 */
MOAT_API MOAT_CHECKED enum moat_status moat_adopt(struct moat_manager *manager, const void *address,
                                                  size_t size);

/*
 * Tell that a range that moat_adopt was told of is not any more; nothing is unmapped.
 *
 *   address   as told then. Of several ranges that start there the one told first is meant
 *
 * Returns   MOAT_OK
 *           MOAT_NOT_OURS    this manager was told of no range that starts there
 *           MOAT_NO_ACCESS   manager is NULL
 *           MOAT_UNAVAILABLE
 * Threads   any, at once
 * Since     0.2
 * Contract  IHostMemoryManager::ReleasedVirtualAddressSpace
 */
MOAT_API MOAT_CHECKED enum moat_status moat_disown(struct moat_manager *manager,
                                                   const void *address);

/*
 * Give address space back to the kernel, for somebody who could not map.
 *
 *   address   where it is needed, rounded down to a page; NULL: anywhere
 *   size      bytes that are needed, rounded up to a page; 0: whatever can be given
 *   given     receives the bytes that were given back; may be NULL
 *
 * Regions of all managers share stretches of 16 MiB to 64 GiB, which Moat keeps when they are
 * empty. Those in which no region lies are unmapped one by one, one that holds `address` first,
 * until so much can be mapped, and are had again when regions need them. Released places that were
 * kept from automatic placement (quarantine_regions) are free at once, in every stretch. Nothing is
 * given back if so much can be mapped as it is. Addresses given back belong to whoever the kernel
 * gives them to: a stale pointer into them may then meet a stranger, and not trap.
 *
 * Returns   MOAT_OK                 so much could be mapped when it was tried last, or something
 *                                   was given back
 *           MOAT_INVALID_ARGUMENT   the range wraps or leaves user space
 *           MOAT_NO_MEMORY          it cannot be mapped, and nothing was there to give back; or
 *                                   more is needed anywhere than user space has
 *           MOAT_UNAVAILABLE
 * Threads   any, at once. A reserve that is under way at the same time takes longer by the time of
 *           the unmapping, at most `timeout_ms` of its manager
 * Since     0.2
 * Contract  IHostMemoryManager::NeedsVirtualAddressSpace
 */
MOAT_API MOAT_CHECKED enum moat_status moat_trim(const void *address, size_t size, size_t *given);

#ifdef __cplusplus
}
#endif

#endif
