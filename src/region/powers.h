/* SPDX-License-Identifier: MIT */
/* powers: what this kernel can do, found once; and what its refusals mean. */
#ifndef MOAT_REGION_POWERS_H
#define MOAT_REGION_POWERS_H

#include "os/os.h"

#include <moat/status.h>

/* Have no markers in this process, and do not try whether there are any. Without effect once the
 * kernel was probed. */
void moat_powers_forgo_markers(void);

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

/*
 * Whether the kernel refuses to split mappings, as far as that can be told; how many there are, at
 * least nearly, and may be. For failures only: counting reads a line a mapping.
 */
bool moat_powers_at_map_limit(uint64_t *count, uint64_t *limit);

/* vm.max_map_count as it was when it was first asked for. */
size_t moat_powers_mappings(void);

/* What Moat does with less than it would like, because a limit of the process leaves no more. */
enum {
    MOAT_LACKS_BOOKS = 1,   /* fewer regions than otherwise */
    MOAT_LACKS_ARENA = 2,   /* smaller arenas */
    MOAT_LACKS_ROOM = 4,    /* none that would do: regions stand alone */
    MOAT_LACKS_SPARE = 8,   /* fewer mappings to let go, or none */
    MOAT_LACKS_MARKERS = 16 /* memory is locked from birth, and takes none */
};
void moat_powers_lack(unsigned what);
unsigned moat_powers_lacking(void);

#endif
