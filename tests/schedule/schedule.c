/* SPDX-License-Identifier: MIT */
/* schedule: one token, which is handed on. */
#include "schedule.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

/* A thread that takes so many steps without an end is taken to wait for another one. */
enum { CHANGES = 8, SPINNING = 50000 };

static struct {
    sem_t turn[SCHEDULE_THREADS];
    int64_t priority[SCHEDULE_THREADS];
    bool done[SCHEDULE_THREADS];
    uint64_t change[CHANGES];
    int64_t lowest;
    uint64_t since; /* the step at which the token was handed on last */
    struct schedule_run run;
    void (*body)(unsigned number);
    bool plain;
    bool looks_count;
} now;

static _Thread_local int self = -1;

uint64_t schedule_random(uint64_t *state) {
    uint64_t mixed = *state += 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

/* The highest that is not done; -1: all are. */
static int highest(void) {
    int best = -1;
    for (int i = 0; i < SCHEDULE_THREADS; i++)
        if (!now.done[i] && (best < 0 || now.priority[i] > now.priority[best]))
            best = i;
    return best;
}

static void wait_for(sem_t *turn) {
    while (sem_wait(turn) != 0)
        ;
}

/* The token goes to whoever is highest now. */
static void hand_on(int me) {
    int next = highest();

    if (next == me)
        return;
    now.run.switches++;
    now.since = now.run.steps;
    if (next >= 0)
        sem_post(&now.turn[next]);
    if (!now.done[me])
        wait_for(&now.turn[me]);
}

void schedule_step(void) {
    int me = self;

    if (me < 0)
        return;
    now.run.steps++;
    bool change = false;
    for (unsigned i = 0; i < CHANGES; i++)
        change |= now.change[i] == now.run.steps;
    if (!change && now.run.steps - now.since < SPINNING)
        return;
    now.priority[me] = --now.lowest;
    now.since = now.run.steps;
    hand_on(me);
}

void schedule_look(void) {
    if (now.looks_count)
        schedule_step();
}

bool schedule_yield(void) {
    int me = self;

    if (me < 0)
        return false;
    now.priority[me] = --now.lowest;
    hand_on(me);
    return true;
}

static void *thread(void *argument) {
    int me = (int)(intptr_t)argument;

    if (now.plain) {
        now.body((unsigned)me);
        return NULL;
    }
    wait_for(&now.turn[me]);
    self = me;
    now.body((unsigned)me);
    self = -1;
    now.done[me] = true;
    hand_on(me);
    return NULL;
}

struct schedule_run schedule(uint64_t seed, uint64_t length, bool plain,
                             void (*body)(unsigned number)) {
    pthread_t threads[SCHEDULE_THREADS];

    now.run = (struct schedule_run){0};
    now.lowest = 0;
    now.since = 0;
    now.body = body;
    now.plain = plain;
    now.looks_count = seed % 2;
    for (unsigned i = 0; i < CHANGES; i++)
        now.change[i] = schedule_random(&seed) % (length + 1) + 1;
    for (int i = 0; i < SCHEDULE_THREADS; i++) {
        now.done[i] = false;
        now.priority[i] = (int64_t)(schedule_random(&seed) >> 2);
        if (sem_init(&now.turn[i], 0, 0) != 0 ||
            pthread_create(&threads[i], NULL, thread, (void *)(intptr_t)i) != 0)
            abort();
    }
    if (!plain)
        sem_post(&now.turn[highest()]);
    for (int i = 0; i < SCHEDULE_THREADS; i++)
        pthread_join(threads[i], NULL);
    return now.run;
}
