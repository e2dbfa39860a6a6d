/* SPDX-License-Identifier: MIT */
/*
 * execute: what a manager with execute=wx refuses.
 *
 * No page can be written and executed, and none may be executed that could ever be written before:
 * a page becomes executable as it is committed, when it reads as zero, or not until it was
 * decommitted. It may stop being executable at any time, and then stays so. Hence no state beyond
 * the protection a page has now: what can be executed was so from the start. Code that is to be
 * written goes to a code heap, whose pages are never written where they are executed.
 */
#ifndef MOAT_VM_EXECUTE_H
#define MOAT_VM_EXECUTE_H

#include "vm/manager.h"
#include "vm/range.h"

/* Whether nothing may be protected so, whatever pages it is for; then told, but not reported. */
enum moat_status moat_execute_check(const struct moat_manager *manager, uint32_t protection,
                                    const char *what, uintptr_t address);

/* The same for pages of a region that are to get a state. The caller holds the stripes. */
enum moat_status moat_execute_check_pages(const struct moat_manager *manager,
                                          const struct moat_space *space,
                                          const struct moat_range *range, uint8_t state,
                                          const char *what);

/* The same for foreign memory that has MOAT_OS_* rights now. */
enum moat_status moat_execute_check_rights(const struct moat_manager *manager, unsigned access,
                                           uint32_t protection, const char *what,
                                           uintptr_t address);

/* Report the refusal that was told last in this thread, if it is one, once nothing is held; returns
 * the status. */
enum moat_status moat_execute_report(const struct moat_manager *manager, enum moat_status status);

/* moat_protect without a manager; `policy` has the say about memory that is in no region. */
enum moat_status moat_protect_any(const struct moat_manager *policy, void *address, size_t size,
                                  uint32_t protection, uint32_t *old);

#endif
