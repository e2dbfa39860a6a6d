/* SPDX-License-Identifier: MIT */
/*
 * manager: from options to an owner, and back.
 *
 * Edges
 *   default   the default manager is made, then shown -> whoever sees it sees it made
 */
#include "vm/manager.h"

#include "base/error_text.h"
#include "base/options.h"
#include "base/site.h"
#include "os/os.h"
#include "region/books.h"
#include "region/limbo.h"
#include "region/lock.h"
#include "region/powers.h"
#include "region/quarantine.h"
#include "region/retain.h"
#include "vm/adopt.h"
#include "vm/corruption.h"
#include "vm/deny.h"
#include "vm/fault_report.h"
#include "vm/fork.h"
#include "vm/layout.h"
#include "vm/leaks.h"
#include "vm/limit.h"
#include "vm/numa.h"
#include "vm/quota.h"
#include "vm/range.h"
#include "vm/reserve.h"
#include "vm/stats.h"

#include <moat/fault.h>
#include <moat/lock.h>
#include <moat/pressure.h>

#include <stdlib.h>
#include <string.h>

/* Whether the environment says of all managers that they do without markers: whoever runs a program
 * under a tool that knows no markers has no other way to say so. */
static bool all_protect(void) {
    struct moat_options said;

    moat_options_init(&said);
    return !moat_options_parse(&said, getenv("MOAT_OPTIONS"), NULL, 0) &&
           said.trap == MOAT_TRAP_PROTECT;
}

static enum moat_status read_options(const struct moat_options *given, struct moat_options *out) {
    char reason[512];

    if (!given) {
        moat_options_init(out);
    } else {
        enum moat_status status = moat_options_check(given);
        if (status)
            return status;
        *out = *given;
    }
    if (!moat_os_environment_trusted())
        return MOAT_OK;
    enum moat_status status =
        moat_options_parse(out, getenv("MOAT_OPTIONS"), reason, sizeof(reason));
    if (status)
        moat_error_set("MOAT_OPTIONS: %s", reason);
    else /* words may be right one by one and not go together */
        status = moat_options_check(out);
    if (!status && all_protect())
        moat_powers_forgo_markers();
    return status;
}

static enum moat_status choose_powers(struct moat_manager *manager) {
    bool can_mark = moat_powers()->guard_markers;

    if (manager->options.trap == MOAT_TRAP_MARKERS && !can_mark) {
        moat_error_set("trap=markers: this kernel does not accept guard markers "
                       "(MADV_GUARD_INSTALL, Linux 6.13); use trap=auto");
        return MOAT_NOT_SUPPORTED;
    }
    manager->markers = can_mark && manager->options.trap != MOAT_TRAP_PROTECT;
    manager->backend = manager->options.backend == MOAT_BACKEND_MIMALLOC ? moat_backend_mimalloc()
                                                                         : moat_backend_os();
    return manager->backend ? moat_numa_choose(&manager->options) : MOAT_NOT_SUPPORTED;
}

/* As the options have it. Waits out others who install or remove handlers at this moment. */
static enum moat_status report_faults(struct moat_manager *manager) {
    enum moat_status status = MOAT_OK;

    if (manager->options.faults != MOAT_FAULTS_REPORT)
        return MOAT_OK;
    for (unsigned tries = 0; tries < 1000; tries++) {
        status = moat_fault_reporter_install(manager);
        if (status != MOAT_TIMEOUT)
            break;
        moat_os_nap(MOAT_OS_MS);
    }
    return status;
}

/* What became of regions whose release was put off. */
static void tell_trapped(void *owner, const struct moat_limbo_report *report) {
    struct moat_manager *manager = owner;

    moat_manager_count(manager, MOAT_COUNT_BYTES_COMMITTED, 0 - (uint64_t)report->trapped);
    if (moat_quota_exists(manager))
        moat_quota_refund(manager, report->trapped);
    if (report->refusals)
        moat_manager_count(manager, MOAT_COUNT_GUARD_FAILURES, report->refusals);
    if (report->unzeroed)
        moat_manager_count(manager, MOAT_COUNT_UNZEROED_BYTES, report->unzeroed);
    if (report->stranded)
        moat_manager_count(manager, MOAT_COUNT_STRANDED_BYTES, report->stranded);
}

