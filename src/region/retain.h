/* SPDX-License-Identifier: MIT */
/*
 * retain: regions that are released and keep their pages, so that the next one faults none in.
 *
 * The pages lose their access rights, and that is all: they trap, hold what they held, and are
 * zeroed before they are handed out, by whoever commits them next, wherever his region begins. The
 * page bytes say so (MOAT_PAGE_RETAINED), and nothing else need be right: not who knows of the
 * place (retain_ring.h), not what is kept elsewhere. Worth it where most of a region was touched:
 * two changes of rights and a pass over 64 KiB cost a quarter of what sixteen faults do.
 *
 * A region that can be found has no retained pages: who reserves without committing gives them back
 * first, and so does who takes granules as guards. They are where nothing lies, free or resting.
 */
#ifndef MOAT_REGION_RETAIN_H
#define MOAT_REGION_RETAIN_H

#include "region/place.h"
#include "region/retain_budget.h"

/* Larger regions are not retained here. */
#define MOAT_RETAIN_SIZE_MAX ((size_t)256 << 10)

/*
 * Have the pages of a region trap that is being released, and stay as they are otherwise. Only what
 * is committed to be read and written from end to end can be, in an arena with markers whose memory
 * children inherit, and only within the budget.
 *
 *   most   moat_retain_most
 *
 * Returns   the bytes that trap and did not before, all or none as a rule; what the kernel refused
 *           half-way is as the books say afterwards
 */
size_t moat_retain_pages(struct moat_space *space, uintptr_t start, uintptr_t end, uint64_t most);

/* Give the memory of retained pages of [start, end) back; they trap all the while. The caller has
 * the granules. Where the kernel refuses that, it is had back when somebody commits the pages. */
void moat_retain_drop(struct moat_space *space, uintptr_t start, uintptr_t end);

/* The same for what a place has that no commit will reach: guards, the rest of its last granule,
 * and all of it unless it is to be committed. */
void moat_retain_clear(const struct moat_place *place, bool committed);

/* Tell of a place that automatic placement may use from now on, if it is worth telling. */
void moat_retain_offer(struct moat_space *arena, uintptr_t base, size_t size);

/*
 * Give back what is retained in granules that are free or rest, in the whole process.
 *
 *   wake   what rests does so no longer; else it goes on to rest
 *
 * Returns   the bytes that were given back
 */
size_t moat_retain_empty_all(bool wake);

/* An arena that is unmapped has nothing retained any more. Its blocks are all claimed. */
void moat_retain_forget(struct moat_space *arena);

/* In a forked child: bring the sums to what the books say. By the thread that mends it. */
void moat_retain_mend(void);

#endif
