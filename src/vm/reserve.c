/* SPDX-License-Identifier: MIT */
/* reserve: a place, pages if asked for, then the books; undone in reverse. */
#include "vm/reserve.h"

#include "base/probe.h"
#include "base/site.h"
#include "os/annotate.h"
#include "os/os.h"
#include "region/arena.h"
#include "region/fork.h"
#include "region/limbo.h"
#include "region/retain.h"
#include "region/trap.h"
#include "vm/commit.h"
#include "vm/deny.h"
#include "vm/execute.h"
#include "vm/guards.h"
#include "vm/large.h"
#include "vm/limit.h"
#include "vm/numa.h"
#include "vm/quota.h"
#include "vm/range.h"
#include "vm/watch.h"

#define CALL  "reserve"
#define FLAGS (MOAT_RESERVE_COMMIT | MOAT_RESERVE_TOP_DOWN | MOAT_RESERVE_WRITE_WATCH)

/* Larger ones the mimalloc backend leaves to the kernel. */
#define MIMALLOC_MAX ((size_t)64 << 20)

#define BACKOFF_FIRST_NS UINT64_C(1000)
#define BACKOFF_MAX_NS   MOAT_OS_MS

struct request {
    struct moat_manager *manager;
    uintptr_t base; /* 0: anywhere */
    size_t size;
    const struct moat_reserve_terms *terms;
};

static bool watched(const struct moat_reserve_terms *terms) {
    return (terms->flags & MOAT_RESERVE_WRITE_WATCH) != 0;
}

static bool is_mapped(const struct moat_reserve_terms *terms) {
    return (terms->kind & MOAT_REGION_MAPPED) != 0;
}

static bool is_placeholder(const struct moat_reserve_terms *terms) {
    return (terms->kind & MOAT_REGION_PLACEHOLDER) != 0;
}

/* NULL: nothing is wrong with them. */
static const char *find_fault(const struct moat_address_limits *limits, uintptr_t address) {
    uintptr_t last = MOAT_OS_USER_END - 1;

    if (!limits || (limits->lowest | limits->highest | limits->alignment) == 0)
        return NULL;
    if (address)
        return "limits are for places that Moat chooses";
    if (!moat_is_aligned(limits->lowest, MOAT_GRANULE) || limits->lowest > last)
        return "the lowest address is not a multiple of 64 KiB in user space";
    if (limits->highest && (!moat_is_aligned(limits->highest + 1, MOAT_PAGE) ||
                            limits->highest > last || limits->highest <= limits->lowest))
        return "the highest address is not the last of a page of user space above the lowest";
    if (limits->alignment &&
        (!moat_is_power_of_two(limits->alignment) || limits->alignment < MOAT_GRANULE))
        return "the alignment is not a power of two from 64 KiB on";
    return NULL;
}

/* Read the arguments as Win32 does: the start goes down to a granule, the end up to a page. */
static enum moat_status read_request(void *address, size_t size, struct request *request) {
    const struct moat_reserve_terms *terms = request->terms;
    uintptr_t given = (uintptr_t)address;
    const char *fault = find_fault(terms->limits, given);
    struct moat_range range;

    if (fault)
        return moat_fail(MOAT_INVALID_ARGUMENT, CALL, given, fault);
    if (!moat_protection_valid(terms->protection))
        return moat_fail(MOAT_INVALID_ARGUMENT, CALL, given, "no such protection");
    if (terms->flags & ~FLAGS)
        return moat_fail(MOAT_INVALID_ARGUMENT, CALL, given, "unknown flag");
    if (!moat_range_of(given ? given : MOAT_GRANULE, size, MOAT_OS_USER_END, &range))
        return moat_fail(MOAT_INVALID_ARGUMENT, CALL, given,
                         "the size is 0 or the range leaves user space");
    request->base = moat_round_down(given, MOAT_GRANULE);
    if (given && request->base == 0)
        return moat_fail(MOAT_INVALID_ARGUMENT, CALL, given, "below the first 64 KiB");
    request->size = range.end - (given ? request->base : range.start);
    return MOAT_OK;
}

