/* SPDX-License-Identifier: MIT */
/*
 * expect_death: a child sets a scene and touches one byte; the parent looks how that ended.
 *
 * The whole scene plays in the child, so the byte is touched by the process that made the calls.
 * Death counts only if it came from the touch: by SIGSEGV, at the very address, after the scene was
 * set. Every claim of a program should have a control, a touch that must not kill, because a helper
 * that always sees a death proves nothing.
 */
#ifndef MOAT_TESTS_DEATH_EXPECT_DEATH_H
#define MOAT_TESTS_DEATH_EXPECT_DEATH_H

#include <moat/moat.h>

#include <stdbool.h>
#include <stddef.h>

enum { PAGE = MOAT_PAGE_BYTES, GRANULE = 65536, BLOCK = 2097152 };

enum touch { TOUCH_READ, TOUCH_WRITE, TOUCH_EXECUTE };

struct scene {
    struct moat_manager *manager; /* made with the options of expect_* */
    size_t size;                  /* as given to expect_* */
};

/* `set` sets the scene and returns the byte to touch; NULL: the scene cannot be set. `options` are
 * as in MOAT_OPTIONS. A manager that this machine cannot make is reported as a skip. */
void expect_death(const char *options, unsigned char *(*set)(const struct scene *), size_t size,
                  enum touch touch);
void expect_life(const char *options, unsigned char *(*set)(const struct scene *), size_t size,
                 enum touch touch);

/* The sum: 0 if everything was as expected, and anything was tried at all. */
int end_expectations(void);

/* For scenes in which something else than the final touch kills: from now on a death at `target`
 * counts. */
void about_to_touch(const unsigned char *target);

/* The final touch, for scenes that do more. */
void touch_byte(unsigned char *target, enum touch touch);

/* For scenes: a call that must succeed, else the child ends and the expectation has failed. */
void must(bool holds, const char *what);
unsigned char *must_reserve(struct moat_manager *manager, size_t size, bool commit);

/* The kinds of traps, for loops. */
#define KINDS 3
extern const char *const kinds[KINDS]; /* auto (markers), protect, mimalloc */

#endif
