/* SPDX-License-Identifier: MIT */
/* protect: other rights for committed pages; all of them, or nothing changes. */
#include "vm/commit.h"
#include "vm/deny.h"
#include "vm/execute.h"
#include "vm/foreign.h"
#include "vm/large.h"

#include "base/site.h"
#include "os/os.h"
#include "region/pages.h"

/* The region is entered: every page must be committed before any is touched. */
static enum moat_status protect_entered(const struct moat_region_ref *ref,
                                        const struct moat_range *range, uint32_t protection,
                                        uint32_t *seen) {
    struct moat_run first = moat_pages_run(ref->space, range->start, range->end);
    size_t committed;

    for (uintptr_t at = range->start; at < range->end;) {
        struct moat_run run = moat_pages_run(ref->space, at, range->end);
        if (!(run.state & MOAT_PAGE_COMMITTED))
            return moat_fail(MOAT_INVALID_ADDRESS, "protect", run.start, "a page is not committed");
        at = run.end;
    }
    enum moat_status status = moat_deny(ref->owner, MOAT_DENY_PROTECT, "protect", range->start);
    if (!status)
        status = moat_commit_pages(ref->owner, ref->space, range, moat_page_state(protection),
                                   "protect", &committed);
    if (!status)
        *seen = moat_protection_seen(first.state, ref->protection);
    return status;
}

/* Win32 knows no address above its user space, but Linux may have put a stack there. */
static enum moat_status protect_foreign(const struct moat_manager *policy,
                                        const struct moat_range *range, uint32_t protection,
                                        uint32_t *old) {
    enum moat_status status = moat_foreign_protect(policy, range, protection, old);
    if (status == MOAT_INVALID_ADDRESS && range->end > MOAT_OS_USER_END)
        return moat_fail(MOAT_INVALID_ARGUMENT, "protect", range->start,
                         "the range leaves user space");
    return moat_execute_report(policy, status, "protect", range->start, protection);
}

static enum moat_status protect(const struct moat_manager *manager,
                                const struct moat_manager *policy, void *address, size_t size,
                                uint32_t protection, uint32_t *old) {
    uintptr_t given = (uintptr_t)address;
    struct moat_patience patience = {0};
    struct moat_region_ref ref;
    struct moat_range range;
    uint32_t stripes, seen = 0;
    enum moat_status status;

    moat_site_note(MOAT_SITE_HERE);
    if (moat_latched())
        return moat_fail_latched("protect", given);
    if (!moat_protection_valid(protection))
        return moat_fail(MOAT_INVALID_ARGUMENT, "protect", given, "no such protection");
    if (!old)
        return moat_fail(MOAT_NO_ACCESS, "protect", given, "old is NULL");
    if (!moat_range_of(given, size, MOAT_OS_ADDRESS_END, &range))
        return moat_fail(MOAT_INVALID_ARGUMENT, "protect", given,
                         "the size is 0 or the range leaves user space");
    do {
        if (!moat_region_find(range.start, &ref))
            return protect_foreign(policy, &range, protection, old);
        if (range.end > MOAT_OS_USER_END)
            return moat_fail(MOAT_INVALID_ARGUMENT, "protect", given,
                             "the range leaves user space");
        if (!moat_region_plain(&ref))
            return moat_fail(MOAT_INVALID_ADDRESS, "protect", given, "in memory of a heap");
        if (manager && ref.owner != manager)
            return moat_fail(MOAT_INVALID_ADDRESS, "protect", given,
                             "in a region of another manager");
        if (!moat_range_fits(&range, &ref))
            return moat_fail(MOAT_INVALID_ADDRESS, "protect", given,
                             "the range leaves the region it starts in");
        status = moat_large_check(&ref, &range, protection, "protect");
        if (status)
            return status;
        status = moat_manager_enter(&ref, range.start, range.end, &patience, &stripes);
    } while (status == MOAT_NOT_OURS);
    if (status)
        return moat_fail_wait(status, "protect", given);
    status = protect_entered(&ref, &range, protection, &seen);
    moat_region_leave(&ref, stripes);
    if (!status) /* with nothing held: it may lie in a guard page of these very pages */
        *old = seen;
    return moat_execute_report(ref.owner, status, "protect", given, protection);
}

enum moat_status moat_protect(struct moat_manager *manager, void *address, size_t size,
                              uint32_t protection, uint32_t *old) {
    return protect(manager, manager, address, size, protection, old);
}

enum moat_status moat_protect_any(const struct moat_manager *policy, void *address, size_t size,
                                  uint32_t protection, uint32_t *old) {
    return protect(NULL, policy, address, size, protection, old);
}
