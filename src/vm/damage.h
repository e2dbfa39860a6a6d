/* SPDX-License-Identifier: MIT */
/* damage: telling of writes to memory that had been given back. */
#ifndef MOAT_VM_DAMAGE_H
#define MOAT_VM_DAMAGE_H

#include "base/poison.h"
#include "vm/manager.h"
#include "vm/report.h"

/* Pages of a region that were written between their decommit and their commit. The caller holds
 * nothing of the region any more. */
void moat_damage_tell_pages(const struct moat_region_ref *ref, const struct moat_damage *damage);

/* Add to a report: what was found around the first damage, and what should have been. */
void moat_damage_show(struct moat_report_text *text, const struct moat_damage *damage,
                      uint8_t poison);

#endif
