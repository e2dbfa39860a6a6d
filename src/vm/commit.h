/* SPDX-License-Identifier: MIT */
/* commit: giving pages to a region, with everything that is to be told about it. */
#ifndef MOAT_VM_COMMIT_H
#define MOAT_VM_COMMIT_H

#include "vm/manager.h"
#include "vm/range.h"

/*
 * Give the pages of a range a protection, committing those that are not. The caller holds the
 * stripes, or the region is not in the books yet.
 *
 *   what        the call, for reports
 *   committed   receives the bytes that were not committed before
 */
enum moat_status moat_commit_pages(struct moat_manager *manager, struct moat_space *space,
                                   const struct moat_range *range, uint32_t protection,
                                   const char *what, size_t *committed);

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
