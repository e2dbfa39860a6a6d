/* SPDX-License-Identifier: MIT */
/*
 * terms: the options of managers, drawn by the input, and the reports that come of them.
 */
#ifndef MOAT_TESTS_FUZZ_TERMS_H
#define MOAT_TESTS_FUZZ_TERMS_H

#include "model.h"

#include <moat/report.h>

enum { TERMS_GUARDS_MAX = 55 }; /* pages on one side of a region */

/* Draw what is the same for all programs; what only some can bear is left at its default. */
void terms_draw(struct moat_options *options);

/* Have a story of what went wrong begin with the options that a manager has. */
void terms_say(unsigned owner, const struct moat_options *options);

/* What was reported so far, of one manager. */
struct terms_reports {
    uint64_t misuse;
    uint64_t damage; /* writes after a free */
    uint64_t others;
    char last[MOAT_REPORT_SIZE];   /* of misuse that was refused */
    void (*answer)(void *context); /* NULL, or called with each report of misuse */
    void *context;
};

/* Have the findings of a manager told there. */
void terms_listen(struct moat_options *options, struct terms_reports *reports);

/* The reports of a manager so far are as many as calls had to be reported, if it reports any. */
void terms_check(const struct moat_options *options, const struct terms_reports *reports,
                 uint64_t misuse);

#endif
