/* SPDX-License-Identifier: MIT */
/*
 * placeholder: address space that is kept while what stands in it changes.
 *
 * A placeholder is a reservation that cannot be committed. It can be split at any page and joined
 * with its neighbours again, a part of it can be replaced by an ordinary region and that given back
 * to be a placeholder once more; all the while no page of it is anybody else's, and a query of any
 * of its pages never finds a hole.
 *
 *     [          one placeholder           ]   moat_placeholder_reserve
 *     [    a    ][    b    ][      c       ]   moat_placeholder_preserve of b: split
 *     [    a    ][ region  ][      c       ]   moat_placeholder_replace of b
 *     [    a    ][    b    ][      c       ]   moat_placeholder_preserve of b: given back
 *     [          one placeholder           ]   moat_placeholder_coalesce of all
 *
 * To a query a placeholder is reserved, with MOAT_PAGE_NOACCESS as allocation protection. Each part
 * is a region of its own, which moat_release releases alone. moat_commit, moat_decommit and
 * moat_reset of a placeholder fail with MOAT_INVALID_ADDRESS.
 *
 * A guard page stands before the first part and behind the last, as for every region; none between
 * parts. A placeholder has a mapping of its own. Splitting is free of system calls; each part that
 * is released between others, or committed, costs the process a mapping or two.
 *
 * The lock of a region (moat/lock.h) ends with the region: also when it is split, joined, replaced
 * or given back.
 */
#ifndef MOAT_PLACEHOLDER_H
#define MOAT_PLACEHOLDER_H

#include <moat/placement.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Reserve a placeholder.
 *
 *   address   NULL: Moat chooses. Else as moat_reserve has it
 *   size      bytes, > 0; rounded up to a page
 *   flags     0 or MOAT_RESERVE_TOP_DOWN
 *   limits    NULL, or where Moat may choose; with an address it has to be NULL or all zero
 *   base      receives the start; NULL after a failure
 *
 * Returns   as moat_reserve and moat_reserve_within; MOAT_INVALID_ADDRESS also for an address in
 *           space that Moat holds for its small regions, though a query calls it free
 * After a failure nothing has changed.
 * Threads   any, at once
 * Since     0.2
 * Contract  VirtualAlloc2, MEM_RESERVE | MEM_RESERVE_PLACEHOLDER
 */
MOAT_API MOAT_CHECKED enum moat_status moat_placeholder_reserve(
    struct moat_manager *manager, void *address, size_t size, uint32_t flags,
    const struct moat_address_limits *limits, void **base);

/*
 * Put an ordinary region in the place of a placeholder.
 *
 *   address      of the placeholder's first page; rounded down to a page
 *   size         bytes, > 0; the end is rounded up to a page and is that of the placeholder
 *   protection   MOAT_PAGE_*, as for moat_reserve
 *   flags        0, or MOAT_RESERVE_COMMIT to commit the region as well; its pages read as zero
 *   base         receives the start; NULL after a failure
 *
 * Returns   MOAT_OK
 *           MOAT_INVALID_ARGUMENT   protection, flags, size, or a range outside user space
 *           MOAT_INVALID_ADDRESS    that is not exactly a placeholder of this manager
 *           MOAT_NOT_OWNER          another thread has the placeholder locked
 *           MOAT_NO_MEMORY, MOAT_COMMIT_LIMIT, MOAT_MAP_LIMIT
 *           MOAT_TIMEOUT, MOAT_ABANDONED   another call on it stayed unfinished
 *           MOAT_NO_ACCESS          manager or base is NULL
 * After a failure nothing has changed.
 * Threads   any, at once; of several only one gets MOAT_OK
 * Since     0.2
 * Contract  VirtualAlloc2, MEM_RESERVE | MEM_REPLACE_PLACEHOLDER
 */
MOAT_API MOAT_CHECKED enum moat_status moat_placeholder_replace(struct moat_manager *manager,
                                                                void *address, size_t size,
                                                                uint32_t protection, uint32_t flags,
                                                                void **base);

/*
 * Make a placeholder: of a region that replaced one, or of a part of a larger placeholder.
 *
 *   address   rounded down to a page
 *   size      bytes, > 0; the end is rounded up to a page
 *
 * A range that is exactly a region made by moat_placeholder_replace becomes a placeholder again:
 * every access to it traps when this returns MOAT_OK, and its content is gone. A range that is a
 * proper part of a placeholder becomes one of its own, and so does what is left on either side.
 *
 * Returns   MOAT_OK
 *           MOAT_INVALID_ARGUMENT   the size is 0, or the range leaves user space
 *           MOAT_NOT_OURS           address is in no region of this manager
 *           MOAT_INVALID_ADDRESS    the range is a whole placeholder, or a part of another region,
 *                                   or a region that did not replace a placeholder
 *           MOAT_NOT_OWNER          another thread has the region locked
 *           MOAT_NO_MEMORY          none for the books
 *           MOAT_MAP_LIMIT, MOAT_NO_MEMORY   the kernel would not make the pages trap: it is still
 *                                   the region that it was, and pages that trap are decommitted
 *           MOAT_TIMEOUT, MOAT_ABANDONED   another call on it stayed unfinished
 *           MOAT_NO_ACCESS          manager is NULL
 * After any other failure nothing has changed.
 * Threads   any, at once
 * Since     0.2
 * Contract  VirtualFree, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER
 */
MOAT_API MOAT_CHECKED enum moat_status moat_placeholder_preserve(struct moat_manager *manager,
                                                                 void *address, size_t size);

/*
 * Join placeholders that lie side by side.
 *
 *   address   of the first page of the first; rounded down to a page
 *   size      bytes, > 0; the end is rounded up to a page and is that of the last
 *
 * Returns   MOAT_OK
 *           MOAT_INVALID_ARGUMENT   the size is 0, or the range leaves user space
 *           MOAT_NOT_OURS           address is in no region of this manager
 *           MOAT_INVALID_ADDRESS    the range is not exactly two or more placeholders of this
 *                                   manager without a gap
 *           MOAT_NOT_OWNER          another thread has one of them locked
 *           MOAT_NO_MEMORY          none for the books
 *           MOAT_MAP_LIMIT          the kernel would not make their mappings alike
 *           MOAT_TIMEOUT, MOAT_ABANDONED   another call on one of them stayed unfinished
 *           MOAT_NO_ACCESS          manager is NULL
 * After a failure nothing has changed.
 * Threads   any, at once
 * Since     0.2
 * Contract  VirtualFree, MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS
 */
MOAT_API MOAT_CHECKED enum moat_status moat_placeholder_coalesce(struct moat_manager *manager,
                                                                 void *address, size_t size);

#ifdef __cplusplus
}
#endif

#endif
