/* SPDX-License-Identifier: MIT */
/*
 * align: checked arithmetic on addresses and sizes.
 *
 * Alignments are powers of two, > 0. Rounding down cannot wrap; rounding up can, so it comes in a
 * checked form for what a caller gave and in a plain form for what is known to have room.
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

/* a * b; false, and *product unchanged, when it wraps. */
static inline bool moat_multiply_checked(uintptr_t a, uintptr_t b, uintptr_t *product) {
    if (b != 0 && a > UINTPTR_MAX / b)
        return false;
    *product = a * b;
    return true;
}

/* `value` rounded up; false, and *rounded unchanged, when it wraps. */
static inline bool moat_round_up_checked(uintptr_t value, uintptr_t alignment, uintptr_t *rounded) {
    uintptr_t sum;
    if (!moat_add_checked(value, alignment - 1, &sum))
        return false;
    *rounded = moat_round_down(sum, alignment);
    return true;
}

#endif
