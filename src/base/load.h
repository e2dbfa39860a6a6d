/* SPDX-License-Identifier: MIT */
/*
 * load: how full is memory when several limits hold at once?
 *
 * Pure arithmetic. What is easy to get wrong: the limit that is fullest need not be the one that
 * leaves least, and neither need be the one that is closest to its own threshold, so each is kept
 * on its own.
 */
#ifndef MOAT_BASE_LOAD_H
#define MOAT_BASE_LOAD_H

#include <moat/pressure.h>

#include <stdbool.h>
#include <stdint.h>

struct moat_load {
    uint64_t limit;                 /* the least; UINT64_MAX: no limit was added yet */
    uint64_t available;             /* the least that any limit leaves */
    uint32_t percent;               /* of the fullest, 0..100 */
    uint32_t headroom;              /* of the tightest: what is left, in percent of "low" there */
    enum moat_memory_source source; /* the fullest */
};

/* No limit is known. */
void moat_load_init(struct moat_load *load);

/* Add a limit, `used` bytes of which are in use; more than the limit counts as all of it. */
void moat_load_add(struct moat_load *load, enum moat_memory_source source, uint64_t limit,
                   uint64_t used);

/* Whether any limit was added. */
bool moat_load_known(const struct moat_load *load);

/* The level, given the one before: the thresholds of <moat/pressure.h>. */
enum moat_memory_level moat_load_level(const struct moat_load *load, enum moat_memory_level before);

#endif
