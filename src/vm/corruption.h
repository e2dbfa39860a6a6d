/* SPDX-License-Identifier: MIT */
/*
 * corruption: what a call answers when the books or the kernel contradict themselves, and the
 * report of it.
 *
 * Corruption is of the process, not of a manager: the report goes where the manager wants it whose
 * region it is about, or else the first one that there is; and if any manager has
 * on_corruption=abort, the process ends after it. No word of what was found is followed for that.
 */
#ifndef MOAT_VM_CORRUPTION_H
#define MOAT_VM_CORRUPTION_H

#include <moat/status.h>

#include <stdint.h>

/*
 * The status of a call that has failed, given the one that it would return: MOAT_CORRUPT if it is
 * the call that found corruption, and MOAT_UNAVAILABLE if it met any and was not first. Tells of
 * what was found if nobody has yet.
 */
enum moat_status moat_corruption_status(enum moat_status status, const char *call);

/* The same for a call that is about to refuse an address for good: first looks whether damage to
 * the books may be why (region/integrity.h). */
enum moat_status moat_corruption_refusal(enum moat_status status, const char *call,
                                         uintptr_t address);

/* Tell of what was found, if nobody has yet. `call` names who found it. */
void moat_corruption_tell(const char *call);

#endif
