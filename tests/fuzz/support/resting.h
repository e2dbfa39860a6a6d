/* SPDX-License-Identifier: MIT */
/*
 * resting: what was released lately, and where nothing may be placed by Moat's own choice yet.
 *
 * It holds for releases of one processor, to which the program keeps.
 */
#ifndef MOAT_TESTS_FUZZ_RESTING_H
#define MOAT_TESTS_FUZZ_RESTING_H

#include "model.h"

/* Keep to one processor. False: that is not possible, and nothing is checked. */
bool resting_begin(void);

/* A region of an owner with these options was released; somebody named an address there; all that
 * rests was let go. */
void resting_add(unsigned owner, const struct moat_options *options, uintptr_t base, size_t size);
void resting_named(uintptr_t base, size_t size);
void resting_forget(void);

/* A region was placed there by Moat's own choice: nothing rests there. */
void resting_check(uintptr_t base, size_t size);

#endif
