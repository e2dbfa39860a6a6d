/* SPDX-License-Identifier: MIT */
/*
 * chance: numbers that nobody outside the process can foretell, for places, guards and rest.
 *
 * SipHash-2-4 of a counter, under a key of 128 bits from the kernel. It is a generator without a
 * buffer: threads and handlers that draw at once share a counter and nothing that could be torn or
 * handed out twice, so a draw is wait-free, async-signal-safe and some 15 ns. What it lacks beside
 * a generator that changes its key is that whoever reads the key knows earlier draws too; those
 * are addresses, which whoever reads the key has before him anyway.
 *
 * The key lies in a page that the kernel empties in a forked child, be it forked by fork() or
 * without the C library's knowledge, and the child draws a key of its own. Where the kernel does
 * not empty pages (before Linux 4.14) the number of the process enters each draw instead.
 *
 * Edges
 *   key   the key is written, then called written -> whoever draws with it
 */
#ifndef MOAT_REGION_CHANCE_H
#define MOAT_REGION_CHANCE_H

#include <stdbool.h>
#include <stdint.h>

/* Set the key's page up. Once, before every draw. False: no memory. */
bool moat_chance_start(void);

/* A number, each as likely as any other. */
uint64_t moat_chance_draw(void);

/* A number below `bound`, which is > 0, from 32 bits of a draw: no number is likelier than another
 * by more than bound / 2^32. */
static inline uint32_t moat_chance_below(uint32_t draw, uint32_t bound) {
    return (uint32_t)((uint64_t)draw * bound >> 32);
}

#endif
