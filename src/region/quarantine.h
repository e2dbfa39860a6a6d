/* SPDX-License-Identifier: MIT */
/*
 * quarantine: how long released addresses rest before automatic placement uses them again.
 *
 * Each manager has its own; each processor has a part of it. A release is put into a random slot
 * of a small array, what it pushes out of there goes to the end of a queue, and what the queue has
 * no room for has rested: for as many releases of the processor as the queue is long, at least, and
 * for how many more nobody can tell. Where the addresses of a processor would be more bytes than
 * are allowed, the oldest in the queue have rested sooner. A call that the scheduler stops half-way
 * may let one of them go early.
 *
 * What rests is a word here, and the addresses say themselves that they rest: a claim in an arena
 * (MOAT_CLAIM_RESTING), a mapping outside (resting.h). A caller who names them takes them from
 * there; the word that is left then ends nothing when its time has come, or at worst lets the same
 * addresses go early when they rest again.
 *
 * Progress   wait-free, but for the first release of a processor, and system calls
 *
 * Edges
 *   part   a part is laid out, then hung in -> whoever finds it
 *   pool   a quarantine is emptied and given back -> whoever takes it next
 */
#ifndef MOAT_REGION_QUARANTINE_H
#define MOAT_REGION_QUARANTINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct moat_quarantine;

/*
 * A quarantine.
 *
 *   count   releases that an address rests at least; > 0
 *   bytes   most that may rest of a processor
 *
 * Returns   NULL: no memory for it
 */
struct moat_quarantine *moat_quarantine_take(uint32_t count, uint64_t bytes);

/* Let all that rests in it go, and give it back; NULL is allowed. */
void moat_quarantine_give(struct moat_quarantine *quarantine);

/* Whether so many bytes can rest; not in NULL. */
bool moat_quarantine_admits(const struct moat_quarantine *quarantine, size_t size);

/* Have addresses rest that say so themselves already: in an arena, or as a mapping of their own.
 * The base is a multiple of a granule; size is rounded up to one. */
void moat_quarantine_rest(struct moat_quarantine *quarantine, uintptr_t base, size_t size,
                          bool alone);

/* Let everything go that rests in any quarantine. The bytes of address space that were unmapped. */
size_t moat_quarantine_empty_all(void);

/* Forget what rests at such addresses of arenas: it does not rest there any more, and the word that
 * told of it would end the rest of whatever comes there next. */
void moat_quarantine_forget(bool (*is_emptied)(uintptr_t base));

/* How many regions rest, and bytes with what is around them. A snapshot. */
void moat_quarantine_count(const struct moat_quarantine *quarantine, uint64_t *regions,
                           uint64_t *bytes);

#endif
