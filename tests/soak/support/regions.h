/* SPDX-License-Identifier: MIT */
/* regions: what a thread does with the regions that it owns, against a model of their pages. */
#ifndef MOAT_TESTS_SOAK_REGIONS_H
#define MOAT_TESTS_SOAK_REGIONS_H

#include "soak.h"

/* One random call on a random region, or a new region. */
void regions_act(struct thread *self);

/* What the books and the pages say of a region is what its owner knows. */
void regions_check(struct object *object);

/* Release it, however often that takes. */
void regions_end(struct thread *self, struct object *object, bool insist);

#endif
