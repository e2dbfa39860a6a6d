/* SPDX-License-Identifier: MIT */
/*
 * graves: the shape of what history.c writes, for it and for tools that look from outside.
 */
#ifndef MOAT_REGION_GRAVES_H
#define MOAT_REGION_GRAVES_H

#include <stdatomic.h>
#include <stdint.h>

#define MOAT_GRAVE_SHARDS      16u
#define MOAT_GRAVES            1024u /* of a shard */
#define MOAT_GRAVE_PLACES_LOG2 16

/* A moment is a word: 2^16 ns of the clock, 42 bits of which are nine years, above a thread, for
 * the kernel's greatest thread id is below 2^22. */
#define MOAT_MOMENT_THREAD_BITS 22
#define MOAT_MOMENT_TIME_SHIFT  16

/* In the word START: the region ended; else pages of it were decommitted. */
#define MOAT_GRAVE_RELEASED ((uint64_t)1)

enum moat_grave_word {
    MOAT_GRAVE_START,
    MOAT_GRAVE_END,
    MOAT_GRAVE_BASE,
    MOAT_GRAVE_SIZE,
    MOAT_GRAVE_OWNER,
    MOAT_GRAVE_BORN,
    MOAT_GRAVE_BORN_SITE,
    MOAT_GRAVE_ENDED,
    MOAT_GRAVE_ENDED_SITE,
    MOAT_GRAVE_BEFORE,
    MOAT_GRAVE_WORDS
};

struct moat_grave {
    _Atomic uint64_t
        stamp; /* twice the number of the end in its ring, from 1; odd: being written */
    _Atomic uint64_t words[MOAT_GRAVE_WORDS];
};

struct moat_graves {
    struct {
        _Alignas(64) _Atomic uint64_t next;
    } rings[MOAT_GRAVE_SHARDS];
    _Alignas(64) _Atomic uint64_t orders; /* a bit for each k that there ever was */
    struct moat_grave graves[MOAT_GRAVE_SHARDS][MOAT_GRAVES];
    _Atomic uint32_t places[1u << MOAT_GRAVE_PLACES_LOG2]; /* tag, number; 0: empty, no tag is 0 */
};

#endif
