/* SPDX-License-Identifier: MIT */
/* siphash: the vector of its authors, and that every bit of key and word matters. */
#include "base/siphash.h"

#include <criterion/criterion.h>

Test(base_siphash, as_its_authors_have_it) {
    /* Key 00..0f, message 00..07: the ninth row of vectors_sip64 in their reference code. */
    const uint64_t key[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    cr_assert_eq(moat_siphash(key, UINT64_C(0x0706050403020100)), UINT64_C(0x93f5f5799a932462));
}

Test(base_siphash, every_bit_matters) {
    const uint64_t zero[2] = {0, 0};
    for (unsigned bit = 0; bit < 64; bit++) {
        const uint64_t first[2] = {UINT64_C(1) << bit, 0}, second[2] = {0, UINT64_C(1) << bit};
        cr_assert_neq(moat_siphash(zero, UINT64_C(1) << bit), moat_siphash(zero, 0));
        cr_assert_neq(moat_siphash(first, 0), moat_siphash(zero, 0));
        cr_assert_neq(moat_siphash(second, 0), moat_siphash(zero, 0));
    }
}
