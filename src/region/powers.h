/* SPDX-License-Identifier: MIT */
/* powers: what this kernel can do, found once; and what its refusals mean. */
#ifndef MOAT_REGION_POWERS_H
#define MOAT_REGION_POWERS_H

#include "os/os.h"

#include <moat/status.h>

/* Probe the kernel. Before every other call of this layer, once, by one thread. */
void moat_powers_find(void);

/* What was found; all false before. */
const struct moat_os_powers *moat_powers(void);

/*
 * The status for an errno of a mapping call. ENOMEM hides several limits: the number of mappings is
 * looked up to tell them apart, so this is for failures only.
 *
 *   otherwise   what ENOMEM means when it is not the number of mappings
 */
enum moat_status moat_powers_refusal(int error, enum moat_status otherwise);

#endif
