/* SPDX-License-Identifier: MIT */
/*
 * races: random operations of a few threads under a schedule. What a thread has for itself does
 * what it should: fresh pages are zero, content stays, nothing overlaps. Of what all race for, an
 * outcome must be one that is legal, and in the end as many reserves as releases won, but for what
 * is there.
 *
 *   races [RUNS [SEED]]        so many runs, the first with this seed
 *   races --plain RUNS         the same with threads as the machine runs them
 *   races --must-fail RUNS     with a fault in the library: a child has to meet it
 *   races --plain-must-fail RUNS
 *
 * A failure names its seed: `races 1 SEED` takes the same decisions again.
 */
#define _GNU_SOURCE
#include "schedule.h"

#include <moat/moat.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, GRANULE = 65536, OWN = 3, SLOTS = 3, OPERATIONS = 24 };

#define RW MOAT_PAGE_READWRITE

struct own {
    uintptr_t base;
    size_t size;
    uint64_t tag; /* of each page's first word, with the address; 0: not committed */
};

/* Automatic places are of one manager, places that are named of the other: so nobody means to give
 * back what is a thread's own. */
static struct moat_manager *manager, *named;
static uint64_t seed;
static bool is_plain;
static int told = -1; /* where each run is told of */
static uintptr_t window;
static struct own own[SCHEDULE_THREADS][OWN];
static _Atomic long won[SLOTS], lost[SLOTS]; /* reserves and releases that succeeded */
static _Atomic unsigned long calls;

_Noreturn static void fail(const char *what, unsigned long where) {
    fprintf(stderr, "seed %llu: %s at %#lx: %s\n", (unsigned long long)seed, what, where,
            moat_last_error_text());
    _exit(1);
}

static void trapped(int number) {
    static const char text[] = "memory that is a thread's own traps\n";
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    _exit(128 + number);
}

static void legal(enum moat_status is, unsigned legal_ones, uintptr_t where) {
    calls++;
    if (!(legal_ones >> is & 1))
        fail(moat_status_describe(is)->name, where);
}

#define MAY(status) (1u << (status))

/* --- What is a thread's own --- */

static uint64_t *word(const struct own *region, size_t page) {
    return (uint64_t *)(region->base + page * PAGE);
}

static void fill(struct own *region, uint64_t tag) {
    for (size_t i = 0; i < region->size / PAGE; i++) {
        if (*word(region, i) != 0)
            fail("a fresh page holds something", (unsigned long)word(region, i));
        *word(region, i) = tag ^ (uintptr_t)word(region, i);
    }
    region->tag = tag;
}

static void check(const struct own *region) {
    for (size_t i = 0; region->tag && i < region->size / PAGE; i++)
        if (*word(region, i) != (region->tag ^ (uintptr_t)word(region, i)))
            fail("content is lost", (unsigned long)word(region, i));
}

static void begin(unsigned me, struct own *region, uint64_t chance) {
    static const size_t sizes[] = {PAGE,    PAGE,        3 * PAGE,    GRANULE,
                                   GRANULE, 2 * GRANULE, 4 * GRANULE, (size_t)2 << 20};
    size_t size = sizes[chance & 7];
    void *base;

    legal(moat_reserve(manager, NULL, size, RW, MOAT_RESERVE_COMMIT, &base), MAY(MOAT_OK), 0);
    for (unsigned i = 0; i < SCHEDULE_THREADS * OWN; i++) {
        const struct own *other = &own[i / OWN][i % OWN];
        if (other->size && !is_plain && (uintptr_t)base < other->base + other->size &&
            other->base < (uintptr_t)base + size)
            fail("two regions overlap", (unsigned long)base);
    }
    *region = (struct own){.base = (uintptr_t)base, .size = size};
    fill(region, chance << 8 | (me + 1));
}

static void use(struct own *region, uint64_t chance) {
    check(region);
    if (chance & 1) {
        legal(moat_decommit(manager, (void *)region->base, 0), MAY(MOAT_OK), region->base);
        legal(moat_commit(manager, (void *)region->base, region->size, RW, NULL), MAY(MOAT_OK),
              region->base);
        fill(region, chance | 1);
    } else if (chance & 2) {
        uint32_t old;
        legal(moat_protect(manager, (void *)region->base, PAGE, MOAT_PAGE_READONLY, &old),
              MAY(MOAT_OK), region->base);
        check(region);
        legal(moat_protect(manager, (void *)region->base, PAGE, RW, &old), MAY(MOAT_OK),
              region->base);
    } else {
        void *base = (void *)region->base;
        *region = (struct own){0};
        legal(moat_release(manager, base), MAY(MOAT_OK), (uintptr_t)base);
    }
}

/* --- What all race for --- */

static void race(uint64_t chance) {
    unsigned slot = (unsigned)(chance % SLOTS);
    uintptr_t at = window + slot * GRANULE;
    struct moat_page_info info;
    uint32_t old;
    void *base;
    enum moat_status is;

    switch (chance >> 8 & 15) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
        is = moat_reserve(named, (void *)at, GRANULE, RW, chance >> 12 & 1, &base);
        legal(is, MAY(MOAT_OK) | MAY(MOAT_INVALID_ADDRESS), at);
        won[slot] += is == MOAT_OK;
        break;
    case 5:
    case 6:
    case 7:
    case 8:
    case 9:
        is = moat_release(named, (void *)at);
        legal(is, MAY(MOAT_OK) | MAY(MOAT_NOT_OURS), at);
        lost[slot] += is == MOAT_OK;
        break;
    case 10:
    case 11:
        legal(moat_commit(named, (void *)at, 3 * PAGE, RW, NULL),
              MAY(MOAT_OK) | MAY(MOAT_INVALID_ADDRESS), at);
        break;
    case 12:
        legal(moat_decommit(named, (void *)at, 2 * PAGE), MAY(MOAT_OK) | MAY(MOAT_NOT_OURS), at);
        break;
    case 13:
        legal(moat_protect(named, (void *)at, PAGE, MOAT_PAGE_READONLY, &old),
              MAY(MOAT_OK) | MAY(MOAT_INVALID_ADDRESS), at);
        break;
    default:
        legal(moat_query((void *)at, &info), MAY(MOAT_OK), at);
        if (info.base != (void *)at || info.size == 0)
            fail("a query answers what cannot be", at);
    }
}

