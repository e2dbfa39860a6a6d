/* SPDX-License-Identifier: MIT */
/*
 * limit: which limit was it? Asked after a refusal, and once when Moat starts with less.
 *
 * The kernel says ENOMEM and no more. So the limits are compared with what the call needed, after
 * it was undone: those that had no room for it are named, and where none is short of room, what is
 * used of each is told.
 */
#ifndef MOAT_VM_LIMIT_H
#define MOAT_VM_LIMIT_H

#include "os/os.h"

#include <moat/limits.h>
#include <moat/options.h>

#include <stdbool.h>
#include <stddef.h>

/* What a call wanted of the kernel. */
struct moat_want {
    int error;          /* what it got; ENOMEM where there is no errno */
    bool address_space; /* it was to be mapped; else it was mapped and was to be used, or locked */
    bool locked;
    bool books;    /* memory for Moat's own books, perhaps besides */
    bool start;    /* all of them, which are not there yet */
    bool mappings; /* the mappings are used up */
    size_t size;
};

/* What is used of the limits, when it matters. */
struct moat_limit_view {
    struct moat_limit_use of[MOAT_LIMITS];
    uint64_t at_once; /* most that one call may ask to commit; UINT64_MAX: no such limit */
};

/* The limits that a call met, as bits 1 << MOAT_LIMIT_*; above them MOAT_LIMIT_AT_ONCE. Pure. */
#define MOAT_LIMIT_AT_ONCE (1u << MOAT_LIMITS)
unsigned moat_limit_met(const struct moat_limit_view *view, const struct moat_want *want);

/* Leave a sentence for moat_last_error_text about a call that the kernel refused. */
void moat_limit_explain(const char *what, uintptr_t address, const struct moat_want *want,
                        const char *hint);

/* Tell a host that Moat does with less, if it does and nobody was told yet. */
void moat_limit_tell(const struct moat_options *options);

#endif
