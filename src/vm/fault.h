/* SPDX-License-Identifier: MIT */
/* fault: what an access that the kernel refused means, page by page. */
#ifndef MOAT_VM_FAULT_H
#define MOAT_VM_FAULT_H

#include "os/os.h"
#include "region/region.h"

#include <moat/fault.h>

/* Whether moat_fault_handler_install was called last. */
bool moat_fault_handled(void);

/*
 * Do about an access what the books say of its page: drop a guard, let it be repeated, or nothing.
 *
 *   fault   receives what is to be told
 *
 * Returns   whether the access is to be repeated
 * Progress  waits for the stripe of the page; async-signal-safe
 */
bool moat_fault_judge(const struct moat_os_fault *found, struct moat_fault *fault);

/* Drop the guard of one page, whose state is `state`; the caller holds its stripe. False: the
 * kernel refused, and it is still armed. */
bool moat_fault_drop_guard(const struct moat_region_ref *ref, uintptr_t page, uint8_t state);

#endif
