/* SPDX-License-Identifier: MIT */
/*
 * access: making pages usable, or usable otherwise, whole or not at all.
 *
 * The books are changed last, when nothing can fail any more: until then they are what an undo
 * works from. Pages that are handed out read as zero: fresh, marked and emptied ones do so by
 * themselves; those that kept content are checked for the poison pattern and zeroed.
 */
#ifndef MOAT_REGION_ACCESS_H
#define MOAT_REGION_ACCESS_H

#include "region/pages.h"

/* When pages that were not committed get memory. */
enum moat_access_memory {
    MOAT_MEMORY_LATER, /* each when it is touched */
    MOAT_MEMORY_NOW,   /* now, those that can be written; where the kernel cannot, later */
};

/* What happened on the way, for the owner's statistics and reports. */
struct moat_access_report {
    size_t bytes_committed;    /* not committed before */
    unsigned refusals;         /* undo steps the kernel refused */
    struct moat_damage damage; /* pages written after they were decommitted, each a piece */
};

/*
 * Give every page of [start, end) the committed state `state`; those committed already keep their
 * content. The caller holds the stripes.
 *
 *   poison   what decommitted pages of a resident backend were filled with
 *   memory   for those that can be written; the others get theirs later
 *
 * Returns   0, or errno: nothing has changed, but for pages whose undo the kernel refused as well,
 *           which are accessible still and counted in `refusals`
 */
int moat_access_grant(struct moat_space *space, uintptr_t start, uintptr_t end, uint8_t state,
                      uint8_t poison, enum moat_access_memory memory,
                      struct moat_access_report *report);

#endif
