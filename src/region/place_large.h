/* SPDX-License-Identifier: MIT */
/* place_large: where regions of large pages go. Each stands alone. */
#ifndef MOAT_REGION_PLACE_LARGE_H
#define MOAT_REGION_PLACE_LARGE_H

#include "region/place.h"

/*
 * Find room for a region of large pages, with a margin that traps on either side, or take exactly
 * [base, base + size).
 *
 *   base   0: anywhere; else a multiple of a large page, and there is no margin
 *   size   a multiple of a large page
 *
 * Returns   MOAT_OK                to be given up by moat_place_vacate
 *           MOAT_INVALID_ADDRESS   something is there
 *           MOAT_NO_LARGE_PAGES    they are all in use
 *           MOAT_NO_MEMORY, MOAT_MAP_LIMIT
 */
enum moat_status moat_place_large(uintptr_t base, size_t size, struct moat_place *place);

#endif
