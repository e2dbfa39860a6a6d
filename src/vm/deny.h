/* SPDX-License-Identifier: MIT */
/*
 * deny: calls that fail as they would for lack of memory, so that a host can try what it does then.
 *
 * Which calls fail depends on the seed, the kind of call and its number of that kind alone: a
 * program whose calls come in the same order meets the same failures in every run. Threads that
 * race for the numbers share the same failures out among them in another way each time.
 *
 * A call is counted, and may be denied, once its arguments are found right and before anything is
 * done. Calls that give memory back are never denied: they have to work.
 */
#ifndef MOAT_VM_DENY_H
#define MOAT_VM_DENY_H

#include "vm/manager.h"

/* How many of a million calls of a kind are to fail. */
static inline uint32_t moat_deny_share(const struct moat_options *options,
                                       enum moat_deny_kind kind) {
    switch (kind) {
    case MOAT_DENY_RESERVE:
        return options->deny_reserve;
    case MOAT_DENY_COMMIT:
        return options->deny_commit;
    case MOAT_DENY_PROTECT:
        return options->deny_protect;
    default:
        return options->deny_heap;
    }
}

/* Set when the grace period of a new manager ends. */
void moat_deny_begin(struct moat_manager *manager);

/* Whether call `number` of a kind, from 1 on, is one of `share` in a million that fail. */
bool moat_deny_chosen(uint32_t seed, enum moat_deny_kind kind, uint64_t number, uint32_t share);

/* Count a call of a kind that has a share to fail, and decide. Address 0: the text has none. */
enum moat_status moat_deny_count(struct moat_manager *manager, enum moat_deny_kind kind,
                                 const char *what, uintptr_t address);

/*
 * Whether a call is to fail.
 *
 * Returns   MOAT_OK: it goes on. Else the status it ends with, told and counted
 */
static inline enum moat_status moat_deny(struct moat_manager *manager, enum moat_deny_kind kind,
                                         const char *what, uintptr_t address) {
    if (moat_deny_share(moat_manager_options(manager), kind) == 0)
        return MOAT_OK;
    return moat_deny_count(manager, kind, what, address);
}

#endif
