/* SPDX-License-Identifier: MIT */
/*
 * watch: recording which pages were written, by the kernel.
 *
 * Only pages that are committed by the books are looked at: what traps by a marker must not be
 * touched, and it is what makes a query of a huge reservation cheap. Decommitted pages lose their
 * record with their content. A range of small pages is not an optimisation here: a huge page is
 * written, and reset, as one.
 */
#ifndef MOAT_REGION_WATCH_H
#define MOAT_REGION_WATCH_H

#include "region/region.h"

/*
 * Have the kernel record writes to [start, start + size), which nobody uses yet.
 *
 * Returns   0; ENOSYS: this kernel does not, or does not let us; ENOMEM; EMFILE or ENFILE: no
 *           descriptors are left
 */
int moat_watch_begin(uintptr_t start, size_t size);

/* Stop that. What is unmapped needs no such call. */
void moat_watch_end(uintptr_t start, size_t size);

/* What is looked for, and what was found. */
struct moat_watch_search {
    bool reset;   /* the pages that are found */
    void **pages; /* NULL: nobody wants to know which they are, and there is no end of room */
    size_t room;
    size_t count; /* 0 at first */
};

/*
 * Find written pages of [start, end) of a region, in ascending order. The caller holds the stripes.
 *
 * Returns   0, or errno: nothing was reset, but for searches without `pages`, which may have done a
 *           part
 */
int moat_watch_collect(const struct moat_region_ref *ref, uintptr_t start, uintptr_t end,
                       struct moat_watch_search *search);

/* moat_os_watch_count of any range of the process. */
int moat_watch_count(uintptr_t start, uintptr_t end, size_t enough, size_t *pages);

#endif