/* Whether a live region has a page in the granules of [base, base + size). */
static bool region_in(uintptr_t base, size_t size) {
    struct moat_region_ref ref;
    uintptr_t end = moat_round_up(base + size, MOAT_GRANULE);
    return moat_region_find(base, &ref) || moat_region_next(base, end) < end;
}

static void back_off(uint64_t *delay) {
    moat_os_nap(*delay);
    if (*delay < BACKOFF_MAX_NS)
        *delay *= 2;
}

/* Take exactly the place that was asked for. A place that is claimed while no live region is there
 * is another reserve or release half-way, or an arena on its way to the kernel: it is tried again,
 * so that of overlapping reserves that race at least one succeeds. */
static enum moat_status place_at(const struct request *request, const struct moat_place_wish *wish,
                                 struct moat_place *place) {
    struct moat_patience patience = moat_manager_patience(request->manager);
    uint64_t delay = BACKOFF_FIRST_NS;

    for (;;) {
        uint64_t moves = moat_arena_moves();
        uintptr_t conflict;
        enum moat_status status = moat_place_at(wish, request->base, place, &conflict);
        if (!status && is_placeholder(request->terms) && place->space->arena) {
            (void)moat_place_vacate(place, NULL);
            return moat_fail(MOAT_INVALID_ADDRESS, CALL, request->base,
                             "no placeholder can stand there: that space is for small regions");
        }
        if (status != MOAT_INVALID_ADDRESS)
            return status;
        if (moat_limbo_flush_all() > 0)
            continue; /* it may be a place that is released, and does not trap yet */
        bool settled = !moat_arena_of(conflict) && !moat_arena_moved(moves);
        if (settled || region_in(request->base, request->size))
            return moat_fail(MOAT_INVALID_ADDRESS, CALL, request->base,
                             "a page of that range is not free");
        if (!moat_patience_left(&patience))
            return moat_fail(MOAT_TIMEOUT, CALL, request->base,
                             "another call on that place stayed unfinished");
        back_off(&delay);
    }
}

/* Take any place. One that is not to be had because an arena is on its way to the kernel, or back,
 * is to be had when it has got there. */
static enum moat_status place_anywhere(const struct request *request,
                                       const struct moat_place_wish *wish,
                                       struct moat_place *place) {
    struct moat_patience patience = moat_manager_patience(request->manager);
    uint64_t delay = BACKOFF_FIRST_NS;

    for (;;) {
        uint64_t moves = moat_arena_moves();
        enum moat_status status = moat_place_anywhere(wish, place);
        if (status != MOAT_NO_MEMORY || !moat_arena_moved(moves) || !moat_patience_left(&patience))
            return status;
        back_off(&delay);
    }
}

static enum moat_status find_place(const struct request *request, struct moat_place *place) {
    struct moat_manager *manager = request->manager;
    struct moat_place_wish wish = {
        .size = request->size,
        .markers = manager->markers && !is_mapped(request->terms),
        .undumped = manager->options.dump == MOAT_DUMP_NONE,
        .fork = (uint8_t)manager->options.fork,
        .supply = {.huge = manager->options.commit == MOAT_COMMIT_HUGE &&
                           !is_mapped(request->terms) && !watched(request->terms)},
        .alone =
            watched(request->terms) || is_placeholder(request->terms) || is_mapped(request->terms),
        .at_once = (request->terms->flags & MOAT_RESERVE_COMMIT) != 0,
        .backend = manager->backend,
        .random = manager->options.placing == MOAT_PLACING_RANDOM && !manager->limbo,
        .guard_before = manager->options.guard_before,
        .guard_after = manager->options.guard_after,
        .guard_random = manager->options.guard_random,
    };

