/* SPDX-License-Identifier: MIT */
/*
 * linux_numa: which node memory comes from, by mbind.
 *
 * A policy belongs to a mapping: it outlives the pages, what they hold and their access rights, and
 * ends with the mapping, or with another one made over it. Masks of the kernel are as long as it
 * has nodes; here they are one word, and nodes from 64 on are not known. Pages that are there
 * already stay where they are.
 */
#define _GNU_SOURCE
#include "os/linux_internal.h"

#include <sys/syscall.h>
#include <unistd.h>

/* Of <linux/mempolicy.h>, which not every machine has. */
enum { MPOL_PREFERRED = 1, MPOL_BIND = 2, MPOL_INTERLEAVE = 3, MPOL_LOCAL = 4 };
#define MPOL_F_MEMS_ALLOWED (1UL << 2)

/* The kernel writes as many bits as it may have nodes, and refuses to when there is no room. */
#define NODES_MAX 1024u
#define WORD_BITS (8 * sizeof(unsigned long))

_Static_assert(WORD_BITS == 64, "a mask of nodes is one word");

int moat_os_numa_nodes(uint64_t *nodes) {
    int saved = errno;
    unsigned long words[NODES_MAX / WORD_BITS] = {0};
    long outcome = syscall(SYS_get_mempolicy, NULL, words, (unsigned long)NODES_MAX, NULL,
                           MPOL_F_MEMS_ALLOWED);
    *nodes = words[0];
    return moat_linux_result(outcome, saved);
}

static int mode_of(enum moat_os_numa policy) {
    switch (policy) {
    case MOAT_OS_NUMA_INTERLEAVE:
        return MPOL_INTERLEAVE;
    case MOAT_OS_NUMA_BIND:
        return MPOL_BIND;
    case MOAT_OS_NUMA_PREFERRED:
        return MPOL_PREFERRED;
    case MOAT_OS_NUMA_LOCAL:
    default:
        return MPOL_LOCAL;
    }
}

int moat_os_numa_set(void *start, size_t size, enum moat_os_numa policy, uint64_t nodes) {
    int saved = errno;
    unsigned long mask = nodes;
    /* The kernel takes a bit less than it is told. */
    long outcome =
        syscall(SYS_mbind, start, size, mode_of(policy), &mask, (unsigned long)WORD_BITS + 1, 0U);
    return moat_linux_result(outcome, saved);
}
