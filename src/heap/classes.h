/* SPDX-License-Identifier: MIT */
/*
 * classes: which sizes of small blocks there are, and how many of each a span has.
 *
 * Steps of 16 bytes up to 128, then four sizes a doubling, so at most a fifth of a block is slack.
 * A span is the least multiple of 64 KiB that has 32 blocks. Which slot an address lies in is found
 * without a division: offset * inverse >> 40 is exact while offset < 2^20 and size <= 2^15, because
 * the inverse is too large by less than 1, which adds less than 2^20 / 2^40 slots.
 */
#ifndef MOAT_HEAP_CLASSES_H
#define MOAT_HEAP_CLASSES_H

#include <stddef.h>
#include <stdint.h>

#define MOAT_BLOCK_ALIGNMENT ((size_t)16)
#define MOAT_SMALL_MAX       ((size_t)32768)
#define MOAT_CLASSES         40u
#define MOAT_CLASS_LARGE     MOAT_CLASSES /* one block a span, of any size */
#define MOAT_CLASS_SHIFT     40

struct moat_class {
    uint32_t size; /* bytes a slot; 0: as the span says */
    uint32_t span_size;
    uint32_t slots;
    uint32_t words; /* of the bitmap */
    uint64_t inverse;
};

extern const struct moat_class moat_classes[MOAT_CLASSES + 1];

/* The class of the smallest slots that hold `size` bytes, at most MOAT_SMALL_MAX. */
static inline unsigned moat_class_of(size_t size) {
    if (size <= 128)
        return size <= 16 ? 0 : (unsigned)(size - 1) / 16;
    unsigned last = (unsigned)size - 1;
    unsigned top = 31u - (unsigned)__builtin_clz(last);
    return (top - 5) * 4 + (last >> (top - 2) & 3);
}

#endif
