/* SPDX-License-Identifier: MIT */
/*
 * worker: measures one allocator, in a process of its own, in turns that a driver asks for.
 *
 *     moat_bench_worker ALLOCATOR OPTIONS ROW KIB THREADS     moat "" touched 64 2
 *     moat_bench_worker ALLOCATOR OPTIONS probe KIB           what do its promises hold?
 *
 * ROW is untouched, touched, ring or handover. The worker says "ready" and what it is made of, as
 * name=value behind tabs; then it answers each line of its input with one, sleeping in between:
 *
 *     turn MS      turn wall=NS cpu=NS count=N dirty=N
 *     latency MS   latency longest=NS NS:COUNT NS:COUNT ...
 *     memory       memory resident=BYTES peak=BYTES page_tables=BYTES mappings=N
 *
 * "failed WORDS" in place of an answer ends the row: a call was refused, or memory that is promised
 * to be zero was not.
 */
#define _GNU_SOURCE
#include "probe.h"
#include "work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct allocator *allocator;

static void answer_turn(double milliseconds) {
    struct turn turn;

    work_turn(milliseconds, NULL, &turn);
    if (turn.failed != 0)
        printf("failed %llu calls were refused\n", (unsigned long long)turn.failed);
    else if (allocator->promises_zero && turn.dirty != 0)
        printf("failed memory was not zero %llu times\n", (unsigned long long)turn.dirty);
    else if (turn.count == 0)
        printf("failed nothing was done\n");
    else
        printf("turn wall=%.0f cpu=%.0f count=%llu dirty=%llu\n", turn.wall, turn.cpu,
               (unsigned long long)turn.count, (unsigned long long)turn.dirty);
}

static void answer_latency(double milliseconds) {
    static struct latency latency;
    struct turn turn;

    memset(&latency, 0, sizeof latency);
    work_turn(milliseconds, &latency, &turn);
    if (turn.failed != 0) {
        printf("failed %llu calls were refused\n", (unsigned long long)turn.failed);
        return;
    }
    printf("latency longest=%llu", (unsigned long long)latency.longest);
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
        if (latency.counts[i] != 0)
            printf(" %llu:%u", (unsigned long long)latency_middle(i), latency.counts[i]);
    printf("\n");
}

/* Of a line like "VmHWM:     1234 kB"; 0 for another line. */
static unsigned long long bytes_of(const char *line, const char *name) {
    size_t length = strlen(name);
    return strncmp(line, name, length) == 0 ? strtoull(line + length, NULL, 10) * 1024 : 0;
}

static void answer_memory(void) {
    unsigned long long resident = 0, peak = 0, tables = 0, mappings = 0;
    char line[512];
    FILE *file = fopen("/proc/self/status", "r");

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        resident += bytes_of(line, "VmRSS:");
        peak += bytes_of(line, "VmHWM:");
        tables += bytes_of(line, "VmPTE:");
    }
    if (file != NULL)
        fclose(file);
    file = fopen("/proc/self/maps", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        mappings += strchr(line, '\n') != NULL;
    if (file != NULL)
        fclose(file);
    printf("memory resident=%llu peak=%llu page_tables=%llu mappings=%llu\n", resident, peak,
           tables, mappings);
}

static void serve(void) {
    char line[64];

    while (fgets(line, sizeof line, stdin) != NULL) {
        double milliseconds = 0;
        if (sscanf(line, "turn %lf", &milliseconds) == 1)
            answer_turn(milliseconds);
        else if (sscanf(line, "latency %lf", &milliseconds) == 1)
            answer_latency(milliseconds);
        else if (strcmp(line, "memory\n") == 0)
            answer_memory();
        else
            printf("failed not a command: %s", line);
        fflush(stdout);
    }
}

static bool row_of(const char *name, struct work *work) {
    if (strcmp(name, "untouched") == 0 || strcmp(name, "touched") == 0) {
        work->row = WORK_LIFE;
        work->touched = name[0] == 't';
        return true;
    }
    if (strcmp(name, "ring") == 0) {
        work->row = WORK_RING;
        return true;
    }
    work->row = WORK_HANDOVER;
    return strcmp(name, "handover") == 0 && work->threads % 2 == 0;
}

int main(int argc, char **argv) {
    struct work work = {0};
    bool probing = argc == 5 && strcmp(argv[3], "probe") == 0;

    if (argc != 6 && !probing) {
        fprintf(stderr, "usage: %s ALLOCATOR OPTIONS ROW KIB THREADS\n", argv[0]);
        return 2;
    }
    allocator = allocator_find(argv[1]);
    if (allocator == NULL || !allocator->open(argv[2])) {
        printf("failed there is no %s with options \"%s\"\n", argv[1], argv[2]);
        return 1;
    }
    work.allocator = allocator;
    work.size = (size_t)strtoul(argv[4], NULL, 10) * 1024;
    if (probing) {
        printf("probe\tmalloc=%s", allocator_origin());
        probe(allocator, work.size);
        return 0;
    }
    work.threads = (unsigned)strtoul(argv[5], NULL, 10);
    if (work.threads == 0 || work.threads > WORK_THREADS_MAX || work.size == 0 ||
        work.size % 65536 != 0 || !row_of(argv[3], &work) || !work_start(&work)) {
        printf("failed %s of %s KiB with %s threads\n", argv[3], argv[4], argv[5]);
        return 1;
    }
    printf("ready\tmalloc=%s\tcompiler=%s\toptions=%s\n", allocator_origin(), __VERSION__,
           allocator_options());
    fflush(stdout);
    serve();
    return 0;
}
