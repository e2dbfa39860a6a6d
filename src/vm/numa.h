/* SPDX-License-Identifier: MIT */
/* numa: what a manager's options and single calls want of nodes, and whether there are such. */
#ifndef MOAT_VM_NUMA_H
#define MOAT_VM_NUMA_H

#include "region/kind.h"
#include "vm/manager.h"

#include <moat/numa.h>

/* Whether there is such a node, as far as the kernel tells. */
bool moat_numa_exists(uint32_t node);

/*
 * Check what the options say of nodes against the machine, and say all nodes there are where they
 * say none.
 *
 * Returns   MOAT_OK
 *           MOAT_INVALID_ARGUMENT   a node that this process has no memory from; told
 *           MOAT_NOT_SUPPORTED      numa=bind, and the kernel does not bind; told
 */
enum moat_status moat_numa_choose(struct moat_options *options);

/* What a region of this manager is to be told the kernel: where the terms of a reserve name a node,
 * `near` is 1 more; else 0. */
void moat_numa_supply(const struct moat_manager *manager, uint32_t near,
                      struct moat_supply *supply);

#endif
