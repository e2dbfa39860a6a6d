/* SPDX-License-Identifier: MIT */
/*
 * stats: counters that are written when a manager or the process ends, by option.
 */
#ifndef MOAT_VM_STATS_H
#define MOAT_VM_STATS_H

#include "vm/manager.h"

/* A manager was made: have its counters written when the process ends, if its options say so. */
void moat_stats_follow(const struct moat_manager *manager);

/* A manager is about to go: write its counters, if its options say so. */
void moat_stats_tell(const struct moat_manager *manager);

#endif
