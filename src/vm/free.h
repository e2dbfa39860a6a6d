/* SPDX-License-Identifier: MIT */
/* free: what the calls that take pages or regions away have in common. */
#ifndef MOAT_VM_FREE_H
#define MOAT_VM_FREE_H

#include "vm/manager.h"

/* Count a free of memory that is not the manager's, and tell. `found` is the region that the call
 * came upon, NULL: none. Returns MOAT_NOT_OURS. */
enum moat_status moat_refuse_free(struct moat_manager *manager, const char *what, uintptr_t address,
                                  size_t size, const struct moat_region_ref *found);

/* Make pages of a region trap and account for them; the stripes are held or the region closed. */
enum moat_status moat_free_pages(const struct moat_region_ref *ref, uintptr_t start, uintptr_t end,
                                 const char *what);

/* Tell why a region could not be closed. */
enum moat_status moat_fail_close(enum moat_status status, const char *what, uintptr_t address);

#endif
