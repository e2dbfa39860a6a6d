/* SPDX-License-Identifier: MIT */
/* pages: the model of the pages of one region, and how it is held against the truth. */
#ifndef MOAT_TESTS_SOAK_PAGES_H
#define MOAT_TESTS_SOAK_PAGES_H

#include "soak.h"

/* A page that becomes committed reads as zero. */
void pages_fresh(struct object *object, size_t page);

/* Write to a page that can be written. */
void pages_write(struct object *object, size_t page, uint32_t token);

/* Whether a page that can be read holds what was written; what was reset may be gone. */
void pages_verify(struct object *object, size_t page);

/* Whether queries tell of each page what the model has. */
void pages_compare(const struct object *object);

/* After a call that was refused: what was committed may not be so any more. */
void pages_follow(struct object *object, size_t first, size_t count);

bool pages_all_committed(const struct object *object, size_t first, size_t count);

#endif
