/* SPDX-License-Identifier: MIT */
/*
 * foreign: the addresses that no region holds. Free space in and between arenas, Moat's own books,
 * and whatever else the process has mapped.
 */
#ifndef MOAT_VM_FOREIGN_H
#define MOAT_VM_FOREIGN_H

#include "vm/range.h"

#include <moat/moat.h>

/* Fill in the run that begins at `page`. MOAT_OK or MOAT_NOT_SUPPORTED. Async-signal-safe. */
enum moat_status moat_foreign_query(uintptr_t page, struct moat_page_info *info);

/* Whether none of the range is Moat's own: regions with their margins, arenas, books. */
bool moat_foreign_only(const struct moat_range *range);

/* Change the access rights of mapped memory that is neither a region nor Moat's own, as far as the
 * execute policy of a manager allows; NULL: no policy. MOAT_INVALID_ADDRESS is left to the caller
 * to explain: a page is of another kind, there are more than 64 mappings in the range, or it runs
 * into or out of one that was told of. */
enum moat_status moat_foreign_protect(const struct moat_manager *policy,
                                      const struct moat_range *range, uint32_t protection,
                                      uint32_t *old);

#endif
