/* SPDX-License-Identifier: MIT */
/* run: threads, the one that disturbs them, and rounds. */
#define _GNU_SOURCE
#include "run.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PAUSE_EVERY = 16, SPIN = 2000, DISTURB_NS = 20000 };

struct worker {
    pthread_t thread;
    unsigned number;
    void (*body)(unsigned);
};

static pthread_barrier_t start;
static atomic_uint running;
static _Atomic uint64_t disturbed;

struct linear_run linear_arguments(int argc, char **argv, double seconds) {
    struct linear_run run = {.seconds = seconds, .seed = 1};

    for (int i = 1; i < argc; i += 2) {
        if (i + 1 < argc && strcmp(argv[i], "--seconds") == 0)
            run.seconds = strtod(argv[i + 1], NULL);
        else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0)
            run.seed = strtoull(argv[i + 1], NULL, 0);
        else {
            fprintf(stderr, "usage: %s [--seconds N] [--seed S]\n", argv[0]);
            exit(2);
        }
    }
    return run;
}

uint64_t linear_random(uint64_t *state) {
    uint64_t mixed = *state += 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

unsigned linear_below(uint64_t *state, unsigned bound) {
    return (unsigned)(linear_random(state) % bound);
}

void linear_pause(uint64_t *state) {
    if (linear_below(state, PAUSE_EVERY) == 0)
        sched_yield();
}

double linear_clock(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Wherever the thread is, it stays there for a while. */
static void on_signal(int signal) {
    int saved = errno;
    uint64_t turn = atomic_fetch_add_explicit(&disturbed, 1, memory_order_relaxed);

    (void)signal;
    if (turn % 2)
        for (volatile unsigned i = 0; i < SPIN; i++)
            continue;
    for (unsigned i = 0; i < turn % 5; i++)
        sched_yield();
    errno = saved;
}

static void *work(void *argument) {
    const struct worker *worker = argument;

    pthread_barrier_wait(&start);
    worker->body(worker->number);
    atomic_fetch_sub(&running, 1);
    return NULL;
}

static void disturb(const struct worker *workers, unsigned threads, uint64_t seed) {
    const struct timespec pause = {0, DISTURB_NS};

    while (atomic_load(&running) > 0) {
        pthread_kill(workers[linear_below(&seed, threads)].thread, SIGUSR1);
        nanosleep(&pause, NULL);
    }
}

void linear_threads(unsigned threads, uint64_t seed, void (*body)(unsigned thread)) {
    struct worker workers[LINEAR_LOGS_MAX];
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    sigaction(SIGUSR1, &action, NULL);
    pthread_barrier_init(&start, NULL, threads + 1);
    atomic_store(&running, threads);
    for (unsigned i = 0; i < threads; i++) {
        workers[i] = (struct worker){.number = i, .body = body};
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            abort();
    }
    pthread_barrier_wait(&start);
    disturb(workers, threads, seed);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(workers[i].thread, NULL);
    pthread_barrier_destroy(&start);
}

int linear_play(const char *what, const struct linear_run *run, uint64_t conflicts,
                void (*round)(int plant, uint64_t seed, bool quiet, struct linear_sum *sum),
                const struct linear_plant *plants, unsigned count) {
    double end = linear_clock() + run->seconds;
    struct linear_sum sum = {0};
    unsigned rounds = 0;

    printf("%s: seed %#llx\n", what, (unsigned long long)run->seed);
    while ((linear_clock() < end || sum.conflicts < conflicts) && sum.violations == 0) {
        round(0, run->seed + rounds++, false, &sum);
        fflush(stdout);
    }
    linear_print_sum(what, &sum);
    printf("%s: %u rounds, threads stopped %llu times\n", what, rounds,
           (unsigned long long)atomic_load(&disturbed));
    if (sum.violations)
        return 1;
    for (unsigned i = 0; i < count; i++) {
        struct linear_sum found = {0};

        printf("\nplanted: %s\n", plants[i].name);
        for (rounds = 0; found.violations == 0; rounds++)
            round(plants[i].number, run->seed + rounds, false, &found);
        printf("rejected in round %u, after %llu calls\n", rounds, (unsigned long long)found.calls);
        fflush(stdout);
    }
    return 0;
}
