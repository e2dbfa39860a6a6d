/* SPDX-License-Identifier: MIT */
/*
 * everything: all that Moat does, at once, for as long as one likes; support/soak.h has the plan.
 *
 * After each epoch a line says what was done and what the process is like; when the time is over,
 * how often each call was made and what it answered. Before that the program runs itself with each
 * of its plants: faults that its oracles have to find.
 *
 * Usage: soak_everything [--seconds N | --minutes N] [--seed S] [--plant NAME]
 */
#define _GNU_SOURCE
#include "support/epoch.h"
#include "support/traps.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

enum {
    ACTS_AN_EPOCH = SANITIZED ? 200 : 800,
    ACTS_WITH_PLANT = 250,
    WARM_UP = 10,
    GROWTH = 4 << 20,
    ARENA_MAPPINGS = 8 /* two of its own, and its books */
};

static const struct {
    const char *name;
    enum oracle oracle;
    unsigned other; /* another oracle that may come first: a new owner of the page; or 0 */
} plants[PLANTS] = {
    [PLANT_STATUS] = {"unexplained-error", ORACLE_STATUS, 0},
    [PLANT_CONTENT] = {"stray-write", ORACLE_CONTENT, 0},
    [PLANT_WRITTEN_THROUGH] = {"written-through", ORACLE_TRAP, ORACLE_CONTENT},
    [PLANT_LEAK] = {"leaked-region", ORACLE_BOOKS, 0},
    [PLANT_QUERY] = {"wrong-query", ORACLE_QUERY, 0},
    [PLANT_LOST_CHILD] = {"lost-child", ORACLE_CHILD, 0},
    [PLANT_GROWTH] = {"growth", ORACLE_FLAT, 0},
};

