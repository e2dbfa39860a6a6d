/* SPDX-License-Identifier: MIT */
/*
 * adopt: ranges that somebody else mapped, and told about.
 *
 * They are no regions, and the region table does not know them: what is told may be late or wrong,
 * and the kernel may have given the place away since, to Moat itself too. So a range only says what
 * a query of foreign memory reports besides the kernel's word. Of ranges that overlap the one told
 * last counts where they do: two mappings cannot be in one place, so the earlier is gone, and word
 * of its end is still to come.
 */
#ifndef MOAT_VM_ADOPT_H
#define MOAT_VM_ADOPT_H

#include "vm/manager.h"

#include <stdint.h>

/* What is known around a page. */
struct moat_adopted {
    uintptr_t base;             /* of the range that holds the page; 0: none does */
    struct moat_manager *owner; /* of that range */
    uintptr_t start;            /* [start, end) around the page is in that range, */
    uintptr_t end;              /* or in none */
};

/* Async-signal-safe; takes no lock and waits for nobody. A look at each range that is, or was at
 * the time there were most. */
void moat_adopted_around(uintptr_t page, struct moat_adopted *around);

/* Forget what a manager was told. */
void moat_adopted_forget(struct moat_manager *manager);

#endif
