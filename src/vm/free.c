/* SPDX-License-Identifier: MIT */
/* free: decommit and release. Ownership is decided before anything else, from the address alone. */
#include "vm/free.h"

#include "base/probe.h"
#include "base/site.h"
#include "os/annotate.h"
#include "os/os.h"
#include "region/fork.h"
#include "region/habit.h"
#include "region/held.h"
#include "region/history.h"
#include "region/limbo.h"
#include "region/parts.h"
#include "region/retain.h"
#include "region/sever.h"
#include "region/stash.h"
#include "region/trap.h"
#include "region/wipe.h"
#include "vm/misuse.h"
#include "vm/quota.h"
#include "vm/range.h"
#include "vm/reserve.h"
#include "vm/watch.h"

enum moat_status moat_refuse_free(struct moat_manager *manager, const char *what, uintptr_t address,
                                  size_t size, const struct moat_region_ref *found) {
    struct moat_refusal refusal = {
        .call = what,
        .address = address,
        .size = size,
        .manager = manager,
        .status = MOAT_NOT_OURS,
        .kind = MOAT_MISUSE_UNKNOWN,
    };
    if (found) {
        refusal.base = found->base;
        refusal.length = found->size;
        refusal.kind = moat_region_plain(found) ? MOAT_FOUND_OTHER_MANAGER : MOAT_FOUND_HEAP_MEMORY;
    }
    moat_manager_count(manager, MOAT_COUNT_REFUSED, 1);
    return moat_misuse_refuse(&manager->options, &refusal);
}

/* For the calls of layers above: what they hand in is theirs, so nobody misused anything. */
static enum moat_status not_ours(struct moat_manager *manager, uintptr_t address) {
    moat_manager_count(manager, MOAT_COUNT_REFUSED, 1);
    return moat_fail(MOAT_NOT_OURS, "release", address, "in no region of this manager");
}

/* Refuse for what a call wants with a region that is the manager's. */
static enum moat_status refuse(const struct moat_region_ref *ref, enum moat_finding_kind kind,
                               enum moat_status status, const char *what, uintptr_t address,
                               size_t size) {
    struct moat_refusal refusal = {
        .call = what,
        .address = address,
        .size = size,
        .base = ref->base,
        .length = ref->size,
        .manager = ref->owner,
        .status = status,
        .kind = kind,
    };
    return moat_misuse_refuse(&ref->owner->options, &refusal);
}

/* Whether the thread that calls runs on these pages: a stack that a host made of a region. Without
 * them it could not even return. */
static bool is_run_on(uintptr_t start, uintptr_t end) {
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    return frame >= start && frame < end;
}

static void account_decommitted(struct moat_manager *manager, size_t bytes) {
    moat_manager_count(manager, MOAT_COUNT_BYTES_COMMITTED, 0 - (uint64_t)bytes);
    if (moat_quota_exists(manager))
        moat_quota_refund(manager, bytes);
}

enum moat_status moat_free_pages(const struct moat_region_ref *ref, uintptr_t start, uintptr_t end,
                                 const char *what) {
    struct moat_trap_report report = {0};
    struct moat_manager *manager = ref->owner;
    int error = moat_trap_pages(ref->space, start, end, manager->options.poison, &report);

    if (report.refusals)
        moat_manager_count(manager, MOAT_COUNT_GUARD_FAILURES, report.refusals);
    if (report.bytes_trapped)
        account_decommitted(manager, report.bytes_trapped);
    if (manager->options.zero == MOAT_ZERO_RELEASE) {
        size_t left = moat_wipe_pages(ref->space, start, end);
        if (left)
            moat_manager_count(manager, MOAT_COUNT_UNZEROED_BYTES, left);
    }
    const struct moat_range range = {start, end};
    return error ? moat_fail_pages(error, MOAT_NO_MEMORY, what, &range) : MOAT_OK;
}

