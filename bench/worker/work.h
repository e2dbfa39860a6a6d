/* SPDX-License-Identifier: MIT */
/*
 * work: what the threads of a worker do during a turn, and how long it took.
 *
 *   life      take a region, touch nothing or one word in each page of it, give it back
 *   ring      64 live regions of 64 KiB to 4 MiB, touched at both ends; the oldest makes way
 *   handover  one thread takes and touches both ends, another gives back; 64 may be under way
 *
 * A turn is so many milliseconds, not so many operations: with more threads than processors none
 * waits at the end for one that had no processor. The clock is read once a batch, and a batch is a
 * tenth of a millisecond as the last turn was; turns with latencies read it around each operation.
 *
 * A touch writes one of two words by a coin and reads the other, which must be zero where the
 * allocator says so. What an earlier owner wrote is noticed at every second reuse, at the price of
 * one read of a line that is there; a read before the write would cost a page fault.
 */
#ifndef MOAT_WORKER_WORK_H
#define MOAT_WORKER_WORK_H

#include "allocator.h"
#include "latency.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WORK_THREADS_MAX = 256 };

enum work_row { WORK_LIFE, WORK_RING, WORK_HANDOVER };

struct work {
    const struct allocator *allocator;
    enum work_row row;
    size_t size;      /* bytes; the ring has its own */
    bool touched;     /* life */
    unsigned threads; /* even for a handover: takers and givers by turns */
};

struct turn {
    double wall;     /* ns, from the first thread's start to the last one's end */
    double cpu;      /* ns, of the whole process */
    uint64_t count;  /* operations of all threads */
    uint64_t dirty;  /* operations that found something */
    uint64_t failed; /* calls that were refused */
};

/* Start the threads; they sleep between turns. Once a process; false when there are none. */
bool work_start(const struct work *work);

/* One turn; with `latency`, each operation is timed and entered there. */
void work_turn(double milliseconds, struct latency *latency, struct turn *turn);

#endif
