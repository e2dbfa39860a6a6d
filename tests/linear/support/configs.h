/* SPDX-License-Identifier: MIT */
/*
 * configs: sets of configurations. A configuration is one way things may stand between two events
 * of a history: the state of the object, and which of the open calls have done their work already.
 */
#ifndef MOAT_TESTS_LINEAR_CONFIGS_H
#define MOAT_TESTS_LINEAR_CONFIGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config {
    uint64_t state;
    uint64_t done; /* a bit for each open call */
};

/* All zero: empty. */
struct configs {
    struct config *at;
    size_t count, room;
    uint32_t *bucket; /* index into at, plus 1; 0: none. Twice `room` of them */
};

/* Add one; false: it was there. */
bool configs_add(struct configs *set, struct config config);

void configs_clear(struct configs *set);
void configs_free(struct configs *set);

#endif