/* The range of a decommit in a region: size 0 means all of it, seen from its first page. */
static enum moat_status decommit_range(const struct moat_region_ref *ref, uintptr_t address,
                                       size_t size, struct moat_range *range) {
    if (size == 0) {
        if (address - ref->base >= MOAT_PAGE)
            return refuse(ref, MOAT_FOUND_WRONG_START, MOAT_INVALID_ADDRESS, "decommit", address,
                          size);
        *range = (struct moat_range){ref->base, ref->base + ref->size};
    } else if (!moat_range_of(address, size, MOAT_OS_USER_END, range) ||
               !moat_range_fits(range, ref)) {
        return refuse(ref, MOAT_FOUND_WRONG_SIZE, MOAT_LEAVES_REGION, "decommit", address, size);
    }
    if (is_run_on(range->start, range->end))
        return refuse(ref, MOAT_FOUND_OWN_STACK, MOAT_INVALID_ADDRESS, "decommit", address, size);
    return MOAT_OK;
}

/* The region of a manager whose pages it may decommit, or why there is none. */
static enum moat_status find_decommittable(struct moat_manager *manager, uintptr_t at, size_t size,
                                           struct moat_region_ref *ref) {
    bool found = moat_region_find(at, ref);

    if (!found || ref->owner != manager || !moat_region_plain(ref))
        return moat_refuse_free(manager, "decommit", at, size, found ? ref : NULL);
    if (!moat_region_committable(ref))
        return moat_fail(MOAT_INVALID_ADDRESS, "decommit", at, "in a placeholder");
    if (ref->flags & MOAT_REGION_LARGE)
        return moat_fail(MOAT_INVALID_ADDRESS, "decommit", at,
                         "large pages are released as a whole");
    return MOAT_OK;
}

static enum moat_status refuse_wrapping(struct moat_manager *manager, uintptr_t at, size_t size) {
    struct moat_refusal refusal = {
        .call = "decommit",
        .address = at,
        .size = size,
        .manager = manager,
        .status = MOAT_INVALID_ARGUMENT,
        .kind = MOAT_FOUND_WRONG_SIZE,
    };
    return moat_misuse_refuse(&manager->options, &refusal);
}

static enum moat_status decommit(struct moat_manager *manager, uintptr_t at, size_t size) {
    struct moat_patience patience;
    struct moat_region_ref ref;
    struct moat_range range;
    uint32_t stripes;
    enum moat_status status;

    if (!manager)
        return moat_fail(MOAT_NO_ACCESS, "decommit", at, "manager is NULL");
    if (moat_latched())
        return moat_fail_latched("decommit", at);
    if (size > UINTPTR_MAX - at)
        return refuse_wrapping(manager, at, size);
    patience = moat_manager_patience(manager);
    do {
        status = find_decommittable(manager, at, size, &ref);
        if (!status)
            status = decommit_range(&ref, at, size, &range);
        if (status)
            return status;
        status = moat_region_enter(&ref, range.start, range.end, &patience, &stripes);
    } while (status == MOAT_NOT_OURS);
    if (status)
        return moat_fail_wait(status, "decommit", at);
    status = moat_free_pages(&ref, range.start, range.end, "decommit");
    if (!status)
        moat_history_ended(&ref, range.start, range.end, false);
    moat_region_leave(&ref, stripes);
    moat_fork_check(); /* a handler may have forked meanwhile, and left these pages to us */
    if (!status)
        moat_manager_count(manager, MOAT_COUNT_DECOMMITS, 1);
    return status;
}

enum moat_status moat_decommit(struct moat_manager *manager, void *address, size_t size) {
    moat_site_note(MOAT_SITE_HERE);
    enum moat_status status = decommit(manager, (uintptr_t)address, size);
    MOAT_PROBE(decommit, address, size, 0, status, manager);
    return status;
}

/* Whether the memory of a region is worth keeping: what is zeroed at its release cannot stay, and
 * what the kernel watches, or shows elsewhere, must not. */
static bool may_retain(const struct moat_region_ref *ref) {
    const uint32_t particular =
        MOAT_REGION_WATCHED | MOAT_REGION_MAPPED | MOAT_REGION_LARGE | MOAT_REGION_CLEANED;
    const struct moat_options *options = &ref->owner->options;
    return options->zero == MOAT_ZERO_REUSE && options->retain_bytes && ref->space->arena &&
           !(ref->flags & particular) &&
           moat_habit_judge(ref->base, ref->base + ref->size) == MOAT_HABIT_DENSE;
}

