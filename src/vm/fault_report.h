/* SPDX-License-Identifier: MIT */
/* fault_report: an access that trapped, in words. */
#ifndef MOAT_VM_FAULT_REPORT_H
#define MOAT_VM_FAULT_REPORT_H

#include "os/os.h"

#include <stdbool.h>

struct moat_manager;

/* Tell of an access that is a violation. False: it has nothing to do with Moat, or the same access
 * of this thread was told of just now. Async-signal-safe, as far as the host's function is. */
bool moat_fault_tell(const struct moat_os_fault *found);

/* Tell through the options of this manager what concerns no live region; the first one counts. */
void moat_fault_tell_through(struct moat_manager *manager);

/* The manager is about to go. */
void moat_fault_tell_no_longer(struct moat_manager *manager);

#endif
