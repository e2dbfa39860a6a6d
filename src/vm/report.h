/* SPDX-License-Identifier: MIT */
/*
 * report: where findings go. Async-signal-safe, as far as the host's own function is.
 *
 * Nothing of a region is held when a report is told: the host's function may call Moat. What it
 * does is lost on the call that found something: error text and code are afterwards what they were.
 */
#ifndef MOAT_VM_REPORT_H
#define MOAT_VM_REPORT_H

#include "base/format.h"
#include "region/history.h"

#include <moat/options.h>
#include <moat/report.h>

#include <stdbool.h>
#include <stdint.h>

/* A report that is being written; what is too long is cut. On the stack. */
struct moat_report_text {
    size_t length;
    char text[MOAT_REPORT_SIZE];
};

/* Add to a report. */
void moat_report_add(struct moat_report_text *report, const char *format, ...) MOAT_PRINTF(2, 3);

/* Add the place of a call, by what it returned to: " at host+0x1136 (main)"; 0: nothing. */
void moat_report_add_site(struct moat_report_text *report, uintptr_t site);

/* Add how long ago that was: "0.512 s". */
void moat_report_add_age(struct moat_report_text *report, uint64_t time);

/* Add a line on when something happened: "  reserved 0.512 s ago by thread 7 at host+0x1136
 * (main)"; nothing if it is not known. */
void moat_report_add_moment(struct moat_report_text *report, const char *deed,
                            const struct moat_moment *moment);

/* Whether anybody is told of such a finding: a text that nobody reads need not be made. */
bool moat_report_wanted(const struct moat_options *options, enum moat_finding_kind kind);

/* Tell it, if it is wanted; then end the process, where the options want that of such a finding. */
void moat_report_tell(const struct moat_options *options, enum moat_finding_kind kind,
                      enum moat_status status, uintptr_t address,
                      const struct moat_report_text *report);

#endif
