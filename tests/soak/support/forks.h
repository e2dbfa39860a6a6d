/* SPDX-License-Identifier: MIT */
/* forks: children made in the middle of everything, which check what they have and use it. */
#ifndef MOAT_TESTS_SOAK_FORKS_H
#define MOAT_TESTS_SOAK_FORKS_H

#include "soak.h"

void forks_act(struct thread *self);

/* At the end of an epoch nobody may be left. */
void forks_expect_none(void);

#endif
