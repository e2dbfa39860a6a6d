/* SPDX-License-Identifier: MIT */
/*
 * trap: making pages inaccessible and empty, whatever the kernel will and will not do.
 *
 * A ladder. Markers take content and access in one call and need no new mapping, so on that rung a
 * decommit works at vm.max_map_count too. Whole blocks are closed by protection instead where that
 * goes: their markers would cost a microsecond each hundred pages. Where a rung is refused the next
 * one is tried and the refusal is counted. The books follow run by run, so after a failure they say
 * what is true: pages already trapped are uncommitted, the others are as they were.
 */
#ifndef MOAT_REGION_TRAP_H
#define MOAT_REGION_TRAP_H

#include "region/pages.h"

/* What happened on the way, for the owner's statistics. */
struct moat_trap_report {
    size_t bytes_trapped; /* committed before, not any more */
    unsigned refusals;    /* rungs the kernel refused */
};

/*
 * Decommit every page of [start, end). The caller holds the stripes.
 *
 *   poison   what a backend that keeps pages resident fills them with
 *
 * Returns   0, or the errno of the last rung for the first run that would not trap
 */
int moat_trap_pages(struct moat_space *space, uintptr_t start, uintptr_t end, uint8_t poison,
                    struct moat_trap_report *report);

/*
 * Unlock those pages of [start, end) that are locked in memory: locked memory takes no markers. The
 * caller holds the stripes.
 *
 * Returns   0, or errno: those from the first one refused on are still locked
 */
int moat_trap_unlock(struct moat_space *space, uintptr_t start, uintptr_t end);

/*
 * Make one run that is not committed by the books trap again, after a commit that failed half-way.
 * Pages that carry a marker afterwards have the rights that the commit gave them on record.
 *
 * Returns   0, or errno: the pages of the run are accessible though uncommitted
 */
int moat_trap_again(struct moat_space *space, const struct moat_run *run, bool *marked);

/*
 * Make the committed pages of [start, end), which moat_trap_pages was refused, trap by markers also
 * where those are not used, unless children would lose them.
 *
 * Returns   0: none is committed; or errno
 */
int moat_trap_anyhow(struct moat_space *space, uintptr_t start, uintptr_t end);

/*
 * After a protect that failed and may have reached a part of [start, end): set `state` where the
 * kernel has these access rights on record, and leave the books as they are elsewhere.
 *
 * Returns   how many bytes that was
 */
size_t moat_trap_follow(struct moat_space *space, uintptr_t start, uintptr_t end, unsigned access,
                        uint8_t state);

/*
 * Bring the uncommitted pages of [start, end), which trap, back to the state of fresh ones, so that
 * another region can lie there. What the kernel refuses stays in the books of the pages, and costs
 * their next commit a call.
 */
void moat_trap_normalise(struct moat_space *space, uintptr_t start, uintptr_t end);

/* Keep a space that was just mapped out of core dumps, whole. A marker anywhere in it, or a page
 * that was used, would make the kernel dump all of the mapping. Refusal costs dump size only. */
void moat_trap_hide(struct moat_space *space);

/*
 * Have the uncommitted pages of [start, end) of an arena trap in a child that a handler of signals
 * forked in the middle of a release of them, where markers do not come along (policy.h). For the
 * end of the release: in any other process nothing is done.
 */
void moat_trap_wiped(struct moat_space *space, uintptr_t start, uintptr_t end);

/* Pages of [start, end) are about to be used: have core dumps hold their blocks, until they are
 * closed 16 MiB at once, unless none of the space is to be dumped. */
void moat_trap_dumpable(struct moat_space *space, uintptr_t start, uintptr_t end);

/*
 * Make a block bare that is closed or open and wholly uncommitted so far. The caller has it to
 * himself.
 *
 * Returns   0, or errno: it is as it was, or closed
 */
int moat_trap_bare(struct moat_space *space, uintptr_t block);

/*
 * Open the blocks of [start, end), closed and wholly uncommitted so far: every page gets a marker
 * before any page gets access rights. The caller has the blocks to itself.
 *
 * Returns   0, or errno: they are closed as before
 */
int moat_trap_open(struct moat_space *space, uintptr_t start, uintptr_t end);

#endif