/* Make all pages of a closed region trap: keep them where that is worth it, else drop them. */
static enum moat_status trap(struct moat_manager *manager, const struct moat_region_ref *ref) {
    uintptr_t end = ref->base + ref->size;
    size_t trapped = 0;

    if (may_retain(ref)) {
        uint64_t most = moat_retain_most(manager->options.retain_bytes);
        trapped = moat_stash_put(ref->space, ref->base, end, most)
                      ? ref->size
                      : moat_retain_pages(ref->space, ref->base, end, most);
    }
    if (trapped)
        account_decommitted(manager, trapped);
    if (trapped == ref->size)
        return MOAT_OK;
    enum moat_status status = moat_free_pages(ref, ref->base, end, "release");
    if (ref->space->arena && moat_retained_any())
        moat_sever_end(ref->space, ref->base, end);
    return status;
}

/* For those who ask later, and those who look on. The region is still nobody else's. */
static void note_end(const struct moat_region_ref *ref) {
    if (!moat_region_mutable(ref))
        moat_annotate_region_end(ref->base, ref->size, !(ref->flags & MOAT_REGION_TAGGED));
    moat_history_ended(ref, ref->base, ref->base + ref->size, true);
}

/* Put the trap of a closed region off, if that is wanted and can be: then it is nobody's, and its
 * pages trap soon. */
static bool defer(struct moat_manager *manager, const struct moat_region_ref *ref) {
    const uint32_t particular =
        MOAT_REGION_WATCHED | MOAT_REGION_MAPPED | MOAT_REGION_LARGE | MOAT_REGION_CLEANED;
    const struct moat_place place = moat_region_place(ref);

    if (!manager->limbo || (ref->flags & particular) || !moat_limbo_admits(manager->limbo, &place))
        return false;
    bool dense = may_retain(ref);
    note_end(ref);
    moat_held_begin(MOAT_HELD_PLACE);
    moat_region_retire(ref);
    moat_limbo_put(manager->limbo, &place, dense);
    moat_held_end(MOAT_HELD_PLACE);
    return true;
}

/* Everything that can fail comes while the region can still be reopened. */
static enum moat_status release_closed(struct moat_manager *manager,
                                       const struct moat_region_ref *ref) {
    struct moat_place place = moat_region_place(ref);
    uintptr_t end = ref->base + ref->size;
    bool may_be_part = moat_region_mutable(ref);

    if (defer(manager, ref))
        return MOAT_OK;
    /* A part may lie in the middle of a mapping, which the kernel may refuse to cut. */
    int error = may_be_part ? moat_parts_sever(ref->space) : 0;
    if (error)
        return moat_fail_kernel(error, MOAT_NO_MEMORY, "release", ref->base);
    /* What a backend takes back is its own again and need not trap before. */
    if (!ref->space->backend->accessible) {
        enum moat_status status = trap(manager, ref);
        if (status && may_be_part)
            moat_parts_rejoin(ref->space);
        if (status)
            return status;
        moat_trap_normalise(ref->space, ref->base, end);
    } else {
        account_decommitted(manager, moat_pages_committed(ref->space, ref->base, end));
        (void)moat_trap_unlock(ref->space, ref->base, end); /* refused: it costs memory alone */
    }
    if (ref->flags & MOAT_REGION_WATCHED)
        moat_watch_stop(&place);
    note_end(ref);
    if (moat_region_depart(ref, manager->quarantine))
        moat_manager_count(manager, MOAT_COUNT_STRANDED_BYTES, ref->size);
    return MOAT_OK;
}

enum moat_status moat_fail_close(enum moat_status status, const char *what, uintptr_t address) {
    if (status == MOAT_NOT_OWNER)
        return moat_fail(status, what, address, "another thread holds the lock of the region");
    return moat_fail_wait(status, what, address);
}

/* The holder of a region's lock may release it; whether it meant to is another question. */
static void tell_of_lock(const struct moat_region_ref *ref, const struct moat_options *options) {
    struct moat_refusal refusal = {
        .call = "release",
        .address = ref->base,
        .size = MOAT_MISUSE_NO_SIZE,
        .base = ref->base,
        .length = ref->size,
        .manager = ref->owner,
        .status = MOAT_OK,
        .kind = MOAT_FOUND_LOCK_HELD,
    };
    moat_misuse_pass(options, &refusal);
}

