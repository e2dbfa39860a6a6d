/* SPDX-License-Identifier: MIT */
/* epoch: managers that come, threads that use them, and the reckoning when they have gone. */
#ifndef MOAT_TESTS_SOAK_EPOCH_H
#define MOAT_TESTS_SOAK_EPOCH_H

#include "facts.h"
#include "soak.h"

/* What is in the way in an epoch. */
enum mode { MODE_PLAIN, MODE_REFUSED, MODE_AT_LIMIT, MODES };

extern const char *const mode_names[MODES];

/* Play one epoch of so many acts a thread. Returns what the process is like when all is gone. */
struct facts epoch_play(uint64_t seed, enum mode mode, unsigned acts);

#endif