/* Have releases put off, if the options want that. */
static enum moat_status start_limbo(struct moat_manager *manager) {
    const struct moat_options *options = &manager->options;
    const struct moat_limbo_terms terms = {
        .regions = options->defer_regions,
        .bytes = options->defer_bytes,
        .ms = options->defer_ms,
        .zero = options->zero == MOAT_ZERO_RELEASE,
        .retain = options->retain_bytes,
        .quarantine = manager->quarantine,
        .told = tell_trapped,
        .owner = manager,
    };

    if (options->defer_regions == 0)
        return MOAT_OK;
    int error = moat_limbo_start(&terms, &manager->limbo);
    if (!error)
        return MOAT_OK;
    moat_error_set("create: defer=%u needs a thread, and none could be started (errno %d); check "
                   "RLIMIT_NPROC (ulimit -u), pids.max of the control group, and RLIMIT_AS",
                   options->defer_regions, error);
    return MOAT_NO_MEMORY;
}

/* Storage for a manager with these options, and for its part in what rests, which comes first: what
 * a manager lay in may not be had back where there is no memory. NULL: there is none. */
static struct moat_manager *make(const struct moat_options *options) {
    uint64_t bytes = options->quarantine_bytes;
    bool rests = options->quarantine_regions && bytes;
    struct moat_quarantine *quarantine = NULL;

    if (rests)
        quarantine = moat_quarantine_take(options->quarantine_regions, bytes);
    struct moat_manager *made = rests && !quarantine ? NULL : moat_frozen_take();
    if (!made) {
        moat_quarantine_give(quarantine);
        return NULL;
    }
    made->options = *options;
    made->quarantine = quarantine;
    made->layout = &moat_layout;
    return made;
}

enum moat_status moat_manager_create(const struct moat_options *options,
                                     struct moat_manager **manager) {
    struct moat_options chosen;

    if (!manager) {
        moat_error_set("create: manager is NULL");
        return MOAT_NO_ACCESS;
    }
    *manager = NULL;
    enum moat_status status = read_options(options, &chosen);
    if (status)
        return status;
    status = moat_region_start();
    if (status == MOAT_NOT_SUPPORTED)
        return status;
    struct moat_manager *made = status ? NULL : make(&chosen);
    if (!made) {
        return moat_fail_books(MOAT_NO_MEMORY, "create", 0);
    }
    status = choose_powers(made);
    if (!status)
        status = start_limbo(made);
    if (!status && !moat_managers_enter(made)) {
        status = moat_fail_books(MOAT_NO_MEMORY, "create", 0);
    }
    if (!status && (status = report_faults(made)) != MOAT_OK)
        moat_managers_leave(made);
    if (status) {
        (void)moat_limbo_end(made->limbo);
        moat_quarantine_give(made->quarantine);
        moat_frozen_give(made);
        return status;
    }
    moat_deny_begin(made);
    moat_frozen_freeze(made);
    *manager = made;
    moat_limit_tell(&made->options);
    moat_stats_follow(made);
    return MOAT_OK;
}

void moat_manager_each(const struct moat_manager *manager,
                       void (*visit)(const struct moat_region_ref *ref, void *context),
                       void *context) {
    struct moat_region_ref ref;
    for (uint32_t handle = 1; handle <= moat_region_count_ever(); handle++)
        if (moat_region_nth(handle, &ref) && (!manager || ref.owner == manager))
            visit(&ref, context);
}

/* Once corruption was found nothing is given back by the word of any record. */
static void release_one(const struct moat_region_ref *ref, void *survived) {
    if (moat_latched() || moat_release_any(ref))
        *(bool *)survived = true;
}

void moat_manager_destroy(struct moat_manager *manager) {
    bool survived = false;

    moat_site_note(MOAT_SITE_HERE);
    if (!manager)
        return;
    moat_pressure_stop(manager);
    moat_cancel_waits(manager);
    moat_waits_drain(&manager->waits);
    moat_manager_take_locks(manager);
    moat_adopted_forget(manager);
    moat_leaks_report(manager);
    moat_stats_tell(manager);
    moat_manager_each(manager, release_one, &survived);
    if (moat_latched())
        moat_corruption_tell("the end of a manager");
    survived |= !moat_limbo_end(manager->limbo);
    /* A region that is not taken back keeps its pages and its owner: no later manager may come to
     * lie where this one did and be taken for it. */
    moat_managers_leave(manager);
    moat_fault_tell_no_longer(manager);
    if (!survived && !moat_latched()) {
        moat_quarantine_give(manager->quarantine);
        (void)moat_retain_empty_all(false);
        moat_frozen_give(manager);
    }
}

