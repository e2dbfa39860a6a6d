/* SPDX-License-Identifier: MIT */
/* commit: giving pages to a region; reset takes the same ranges. */
#include "vm/commit.h"

#include "base/probe.h"
#include "base/site.h"
#include "os/os.h"
#include "region/place.h"
#include "vm/damage.h"
#include "vm/deny.h"
#include "vm/execute.h"
#include "vm/large.h"
#include "vm/quota.h"

#include <errno.h>

/* Pages that are to be what. */
struct wish {
    const struct moat_range *range;
    uint8_t state;
    enum moat_access_memory memory;
};

/* Mappings that rest, and memory that is retained, give way to pages that are to be used. */
static int try_grant(struct moat_manager *manager, struct moat_space *space,
                     const struct wish *wish, struct moat_access_report *report) {
    const struct moat_range *range = wish->range;
    uint8_t poison = manager->options.poison;
    int error = moat_access_grant(space, range->start, range->end, wish->state, poison,
                                  wish->memory, report);
    if (error != ENOMEM || !moat_place_give_way())
        return error;
    return moat_access_grant(space, range->start, range->end, wish->state, poison, wish->memory,
                             report);
}

static enum moat_status grant(struct moat_manager *manager, struct moat_space *space,
                              const struct wish *wish, const char *what,
                              struct moat_access_report *report) {
    const struct moat_range *range = wish->range;
    size_t charged = 0;

    enum moat_status allowed = moat_execute_check_pages(manager, space, range, wish->state, what);
    if (allowed)
        return allowed;
    if (moat_quota_exists(manager)) {
        charged = range->end - range->start;
        charged -= moat_pages_committed(space, range->start, range->end);
        enum moat_status status = moat_quota_charge(manager, charged, what, range->start);
        if (status)
            return status;
    }
    int error = try_grant(manager, space, wish, report);
    if (error && charged)
        moat_quota_refund(manager, charged);
    if (report->damage.pieces)
        moat_manager_count(manager, MOAT_COUNT_POISON_DAMAGE, report->damage.pieces);
    if (report->refusals)
        moat_manager_count(manager, MOAT_COUNT_GUARD_FAILURES, report->refusals);
    /* A region of large pages that is not in the books yet is not to be taken for a file. */
    if (error && space->backend == moat_backend_large())
        return moat_fail_kernel(error, MOAT_COMMIT_LIMIT, what, range->start);
    return error ? moat_fail_pages(error, MOAT_COMMIT_LIMIT, what, range) : MOAT_OK;
}

enum moat_status moat_commit_pages(struct moat_manager *manager, struct moat_space *space,
                                   const struct moat_range *range, uint8_t state,
                                   enum moat_access_memory memory, const char *what,
                                   size_t *committed) {
    const struct wish wish = {range, state, memory};
    struct moat_access_report report = {0};
    enum moat_status status = grant(manager, space, &wish, what, &report);

    *committed = report.bytes_committed;
    return status;
}

enum moat_status moat_commit_enter(struct moat_manager *manager, const char *what,
                                   uintptr_t address, size_t size, uint32_t protection,
                                   struct moat_range *range, struct moat_region_ref *ref,
                                   uint32_t *stripes) {
    enum moat_status status;

    if (!manager)
        return moat_fail(MOAT_NO_ACCESS, what, address, "manager is NULL");
    if (moat_latched())
        return moat_fail_latched(what, address);
    if (!moat_protection_valid(protection))
        return moat_fail(MOAT_INVALID_ARGUMENT, what, address, "no such protection");
    if (!moat_range_of(address, size, MOAT_OS_USER_END, range))
        return moat_fail(MOAT_INVALID_ARGUMENT, what, address,
                         "the size is 0 or the range leaves user space");
    struct moat_patience patience = moat_manager_patience(manager);
    do {
        if (!moat_region_find(range->start, ref) || ref->owner != manager ||
            !moat_region_committable(ref))
            return moat_fail(MOAT_INVALID_ADDRESS, what, address,
                             "in no region of this manager, or in a placeholder");
        if (!moat_range_fits(range, ref))
            return moat_fail(MOAT_INVALID_ADDRESS, what, address,
                             "the range leaves the region it starts in");
        status = moat_large_check(ref, range, protection, what);
        if (status)
            return status;
        status = moat_region_enter(ref, range->start, range->end, &patience, stripes);
    } while (status == MOAT_NOT_OURS); /* released meanwhile: perhaps reserved again, too */
    if (status)
        return moat_fail_wait(status, what, address);
    return MOAT_OK;
}

static enum moat_status commit(struct moat_manager *manager, void *address, size_t size,
                               uint32_t protection, void **start) {
    struct moat_region_ref ref;
    struct moat_range range;
    uint32_t stripes;
    struct moat_access_report report = {0};

    enum moat_status status = moat_commit_enter(manager, "commit", (uintptr_t)address, size,
                                                protection, &range, &ref, &stripes);
    if (status)
        return status;
    const struct wish wish = {&range, moat_commit_state(protection, ref.flags),
                              moat_commit_memory(manager, ref.flags)};
    status = moat_deny(manager, MOAT_DENY_COMMIT, "commit", (uintptr_t)address);
    if (!status)
        status = grant(manager, ref.space, &wish, "commit", &report);
    moat_region_leave(&ref, stripes);
    if (report.damage.pieces)
        moat_damage_tell_pages(&ref, &report.damage);
    if (status)
        return moat_execute_report(manager, status);
    moat_manager_count(manager, MOAT_COUNT_COMMITS, 1);
    if (report.bytes_committed)
        moat_manager_count(manager, MOAT_COUNT_BYTES_COMMITTED, report.bytes_committed);
    if (start)
        *start = (void *)range.start;
    return MOAT_OK;
}

enum moat_status moat_commit(struct moat_manager *manager, void *address, size_t size,
                             uint32_t protection, void **start) {
    moat_site_note(MOAT_SITE_HERE);
    enum moat_status status = commit(manager, address, size, protection, start);
    MOAT_PROBE(commit, address, size, protection, status, manager);
    return status;
}
