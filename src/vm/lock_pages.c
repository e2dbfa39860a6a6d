/* SPDX-License-Identifier: MIT */
/*
 * lock_pages: pages that stay in memory.
 *
 * The books remember what is locked, because locked memory takes no markers: a decommit unlocks
 * first. They also answer what the kernel would not: that a page is not locked. Only committed
 * pages are ever locked, so that the kernel never meets a marker when it fetches them.
 */
#include "base/check.h"
#include "base/probe.h"
#include "base/site.h"
#include "os/os.h"
#include "region/pages.h"
#include "region/trap.h"
#include "vm/fault.h"
#include "vm/foreign.h"
#include "vm/manager.h"

#include <moat/residency.h>

#include <errno.h>

static const char call_lock[] = "lock pages";
static const char call_unlock[] = "unlock pages";

/* The region of a range, entered; MOAT_NOT_OURS when no region is there. */
static enum moat_status enter(struct moat_manager *manager, const char *what,
                              enum moat_status otherwise, const struct moat_range *range,
                              struct moat_region_ref *ref, uint32_t *stripes) {
    struct moat_patience patience = {0};
    enum moat_status status;

    do {
        if (!moat_region_find(range->start, ref))
            return MOAT_NOT_OURS;
        if (range->end > MOAT_OS_USER_END)
            return moat_fail(MOAT_INVALID_ARGUMENT, what, range->start,
                             "the range leaves user space");
        if (manager && ref->owner != manager)
            return moat_fail(otherwise, what, range->start, "in a region of another manager");
        if (!moat_range_fits(range, ref))
            return moat_fail(otherwise, what, range->start,
                             "the range leaves the region it starts in");
        status = moat_manager_enter(ref, range->start, range->end, &patience, stripes);
    } while (status == MOAT_NOT_OURS);
    return status ? moat_fail_wait(status, what, range->start) : MOAT_OK;
}

/* Whether every page of a range that no region holds is mapped, and with some access if need be. */
static bool all_mapped(const struct moat_range *range, bool accessible) {
    struct moat_os_mapping mapping;
    for (uintptr_t at = range->start; at < range->end; at = mapping.end)
        if (moat_os_query(at, &mapping) || !mapping.mapped ||
            (accessible && mapping.access == MOAT_OS_NONE))
            return false;
    return moat_foreign_only(range);
}

static enum moat_status fail_lock(int error, const struct moat_range *range) {
    if (error == EPERM)
        return moat_fail(MOAT_LOCK_LIMIT, call_lock, range->start,
                         "this process may lock nothing; raise RLIMIT_MEMLOCK (ulimit -l)");
    return moat_fail_sized(error, MOAT_LOCK_LIMIT, call_lock, range->start,
                           range->end - range->start);
}

static int lock_range(const struct moat_range *range) {
    return moat_os_lock((void *)range->start, range->end - range->start);
}

/* Whether the first page that stands in the way is a guard, which then goes off. */
static enum moat_status look_for_obstacles(const struct moat_region_ref *ref,
                                           const struct moat_range *range) {
    for (uintptr_t at = range->start; at < range->end;) {
        struct moat_run run = moat_pages_run(ref->space, at, range->end);
        if (!(run.state & MOAT_PAGE_COMMITTED))
            return moat_fail(MOAT_NO_ACCESS, call_lock, at, "a page is not committed");
        if (run.state & MOAT_PAGE_IS_GUARD) {
            if (!moat_fault_drop_guard(ref, at, run.state))
                return moat_fail(MOAT_NO_MEMORY, call_lock, at, "a guard could not be dropped");
            return moat_fail(MOAT_GUARD_TOUCHED, call_lock, at, "a guard page, which it was");
        }
        if (moat_page_access(run.state, true) == MOAT_OS_NONE)
            return moat_fail(MOAT_NO_ACCESS, call_lock, at, "a page has no access");
        at = run.end;
    }
    return MOAT_OK;
}

/* After a refusal: what was not locked before is not locked. */
static void undo_lock(const struct moat_region_ref *ref, const struct moat_range *range) {
    for (uintptr_t at = range->start; at < range->end;) {
        struct moat_run run = moat_pages_run(ref->space, at, range->end);
        if (!(run.state & MOAT_PAGE_LOCKED))
            (void)moat_os_unlock((void *)run.start, run.end - run.start);
        at = run.end;
    }
}

static enum moat_status lock_entered(const struct moat_region_ref *ref,
                                     const struct moat_range *range) {
    enum moat_status status = look_for_obstacles(ref, range);
    if (status)
        return status;
    int error = lock_range(range);
    if (error) {
        undo_lock(ref, range);
        return fail_lock(error, range);
    }
    for (uintptr_t at = range->start; at < range->end;) {
        struct moat_run run = moat_pages_run(ref->space, at, range->end);
        moat_pages_set(ref->space, run.start, run.end, run.state | MOAT_PAGE_LOCKED);
        at = run.end;
    }
    return MOAT_OK;
}

