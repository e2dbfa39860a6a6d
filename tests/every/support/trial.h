/* SPDX-License-Identifier: MIT */
/* trial: one operation with one fault, in a process of its own. */
#ifndef MOAT_TESTS_EVERY_TRIAL_H
#define MOAT_TESTS_EVERY_TRIAL_H

#include "product.h"

struct trial {
    const struct operation *operation;
    const char *options;
    struct plan
        plans[PLANS_MAX]; /* none: the undisturbed run, which the others are compared with */
};

/* How a trial ended. */
struct verdict {
    bool good;
    bool refused;   /* the operation was */
    char text[700]; /* if not good: what was wrong */
};

/* Before the first trial, and before Moat does anything. */
void trial_start(void);

/* The verdict is valid until the next trial, and so is what `steps` says of its calls. */
const struct verdict *trial_run(const struct trial *trial);

#endif
