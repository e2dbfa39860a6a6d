/* SPDX-License-Identifier: MIT */
/*
 * clean: recording which pages were written, by faults, where the kernel does not record.
 *
 * A committed page that was not written since it was reset is clean by the books
 * (MOAT_PAGE_IS_CLEAN), and is mapped without the right to write. Its first write traps, is noted,
 * and gets the right. So every stretch of written pages is a mapping of its own; where the kernel
 * has no more of those, all pages of the region are called written.
 */
#ifndef MOAT_REGION_CLEAN_H
#define MOAT_REGION_CLEAN_H

#include "os/os.h"
#include "region/pages.h"
#include "region/watch.h"

/* Whether a state is that of a page whose first write this access may be. */
static inline bool moat_clean_traps(uint8_t state, unsigned access) {
    const uint8_t clean = MOAT_PAGE_COMMITTED | MOAT_PAGE_IS_CLEAN;
    return (state & clean) == clean && !(state & MOAT_PAGE_IS_GUARD) &&
           (access == MOAT_OS_NONE || (access & MOAT_OS_WRITE)) &&
           (moat_code_access(state & MOAT_PAGE_CODE) & MOAT_OS_WRITE);
}

/* Note the first write to a clean page and let it through. The stripe is held. False: refused by
 * the kernel, nothing has changed. Async-signal-safe. */
bool moat_clean_wrote(struct moat_space *space, uintptr_t page);

/* Have all pages of [start, end), a whole region, count as written; needs no new mapping. False:
 * refused by the kernel for some. All stripes are held. Async-signal-safe. */
bool moat_clean_give_up(struct moat_space *space, uintptr_t start, uintptr_t end);

/* As moat_watch_collect. A page that the kernel will not let trap again is found, and stays
 * written; only a search without `pages` fails for it. */
int moat_clean_collect(const struct moat_region_ref *ref, uintptr_t start, uintptr_t end,
                       struct moat_watch_search *search);

#endif
