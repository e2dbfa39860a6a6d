/* SPDX-License-Identifier: MIT */
/* watch: what a region needs so that writes to its pages are recorded. */
#ifndef MOAT_VM_WATCH_H
#define MOAT_VM_WATCH_H

#include "vm/manager.h"

/*
 * Begin to record writes to a place that is to be a region, before its first page is committed.
 *
 *   what    names the call, for the error text
 *   flags   receives those that the region needs besides
 *
 * Returns   MOAT_OK
 *           MOAT_NOT_SUPPORTED   nothing here records writes
 *           MOAT_NO_MEMORY, MOAT_MAP_LIMIT
 */
enum moat_status moat_watch_start(const struct moat_manager *manager,
                                  const struct moat_place *place, const char *what,
                                  uint32_t *flags);

/* Stop it, before the place is vacated. */
void moat_watch_stop(const struct moat_place *place);

#endif
