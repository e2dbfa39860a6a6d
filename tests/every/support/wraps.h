/* SPDX-License-Identifier: MIT */
/* wraps: what the replaced calls ask of steps.c. */
#ifndef MOAT_TESTS_EVERY_WRAPS_H
#define MOAT_TESTS_EVERY_WRAPS_H

#include "calls.h"

#include <stdbool.h>

/* What is to become of a call; not meant: it is made. */
struct order {
    bool meant;
    enum way way;
    int error;
};

struct order steps_decide(const char *name, enum call call, long argument, size_t size);
void steps_random(unsigned char *bytes, size_t size);

#endif
