/* SPDX-License-Identifier: MIT */
/*
 * must: the examples end where something is not as they say, and tell what Moat says of it.
 */
#ifndef MOAT_TESTS_EXAMPLES_MUST_H
#define MOAT_TESTS_EXAMPLES_MUST_H

#include <moat/moat.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static inline void must(bool holds, const char *what) {
    if (holds)
        return;
    fprintf(stderr, "not so: %s\nMoat's last error: %s\n", what, moat_last_error_text());
    exit(1);
}

#endif
