/* SPDX-License-Identifier: MIT */
/*
 * quota: bytes are charged before they are committed and refunded after they trap, so that the sum
 * is never less than what is committed. A manager without a quota keeps no sum.
 */
#ifndef MOAT_VM_QUOTA_H
#define MOAT_VM_QUOTA_H

#include "vm/manager.h"

#include <moat/quota.h>

/* Whether the manager has a quota at all: else nothing need be counted. */
static inline bool moat_quota_exists(const struct moat_manager *manager) {
    return manager->options.quota_bytes != 0;
}

/*
 * Charge bytes that are about to be committed, at the level of the calling thread.
 *
 * Returns   MOAT_OK, or MOAT_COMMIT_LIMIT: nothing was charged, and the error text says how much
 *           of which limit is in use
 * Progress  lock-free
 */
enum moat_status moat_quota_charge(struct moat_manager *manager, size_t bytes, const char *what,
                                   uintptr_t address);

/* Give bytes back that were charged. */
void moat_quota_refund(struct moat_manager *manager, size_t bytes);

/* How full the quota is; false if there is none. */
bool moat_quota_level(const struct moat_manager *manager, uint64_t *limit, uint64_t *used);

#endif