static enum moat_status read_range(const char *what, const void *address, size_t size,
                                   struct moat_range *range) {
    if (moat_latched())
        return moat_fail_latched(what, (uintptr_t)address);
    if (!moat_range_of((uintptr_t)address, size, MOAT_OS_ADDRESS_END, range))
        return moat_fail(MOAT_INVALID_ARGUMENT, what, (uintptr_t)address,
                         "the size is 0 or the range leaves user space");
    return MOAT_OK;
}

/* No region holds the range, and it is not what was asked for. Win32 knows no address above its
 * user space, but Linux may have put a stack there. */
static enum moat_status fail_foreign(enum moat_status status, const char *what,
                                     const struct moat_range *range, const char *why) {
    if (range->end > MOAT_OS_USER_END)
        return moat_fail(MOAT_INVALID_ARGUMENT, what, range->start, "the range leaves user space");
    return moat_fail(status, what, range->start, why);
}

static enum moat_status lock_pages(struct moat_manager *manager, void *address, size_t size) {
    struct moat_region_ref ref;
    struct moat_range range;
    uint32_t stripes;

    enum moat_status status = read_range(call_lock, address, size, &range);
    if (status)
        return status;
    status = enter(manager, call_lock, MOAT_NO_ACCESS, &range, &ref, &stripes);
    if (status == MOAT_NOT_OURS) {
        if (manager || !all_mapped(&range, true))
            return fail_foreign(MOAT_NO_ACCESS, call_lock, &range,
                                "a page is not committed, or belongs to Moat itself");
        int error = lock_range(&range);
        return error ? fail_lock(error, &range) : MOAT_OK;
    }
    if (status)
        return status;
    /* Large pages are never anywhere but in memory. */
    status = ref.flags & MOAT_REGION_LARGE ? MOAT_OK : lock_entered(&ref, &range);
    moat_region_leave(&ref, stripes);
    return status;
}

enum moat_status moat_lock_pages(struct moat_manager *manager, void *address, size_t size) {
    moat_site_note(MOAT_SITE_HERE);
    enum moat_status status = lock_pages(manager, address, size);
    MOAT_PROBE(lock_pages, address, size, 0, status, manager);
    return status;
}

static enum moat_status unlock_entered(const struct moat_region_ref *ref,
                                       const struct moat_range *range) {
    const uint8_t locked = MOAT_PAGE_COMMITTED | MOAT_PAGE_LOCKED;

    for (uintptr_t at = range->start; at < range->end;) {
        struct moat_run run = moat_pages_run(ref->space, at, range->end);
        if ((run.state & locked) != locked)
            return moat_fail(MOAT_NOT_LOCKED, call_unlock, at, "a page is not locked");
        at = run.end;
    }
    int error = moat_os_unlock((void *)range->start, range->end - range->start);
    if (error) {
        (void)lock_range(range);
        return moat_fail_kernel(error, MOAT_NO_MEMORY, call_unlock, range->start);
    }
    for (uintptr_t at = range->start; at < range->end;) {
        struct moat_run run = moat_pages_run(ref->space, at, range->end);
        moat_pages_set(ref->space, run.start, run.end, run.state & (uint8_t)~MOAT_PAGE_LOCKED);
        at = run.end;
    }
    return MOAT_OK;
}

static enum moat_status unlock_pages(struct moat_manager *manager, void *address, size_t size) {
    struct moat_region_ref ref;
    struct moat_range range;
    uint32_t stripes;

    enum moat_status status = read_range(call_unlock, address, size, &range);
    if (status)
        return status;
    status = enter(manager, call_unlock, MOAT_NOT_LOCKED, &range, &ref, &stripes);
    if (status == MOAT_NOT_OURS) {
        if (manager || !all_mapped(&range, false))
            return fail_foreign(MOAT_NOT_LOCKED, call_unlock, &range,
                                "a page is not mapped, or belongs to Moat itself");
        int error = moat_os_unlock((void *)range.start, range.end - range.start);
        return error ? moat_fail_kernel(error, MOAT_NO_MEMORY, call_unlock, range.start) : MOAT_OK;
    }
    if (status)
        return status;
    status = unlock_entered(&ref, &range);
    moat_region_leave(&ref, stripes);
    return status;
}

enum moat_status moat_unlock_pages(struct moat_manager *manager, void *address, size_t size) {
    moat_site_note(MOAT_SITE_HERE);
    enum moat_status status = unlock_pages(manager, address, size);
    MOAT_PROBE(unlock_pages, address, size, 0, status, manager);
    return status;
}
