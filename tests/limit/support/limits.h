/* SPDX-License-Identifier: MIT */
/* limits: how a process gets to each of them, by means that a host or its owner has, too. */
#ifndef MOAT_TESTS_LIMIT_LIMITS_H
#define MOAT_TESTS_LIMIT_LIMITS_H

#include "world.h"

enum { LIMITS = 9 };

/* Each is for a process of its own, which ends afterwards. */
extern const struct limit limits[LIMITS];

/* Remove what was made outside of the process. For the one that waited for it. */
void limits_clean_up(void);

#endif
