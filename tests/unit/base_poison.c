/* SPDX-License-Identifier: MIT */
/* poison: every damaged byte is counted, the first is named, and what is shown lies around it. */
#include "base/poison.h"

#include <criterion/criterion.h>
#include <string.h>

#define POISON 0xDB
#define SIZE   ((size_t)4096)

static _Alignas(4096) unsigned char bytes[SIZE];

static void fill(void) {
    memset(bytes, POISON, sizeof bytes);
}

TestSuite(base_poison, .init = fill);

Test(base_poison, what_nobody_touched_has_no_damage) {
    struct moat_damage damage = {0};
    for (size_t size = 1; size < SIZE - 1; size = size * 2 + 1)
        cr_assert_not(moat_poison_check(bytes + 1, size, POISON, &damage), "%zu", size);
    cr_assert_eq(damage.pieces, (size_t)0);
    cr_assert_eq(damage.bytes, (size_t)0);
}

Test(base_poison, one_byte_is_found_and_shown_wherever_it_lies) {
    static const size_t sizes[] = {1, 2, 15, 16, 31, 32, 33, 48, 100, 4096};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (size_t at = 0; at < sizes[i]; at++) {
            struct moat_damage damage = {0};
            bytes[at] = 0x11;
            cr_assert(moat_poison_check(bytes, sizes[i], POISON, &damage));
            cr_assert_eq(damage.first, (uintptr_t)bytes + at);
            cr_assert_eq(damage.bytes, (size_t)1);
            cr_assert_eq(damage.pieces, (size_t)1);
            cr_assert_eq(damage.shown, sizes[i] < 32 ? sizes[i] : 32);
            cr_assert_geq(damage.shown_at, (uintptr_t)bytes);
            cr_assert_leq(damage.shown_at + damage.shown, (uintptr_t)bytes + sizes[i]);
            cr_assert_leq(damage.shown_at, damage.first);
            cr_assert_lt(damage.first, damage.shown_at + damage.shown);
            cr_assert_eq(memcmp(damage.found, (void *)damage.shown_at, damage.shown), 0);
            bytes[at] = POISON;
        }
    }
}

Test(base_poison, several_checks_add_up_and_the_first_is_shown) {
    struct moat_damage damage = {0};
    bytes[100] = bytes[101] = bytes[200] = 0;
    bytes[2000] = 1;
    cr_assert(moat_poison_check(bytes, 1024, POISON, &damage));
    cr_assert_not(moat_poison_check(bytes + 1024, 512, POISON, &damage));
    cr_assert(moat_poison_check(bytes + 1536, 512, POISON, &damage));
    cr_assert_eq(damage.bytes, (size_t)4);
    cr_assert_eq(damage.pieces, (size_t)2);
    cr_assert_eq(damage.first, (uintptr_t)bytes + 100);
}

/* Nothing before a block is shown, also of one that begins amid a row of 16. */
Test(base_poison, what_begins_amid_a_row_is_shown_from_its_begin) {
    struct moat_damage damage = {0};
    unsigned char *block = bytes + 16 - (uintptr_t)bytes % 16 + 5;
    block[3] = 0x11;
    cr_assert(moat_poison_check(block, 48, POISON, &damage));
    cr_assert_eq(damage.shown_at, (uintptr_t)block);
    cr_assert_eq(damage.found[3], 0x11);
}

/* All bytes equal is not enough: they must be equal to the pattern. */
Test(base_poison, another_pattern_is_damage_in_every_byte) {
    struct moat_damage damage = {0};
    cr_assert(moat_poison_check(bytes, SIZE, POISON + 1, &damage));
    cr_assert_eq(damage.bytes, SIZE);
}
