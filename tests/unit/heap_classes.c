/* SPDX-License-Identifier: MIT */
/*
 * classes: every size finds the smallest slot that holds it, and every address its slot. Fails when
 * a row of the table is wrong, or the multiplication that stands for a division is inexact.
 */
#include "heap/classes.h"

#include "heap/span.h"

#include <criterion/criterion.h>

Test(heap_classes, each_size_has_the_smallest_slot_that_holds_it) {
    for (size_t size = 0; size <= MOAT_SMALL_MAX; size++) {
        unsigned class = moat_class_of(size);
        cr_assert_lt(class, MOAT_CLASSES, "%zu", size);
        cr_assert_leq(size, moat_classes[class].size, "%zu", size);
        if (class > 0)
            cr_assert_gt(size, moat_classes[class - 1].size, "%zu", size);
    }
    cr_assert_eq(moat_classes[MOAT_CLASSES - 1].size, MOAT_SMALL_MAX);
}

Test(heap_classes, little_is_lost) {
    for (unsigned class = 0; class < MOAT_CLASSES; class ++) {
        const struct moat_class *row = &moat_classes[class];
        cr_assert_eq(row->size % MOAT_BLOCK_ALIGNMENT, 0);
        cr_assert_eq(row->span_size % 65536, 0);
        cr_assert_geq(row->slots, 32);
        cr_assert_eq(row->slots, row->span_size / row->size);
        cr_assert_eq(row->words, (row->slots + MOAT_SPAN_SLOTS - 1) / MOAT_SPAN_SLOTS);
        if (class >= 8)
            cr_assert_leq(row->size * 4, moat_classes[class - 1].size * 5);
    }
}

Test(heap_classes, the_inverse_is_exact_at_every_offset) {
    for (unsigned class = 0; class < MOAT_CLASSES; class ++) {
        const struct moat_class *row = &moat_classes[class];
        for (uint64_t offset = 0; offset < row->span_size; offset++)
            if (offset * row->inverse >> MOAT_CLASS_SHIFT != offset / row->size)
                cr_assert_fail("size %u, offset %lu", row->size, (unsigned long)offset);
    }
}
