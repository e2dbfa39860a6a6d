/* SPDX-License-Identifier: MIT */
/*
 * plain_memory: clear words as their owner does before they are shared, or after: plainly, so that
 * whatever of other threads is not ordered with it is a data race.
 *
 * Easy to get wrong: gcc makes atomic_init an atomic store, and its memset is not instrumented.
 */
#ifndef MOAT_TESTS_MODEL_PROGRAMS_PLAIN_MEMORY_H
#define MOAT_TESTS_MODEL_PROGRAMS_PLAIN_MEMORY_H

#include <stddef.h>

static void clear_plainly(void *at, size_t size) {
    unsigned char *byte = at;

    for (size_t i = 0; i < size; i++)
        byte[i] = 0;
}

#endif
