/* SPDX-License-Identifier: MIT */
/* protect: other rights for committed pages; all of them, or nothing changes. */
#include "vm/commit.h"
#include "vm/deny.h"
#include "vm/execute.h"
#include "vm/foreign.h"
#include "vm/large.h"
#include "vm/misuse.h"

#include "base/probe.h"
#include "base/site.h"
#include "os/os.h"
#include "region/integrity.h"
#include "region/latch.h"
#include "region/pages.h"

/* A call, as it was made. */
struct call {
    const struct moat_manager *manager; /* NULL: any one's regions may be changed */
    const struct moat_manager *policy;  /* has the say about memory that is in no region */
    uintptr_t address;
    size_t size;
    uint32_t protection;
};

/* Refuse for a page that the call may not change. `ref` is the region that the range starts in;
 * NULL: in none. */
static enum moat_status refuse(const struct call *call, const struct moat_region_ref *ref,
                               enum moat_finding_kind kind, enum moat_status status,
                               uintptr_t page) {
    const struct moat_manager *told = call->policy || !ref ? call->policy : ref->owner;
    struct moat_refusal refusal = {
        .call = "protect",
        .address = call->address,
        .size = call->size,
        .where = page,
        .manager = ref ? ref->owner : NULL,
        .status = status,
        .kind = kind,
    };
    if (ref) {
        refusal.base = ref->base;
        refusal.length = ref->size;
    }
    return moat_misuse_refuse(told ? &told->options : NULL, &refusal);
}

/* The first page that is not committed; 0: all are. */
static uintptr_t find_uncommitted(const struct moat_region_ref *ref,
                                  const struct moat_range *range) {
    for (uintptr_t at = range->start; at < range->end;) {
        struct moat_run run = moat_pages_run(ref->space, at, range->end);
        if (!(run.state & MOAT_PAGE_COMMITTED))
            return run.start;
        at = run.end;
    }
    return 0;
}

/* The region is entered, and every page is committed. */
static enum moat_status protect_entered(const struct moat_region_ref *ref,
                                        const struct moat_range *range, uint32_t protection,
                                        uint32_t *seen) {
    struct moat_run first = moat_pages_run(ref->space, range->start, range->end);
    size_t committed;

    enum moat_status status = moat_deny(ref->owner, MOAT_DENY_PROTECT, "protect", range->start);
    if (!status)
        status = moat_commit_pages(ref->owner, ref->space, range, moat_page_state(protection),
                                   MOAT_MEMORY_LATER, "protect", &committed);
    if (!status)
        *seen = moat_protection_seen(first.state, ref->protection);
    return status;
}

/* Win32 knows no address above its user space, but Linux may have put a stack there. */
static enum moat_status protect_foreign(const struct call *call, const struct moat_range *range,
                                        uint32_t *old) {
    /* Not because the books lost a region, for its pages are mapped like any others. */
    moat_region_audit(range->start);
    if (moat_latched())
        return moat_fail(moat_latch_status(), "protect", range->start, "the books are damaged");
    enum moat_status status = moat_foreign_protect(call->policy, range, call->protection, old);
    if (status == MOAT_INVALID_ADDRESS && range->end > MOAT_OS_USER_END)
        return moat_fail(MOAT_INVALID_ARGUMENT, "protect", range->start,
                         "the range leaves user space");
    if (status == MOAT_INVALID_ADDRESS)
        return refuse(call, NULL, MOAT_FOUND_PROTECT_FOREIGN, status, 0);
    return moat_execute_report(call->policy, status);
}

/* Whether a call may change a range that starts in a region, but for the state of the pages. */
static enum moat_status check(const struct call *call, const struct moat_range *range,
                              const struct moat_region_ref *ref) {
    if (range->end > MOAT_OS_USER_END)
        return moat_fail(MOAT_INVALID_ARGUMENT, "protect", call->address,
                         "the range leaves user space");
    if (!moat_region_plain(ref))
        return refuse(call, ref, MOAT_FOUND_HEAP_MEMORY, MOAT_INVALID_ADDRESS, range->start);
    if (call->manager && ref->owner != call->manager)
        return refuse(call, ref, MOAT_FOUND_OTHER_MANAGER, MOAT_INVALID_ADDRESS, range->start);
    if (!moat_range_fits(range, ref))
        return refuse(call, ref, MOAT_FOUND_PROTECT_FOREIGN, MOAT_INVALID_ADDRESS,
                      ref->base + ref->size);
    return moat_large_check(ref, range, call->protection, "protect");
}

static enum moat_status change(const struct call *call, uint32_t *old) {
    uintptr_t uncommitted, given = call->address;
    struct moat_patience patience = {0};
    struct moat_region_ref ref;
    struct moat_range range;
    uint32_t stripes, seen = 0;
    enum moat_status status;

    if (moat_latched())
        return moat_fail_latched("protect", given);
    if (!moat_protection_valid(call->protection))
        return moat_fail(MOAT_INVALID_ARGUMENT, "protect", given, "no such protection");
    if (!old)
        return moat_fail(MOAT_NO_ACCESS, "protect", given, "old is NULL");
    if (!moat_range_of(given, call->size, MOAT_OS_ADDRESS_END, &range))
        return moat_fail(MOAT_INVALID_ARGUMENT, "protect", given,
                         "the size is 0 or the range leaves user space");
    do {
        if (!moat_region_find(range.start, &ref))
            return protect_foreign(call, &range, old);
        status = check(call, &range, &ref);
        if (status)
            return status;
        status = moat_manager_enter(&ref, range.start, range.end, &patience, &stripes);
    } while (status == MOAT_NOT_OURS);
    if (status)
        return moat_fail_wait(status, "protect", given);
    uncommitted = find_uncommitted(&ref, &range);
    if (!uncommitted)
        status = protect_entered(&ref, &range, call->protection, &seen);
    moat_region_leave(&ref, stripes);
    if (uncommitted)
        return refuse(call, &ref, MOAT_FOUND_PROTECT_UNCOMMITTED, MOAT_INVALID_ADDRESS,
                      uncommitted);
    if (!status) /* with nothing held: it may lie in a guard page of these very pages */
        *old = seen;
    return moat_execute_report(ref.owner, status);
}

static enum moat_status protect(const struct call *call, uint32_t *old) {
    enum moat_status status = change(call, old);
    MOAT_PROBE(protect, call->address, call->size, call->protection, status, call->manager);
    return status;
}

enum moat_status moat_protect(struct moat_manager *manager, void *address, size_t size,
                              uint32_t protection, uint32_t *old) {
    const struct call call = {manager, manager, (uintptr_t)address, size, protection};
    moat_site_note(MOAT_SITE_HERE);
    return protect(&call, old);
}

enum moat_status moat_protect_any(const struct moat_manager *policy, void *address, size_t size,
                                  uint32_t protection, uint32_t *old) {
    const struct call call = {NULL, policy, (uintptr_t)address, size, protection};
    return protect(&call, old);
}