/* MOAT_NOT_OURS: that life is over, and nothing was told or counted. */
static enum moat_status release(struct moat_manager *manager, const struct moat_region_ref *ref) {
    struct moat_patience patience = moat_manager_patience(manager);
    bool locked;

    if (is_run_on(ref->base, ref->base + ref->size))
        return refuse(ref, MOAT_FOUND_OWN_STACK, MOAT_INVALID_ADDRESS, "release", ref->base,
                      MOAT_MISUSE_NO_SIZE);
    enum moat_status status = moat_region_close(ref, &patience);
    if (status == MOAT_NOT_OURS)
        return status;
    if (status == MOAT_NOT_OWNER)
        return refuse(ref, MOAT_FOUND_LOCK_HELD, status, "release", ref->base, MOAT_MISUSE_NO_SIZE);
    if (status)
        return moat_fail_wait(status, "release", ref->base);
    locked = moat_life_locked(&ref->region->life);
    struct moat_space *arena = ref->space->arena ? ref->space : NULL;
    status = release_closed(manager, ref);
    if (status)
        moat_region_reopen(ref);
    else if (arena)
        moat_trap_wiped(arena, ref->base, ref->base + ref->size);
    moat_fork_check(); /* as in moat_decommit */
    if (status)
        return status;
    struct moat_counters *counters = moat_manager_counters(manager);
    moat_count(counters, MOAT_COUNT_RELEASES, 1);
    moat_count(counters, MOAT_COUNT_BYTES_RESERVED, 0 - (uint64_t)ref->size);
    if (locked)
        tell_of_lock(ref, &manager->options);
    return MOAT_OK;
}

/* For tools that look in. */
static enum moat_status probe_release(const struct moat_manager *manager, uintptr_t at, size_t size,
                                      enum moat_status status) {
    MOAT_PROBE(release, at, size, 0, status, manager);
    if (!status)
        MOAT_PROBE2(otel_memory, munmap, at, size);
    return status;
}

/* `size` becomes that of the region that starts there, if one does. */
static enum moat_status release_at(struct moat_manager *manager, uintptr_t at, size_t *size) {
    struct moat_region_ref ref;
    enum moat_status status;

    if (!manager)
        return moat_fail(MOAT_NO_ACCESS, "release", at, "manager is NULL");
    if (moat_latched())
        return moat_fail_latched("release", at);
    do {
        bool found = moat_region_find_base(at, &ref);
        if (!found || ref.owner != manager || !moat_region_plain(&ref))
            return moat_refuse_free(manager, "release", at, MOAT_MISUSE_NO_SIZE,
                                    found ? &ref : NULL);
        *size = ref.size;
        status = release(manager, &ref);
        /* Another region may stand there now, as when a placeholder was cut. */
    } while (status == MOAT_NOT_OURS && moat_region_mutable(&ref));
    return status == MOAT_NOT_OURS
               ? moat_refuse_free(manager, "release", at, MOAT_MISUSE_NO_SIZE, NULL)
               : status;
}

enum moat_status moat_release(struct moat_manager *manager, void *address) {
    size_t size = 0;

    moat_site_note(MOAT_SITE_HERE);
    enum moat_status status = release_at(manager, (uintptr_t)address, &size);
    return probe_release(manager, (uintptr_t)address, size, status);
}

enum moat_status moat_release_tagged(struct moat_manager *manager, void *address, void *tag) {
    uintptr_t at = (uintptr_t)address;
    struct moat_region_ref ref;

    if (moat_latched())
        return moat_fail_latched("release", at);
    if (!moat_region_find_base(at, &ref) || ref.owner != manager || moat_region_tag(&ref) != tag)
        return not_ours(manager, at);
    enum moat_status status = release(manager, &ref);
    (void)probe_release(manager, at, ref.size, status);
    return status == MOAT_NOT_OURS ? not_ours(manager, at) : status;
}

enum moat_status moat_release_any(const struct moat_region_ref *ref) {
    enum moat_status status = release(ref->owner, ref);
    (void)probe_release(ref->owner, ref->base, ref->size, status);
    return status == MOAT_NOT_OURS ? not_ours(ref->owner, ref->base) : status;
}