    moat_numa_supply(manager, request->terms->near, &wish.supply);
    /* A node that is named for one region alone is no reason for an arena. */
    wish.alone |= request->terms->near && (wish.supply.numa != (uint8_t)manager->options.numa ||
                                           wish.supply.nodes != manager->options.numa_nodes);
    const struct moat_address_limits *limits = request->terms->limits;
    if (limits) {
        wish.lowest = limits->lowest;
        wish.limit = limits->highest ? limits->highest + 1 : 0;
        wish.alignment = limits->alignment;
        wish.alone |= (limits->lowest | limits->highest | limits->alignment) != 0;
    }
    wish.top_down = (request->terms->flags & MOAT_RESERVE_TOP_DOWN) != 0;
    if (wish.backend->accessible && (request->base || wish.alone || request->size > MIMALLOC_MAX))
        wish.backend = moat_backend_os();
    enum moat_status status =
        request->base ? place_at(request, &wish, place) : place_anywhere(request, &wish, place);
    if (!status)
        moat_retain_clear(place, wish.at_once);
    if (status == MOAT_NO_MEMORY || status == MOAT_MAP_LIMIT)
        (void)moat_fail_place(status, CALL, request->base, request->size);
    if (status == MOAT_NOT_SUPPORTED)
        (void)moat_fail(status, CALL, 0, "what is mapped cannot be told without /proc/self/maps");
    return status;
}

static enum moat_status commit_place(const struct request *request, const struct moat_place *place,
                                     uint32_t flags) {
    struct moat_range range = {place->base, place->base + place->size};
    size_t committed;
    uint8_t state = moat_commit_state(request->terms->protection, flags);
    return moat_commit_pages(request->manager, place->space, &range, state,
                             moat_commit_memory(request->manager, flags), CALL, &committed);
}

static void vacate(struct moat_manager *manager, const struct moat_place *place, bool committed) {
    struct moat_trap_report report = {0};
    uintptr_t end = place->base + place->size;
    bool kept = false;

    if (committed && !place->space->backend->accessible)
        kept = moat_trap_pages(place->space, place->base, end, 0, &report) &&
               moat_trap_anyhow(place->space, place->base, end);
    if (!kept)
        moat_trap_normalise(place->space, place->base, end);
    if (report.refusals)
        moat_manager_count(manager, MOAT_COUNT_GUARD_FAILURES, report.refusals);
    moat_watch_stop(place);
    /* Pages that will not trap keep their granules; a mapping of their own may go all the same, or
     * else is known to be Moat's. */
    if ((kept && place->space->arena) || moat_place_vacate(place, NULL))
        moat_manager_count(manager, MOAT_COUNT_STRANDED_BYTES, place->size);
    if (committed && moat_quota_exists(manager))
        moat_quota_refund(manager, place->size);
}

static void count(struct moat_manager *manager, const struct moat_place *place, bool committed) {
    struct moat_counters *counters = moat_manager_counters(manager);
    moat_count(counters, MOAT_COUNT_RESERVES, 1);
    moat_count(counters, MOAT_COUNT_BYTES_RESERVED, place->size);
    if (committed)
        moat_count(counters, MOAT_COUNT_BYTES_COMMITTED, place->size);
    if (place->yielded)
        moat_count(counters, MOAT_COUNT_GUARDS_YIELDED, 1);
    if (place->unverified)
        moat_guards_doubt(manager, place);
    if (place->space->backend != manager->backend)
        moat_count(counters, MOAT_COUNT_BACKEND_FALLBACKS, 1);
}

enum moat_status moat_reserve_deny(struct moat_manager *manager, uintptr_t address, bool commit) {
    enum moat_status status = moat_deny(manager, MOAT_DENY_RESERVE, CALL, address);
    if (!status && commit)
        status = moat_deny(manager, MOAT_DENY_COMMIT, CALL, address);
    return status;
}

