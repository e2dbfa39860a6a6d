/* SPDX-License-Identifier: MIT */
/*
 * lock: region locks for callers, and what becomes of them when their thread ends.
 *
 * Edges
 *   runtime   what led to a declaration -> whoever finds the runtime in that state
 */
#include "region/lock.h"

#include "base/probe.h"
#include "base/site.h"
#include "os/os.h"
#include "vm/manager.h"
#include "vm/misuse.h"
#include "vm/range.h"

#include <moat/lock.h>

/* How many locks this thread took and did not give back; too many where another thread ended them,
 * which costs a needless look at the end of the thread. */
static _Thread_local uint32_t locks_held;

static _Thread_local bool end_is_watched;

/* Threads that undo a lock as they end: no manager goes meanwhile. */
static struct moat_waits ends;

static void report_abandoned(const struct moat_region_ref *ref, const struct moat_options *options,
                             const struct moat_moment *born) {
    struct moat_report_text report = {0};

    moat_report_add(&report,
                    "moat: %s: thread %u ended and held the lock of the region of %zu bytes at "
                    "%#lx; it is unlocked now, and calls that waited were given up\n",
                    moat_finding_name(MOAT_FOUND_LOCK_ABANDONED), moat_os_thread(), ref->size,
                    (unsigned long)ref->base);
    moat_report_add_moment(&report, "reserved", born);
    moat_report_tell(options, MOAT_FOUND_LOCK_ABANDONED, MOAT_OK, ref->base, &report);
}

/* The host's function is called while the manager cannot go; but standard error may take any time,
 * and comes last: whose region that was may be gone by then. */
static void abandon_if_held(const struct moat_region_ref *ref, void *unused) {
    struct moat_options options = {.report = MOAT_REPORT_OFF};
    struct moat_moment born = {0};

    (void)unused;
    if (!moat_region_held(ref))
        return;
    uint32_t entered = moat_waits_enter(&ends);
    born = moat_history_birth(ref);
    if (moat_region_abandon(ref)) {
        moat_manager_count(ref->owner, MOAT_COUNT_LOCKS_ABANDONED, 1);
        options = ref->owner->options;
    }
    if (options.report_function)
        report_abandoned(ref, &options, &born);
    moat_waits_leave(&ends, entered);
    if (!options.report_function)
        report_abandoned(ref, &options, &born);
}

static void take_lock(const struct moat_region_ref *ref, void *unused) {
    (void)unused;
    moat_region_take_lock(ref);
}

void moat_manager_take_locks(struct moat_manager *manager) {
    moat_manager_each(manager, take_lock, NULL);
    moat_waits_drain(&ends);
}

static void at_thread_exit(void) {
    if (locks_held != 0)
        moat_manager_each(NULL, abandon_if_held, NULL);
    locks_held = 0;
    end_is_watched = false; /* another destructor of this thread may lock again */
}

static enum moat_status find(struct moat_manager *manager, const char *what, uintptr_t address,
                             struct moat_region_ref *ref) {
    if (!manager)
        return moat_fail(MOAT_NO_ACCESS, what, address, "manager is NULL");
    if (moat_latched())
        return moat_fail_latched(what, address);
    if (moat_region_find(address, ref) && ref->owner == manager && moat_region_plain(ref))
        return MOAT_OK;
    struct moat_refusal refusal = {
        .call = what,
        .address = address,
        .manager = manager,
        .status = MOAT_NOT_OURS,
        .kind = MOAT_MISUSE_UNKNOWN,
    };
    return moat_misuse_refuse(&manager->options, &refusal);
}

static bool watch_this_thread(void) {
    if (!end_is_watched)
        end_is_watched = moat_os_at_thread_exit(at_thread_exit) == 0;
    return end_is_watched;
}

static enum moat_status lock(struct moat_manager *manager, const void *address) {
    uintptr_t at = (uintptr_t)address;
    struct moat_region_ref ref;

    enum moat_status status = find(manager, "lock", at, &ref);
    if (status)
        return status;
    if (!watch_this_thread())
        return moat_fail(MOAT_NO_MEMORY, "lock", at,
                         "the thread library could not note that this thread's end matters");
    struct moat_patience patience = moat_manager_patience(manager);
    status = moat_region_lock(&ref, &patience);
    /* Another region may stand there now, as when a placeholder was cut. */
    while (status == MOAT_NOT_OURS && moat_region_mutable(&ref)) {
        status = find(manager, "lock", at, &ref);
        if (status)
            return status;
        status = moat_region_lock(&ref, &patience);
    }
    if (status == MOAT_NOT_OURS)
        return moat_fail(status, "lock", at, "the region was released meanwhile");
    if (status)
        return moat_fail_wait(status, "lock", at);
    locks_held++;
    return MOAT_OK;
}

enum moat_status moat_lock(struct moat_manager *manager, const void *address) {
    moat_site_note(MOAT_SITE_HERE);
    enum moat_status status = lock(manager, address);
    MOAT_PROBE(lock, address, 0, 0, status, manager);
    return status;
}

static enum moat_status unlock(struct moat_manager *manager, const void *address) {
    uintptr_t at = (uintptr_t)address;
    struct moat_region_ref ref;

    enum moat_status status = find(manager, "unlock", at, &ref);
    if (status)
        return status;
    status = moat_region_unlock(&ref);
    if (status)
        return moat_fail(status, "unlock", at, "this thread does not hold the lock of the region");
    if (locks_held != 0)
        locks_held--;
    return MOAT_OK;
}

enum moat_status moat_unlock(struct moat_manager *manager, const void *address) {
    moat_site_note(MOAT_SITE_HERE);
    enum moat_status status = unlock(manager, address);
    MOAT_PROBE(unlock, address, 0, 0, status, manager);
    return status;
}

static void nudge(const struct moat_region_ref *ref, void *unused) {
    (void)unused;
    moat_region_nudge(ref);
}

void moat_cancel_waits(struct moat_manager *manager) {
    if (!manager)
        return;
    moat_waits_cancel(&manager->waits);
    moat_manager_each(manager, nudge, NULL);
}

bool moat_manager_available(const struct moat_manager *manager) {
    /* A(runtime) */
    return atomic_load_explicit(&manager->runtime, memory_order_acquire) == MOAT_RUNTIME_AVAILABLE;
}

enum moat_status moat_set_runtime_state(struct moat_manager *manager,
                                        enum moat_runtime_state state) {
    if (!manager)
        return moat_fail(MOAT_NO_ACCESS, "set_runtime_state", 0, "manager is NULL");
    if ((unsigned)state > MOAT_RUNTIME_UNLOADED)
        return moat_fail(MOAT_INVALID_ARGUMENT, "set_runtime_state", 0, "no such state");
    /* R(runtime) */
    atomic_store_explicit(&manager->runtime, state, memory_order_release);
    if (state != MOAT_RUNTIME_AVAILABLE)
        moat_cancel_waits(manager);
    return MOAT_OK;
}
