/* SPDX-License-Identifier: MIT */
/*
 * quota: how much a manager may commit, and who may use the last of it.
 *
 * With the option quota=BYTES no more than that is ever committed through a manager at once: every
 * page is charged when it becomes committed and given back when it is decommitted or released,
 * before the call that does it returns. A commit that would go over fails with MOAT_COMMIT_LIMIT
 * (ERROR_COMMITMENT_LIMIT, E_OUTOFMEMORY) and changes nothing, so that a host meets an error it can
 * handle instead of the OOM killer. With reserve=BYTES the last bytes of the quota are kept:
 *
 *   MOAT_TASK_CRITICAL        up to quota - reserve
 *   MOAT_APPDOMAIN_CRITICAL   up to quota - reserve / 2
 *   MOAT_PROCESS_CRITICAL     all of the quota
 *
 * The limits are exact however many threads commit at once. Regions of heaps count like all others.
 * What is reserved and not committed, guards, and Moat's own books do not count.
 */
#ifndef MOAT_QUOTA_H
#define MOAT_QUOTA_H

#include <moat/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a refused request would cost; the values are those of EMemoryCriticalLevel. */
enum moat_critical_level {
    MOAT_TASK_CRITICAL,
    MOAT_APPDOMAIN_CRITICAL,
    MOAT_PROCESS_CRITICAL,
};

/*
 * Say how critical the requests of the calling thread are from now on. Threads begin as
 * MOAT_TASK_CRITICAL. The methods of the hosting interface that take a level set it for the time of
 * the call.
 *
 *   level   one that is none of the three counts as MOAT_TASK_CRITICAL
 *
 * Returns   the level that was in force before
 * Threads   any; of the calling thread alone. Async-signal-safe, if the handler puts it back
 * Since     0.2
 * Contract  the hosting interface, EMemoryCriticalLevel
 */
MOAT_API enum moat_critical_level moat_set_critical_level(enum moat_critical_level level);

#ifdef __cplusplus
}
#endif

#endif