static enum moat_status reserve(struct moat_manager *manager, void *address, size_t size,
                                const struct moat_reserve_terms *terms, void **base) {
    struct request request = {.manager = manager, .terms = terms};
    struct moat_region_terms birth = {
        .owner = manager,
        .protection = terms->protection,
        .flags = terms->kind,
        .tag = terms->tag,
    };
    bool commit = (terms->flags & MOAT_RESERVE_COMMIT) != 0;
    struct moat_place place;

    if (!base)
        return moat_fail(MOAT_NO_ACCESS, CALL, (uintptr_t)address, "base is NULL");
    *base = NULL;
    if (!manager)
        return moat_fail(MOAT_NO_ACCESS, CALL, (uintptr_t)address, "manager is NULL");
    if (moat_latched())
        return moat_fail_latched(CALL, (uintptr_t)address);
    enum moat_status status = read_request(address, size, &request);
    if (!status)
        status = moat_execute_check(manager, terms->protection, CALL, (uintptr_t)address);
    if (status)
        return moat_execute_report(manager, status);
    if (!(terms->kind & MOAT_REGION_TAGGED)) /* a heap has its own share */
        status = moat_reserve_deny(manager, (uintptr_t)address, commit);
    if (!status)
        status = find_place(&request, &place);
    if (status)
        return status;
    if (watched(terms))
        status = moat_watch_start(manager, &place, CALL, &birth.flags);
    if (!status && commit)
        status = commit_place(&request, &place, birth.flags);
    if (status) {
        vacate(manager, &place, false);
        return status;
    }
    status = moat_region_publish(&place, &birth);
    if (status) {
        vacate(manager, &place, commit);
        return moat_fail_books(status, CALL, place.base);
    }
    *base = (void *)place.base;
    count(manager, &place, commit);
    moat_limit_tell(&manager->options);
    return MOAT_OK;
}

/* Placeholders are cut and joined: no checker has a word for that. */
static void annotate(const struct moat_reserve_terms *terms, uintptr_t base, size_t size) {
    if (is_placeholder(terms))
        return;
    moat_annotate_region(base, size, !(terms->kind & MOAT_REGION_TAGGED));
    if (!(terms->flags & MOAT_RESERVE_COMMIT))
        moat_annotate_close(base, size);
}

void moat_reserve_probe(const struct moat_manager *manager, const void *address, size_t size,
                        const struct moat_reserve_terms *terms, enum moat_status status,
                        void *const *base) {
    uintptr_t place = (uintptr_t)address;

    if (!status) {
        uintptr_t from = place ? place : (uintptr_t)*base;
        place = (uintptr_t)*base;
        size = moat_round_up(from + size, MOAT_PAGE) - place;
        annotate(terms, place, size);
        MOAT_PROBE2(otel_memory, mmap, place, size);
    }
    MOAT_PROBE(reserve, place, size, terms->protection, status, manager);
    if (terms->flags & MOAT_RESERVE_COMMIT)
        MOAT_PROBE(commit, place, size, terms->protection, status, manager);
}

enum moat_status moat_reserve_as(struct moat_manager *manager, void *address, size_t size,
                                 const struct moat_reserve_terms *terms, void **base) {
    moat_fork_check();
    moat_held_begin(MOAT_HELD_PLACE);
    enum moat_status status = reserve(manager, address, size, terms, base);
    moat_held_end(MOAT_HELD_PLACE);
    moat_reserve_probe(manager, address, size, terms, status, base);
    return status;
}

enum moat_status moat_reserve_within(struct moat_manager *manager, size_t size, uint32_t protection,
                                     uint32_t flags, const struct moat_address_limits *limits,
                                     void **base) {
    const struct moat_reserve_terms terms = {
        .protection = protection, .flags = flags, .limits = limits};

    moat_site_note(MOAT_SITE_HERE);
    return moat_reserve_as(manager, NULL, size, &terms, base);
}

enum moat_status moat_reserve(struct moat_manager *manager, void *address, size_t size,
                              uint32_t protection, uint32_t flags, void **base) {
    const struct moat_reserve_terms terms = {.protection = protection, .flags = flags};

    moat_site_note(MOAT_SITE_HERE);
    if (flags & MOAT_RESERVE_LARGE_PAGES)
        return moat_reserve_large(manager, address, size, protection, flags, base);
    return moat_reserve_as(manager, address, size, &terms, base);
}
