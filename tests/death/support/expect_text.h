/* SPDX-License-Identifier: MIT */
/*
 * expect_text: a child sets a scene and does its deed; what it wrote to standard error is compared
 * to the letter, and how it ended.
 */
#ifndef MOAT_TESTS_DEATH_EXPECT_TEXT_H
#define MOAT_TESTS_DEATH_EXPECT_TEXT_H

#include "expect_death.h"

/* How the child ends. */
enum ending {
    KILLED,       /* by SIGSEGV */
    HANDLED = 42, /* by _exit with this, in a handler of its own */
};

/*
 * In `text` '#' stands for a number in either radix, and '*' for anything to the next character
 * that follows it. `options` as in expect_death; what this machine cannot make is skipped.
 */
void expect_text(const char *options, void (*play)(const struct scene *scene), const char *text,
                 enum ending ending);

/* The sum, as end_expectations. */
int end_texts(void);

#endif
