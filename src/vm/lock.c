/* SPDX-License-Identifier: MIT */
/*
 * lock: region locks for callers, and what becomes of them when their thread ends.
 *
 * Edges
 *   runtime   what led to a declaration -> whoever finds the runtime in that state
 */
#include "region/lock.h"

#include "base/format.h"
#include "base/site.h"
#include "os/os.h"
#include "vm/manager.h"
#include "vm/range.h"

#include <moat/lock.h>

/* How many locks this thread took and did not give back; too many where another thread ended them,
 * which costs a needless look at the end of the thread. */
static _Thread_local uint32_t locks_held;

static _Thread_local bool end_is_watched;

/* Threads that undo a lock as they end: no manager goes meanwhile. */
static struct moat_waits ends;

static void report_abandoned(const struct moat_region_ref *ref) {
    char text[192];
    size_t length = moat_format(text, sizeof(text),
                                "moat: thread %u ended and held the lock of the region at %#lx, "
                                "%zu bytes; it is unlocked now, calls that waited were given up\n",
                                moat_os_thread(), (unsigned long)ref->base, ref->size);
    moat_os_complain(text, length < sizeof(text) ? length : sizeof(text) - 1);
}

/* The report comes last: writing it may take any time, and whose region that was may be gone. */
static void abandon_if_held(const struct moat_region_ref *ref, void *unused) {
    bool report = false;

    (void)unused;
    if (!moat_region_held(ref))
        return;
    uint32_t entered = moat_waits_enter(&ends);
    if (moat_region_abandon(ref)) {
        moat_manager_count(ref->owner, MOAT_COUNT_LOCKS_ABANDONED, 1);
        report = ref->owner->options.report != MOAT_REPORT_OFF;
    }
    moat_waits_leave(&ends, entered);
    if (report)
        report_abandoned(ref);
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
    if (!moat_region_find(address, ref) || ref->owner != manager || !moat_region_plain(ref))
        return moat_fail(MOAT_NOT_OURS, what, address, "in no region of this manager");
    return MOAT_OK;
}

static bool watch_this_thread(void) {
    if (!end_is_watched)
        end_is_watched = moat_os_at_thread_exit(at_thread_exit) == 0;
    return end_is_watched;
}

enum moat_status moat_lock(struct moat_manager *manager, const void *address) {
    uintptr_t at = (uintptr_t)address;
    struct moat_region_ref ref;

    moat_site_note(MOAT_SITE_HERE);
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

enum moat_status moat_unlock(struct moat_manager *manager, const void *address) {
    uintptr_t at = (uintptr_t)address;
    struct moat_region_ref ref;

    moat_site_note(MOAT_SITE_HERE);
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
