/* SPDX-License-Identifier: MIT */
/*
 * poison: memory that was given back but can still be reached is filled with one byte, so that a
 * later write shows.
 */
#ifndef MOAT_BASE_POISON_H
#define MOAT_BASE_POISON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What was found where only the pattern should be, summed over several checks; all zero at first.
 * The bytes shown are those around the first damage, as far as they were checked with it. */
struct moat_damage {
    uintptr_t first; /* address of the first byte that differs */
    size_t bytes;    /* how many do */
    size_t pieces;   /* in how many of the checks */
    uintptr_t shown_at;
    size_t shown;
    unsigned char found[32];
};

/* Look for bytes that are not `poison`, and add what was found to `damage`; size > 0. Whether there
 * were any. Memory without damage is read as fast as memory can be. */
bool moat_poison_check(const void *start, size_t size, uint8_t poison, struct moat_damage *damage);

#endif
