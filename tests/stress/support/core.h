/* SPDX-License-Identifier: MIT */
/*
 * core: what the stress programs of the whole library share: threads that start together, checks
 * that end the process, random numbers, and managers on each mechanism.
 */
#ifndef MOAT_TESTS_STRESS_CORE_H
#define MOAT_TESTS_STRESS_CORE_H

#include <moat/moat.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { PAGE = MOAT_PAGE_BYTES, GRANULE = 65536, CORE_MECHANISMS = 3, CORE_THREADS_MAX = 16 };

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            core_fail(__FILE__, __LINE__, #condition, __VA_ARGS__);                                \
    } while (0)

_Noreturn void core_fail(const char *file, int line, const char *condition, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The amount of work times the factor that the command line gives, 1 by default. */
unsigned core_scale(int argc, char **argv, unsigned amount);

/* Any seed is as good as any other. */
uint64_t core_random(uint64_t *state);
unsigned core_below(uint64_t *state, unsigned bound);

/* Run `body` in so many threads at once, each with its number, and wait for all. */
void core_run(unsigned threads, void (*body)(unsigned number));

/* Wait until all threads of core_run are here. */
void core_meet(void);

/* A manager: 0 the default mechanism, 1 by protection alone, 2 mimalloc where it is installed. */
struct moat_manager *core_manager(unsigned mechanism);

/* The same with no say of anybody about the rest of the options. */
struct moat_manager *core_manager_with(unsigned mechanism, uint32_t quarantine);

/* Addresses of this size where nothing is: in an arena of that manager, or outside all. */
uintptr_t core_window_inside(struct moat_manager *manager, size_t size);
uintptr_t core_window_outside(size_t size);

/* What a query must fulfil whatever other threads do. */
void core_check_info(const struct moat_page_info *info, uintptr_t address);

#endif
