/* SPDX-License-Identifier: MIT */
/* guards: what is done where a page that should trap was seen not to. */
#ifndef MOAT_VM_GUARDS_H
#define MOAT_VM_GUARDS_H

#include "vm/manager.h"

/* Count it, and tell it. The region stays: it is no worse off than without a guard. */
void moat_guards_doubt(struct moat_manager *manager, const struct moat_place *place);

#endif
