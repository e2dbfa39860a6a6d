/* SPDX-License-Identifier: MIT */
/*
 * align: checked arithmetic on addresses and sizes.
 *
 * Alignments are powers of two, > 0. Rounding down cannot wrap; rounding up can, so it is for what
 * is known to have room: what a caller gave is added up with a check first.
 */
#ifndef MOAT_BASE_ALIGN_H
#define MOAT_BASE_ALIGN_H

#include <stdbool.h>
#include <stdint.h>

/* Whether `value` is a power of two; 0 is none. */
static inline bool moat_is_power_of_two(uintptr_t value) {
    return value != 0 && (value & (value - 1)) == 0;
}

/* Whether `value` is a multiple of `alignment`. */
static inline bool moat_is_aligned(uintptr_t value, uintptr_t alignment) {
    return (value & (alignment - 1)) == 0;
}

static inline uintptr_t moat_round_down(uintptr_t value, uintptr_t alignment) {
    return value & ~(alignment - 1);
}

/* Only for values known to be at most UINTPTR_MAX - alignment + 1. */
static inline uintptr_t moat_round_up(uintptr_t value, uintptr_t alignment) {
    return (value + (alignment - 1)) & ~(alignment - 1);
}

/* a + b; false, and *sum unchanged, when it wraps. */
static inline bool moat_add_checked(uintptr_t a, uintptr_t b, uintptr_t *sum) {
    if (b > UINTPTR_MAX - a)
        return false;
    *sum = a + b;
    return true;
}

#endif
