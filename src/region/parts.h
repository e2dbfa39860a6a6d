/* SPDX-License-Identifier: MIT */
/*
 * parts: cutting the space of a region that stands alone, and joining such spaces.
 *
 * Only the books are cut and joined here; the mapping stays what it was, and a margin belongs to
 * the part that it touches. All pages are uncommitted, and the regions closed by the caller. Books
 * of a space that lookups may still read are given back by moat_parts_give, after the region whose
 * space it was has ended.
 */
#ifndef MOAT_REGION_PARTS_H
#define MOAT_REGION_PARTS_H

#include "region/space.h"

/*
 * Close every block of a space, so that it can be cut inside a block: no rights and no markers.
 *
 * Returns   0, or errno: pages trap as before, and the books say how
 */
int moat_parts_close(struct moat_space *space);

/*
 * A space of its own for [start, end) of a closed one, which keeps what is known of the pages.
 *
 * Returns   NULL: no memory for the books
 */
struct moat_space *moat_parts_cut(const struct moat_space *from, uintptr_t start, uintptr_t end);

/* The space of a region that begins where `first` does and ends where `last` does, without what is
 * known of its pages. NULL: no memory for the books. */
struct moat_space *moat_parts_join(const struct moat_space *first, const struct moat_space *last);

/* Enter in a joined space what a closed one knows of its pages. */
void moat_parts_add(struct moat_space *to, const struct moat_space *from);

/*
 * Give a part a mapping that is its alone, so that taking it away splits none; or undo that.
 *
 * Returns   0, or errno: nothing changed. ENOMEM: at the mapping limit, too
 */
int moat_parts_sever(const struct moat_space *space);
void moat_parts_rejoin(const struct moat_space *space);

/* Give the books of a space back; NULL is allowed. */
void moat_parts_give(struct moat_space *space);

#endif
