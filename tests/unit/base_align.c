/* SPDX-License-Identifier: MIT */
/*
 * Rounding and checked sums are where a wrapping size first does harm, so every edge is here.
 */
#include "base/align.h"

#include <criterion/criterion.h>

Test(align, rounds_down_to_the_multiple_at_or_below) {
    cr_assert_eq(moat_round_down(0, 4096), 0);
    cr_assert_eq(moat_round_down(4095, 4096), 0);
    cr_assert_eq(moat_round_down(4096, 4096), 4096);
    cr_assert_eq(moat_round_down(UINTPTR_MAX, 65536), UINTPTR_MAX - 65535);
}

Test(align, rounds_up_to_the_multiple_at_or_above) {
    cr_assert_eq(moat_round_up(0, 4096), 0);
    cr_assert_eq(moat_round_up(1, 4096), 4096);
    cr_assert_eq(moat_round_up(4096, 4096), 4096);
    cr_assert_eq(moat_round_up(UINTPTR_MAX - 4095, 4096), UINTPTR_MAX - 4095);
}

Test(align, checked_sums_refuse_what_would_wrap_and_nothing_else) {
    uintptr_t sum = 7;
    cr_assert(moat_add_checked(UINTPTR_MAX - 1, 1, &sum));
    cr_assert_eq(sum, UINTPTR_MAX);
    sum = 7;
    cr_assert_not(moat_add_checked(UINTPTR_MAX, 1, &sum));
    cr_assert_not(moat_add_checked(1, UINTPTR_MAX, &sum));
    cr_assert_not(moat_add_checked(UINTPTR_MAX, UINTPTR_MAX, &sum));
    cr_assert_eq(sum, 7, "a refusal changes nothing");
    cr_assert(moat_add_checked(0, 0, &sum));
    cr_assert_eq(sum, 0);
}

Test(align, only_powers_of_two_are_powers_of_two) {
    cr_assert_not(moat_is_power_of_two(0));
    for (unsigned bit = 0; bit < 64; bit++)
        cr_assert(moat_is_power_of_two((uintptr_t)1 << bit));
    for (uintptr_t value = 3; value < 1000; value++)
        if (value != 4 && value != 8 && value != 16 && value != 32 && value != 64 && value != 128 &&
            value != 256 && value != 512)
            cr_assert_not(moat_is_power_of_two(value));
}

Test(align, multiples_are_aligned) {
    cr_assert(moat_is_aligned(0, 4096));
    cr_assert(moat_is_aligned(8192, 4096));
    cr_assert_not(moat_is_aligned(8191, 4096));
    cr_assert_not(moat_is_aligned(1, 2));
    cr_assert(moat_is_aligned(1, 1));
}
