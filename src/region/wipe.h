/* SPDX-License-Identifier: MIT */
/*
 * wipe: zeroing what inaccessible pages have kept, before anybody asks for them again.
 *
 * Pages keep content only where the kernel would not drop it, and are zeroed before they are handed
 * out in any case (access.h). This is for those who do not want it to lie there until then.
 */
#ifndef MOAT_REGION_WIPE_H
#define MOAT_REGION_WIPE_H

#include "region/pages.h"

/*
 * Zero those pages of [start, end) that are not committed and have kept something, but for poison.
 * They trap all the while. The caller holds the stripes.
 *
 * Returns   how many bytes were out of reach: those are zeroed before they are handed out
 */
size_t moat_wipe_pages(struct moat_space *space, uintptr_t start, uintptr_t end);

#endif
