/* SPDX-License-Identifier: MIT */
/*
 * misuse: a call that no correct program makes is refused, named and, where the options want it,
 * reported.
 *
 * Refusing a wrong pointer costs what it takes to find out that it is wrong: the refusal notes what
 * the call knew anyway. Whose memory it is, and who freed it, is looked up when the error text is
 * read, or at once for a report. So a text is about the address as it is then; where that has
 * changed in a way that can be seen, it says so.
 *
 * No stripe of a region is held, and none is closed, when a refusal is handed in.
 */
#ifndef MOAT_VM_MISUSE_H
#define MOAT_VM_MISUSE_H

#include "base/error_text.h"
#include "vm/report.h"

/* The kind of a refusal whose cause has to be found out: the address was in no region of the
 * manager, or not at the base of one. */
#define MOAT_MISUSE_UNKNOWN MOAT_FOUND_KINDS

/* The size of a call that has none, and takes its region by the base alone. */
#define MOAT_MISUSE_NO_SIZE SIZE_MAX

/* What a refusal turned out to be. */
struct moat_verdict {
    enum moat_finding_kind kind;
    struct moat_report_text sentence; /* of the error text, and of the first line of the report */
    uintptr_t base;                   /* of the region that it is about; 0: of none */
    size_t size;
    struct moat_moment born;
    struct moat_moment ended; /* of the region, or of what was decommitted in it */
    bool released;
    const char *file; /* where the block of a heap was allocated; NULL: nobody said */
    int line;
};

/*
 * Refuse a call for misuse.
 *
 *   options   of the manager that is to be told; NULL: there is none
 *   refusal   kind: enum moat_finding_kind or MOAT_MISUSE_UNKNOWN; call, address, size, manager and
 *             status are always set; for the kinds below also
 *               OTHER_MANAGER, HEAP_MEMORY, INTERIOR, WRONG_START, LOCK_HELD   base, length
 *               WRONG_SIZE, ACROSS_REGIONS           base, length: 0 if the range wraps
 *               UNKNOWN_TYPE, RELEASE_WITH_SIZE      detail: the type
 *               PROTECT_UNCOMMITTED                  base, length, where: the page
 *               PROTECT_FOREIGN                      where: the page; 0: to be found in the range
 *             `why`, if it is not NULL, is what the text says instead
 *
 * Returns   refusal->status, or MOAT_CORRUPT if this call has found corruption
 */
enum moat_status moat_misuse_refuse(const struct moat_options *options,
                                    struct moat_refusal *refusal);

/* The same for a layer above, which finds out itself what it was. `tell` of the refusal is set, and
 * says what `explain` finds. */
enum moat_status moat_misuse_refuse_as(const struct moat_options *options,
                                       const struct moat_refusal *refusal,
                                       void (*explain)(const struct moat_refusal *refusal,
                                                       struct moat_verdict *verdict));

/* Report what is not refused, as the options want it: a call that goes on with status MOAT_OK. */
void moat_misuse_pass(const struct moat_options *options, struct moat_refusal *refusal);

/* Name a refusal, and put it into words. */
void moat_misuse_explain(const struct moat_refusal *refusal, struct moat_verdict *verdict);

/* The part of that which finds out what is wrong with an address that was to be freed; the sentence
 * has been begun. */
void moat_misuse_find_out(const struct moat_refusal *refusal, struct moat_verdict *verdict);

/* Say what lies at an address that is in no region, as "not mapped", and whether it is the stack of
 * the calling thread. `address` is never read. */
void moat_misuse_say_place(struct moat_report_text *text, uintptr_t address);
bool moat_misuse_on_stack(uintptr_t address);

#endif
