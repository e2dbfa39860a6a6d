/* SPDX-License-Identifier: MIT */
/* leaks: regions and blocks that live when their manager or heap ends. */
#ifndef MOAT_VM_LEAKS_H
#define MOAT_VM_LEAKS_H

#include "vm/manager.h"
#include "vm/report.h"

/* As many are listed one by one; then their sum is told. */
#define MOAT_LEAKS_LISTED 100u

/* Report the regions that a manager still has, where its options want that. */
void moat_leaks_report(const struct moat_manager *manager);

#endif