static double now(void) {
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static uint64_t all(const _Atomic uint64_t *counts, unsigned count) {
    uint64_t sum = 0;

    for (unsigned i = 0; i < count; i++)
        sum += atomic_load(&counts[i]);
    return sum;
}

/* The largest that there was while everything came into being for the first time. */
static void widen(struct facts *base, const struct facts *seen) {
    if (seen->mappings > base->mappings)
        base->mappings = seen->mappings;
    if (seen->arenas > base->arenas)
        base->arenas = seen->arenas;
    if (seen->files > base->files)
        base->files = seen->files;
    if (seen->resident_kib > base->resident_kib)
        base->resident_kib = seen->resident_kib;
    if (seen->tables_kib > base->tables_kib)
        base->tables_kib = seen->tables_kib;
}

/*
 * Flat: within what the first epochs needed, and a margin. Books grow with the most regions there
 * ever were at once; and an arena that was given back, and whose place others have when it is
 * needed again, is another one with books of its own (of each kind there are at most 128, which are
 * counted). Both are bounded, but not reached within a few epochs. What a kernel that was made to
 * refuse did not unmap is stranded, which is counted as well. Sanitizers keep what is freed, and
 * are no measure.
 */
static void expect_flat(const struct facts *base, const struct facts *seen) {
    EXPECT(ORACLE_FLAT, seen->files <= base->files, "%zu files are open, and were %zu", seen->files,
           base->files);
    if (SANITIZED)
        return;
    size_t books = (seen->arenas - base->arenas) * ARENA_MAPPINGS;
    size_t stranded = seen->stranded / GRANULE; /* a region with its margins is three of each */
    EXPECT(ORACLE_FLAT, seen->mappings <= base->mappings + 100 + books + stranded,
           "%zu mappings with %zu arenas, and %zu granules stranded; there were %zu with %zu",
           seen->mappings, seen->arenas, stranded, base->mappings, base->arenas);
    EXPECT(ORACLE_FLAT, seen->resident_kib <= base->resident_kib + 12 * 1024,
           "%zu KiB are resident, and were %zu", seen->resident_kib, base->resident_kib);
    EXPECT(ORACLE_FLAT, seen->tables_kib <= base->tables_kib + 2048,
           "%zu KiB of page tables, and there were %zu", seen->tables_kib, base->tables_kib);
}

static void print_head(void) {
    printf(
        "epoch,mode,ms,acts/s,forks,signals,guards,traps,probes,refused,rss_kib,pte_kib,mappings,"
        "arenas,files\n");
}

static void print_epoch(enum mode mode, double seconds, uint64_t acts, const struct facts *seen) {
    printf("%u,%s,%.0f,%.0f,%llu,%llu,%llu,%llu,%llu,%llu,%zu,%zu,%zu,%zu,%zu\n", world.epoch,
           mode_names[mode], seconds * 1e3, (double)acts / seconds, (unsigned long long)tally.forks,
           (unsigned long long)tally.signals, (unsigned long long)tally.guards,
           (unsigned long long)tally.traps, (unsigned long long)tally.probes,
           (unsigned long long)tally.refused_calls, seen->resident_kib, seen->tables_kib,
           seen->mappings, seen->arenas, seen->files);
    fflush(stdout);
}

static void print_sums(void) {
    for (unsigned act = 0; act < ACTS; act++)
        printf("%s%llu %s", act ? ", " : "done: ", (unsigned long long)tally.done[act],
               act_names[act]);
    printf("\n");
    for (unsigned status = 0; status < MOAT_STATUS_COUNT; status++)
        if (tally.answered[status])
            printf("%s%llu %s",
                   status ? ", " : "answered: ", (unsigned long long)tally.answered[status],
                   moat_status_describe((enum moat_status)status)->name);
    printf("\nsystem calls refused and survived: %llu; %llu children, %llu signals, %llu guards, "
           "%llu accesses that might trap, %llu probes of released pages (%llu of them somebody's "
           "again), %llu notices of pressure, %llu findings\n",
           (unsigned long long)tally.refused_calls, (unsigned long long)tally.forks,
           (unsigned long long)tally.signals, (unsigned long long)tally.guards,
           (unsigned long long)tally.traps, (unsigned long long)tally.probes,
           (unsigned long long)tally.reused, (unsigned long long)tally.notices,
           (unsigned long long)tally.findings);
}

static enum mode mode_of(unsigned epoch) {
    /* A sanitizer ends a process that has no mappings for it. */
    const enum mode at_limit = SANITIZED ? MODE_PLAIN : MODE_AT_LIMIT;
    const enum mode modes[] = {MODE_PLAIN, MODE_REFUSED, MODE_PLAIN, at_limit, MODE_REFUSED};

    return modes[epoch % (sizeof modes / sizeof modes[0])];
}

static void play(double seconds, uint64_t seed) {
    unsigned acts = world.plant ? ACTS_WITH_PLANT : ACTS_AN_EPOCH;
    double end = now() + seconds;
    struct facts base = {0};

    world.seed = seed;
    traps_install();
    print_head();
    for (; now() < end || world.epoch <= WARM_UP; world.epoch++) {
        uint64_t before = all(tally.done, ACTS);
        double started = now();
        struct facts seen = epoch_play(seed + world.epoch, mode_of(world.epoch), acts);

        if (world.plant == PLANT_GROWTH)
            memset(malloc(GROWTH), 'g', GROWTH);
        print_epoch(mode_of(world.epoch), now() - started, all(tally.done, ACTS) - before, &seen);
        if (world.epoch < WARM_UP)
            widen(&base, &seen);
        else
            expect_flat(&base, &seen);
    }
    print_sums();
}

/* Run this program with a plant: it has to end as the oracle ends it that finds such a thing. */
static void show(char *program, enum plant plant) {
    char seconds[] = "600", time[] = "--seconds", fault[] = "--plant", name[32];
    char *arguments[] = {program, time, seconds, fault, name, NULL};
    posix_spawn_file_actions_t quiet;
    pid_t child;
    int state;

    snprintf(name, sizeof name, "%s", plants[plant].name);
    fflush(stdout);
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", 1, 0);
    if (posix_spawn(&child, "/proc/self/exe", &quiet, NULL, arguments, environ) != 0 ||
        waitpid(child, &state, 0) != child || !WIFEXITED(state) ||
        (WEXITSTATUS(state) != (int)plants[plant].oracle &&
         WEXITSTATUS(state) != (int)plants[plant].other)) {
        printf("FAIL: the plant %s is not found\n", plants[plant].name);
        exit(1);
    }
    posix_spawn_file_actions_destroy(&quiet);
    printf("found: the plant %s\n", plants[plant].name);
}

static enum plant plant_named(const char *name) {
    for (unsigned plant = 1; plant < PLANTS; plant++)
        if (strcmp(plants[plant].name, name) == 0)
            return (enum plant)plant;
    fprintf(stderr, "no plant is named %s\n", name);
    exit(2);
}

int main(int argc, char **argv) {
    double seconds = 30;
    uint64_t seed = 1;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seconds") == 0)
            seconds = strtod(argv[i + 1], NULL);
        else if (strcmp(argv[i], "--minutes") == 0)
            seconds = 60 * strtod(argv[i + 1], NULL);
        else if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--plant") == 0)
            world.plant = plant_named(argv[i + 1]);
    }
    printf("seed %#llx, plant %s\n", (unsigned long long)seed,
           world.plant ? plants[world.plant].name : "none");
    fflush(stdout);
    for (unsigned plant = 1; plant < PLANTS && !world.plant; plant++)
        if (!(SANITIZED && plant == PLANT_GROWTH))
            show(argv[0], (enum plant)plant);
    play(seconds, seed);
    return 0;
}
