/* SPDX-License-Identifier: MIT */
/* fork: all managers, and their sums counted anew. */
#include "vm/fork.h"

#include "region/fork.h"
#include "region/pages.h"
#include "region/roster.h"

struct moat_roster moat_managers_roster;

static void clear(void *manager) {
    ((struct moat_manager *)manager)->recount = (struct moat_recount){0};
}

static void add_up(const struct moat_region_ref *ref, void *unused) {
    struct moat_recount *sums = &ref->owner->recount;
    (void)unused;
    sums->regions++;
    sums->reserved += ref->size;
    sums->committed += moat_pages_committed(ref->space, ref->base, ref->base + ref->size);
}

static void settle(void *thing) {
    struct moat_manager *manager = thing;
    const struct moat_recount *sums = &manager->recount;
    struct moat_stats stats;

    if (moat_stats_read(manager, &stats))
        return;
    moat_manager_count(manager, MOAT_COUNT_RELEASES, stats.regions_live - sums->regions);
    moat_manager_count(manager, MOAT_COUNT_BYTES_RESERVED, sums->reserved - stats.bytes_reserved);
    moat_manager_count(manager, MOAT_COUNT_BYTES_COMMITTED,
                       sums->committed - stats.bytes_committed);
    if (manager->options.quota_bytes)
        /* relaxed: nobody else charges. */
        atomic_store_explicit(&manager->charged, sums->committed, memory_order_relaxed);
}

/* Where the thread that forked stands in a call, that call will count for itself: the sums stay. */
static void mend(const struct moat_fork_report *report) {
    if (report->held->count != 0 || report->held->tasks[MOAT_HELD_PLACE] != 0)
        return;
    moat_roster_each(&moat_managers_roster, clear);
    moat_manager_each(NULL, add_up, NULL);
    moat_roster_each(&moat_managers_roster, settle);
}

bool moat_managers_enter(struct moat_manager *manager) {
    moat_fork_follow(MOAT_FORK_MANAGERS, mend);
    return moat_roster_enter(&moat_managers_roster, manager);
}

void moat_managers_leave(struct moat_manager *manager) {
    moat_roster_leave(&moat_managers_roster, manager);
}

bool moat_managers_nth(size_t nth, struct moat_manager **manager) {
    void *thing;

    if (!moat_roster_nth(&moat_managers_roster, nth, &thing))
        return false;
    *manager = thing;
    return true;
}
