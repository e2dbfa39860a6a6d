/* SPDX-License-Identifier: MIT */
/*
 * watched: what tests of write watch share: managers on each way of recording, and what is found.
 */
#ifndef MOAT_TESTS_UNIT_WATCHED_H
#define MOAT_TESTS_UNIT_WATCHED_H

#include <moat/moat.h>
#include <moat/watch.h>

#include <stdbool.h>
#include <stddef.h>

/* Every way of recording writes, on each rung of the trap ladder. */
#define WATCHES 4
extern const char *const watches[WATCHES];

/* A manager that records this way; the test is skipped where the machine does not. The fault
 * handler is installed where the way needs it. */
struct moat_manager *watching(const char *options);

/* Reserve with write watch, anywhere if `at` is NULL; the test fails if that fails. */
unsigned char *watched_at(struct moat_manager *manager, void *at, size_t size, bool commit);
unsigned char *watched(struct moat_manager *manager, size_t size, bool commit);

/* How many pages a get of the range finds, all of them, in ascending order and within the range;
 * the first goes to *first unless it is NULL. With MOAT_WATCH_RESET they are reset. */
size_t written(const void *start, size_t size, uint32_t flags, unsigned char **first);

/* Whether exactly this one page is found. */
bool only_written(const void *start, size_t size, const void *page);

#endif
