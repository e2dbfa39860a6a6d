/* SPDX-License-Identifier: MIT */
/*
 * memory: the figures of the limits that hold for this process, kept for a moment.
 */
#ifndef MOAT_VM_MEMORY_H
#define MOAT_VM_MEMORY_H

#include "base/load.h"

#include <moat/status.h>

#include <stdbool.h>
#include <stdint.h>

/* How old an answer may be, in nanoseconds: usually, and while another thread is reading. */
#define MOAT_MEMORY_FRESH_NS UINT64_C(100000000)
#define MOAT_MEMORY_STALE_NS UINT64_C(1000000000)

/*
 * The load of all limits, the manager's quota included (NULL: none), and how old it is. `now` is to
 * read anew in any case. MOAT_NOT_SUPPORTED when nothing answers.
 */
enum moat_status moat_memory_figures(const struct moat_manager *manager, bool now,
                                     struct moat_load *load, uint64_t *age_ns);

#endif
