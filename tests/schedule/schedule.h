/* SPDX-License-Identifier: MIT */
/*
 * schedule: threads that run one at a time, and are stopped where a seed says so.
 *
 * Probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi and Nagarakatte, ASPLOS 2010):
 * each thread has a random priority, the highest that can runs, and at a few random steps the one
 * that runs falls below all others. A fault that needs D orderings is met with a chance of at least
 * 1 in threads * steps ^ (D - 1) in each run, where noise of the machine may never meet it.
 *
 * Every atomic step and system call of the library is such a step: see seam.c. Who waits for
 * another falls below all, and then finds that it was woken for nothing.
 */
#ifndef MOAT_TESTS_SCHEDULE_H
#define MOAT_TESTS_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

enum { SCHEDULE_THREADS = 3 };

/* What a run was like. */
struct schedule_run {
    uint64_t steps;
    uint64_t switches;
};

/* Run `body` in each of the threads, with its number. `length` is the steps that a run takes, more
 * or less; `plain`: as the machine has it, with no step stopped. */
struct schedule_run schedule(uint64_t seed, uint64_t length, bool plain,
                             void (*body)(unsigned number));

/* A step of the thread that runs; of others nothing. In every other run steps that only look do
 * not count, so that more of the others are met: most faults lie between a look and what comes of
 * it. */
void schedule_step(void);
void schedule_look(void);

/* The thread can do nothing before others have. False: it is none of the threads. */
bool schedule_yield(void);

/* SplitMix64. */
uint64_t schedule_random(uint64_t *state);

#endif
