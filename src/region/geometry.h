/* SPDX-License-Identifier: MIT */
/*
 * geometry: pages, granules and blocks.
 *
 * A page is what Moat has the kernel protect: one of its pages, or several. A granule is what Win32
 * reserves at. A block is the unit in which address space is opened and stripes are locked: what
 * one page table maps, where the kernel has pages of 4 KiB.
 */
#ifndef MOAT_REGION_GEOMETRY_H
#define MOAT_REGION_GEOMETRY_H

#include "base/align.h"

#include <moat/moat.h>

#if MOAT_PAGE_BYTES == 4096
#define MOAT_PAGE_SHIFT 12
#elif MOAT_PAGE_BYTES == 16384
#define MOAT_PAGE_SHIFT 14
#elif MOAT_PAGE_BYTES == 65536
#define MOAT_PAGE_SHIFT 16
#else
#error "MOAT_PAGE_BYTES is 4096, 16384 or 65536"
#endif
#define MOAT_GRANULE_SHIFT 16
#define MOAT_BLOCK_SHIFT   21

#define MOAT_PAGE    ((uintptr_t)1 << MOAT_PAGE_SHIFT)
#define MOAT_GRANULE ((uintptr_t)1 << MOAT_GRANULE_SHIFT)
#define MOAT_BLOCK   ((uintptr_t)1 << MOAT_BLOCK_SHIFT)

#define MOAT_PAGES_PER_BLOCK    ((size_t)(MOAT_BLOCK / MOAT_PAGE))
#define MOAT_GRANULES_PER_BLOCK 32u

#endif
