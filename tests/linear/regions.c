/* SPDX-License-Identifier: MIT */
/*
 * regions: is every history of reserve, commit, decommit, protect, release, query, lock and unlock
 * at the same few addresses one that a region could have had with one caller at a time? So the
 * loser of a race has to be told what is true once the winner is done, and each call has to be done
 * whole, or not at all if its wait times out or is called off.
 *
 * Usage: linear_regions [--seconds N] [--seed S]
 */
#include "support/region_spec.h"
#include "support/run.h"

#include <moat/lock.h>
#include <moat/moat.h>

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 4, CALLS = 400, PLACES = 3, YIELDS = 30 };

#define CONFLICTS_MIN 3000

enum plant { NONE, LOSER_EARLY, OLD_FROM_BEFORE, QUERY_CACHES };

static const struct linear_plant plants[] = {
    {"a release whose loser does not wait for the winner", LOSER_EARLY},
    {"a protect whose old protection is of before the call", OLD_FROM_BEFORE},
    {"a query that caches", QUERY_CACHES},
};

struct thread {
    struct linear_log log;
    uint64_t random;
    unsigned locked; /* the place that this thread may have locked, plus 1 */
    enum region_unit cached[PLACES][REGION_UNITS];
};

/* What regions are like: sizes in bytes of a unit, and options. The units of large ones are spread
 * over several blocks, and those of small ones over a few pages. */
static const struct setting {
    size_t unit;
    const char *options;
} settings[] = {
    {8192, "timeout=600000"},
    {524288, "timeout=600000"},
    {8192, "timeout=600000,trap=protect"},
    {524288, "timeout=600000,trap=protect"},
    {8192, "timeout=600000,defer=16,quarantine=0"},
    {65536, "timeout=600000,retain=0"},
    {8192, "timeout=0"},
    {524288, "timeout=1"},
};

enum { SETTINGS = sizeof settings / sizeof settings[0] };

static const uint32_t protections[] = {0, MOAT_PAGE_NOACCESS, MOAT_PAGE_READONLY,
                                       MOAT_PAGE_READWRITE};

static struct thread threads[THREADS];
static struct moat_manager *manager;
static char *places;
static size_t unit_size;
static _Atomic bool releasing[PLACES];
static enum plant plant;
static _Atomic unsigned long calls[REGION_QUERY + 1], refused[REGION_QUERY + 1], timed_out,
    called_off;

static char *unit_at(unsigned place, uint32_t unit) {
    return places + (place * REGION_UNITS + unit) * unit_size;
}

static enum region_unit unit_with(uint32_t protection) {
    for (unsigned unit = UNIT_NOACCESS; unit <= UNIT_READWRITE; unit++)
        if (protections[unit] == protection)
            return (enum region_unit)unit;
    return UNIT_RESERVED;
}

static enum region_unit query(struct thread *self, unsigned place, uint32_t unit) {
    enum region_unit *cached = &self->cached[place][unit];
    struct moat_page_info info;

    if (plant == QUERY_CACHES && *cached && linear_below(&self->random, 8))
        return *cached;
    if (moat_query(unit_at(place, unit), &info) != MOAT_OK)
        abort();
    *cached = UNIT_FREE;
    if (info.state == MOAT_STATE_FREE)
        return UNIT_FREE;
    if (info.allocation_base != unit_at(place, 0) || info.owner != manager) {
        printf("FAIL: a query tells of a region that nobody ever reserved\n");
        exit(1);
    }
    *cached = info.state == MOAT_STATE_RESERVED ? UNIT_RESERVED : unit_with(info.protection);
    return *cached;
}

static enum moat_status release(unsigned place) {
    enum moat_status status;

    if (plant != LOSER_EARLY)
        return moat_release(manager, unit_at(place, 0));
    if (atomic_exchange(&releasing[place], true))
        return MOAT_NOT_OURS;
    for (unsigned i = 0; i < YIELDS; i++)
        sched_yield();
    status = moat_release(manager, unit_at(place, 0));
    atomic_store(&releasing[place], false);
    return status;
}

static enum moat_status protect(struct thread *self, unsigned place, const uint32_t *argument,
                                uint32_t *was) {
    enum region_unit before = query(self, place, argument[0]);
    uint32_t old = 0;

    if (plant == OLD_FROM_BEFORE)
        sched_yield();
    enum moat_status status = moat_protect(manager, unit_at(place, argument[0]),
                                           argument[1] * unit_size, protections[argument[2]], &old);
    *was = plant == OLD_FROM_BEFORE ? before : unit_with(old);
    return status;
}

static enum moat_status perform(struct thread *self, unsigned place, enum region_kind kind,
                                const uint32_t *argument, uint32_t *more) {
    void *at = unit_at(place, argument[0]), *base;
    size_t size = argument[1] * unit_size;
    uint32_t protection = protections[argument[2]];

    switch (kind) {
    case REGION_RESERVE:
        return moat_reserve(manager, unit_at(place, 0), REGION_UNITS * unit_size,
                            MOAT_PAGE_READWRITE,
                            argument[2] == UNIT_READWRITE ? MOAT_RESERVE_COMMIT : 0, &base);
    case REGION_COMMIT:
        return moat_commit(manager, at, size, protection, NULL);
    case REGION_DECOMMIT:
        return moat_decommit(manager, at, size);
    case REGION_PROTECT:
        return protect(self, place, argument, more);
    case REGION_RELEASE:
        return release(place);
    case REGION_LOCK:
        return moat_lock(manager, at);
    case REGION_UNLOCK:
        return moat_unlock(manager, at);
    default:
        *more = query(self, place, argument[0]);
        return MOAT_OK;
    }
}

