/* SPDX-License-Identifier: MIT */
/*
 * roster: a list of things that come and go, for whoever has to look at all of them in a forked
 * child. Entering and leaving are lock-free; a slot is used again, and none is given back.
 *
 * Edges
 *   chunk    a chunk is zeroed, then hung in -> whoever finds it sees it zeroed
 *   listed   a thing is made, then entered -> whoever finds it sees it made
 */
#ifndef MOAT_REGION_ROSTER_H
#define MOAT_REGION_ROSTER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MOAT_ROSTER_SLOTS 30u

/* All zero at first. */
struct moat_roster {
    _Atomic uint64_t link; /* of the books, but for the first one */
    _Atomic(struct moat_roster *) next;
    _Atomic(void *) slots[MOAT_ROSTER_SLOTS];
};

/* False: no memory. */
bool moat_roster_enter(struct moat_roster *roster, void *thing);
void moat_roster_leave(struct moat_roster *roster, void *thing);

/* Call `visit` with everything that is entered. */
void moat_roster_each(struct moat_roster *roster, void (*visit)(void *thing));

/* What is entered in the nth slot, NULL if nothing is; a thing keeps its slot. False: there is no
 * such slot. */
bool moat_roster_nth(struct moat_roster *roster, size_t nth, void **thing);

#endif
