/* SPDX-License-Identifier: MIT */
/*
 * run: real threads, and what makes them meet.
 *
 * Calls take some ten nanoseconds, and there may be one processor: left alone, threads hardly ever
 * meet inside a call. So one more thread stops the others again and again with a signal, wherever
 * they are, whose handler yields or spins for a while; and calls begin and end with a yield now and
 * then, as chance has it (linear_pause).
 */
#ifndef MOAT_TESTS_LINEAR_RUN_H
#define MOAT_TESTS_LINEAR_RUN_H

#include "judge.h"

#include <stdbool.h>
#include <stdint.h>

/* What the command line says: --seconds N, --seed S. */
struct linear_run {
    double seconds; /* of the correct run; plants end as soon as they are noticed */
    uint64_t seed;
};

struct linear_run linear_arguments(int argc, char **argv, double seconds);

/* Any seed is as good as any other. */
uint64_t linear_random(uint64_t *state);
unsigned linear_below(uint64_t *state, unsigned bound);

/* Let others run now and then: inside a call, between its stamps and its work. */
void linear_pause(uint64_t *state);

/* Run `body` in so many threads that start together, disturbed, and wait for all. */
void linear_threads(unsigned threads, uint64_t seed, void (*body)(unsigned thread));

/* Seconds since some moment. */
double linear_clock(void);

/* A fault that the program can have, so that the check is seen to fail. */
struct linear_plant {
    const char *name;
    int number; /* 0: none */
};

/*
 * Play a round again and again: without a plant for as long as the run says, and until `conflicts`
 * overlapping pairs were seen with one that changes something, with no violation; then with each
 * plant until there is one. A hang is the limit of both.
 *
 *   round   plays and judges one round with this plant and seed, adding to the sum; quiet if asked
 *
 * Returns   what main returns
 */
int linear_play(const char *what, const struct linear_run *run, uint64_t conflicts,
                void (*round)(int plant, uint64_t seed, bool quiet, struct linear_sum *sum),
                const struct linear_plant *plants, unsigned count);

#endif
