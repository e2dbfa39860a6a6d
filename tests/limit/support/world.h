/* SPDX-License-Identifier: MIT */
/*
 * world: the limits, and cycles of all that a host does with memory while the process stands there.
 */
#ifndef MOAT_TESTS_LIMIT_WORLD_H
#define MOAT_TESTS_LIMIT_WORLD_H

#include <moat/limits.h>
#include <moat/moat.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                        \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fprintf(stderr, " (%s)\n", moat_last_error_text());                                    \
            _Exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/* What holds the process at a limit. `press` is called before each cycle, and may be NULL. */
struct limit {
    const char *name;
    enum moat_limit kind; /* what refusals have to name */
    bool (*reach)(void);  /* false: not to be reached here, and it was said why */
    void (*press)(void);  /* take again what a release has given back */
    bool before_start;    /* reached before Moat is started, not after */
};

struct tally {
    unsigned done, refused, kept; /* kept: decommits and releases that were refused */
};

/* Numbers that are the same in every run. */
uint32_t next_random(uint64_t *seed);

/* A manager with these options on top of the defaults; NULL: not to be had on this kernel. */
struct moat_manager *manager_with(const char *options);

/* So many cycles with the process at the limit; false: it cannot be reached here. Ends the program
 * at the first thing that is wrong. */
bool cycles(struct moat_manager *manager, const struct limit *limit, unsigned count, uint64_t seed,
            struct tally *tally);

/* The number in a file; 0 if there is none. */
unsigned long number_in(const char *path);

#endif
