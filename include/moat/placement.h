/* SPDX-License-Identifier: MIT */
/*
 * placement: where Moat may choose a place for a region, how it has to be aligned, and what traps
 * beside it.
 */
#ifndef MOAT_PLACEMENT_H
#define MOAT_PLACEMENT_H

#include <moat/export.h>
#include <moat/status.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct moat_manager;

/* Where a region may lie. All zero: no limits. */
struct moat_address_limits {
    uintptr_t lowest;  /* the least base; a multiple of 65536 */
    uintptr_t highest; /* the last byte; one less than a multiple of 4096, below user space's end;
                          0: no limit */
    size_t alignment;  /* of the base: a power of two >= 65536, or 0 for 65536 */
};

/*
 * Reserve a region where Moat chooses, within limits.
 *
 *   size         bytes, > 0; rounded up to a page
 *   protection   as moat_reserve
 *   flags        MOAT_RESERVE_*, but not MOAT_RESERVE_LARGE_PAGES
 *   limits       NULL is as all zero, and then this is moat_reserve without an address
 *   base         receives the start of the region; NULL after a failure
 *
 * With `lowest` or `highest`, or MOAT_RESERVE_TOP_DOWN, the highest room is taken. It is found by a
 * walk over the mappings of the process, from some GiB below the limit on, and from further down
 * only if there is none: some ten microseconds, and about one more for each mapping there. Such a
 * region has a mapping of its own. Where only room without guards is left within the limits, that
 * is taken, and counted in guards_yielded. What Moat holds for its small regions counts as taken,
 * and so does what the stack of the first thread may still grow into.
 *
 * Without a /proc to read, MOAT_RESERVE_TOP_DOWN is ignored.
 *
 * Returns   MOAT_OK
 *           MOAT_INVALID_ARGUMENT   limits that are not as above, or nothing lies between them;
 *                                   else as moat_reserve
 *           MOAT_NO_MEMORY          no room within the limits, or none for the books
 *           MOAT_NOT_SUPPORTED      `lowest` or `highest`, and no /proc to find room by; or
 *                                   MOAT_RESERVE_WRITE_WATCH, as moat_reserve
 *           MOAT_COMMIT_LIMIT, MOAT_MAP_LIMIT, MOAT_NO_ACCESS   as moat_reserve
 * After a failure nothing has changed.
 * Threads   any, at once
 * Since     0.2
 * Contract  VirtualAlloc2, MEM_ADDRESS_REQUIREMENTS
 */
MOAT_API MOAT_CHECKED enum moat_status moat_reserve_within(struct moat_manager *manager,
                                                           size_t size, uint32_t protection,
                                                           uint32_t flags,
                                                           const struct moat_address_limits *limits,
                                                           void **base);

/* More pages than that are not counted. */
#define MOAT_GUARDS_COUNTED ((size_t)16384)

/*
 * Count the pages beside a region that trap, by asking the kernel for each: none is touched, and
 * there is no signal. They are its guards (moat_options.guard_before, guard_after), and what lies
 * beyond them and traps as well.
 *
 *   address   in the region
 *   before    receives how many pages in a row trap right before it, MOAT_GUARDS_COUNTED at most
 *   after     receives the same for those right behind it
 *
 * A region that Moat placed has at least the guards of its manager's options, as long as nobody
 * reserved exactly there: a guard then yields, which stats tell (guards_yielded). One at an address
 * that the caller chose may have none.
 *
 * Returns   MOAT_OK
 *           MOAT_NOT_OURS        in no region of this manager
 *           MOAT_NOT_SUPPORTED   the kernel does not tell (some emulators)
 *           MOAT_NO_ACCESS       manager, before or after is NULL
 *           MOAT_UNAVAILABLE
 * After a failure *before and *after are 0.
 * Cost      a system call for each page counted, some 100 ns
 * Threads   any, at once; what others map and unmap meanwhile is seen as it comes
 * Since     0.3
 */
MOAT_API MOAT_CHECKED enum moat_status moat_guard_verify(const struct moat_manager *manager,
                                                         const void *address, size_t *before,
                                                         size_t *after);

#ifdef __cplusplus
}
#endif

#endif
