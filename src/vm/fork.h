/* SPDX-License-Identifier: MIT */
/*
 * fork: the sums of managers in a forked child: what a thread that is not there any more had
 * charged or counted, or had not yet, is put right from the regions that there are.
 */
#ifndef MOAT_VM_FORK_H
#define MOAT_VM_FORK_H

#include "region/roster.h"
#include "vm/manager.h"

/* All managers. */
extern struct moat_roster moat_managers_roster;

/* Have the sums of a manager put right after forks, until it leaves. False: no memory. */
bool moat_managers_enter(struct moat_manager *manager);
void moat_managers_leave(struct moat_manager *manager);

/* The manager with that number, NULL if there is none now. False: there never was one. */
bool moat_managers_nth(size_t nth, struct moat_manager **manager);

#endif