static enum moat_status call(struct thread *self, unsigned place, enum region_kind kind,
                             uint32_t first, uint32_t count, enum region_unit what) {
    const uint32_t argument[LINEAR_ARGUMENTS] = {first, count, what};
    struct linear_call *call = linear_start(&self->log, kind, place, argument);
    uint32_t more = 0;

    linear_pause(&self->random);
    enum moat_status status = perform(self, place, kind, argument, &more);

    linear_pause(&self->random);
    linear_end(call, status, more);
    atomic_fetch_add(&calls[kind], 1);
    atomic_fetch_add(&refused[kind], status != MOAT_OK);
    atomic_fetch_add(&timed_out, status == MOAT_TIMEOUT);
    atomic_fetch_add(&called_off, status == MOAT_ABANDONED);
    return status;
}

/* Commit, decommit, protect or query some units. */
static void change(struct thread *self, unsigned place) {
    static const enum region_kind kinds[] = {REGION_COMMIT, REGION_COMMIT, REGION_DECOMMIT,
                                             REGION_PROTECT, REGION_QUERY};
    enum region_kind kind = kinds[linear_below(&self->random, 5)];
    uint32_t first = linear_below(&self->random, REGION_UNITS);
    uint32_t count = 1 + linear_below(&self->random, REGION_UNITS - first);
    enum region_unit what = (enum region_unit)(1 + linear_below(&self->random, 3));

    call(self, place, kind, first, kind == REGION_QUERY ? 1 : count,
         kind == REGION_DECOMMIT || kind == REGION_QUERY ? UNIT_RESERVED : what);
}

/* Who loses looks at once at what it was told of. */
static void end(struct thread *self, unsigned place) {
    if (call(self, place, REGION_RELEASE, 0, 0, UNIT_RESERVED) != MOAT_OK)
        call(self, place, REGION_QUERY, linear_below(&self->random, REGION_UNITS), 1,
             UNIT_RESERVED);
}

/* Work on one place alone while it is locked: nobody waits for two. */
static void lock_and_work(struct thread *self, unsigned place) {
    unsigned depth = 1 + linear_below(&self->random, 2);

    if (call(self, place, REGION_LOCK, 0, 1, UNIT_RESERVED) != MOAT_OK)
        return;
    if (depth == 2)
        call(self, place, REGION_LOCK, 0, 1, UNIT_RESERVED);
    change(self, place);
    change(self, place);
    if (linear_below(&self->random, 4) == 0)
        end(self, place);
    for (unsigned i = 0; i < depth; i++)
        call(self, place, REGION_UNLOCK, 0, 1, UNIT_RESERVED);
}

static void run(unsigned number) {
    struct thread *self = &threads[number];

    while (self->log.count < CALLS) {
        unsigned place = linear_below(&self->random, PLACES),
                 what = linear_below(&self->random, 16);

        if (what < 3)
            call(self, place, REGION_RESERVE, 0, REGION_UNITS,
                 linear_below(&self->random, 2) ? UNIT_READWRITE : UNIT_RESERVED);
        else if (what < 6)
            end(self, place);
        else if (what < 8)
            lock_and_work(self, place);
        else if (what == 8)
            call(self, place, REGION_UNLOCK, 0, 1, UNIT_RESERVED);
        else if (what == 9 && linear_below(&self->random, 4) == 0)
            moat_cancel_waits(manager);
        else
            change(self, place);
    }
}

static void start(const struct setting *setting) {
    struct moat_options options;
    void *base;

    moat_options_init(&options);
    unit_size = setting->unit;
    if (moat_options_parse(&options, setting->options, NULL, 0) != MOAT_OK ||
        moat_manager_create(&options, &manager) != MOAT_OK ||
        moat_reserve(manager, NULL, PLACES * REGION_UNITS * unit_size, MOAT_PAGE_READWRITE, 0,
                     &base) != MOAT_OK ||
        moat_release(manager, base) != MOAT_OK) {
        fprintf(stderr, "%s: %s\n", setting->options, moat_last_error_text());
        abort();
    }
    places = base;
}

static void play(int planted, uint64_t seed, bool quiet, struct linear_sum *sum) {
    struct linear_log logs[THREADS];

    plant = (enum plant)planted;
    start(&settings[seed % SETTINGS]);
    for (unsigned i = 0; i < THREADS; i++) {
        threads[i] = (struct thread){.random = linear_random(&seed)};
        linear_log_open(&threads[i].log, (uint16_t)i, CALLS + 32);
    }
    linear_threads(THREADS, seed, run);
    for (unsigned i = 0; i < THREADS; i++)
        logs[i] = threads[i].log;
    region_judge(logs, THREADS, quiet, sum);
    for (unsigned i = 0; i < THREADS; i++)
        linear_log_close(&threads[i].log);
    moat_manager_destroy(manager);
}

int main(int argc, char **argv) {
    static const char *const names[] = {"reserve", "commit", "decommit", "protect",
                                        "release", "lock",   "unlock",   "query"};
    struct linear_run of = linear_arguments(argc, argv, 3);
    int result =
        linear_play("regions", &of, CONFLICTS_MIN, play, plants, sizeof plants / sizeof plants[0]);

    for (unsigned kind = 0; kind <= REGION_QUERY; kind++)
        printf("%lu %s (%lu refused), ", calls[kind], names[kind], refused[kind]);
    printf("%lu timed out, %lu called off\n", timed_out, called_off);
    return result;
}
