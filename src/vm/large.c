/* SPDX-License-Identifier: MIT */
/*
 * large: regions of large pages, committed from birth to release.
 *
 * The order of refusals is that of Windows: the range, then the right to have such pages (here:
 * whether the machine's owner has set any aside), then sizes and alignment.
 */
#include "vm/large.h"

#include "os/os.h"
#include "region/fork.h"
#include "region/place_large.h"
#include "region/policy.h"
#include "region/trap.h"
#include "vm/commit.h"
#include "vm/execute.h"
#include "vm/quota.h"
#include "vm/reserve.h"

static const char call[] = "reserve large pages";

/* One page cannot be guarded, and pages that are never to be used are not worth it. */
static bool suits(uint32_t protection) {
    const uint32_t modifiers = MOAT_PAGE_GUARD | MOAT_PAGE_NOCACHE | MOAT_PAGE_WRITECOMBINE;
    return (protection & modifiers) == 0;
}

enum moat_status moat_large_check(const struct moat_region_ref *ref, const struct moat_range *range,
                                  uint32_t protection, const char *what) {
    if (!(ref->flags & MOAT_REGION_LARGE))
        return MOAT_OK;
    if (!suits(protection))
        return moat_fail(MOAT_INVALID_ARGUMENT, what, range->start,
                         "large pages have no guards and no modifiers");
    if (!moat_is_aligned(range->start | range->end, MOAT_OS_LARGE_PAGE))
        return moat_fail(MOAT_INVALID_ADDRESS, what, range->start,
                         "not whole large pages: they change as a whole or not at all");
    return MOAT_OK;
}

static enum moat_status check_arguments(uintptr_t address, size_t size, uint32_t protection,
                                        uint32_t flags, enum moat_numa numa) {
    struct moat_range range;

    if (!moat_protection_valid(protection) || !suits(protection))
        return moat_fail(MOAT_INVALID_ARGUMENT, call, address, "no such protection");
    if ((flags & ~MOAT_RESERVE_TOP_DOWN) != (MOAT_RESERVE_LARGE_PAGES | MOAT_RESERVE_COMMIT))
        return moat_fail(MOAT_INVALID_ARGUMENT, call, address,
                         "large pages are committed as they are reserved, and not watched");
    if (!moat_range_of(address ? address : MOAT_GRANULE, size, MOAT_OS_USER_END, &range))
        return moat_fail(MOAT_INVALID_ARGUMENT, call, address,
                         "the size is 0 or the range leaves user space");
    if (!moat_os_large_pages_set_aside())
        return moat_fail(MOAT_NO_PRIVILEGE, call, address,
                         "no large pages are set aside; see /proc/sys/vm/nr_hugepages");
    if (!moat_is_aligned(address | size, MOAT_OS_LARGE_PAGE))
        return moat_fail(MOAT_INVALID_ARGUMENT, call, address,
                         "address and size must be multiples of 2 MiB");
    if (numa == MOAT_NUMA_BIND)
        return moat_fail(MOAT_NOT_SUPPORTED, call, address,
                         "large pages are not bound to nodes; use another option numa");
    return MOAT_OK;
}

static enum moat_status find_place(uintptr_t base, size_t size, struct moat_place *place) {
    enum moat_status status = moat_place_large(base, size, place);
    switch (status) {
    case MOAT_OK:
        return MOAT_OK;
    case MOAT_INVALID_ADDRESS:
        return moat_fail(status, call, base, "a page of that range is not free");
    case MOAT_NO_LARGE_PAGES:
        return moat_fail(status, call, base,
                         "all large pages are in use; raise /proc/sys/vm/nr_hugepages");
    default:
        return moat_fail_place(status, call, base, size);
    }
}

/* `committed`: the pages are charged. */
static void vacate(struct moat_manager *manager, const struct moat_place *place, bool committed) {
    size_t size = place->size;
    if (moat_place_vacate(place, NULL))
        moat_manager_count(manager, MOAT_COUNT_STRANDED_BYTES, size);
    if (committed && moat_quota_exists(manager))
        moat_quota_refund(manager, size);
}

static enum moat_status reserve(struct moat_manager *manager, void *address, size_t size,
                                uint32_t protection, uint32_t flags, void **base) {
    struct moat_region_terms terms = {
        .owner = manager,
        .protection = protection,
        .flags = MOAT_REGION_LARGE,
    };
    struct moat_place place;
    size_t committed;

    if (!base || !manager)
        return moat_fail(MOAT_NO_ACCESS, call, (uintptr_t)address, "base or manager is NULL");
    *base = NULL;
    if (moat_latched())
        return moat_fail_latched(call, (uintptr_t)address);
    enum moat_status status =
        check_arguments((uintptr_t)address, size, protection, flags, manager->options.numa);
    if (!status)
        status = moat_execute_check(manager, protection, call, (uintptr_t)address);
    if (status)
        return moat_execute_report(manager, status);
    status = moat_reserve_deny(manager, (uintptr_t)address, true);
    if (!status)
        status = find_place((uintptr_t)address, size, &place);
    if (status)
        return status;
    moat_space_set_fork(place.space, (uint8_t)manager->options.fork);
    if (moat_policy_alone(place.space)) {
        vacate(manager, &place, false);
        return moat_fail(MOAT_NOT_SUPPORTED, call, (uintptr_t)address,
                         "the kernel does not keep large pages from a forked child this way; "
                         "use fork=inherit or fork=dontfork");
    }
    place.space->undumped = manager->options.dump == MOAT_DUMP_NONE;
    if (place.space->undumped)
        moat_trap_hide(place.space);
    struct moat_range range = {place.base, place.base + place.size};
    status = moat_commit_pages(manager, place.space, &range, moat_page_state(protection),
                               MOAT_MEMORY_LATER, call, &committed);
    if (status) {
        vacate(manager, &place, false);
        return status;
    }
    status = moat_region_publish(&place, &terms);
    if (status) {
        vacate(manager, &place, true);
        return moat_fail_books(status, call, place.base);
    }
    *base = (void *)place.base;
    struct moat_counters *counters = moat_manager_counters(manager);
    moat_count(counters, MOAT_COUNT_RESERVES, 1);
    moat_count(counters, MOAT_COUNT_BYTES_RESERVED, place.size);
    moat_count(counters, MOAT_COUNT_BYTES_COMMITTED, place.size);
    return MOAT_OK;
}

enum moat_status moat_reserve_large(struct moat_manager *manager, void *address, size_t size,
                                    uint32_t protection, uint32_t flags, void **base) {
    moat_fork_check();
    moat_held_begin(MOAT_HELD_PLACE);
    enum moat_status status = reserve(manager, address, size, protection, flags, base);
    moat_held_end(MOAT_HELD_PLACE);
    const struct moat_reserve_terms terms = {.protection = protection, .flags = flags};
    moat_reserve_probe(manager, address, size, &terms, status, base);
    return status;
}