enum moat_status moat_manager_default(struct moat_manager **manager) {
    static _Atomic(struct moat_manager *) the_default;

    if (!manager)
        return MOAT_NO_ACCESS;
    /* A(default) */
    *manager = atomic_load_explicit(&the_default, memory_order_acquire);
    if (*manager)
        return MOAT_OK;
    struct moat_manager *made;
    enum moat_status status = moat_manager_create(NULL, &made);
    if (status)
        return status;
    /* R(default) A(default) */
    if (atomic_compare_exchange_strong_explicit(&the_default, manager, made, memory_order_acq_rel,
                                                memory_order_acquire))
        *manager = made;
    else
        moat_manager_destroy(made);
    return MOAT_OK;
}

const struct moat_options *moat_manager_options(const struct moat_manager *manager) {
    return &manager->options;
}

struct moat_patience moat_manager_patience(struct moat_manager *manager) {
    return moat_patience_of(&manager->waits, manager->options.timeout_ms * MOAT_OS_MS);
}

enum moat_status moat_manager_enter(const struct moat_region_ref *ref, uintptr_t start,
                                    uintptr_t end, struct moat_patience *patience,
                                    uint32_t *stripes) {
    if (!patience->waits) {
        bool past_lock = patience->past_lock;
        *patience = moat_manager_patience(ref->owner);
        patience->past_lock = past_lock;
    }
    return moat_region_enter(ref, start, end, patience, stripes);
}

struct moat_counters *moat_manager_counters(struct moat_manager *manager) {
    return &manager->shards[moat_os_processor() % MOAT_MANAGER_SHARDS];
}

static uint64_t sum(const struct moat_manager *manager, enum moat_counter counter) {
    uint64_t total = 0;
    for (unsigned shard = 0; shard < MOAT_MANAGER_SHARDS; shard++)
        /* relaxed: a statistic. */
        total += atomic_load_explicit(&manager->shards[shard].of[counter], memory_order_relaxed);
    return total;
}

enum moat_status moat_stats_read(const struct moat_manager *manager, struct moat_stats *stats) {
    if (!manager || !stats)
        return MOAT_NO_ACCESS;
    uint64_t regions, bytes;
    struct moat_limbo_sums limbo;
    moat_quarantine_count(manager->quarantine, &regions, &bytes);
    moat_limbo_count(manager->limbo, &limbo);
    *stats = (struct moat_stats){
        .regions_live = sum(manager, MOAT_COUNT_RESERVES) - sum(manager, MOAT_COUNT_RELEASES),
        .bytes_reserved = sum(manager, MOAT_COUNT_BYTES_RESERVED),
        .bytes_committed = sum(manager, MOAT_COUNT_BYTES_COMMITTED),
        .reserves = sum(manager, MOAT_COUNT_RESERVES),
        .commits = sum(manager, MOAT_COUNT_COMMITS),
        .decommits = sum(manager, MOAT_COUNT_DECOMMITS),
        .releases = sum(manager, MOAT_COUNT_RELEASES),
        .refused = sum(manager, MOAT_COUNT_REFUSED),
        .guards_yielded = sum(manager, MOAT_COUNT_GUARDS_YIELDED),
        .guard_failures = sum(manager, MOAT_COUNT_GUARD_FAILURES),
        .poison_damage = sum(manager, MOAT_COUNT_POISON_DAMAGE),
        .stranded_bytes = sum(manager, MOAT_COUNT_STRANDED_BYTES) + moat_os_lost(),
        .backend_fallbacks = sum(manager, MOAT_COUNT_BACKEND_FALLBACKS),
        .locks_abandoned = sum(manager, MOAT_COUNT_LOCKS_ABANDONED),
        .quota_refusals = sum(manager, MOAT_COUNT_QUOTA_REFUSALS),
        .adopted_regions = sum(manager, MOAT_COUNT_ADOPTED_REGIONS),
        .adopted_bytes = sum(manager, MOAT_COUNT_ADOPTED_BYTES),
        .resting_regions = regions,
        .resting_bytes = bytes,
        .denied = sum(manager, MOAT_COUNT_DENIED),
        .unzeroed_bytes = sum(manager, MOAT_COUNT_UNZEROED_BYTES),
        .books_unsealed = moat_books_unsealed(),
        .deferred_regions = limbo.regions,
        .deferred_bytes = limbo.bytes,
        .deferred_flushes = limbo.flushes,
        .retained_bytes = moat_retained_bytes(),
    };
    return MOAT_OK;
}
