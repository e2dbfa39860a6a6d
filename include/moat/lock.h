/* SPDX-License-Identifier: MIT */
/*
 * lock: keep a region to one thread, give up waiting, and say that the runtime is gone.
 *
 * Where a host hands regions from thread to thread, one of them can hold a region's lock over many
 * calls: while thread T holds it, or waits in moat_lock for calls under way to end,
 *   - another thread's moat_release and moat_unlock fail with MOAT_NOT_OWNER at once;
 *   - another thread's moat_commit, moat_reset, moat_decommit, moat_protect and moat_lock wait:
 *     MOAT_TIMEOUT after the manager's `timeout_ms`, MOAT_ABANDONED when the wait is called off or
 *     T ends without giving the lock back;
 *   - T's own calls go through, release included, which ends the lock with the region;
 *   - queries wait for nobody, as always, and the pages can be read and written as before.
 *
 * In a forked child the thread that forked holds what it held; the locks of other threads, which
 * are not there, are undone at the first call that would meet them.
 */
#ifndef MOAT_LOCK_H
#define MOAT_LOCK_H

#include <moat/export.h>
#include <moat/status.h>

#ifdef __cplusplus
extern "C" {
#endif

struct moat_manager;

/* Whether the runtime that a hosting manager serves can be served. The last two differ only in what
 * they say to readers of the host; from either it may be declared available again. */
enum moat_runtime_state {
    MOAT_RUNTIME_AVAILABLE, /* as every manager begins */
    MOAT_RUNTIME_UNABLE,    /* for now: it cannot run managed code */
    MOAT_RUNTIME_UNLOADED,  /* it is gone */
};

/*
 * Lock the region that holds an address, once calls under way on its pages have ended.
 *
 *   address   anywhere in a region of this manager; never read
 *
 * A thread may lock a region that it holds again, and unlocks it as often. A thread that ends
 * without unlocking loses its locks: the region is unlocked, waiting calls end with MOAT_ABANDONED,
 * and the loss is counted (locks_abandoned of struct moat_stats) and reported.
 *
 * Returns   MOAT_OK
 *           MOAT_NOT_OURS    in no region of this manager, or in one of a heap
 *           MOAT_TIMEOUT     another thread, or calls on the region, kept it past the deadline
 *           MOAT_ABANDONED   the wait was called off, or the holder ended
 *           MOAT_NO_MEMORY   the thread library has none to notice this thread's end with
 *           MOAT_NO_ACCESS   manager is NULL
 *           MOAT_UNAVAILABLE, MOAT_CORRUPT
 * After a failure nothing is locked.
 * Threads   any, at once
 * Since     0.2
 * Contract  the hosting interface, HOST_E_TIMEOUT and HOST_E_ABANDONED
 */
MOAT_API MOAT_CHECKED enum moat_status moat_lock(struct moat_manager *manager, const void *address);

/*
 * Undo one moat_lock of the calling thread.
 *
 *   address   anywhere in that region; never read
 *
 * Returns   MOAT_OK
 *           MOAT_NOT_OURS    in no region of this manager, or in one of a heap
 *           MOAT_NOT_OWNER   the calling thread does not hold the lock
 *           MOAT_NO_ACCESS   manager is NULL
 *           MOAT_UNAVAILABLE, MOAT_CORRUPT
 * Threads   any, at once
 * Since     0.2
 * Contract  the hosting interface, HOST_E_NOT_OWNER
 */
MOAT_API MOAT_CHECKED enum moat_status moat_unlock(struct moat_manager *manager,
                                                   const void *address);

/*
 * Call off every wait of this manager's calls that goes on: each returns MOAT_ABANDONED soon. Calls
 * that begin afterwards wait as usual. moat_manager_destroy does this first.
 *
 *   manager   NULL is allowed and does nothing
 *
 * Cost      a look at every region there ever was at once
 * Threads   any, at once; not in signal handlers
 * Since     0.2
 * Contract  the hosting interface, HOST_E_ABANDONED
 */
MOAT_API void moat_cancel_waits(struct moat_manager *manager);

/*
 * Declare what the runtime served by a hosting manager can do. While it is not available every
 * method of that manager's IHostMemoryManager and IHostMalloc but AddRef, Release and
 * QueryInterface answers HOST_E_CLRNOTAVAILABLE, and waits that go on are called off. Native calls
 * are not concerned: what the runtime left behind can be freed by them.
 *
 * Returns   MOAT_OK
 *           MOAT_INVALID_ARGUMENT   no such state
 *           MOAT_NO_ACCESS          manager is NULL
 * Threads   any, at once
 * Since     0.2
 * Contract  the hosting interface, HOST_E_CLRNOTAVAILABLE
 */
MOAT_API MOAT_CHECKED enum moat_status moat_set_runtime_state(struct moat_manager *manager,
                                                              enum moat_runtime_state state);

#ifdef __cplusplus
}
#endif

#endif
