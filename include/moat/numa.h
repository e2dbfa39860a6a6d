/* SPDX-License-Identifier: MIT */
/*
 * numa: on machines whose memory is nearer to some processors than to others, which node a region's
 * memory comes from.
 *
 * Pages get their memory when they are touched for the first time, from the node of the processor
 * that touches them, as long as the thread has no other policy of its own (set_mempolicy, numactl).
 * That is mostly right, and Moat does nothing for it. The option `numa` of a manager says otherwise
 * for all its regions, moat_reserve_near for one. Either holds for the life of a region, over
 * decommit and commit too.
 *
 * Moat's books are memory like any other: each page of them comes from the node of the processor
 * that first used it. What processors have for themselves is near: where they look for room, and,
 * because they look in different parts of an arena, mostly what is known of pages. What they share
 * is where it came to be: records of regions lie 64 to a page in the order of their birth, and the
 * table, which is spread by a hash.
 *
 * Nodes are numbered from 0 to 63; a machine that has more has them for others. A kernel without
 * NUMA, and a filter that refuses the calls (mbind, get_mempolicy), leave everything as it would be
 * by itself.
 */
#ifndef MOAT_NUMA_H
#define MOAT_NUMA_H

#include <moat/export.h>
#include <moat/status.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct moat_manager;

/*
 * The nodes that this process may have memory from now: those of the machine, or of its cpuset.
 *
 *   nodes   receives a mask, bit N for node N; 1, for node 0 alone, if the kernel does not tell
 *
 * Returns   MOAT_OK
 *           MOAT_NO_ACCESS   nodes is NULL
 * Threads   any, at once; async-signal-safe
 * Since     0.4
 */
MOAT_API MOAT_CHECKED enum moat_status moat_numa_nodes(uint64_t *nodes);

/*
 * moat_reserve, of memory that is to come from one node if that has any left, and else from those
 * that are nearest to it.
 *
 *   address      as moat_reserve. At an address amid other regions, in space that Moat holds for
 *                small ones, memory comes from where that of its neighbours does
 *   size         as moat_reserve
 *   protection   as moat_reserve
 *   flags        MOAT_RESERVE_*; large pages lie where the kernel takes them from
 *   node         one of moat_numa_nodes
 *   base         receives the start of the region; NULL after a failure
 *
 * Such a region has a mapping of its own, unless its manager prefers that node for all. Under
 * numa=bind the manager's nodes are what counts.
 *
 * Returns   MOAT_OK
 *           MOAT_INVALID_ARGUMENT   no such node; else as moat_reserve
 *           all others as moat_reserve
 * After a failure nothing has changed.
 * Threads   any, at once
 * Since     0.4
 * Contract  VirtualAllocExNuma
 */
MOAT_API MOAT_CHECKED enum moat_status moat_reserve_near(struct moat_manager *manager,
                                                         void *address, size_t size,
                                                         uint32_t protection, uint32_t flags,
                                                         uint32_t node, void **base);

#ifdef __cplusplus
}
#endif

#endif
