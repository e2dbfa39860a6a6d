/* SPDX-License-Identifier: MIT */
/*
 * steps: the system calls of the calling thread are numbered, and those that a plan names fail.
 *
 * Programs are linked with --wrap for all calls of calls.h, so each of them comes here first. Calls
 * count between steps_arm and steps_disarm, in the thread that armed and in children it forks; all
 * others are made as ever. What the kernel's generator gives is the same in every run, so that runs
 * differ in nothing but their plans.
 */
#ifndef MOAT_TESTS_EVERY_STEPS_H
#define MOAT_TESTS_EVERY_STEPS_H

#include "calls.h"

#include <stdbool.h>

enum { STEPS_MAX = 4096, PLANS_MAX = 2, FOR_EVER = 1 << 30 };

/* Who fails with the call at a step. */
enum scope {
    SCOPE_ROW,    /* the calls of its row from there on, `times` of them */
    SCOPE_MEMORY, /* from there on all calls that take memory or mappings */
};

struct plan {
    unsigned step; /* counted from 1; 0: no plan */
    int error;
    enum way way;
    enum scope scope;
    int times;
};

/* What happened, in memory that forked children share with the one who called steps_start. */
struct steps {
    struct plan plans[PLANS_MAX];
    unsigned count;                 /* calls so far */
    unsigned failed;                /* of those, calls that were made to fail */
    unsigned short row[STEPS_MAX];  /* of each call; 0: it has none */
    unsigned char large[STEPS_MAX]; /* the range was more than a page */
    const char *unknown;            /* a call that has no row */
    long unknown_argument;
};
extern struct steps *steps;

void steps_start(void);
void steps_arm(const struct plan plans[PLANS_MAX]);
void steps_disarm(void);

/* "step 5, madvise MADV_FREE: ENOMEM, half done, then for ever". Until the next call. */
const char *steps_plan_text(const struct plan *plan);

#endif
