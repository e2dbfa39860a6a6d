/* SPDX-License-Identifier: MIT */
/* large: regions of large pages. */
#ifndef MOAT_VM_LARGE_H
#define MOAT_VM_LARGE_H

#include "vm/manager.h"
#include "vm/range.h"

/* moat_reserve with MOAT_RESERVE_LARGE_PAGES. */
enum moat_status moat_reserve_large(struct moat_manager *manager, void *address, size_t size,
                                    uint32_t protection, uint32_t flags, void **base);

/* Whether a change to these pages is one that large pages allow, in a region of such; MOAT_OK in
 * all others. Else told already. */
enum moat_status moat_large_check(const struct moat_region_ref *ref, const struct moat_range *range,
                                  uint32_t protection, const char *what);

#endif
