/* SPDX-License-Identifier: MIT */
/* commit: giving pages to a region, with everything that is to be told about it. */
#ifndef MOAT_VM_COMMIT_H
#define MOAT_VM_COMMIT_H

#include "region/access.h"
#include "region/pages.h"
#include "vm/manager.h"
#include "vm/range.h"

/* The state of a page with this protection that is committed in a region with these
 * MOAT_REGION_*. */
static inline uint8_t moat_commit_state(uint32_t protection, uint32_t flags) {
    bool clean = (flags & MOAT_REGION_CLEANED) != 0;
    return moat_page_state(protection) | (clean ? MOAT_PAGE_IS_CLEAN : 0);
}

/* When pages that are committed in a region with these MOAT_REGION_* get their memory. Who records
 * writes takes a page that was supplied for one that was written. */
static inline enum moat_access_memory moat_commit_memory(const struct moat_manager *manager,
                                                         uint32_t flags) {
    bool now = manager->options.commit == MOAT_COMMIT_POPULATE && !(flags & MOAT_REGION_WATCHED);
    return now ? MOAT_MEMORY_NOW : MOAT_MEMORY_LATER;
}

/*
 * Give the pages of a range a state, committing those that are not. The caller holds the stripes,
 * or the region is not in the books yet.
 *
 *   state       moat_commit_state
 *   memory      moat_commit_memory, or later
 *   what        the call, for reports
 *   committed   receives the bytes that were not committed before
 *
 * Pages that may be poisoned, which are those of a region that was committed before, are for
 * moat_commit alone: it tells what was written to them once it holds nothing any more.
 */
enum moat_status moat_commit_pages(struct moat_manager *manager, struct moat_space *space,
                                   const struct moat_range *range, uint8_t state,
                                   enum moat_access_memory memory, const char *what,
                                   size_t *committed);

/*
 * Check the arguments of a commit or reset, find the region of this manager that holds the whole
 * range, and take its stripes.
 *
 * Returns   MOAT_OK   to be left with moat_region_leave(ref, *stripes)
 *           as moat_commit, told already
 */
enum moat_status moat_commit_enter(struct moat_manager *manager, const char *what,
                                   uintptr_t address, size_t size, uint32_t protection,
                                   struct moat_range *range, struct moat_region_ref *ref,
                                   uint32_t *stripes);

#endif
