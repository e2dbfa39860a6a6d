/* SPDX-License-Identifier: MIT */
/*
 * verify_told: is what Moat tells of an address, and of its past, what the model says?
 */
#ifndef MOAT_TESTS_FUZZ_VERIFY_TOLD_H
#define MOAT_TESTS_FUZZ_VERIFY_TOLD_H

#include "model.h"

/* Before the first region is made, which a child may be told of. */
void verify_told_begin(void);

/* Any address, in a region or not. */
void verify_told(struct model *model, struct moat_manager *const *owners, uintptr_t address);

/* One in pages that were given back by the last call. */
void verify_told_decommitted(uintptr_t address, uintptr_t start, uintptr_t end);
void verify_told_released(struct model *model, uintptr_t address, uintptr_t start, uintptr_t end);

#endif
