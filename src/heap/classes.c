/* SPDX-License-Identifier: MIT */
/* classes: the table, worked out by the compiler. */
#include "heap/classes.h"

#include "heap/span.h"

#define GRANULE       UINT64_C(65536)
#define SPAN(size)    ((UINT64_C(32) * (size) + GRANULE - 1) / GRANULE * GRANULE)
#define SLOTS(size)   (SPAN(size) / (size))
#define WORDS(size)   ((SLOTS(size) + MOAT_SPAN_SLOTS - 1) / MOAT_SPAN_SLOTS)
#define INVERSE(size) (((UINT64_C(1) << MOAT_CLASS_SHIFT) + (size)-1) / (size))

#define ROW(size)                                                                                  \
    { (size), SPAN(size), SLOTS(size), WORDS(size), INVERSE(size) }
#define DOUBLING(from) ROW((from) / 4 * 5), ROW((from) / 4 * 6), ROW((from) / 4 * 7), ROW((from)*2)

const struct moat_class moat_classes[MOAT_CLASSES + 1] = {
    ROW(16),         ROW(32),         ROW(48),        ROW(64),        ROW(80),
    ROW(96),         ROW(112),        ROW(128),       DOUBLING(128),  DOUBLING(256),
    DOUBLING(512),   DOUBLING(1024),  DOUBLING(2048), DOUBLING(4096), DOUBLING(8192),
    DOUBLING(16384), {0, 0, 1, 1, 0},
};

_Static_assert(SPAN(MOAT_SMALL_MAX) <= UINT64_C(1) << 20, "the inverse is exact below 2^20");