static void body(unsigned me) {
    uint64_t state = seed * 64 + me;

    for (unsigned i = 0; i < OPERATIONS; i++) {
        uint64_t chance = schedule_random(&state);
        struct own *region = &own[me][chance % OWN];
        chance >>= 8;
        if ((chance & 7) < 5)
            race(chance >> 3);
        else if (region->size)
            use(region, chance >> 3);
        else
            begin(me, region, chance >> 3);
    }
}

/* --- A run --- */

/* As many regions as won and did not lose; each can be given back once. */
static void settle(void) {
    struct moat_stats stats, others;
    uint64_t live = 0, left = 0;

    for (unsigned slot = 0; slot < SLOTS; slot++) {
        long here = won[slot] - lost[slot];
        if (here != 0 && here != 1)
            fail("reserves and releases do not add up", window + slot * GRANULE);
        left += (uint64_t)here;
    }
    for (unsigned i = 0; i < SCHEDULE_THREADS * OWN; i++) {
        check(&own[i / OWN][i % OWN]);
        live += own[i / OWN][i % OWN].size != 0;
    }
    if (moat_stats_read(manager, &stats) || moat_stats_read(named, &others) ||
        stats.regions_live != live || others.regions_live != left)
        fail("the counters are wrong", (unsigned long)stats.regions_live);
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        void *at = (void *)(window + slot * GRANULE);
        if (won[slot] != lost[slot])
            legal(moat_release(named, at), MAY(MOAT_OK), (uintptr_t)at);
        legal(moat_release(named, at), MAY(MOAT_NOT_OURS), (uintptr_t)at);
        won[slot] = lost[slot] = 0;
    }
    for (unsigned i = 0; i < SCHEDULE_THREADS * OWN; i++)
        if (own[i / OWN][i % OWN].size)
            legal(moat_release(manager, (void *)own[i / OWN][i % OWN].base), MAY(MOAT_OK), i);
    memset(own, 0, sizeof(own));
    if (moat_stats_read(manager, &stats) || moat_stats_read(named, &others) ||
        stats.regions_live + others.regions_live || stats.bytes_committed + others.bytes_committed)
        fail("something is left", (unsigned long)stats.regions_live);
    moat_manager_destroy(named);
    moat_manager_destroy(manager);
}

static void make(void) {
    static const char *const texts[] = {"quarantine=0,placing=packed",
                                        "quarantine=1,retain=0,placing=packed",
                                        "trap=protect,quarantine=0,placing=packed", "quarantine=2"};
    struct moat_options options;
    void *base;

    moat_options_init(&options);
    if (moat_options_parse(&options, texts[seed / 2 % 4], NULL, 0) ||
        moat_manager_create(&options, &manager) || moat_manager_create(&options, &named) ||
        moat_reserve(manager, NULL, (size_t)2 << 20, RW, 0, &base) || moat_release(manager, base))
        fail("no manager", 0);
    window = (uintptr_t)base;
}

static int run_all(unsigned runs, bool plain) {
    struct schedule_run sum = {0};
    uint64_t length[2] = {2000, 20000}; /* of runs where looks are no steps, and where they are */

    is_plain = plain;
    for (unsigned i = 0; i < runs; i++, seed++) {
        if (told >= 0)
            (void)!write(told, "", 1);
        make();
        struct schedule_run run = schedule(seed, length[seed % 2], plain, body);
        if (!plain)
            length[seed % 2] = run.steps;
        settle();
        sum.steps += run.steps;
        sum.switches += run.switches;
    }
    printf("%u runs of %d threads, %lu calls, %llu steps, %llu switches\n", runs, SCHEDULE_THREADS,
           (unsigned long)calls, (unsigned long long)sum.steps, (unsigned long long)sum.switches);
    return 0;
}

/* A child has to fail, and not for want of time. */
static int must_fail(unsigned runs, bool plain) {
    unsigned done = 0;
    int status, place[2];

    fflush(stdout);
    if (pipe(place) != 0)
        return 2;
    pid_t child = fork();
    if (child == 0) {
        close(place[0]);
        told = place[1];
        (void)run_all(runs, plain);
        _exit(0);
    }
    close(place[1]);
    for (char byte; read(place[0], &byte, 1) == 1;)
        done++;
    bool failed = waitpid(child, &status, 0) == child && status != 0;
    printf("the fault was %s in run %u\n", failed ? "met" : "NOT met", done);
    return !failed;
}

int main(int argc, char **argv) {
    struct timespec begun, ended;
    bool plain = argc > 1 && strcmp(argv[1], "--plain") == 0;
    bool fault = argc > 1 && strcmp(argv[1], "--must-fail") == 0;
    bool both = argc > 1 && strcmp(argv[1], "--plain-must-fail") == 0;

    argv += plain || fault || both;
    argc -= plain || fault || both;
    unsigned runs = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 300;
    seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    signal(SIGSEGV, trapped);
    alarm(600);
    clock_gettime(CLOCK_MONOTONIC, &begun);
    int result = fault || both ? must_fail(runs, both) : run_all(runs, plain);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    printf("%ld seconds\n", (long)(ended.tv_sec - begun.tv_sec));
    return result;
}
