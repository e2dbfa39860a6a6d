/* SPDX-License-Identifier: MIT */
/*
 * explore: run two or three threads through every interleaving of their atomic steps, up to a
 * bound.
 *
 * The threads are coroutines; MOAT_STEP gives control to the explorer before each atomic step of
 * the code under test. An execution is a list of choices (go on, or which thread instead);
 * executions are enumerated depth first, so a failure is reproducible. The bound is on preemptions,
 * switches away from a thread that could have gone on; switches at explore_yield, explore_sleep and
 * at a thread's end are free. Memory is sequentially consistent here: weaker orders are explored by
 * the engine in tests/model/engine, without a bound, on smaller programs.
 *
 * Steps that commute are not explored in both orders. explore_reduce.h says how, and why no outcome
 * is lost under a bound. It needs to know what is shared: the seam tells it about each step, and
 * plain memory that threads share in the tests themselves is told with explore_touch.
 *
 * A scenario can also park one thread for ever after its nth step, for every n: the others must
 * end.
 *
 * Easy to get wrong: include this before any header of the code under test, so that the seam holds.
 */
#ifndef MOAT_TESTS_MODEL_EXPLORE_H
#define MOAT_TESTS_MODEL_EXPLORE_H

#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700
#endif
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>

#define EXPLORE_THREADS     3
#define EXPLORE_CHOICES_MAX 4096
#define EXPLORE_STEPS_MAX   100000
#define EXPLORE_STACK_BYTES (64 * 1024)

static void explore_step(const volatile void *word, bool changes);
#define MOAT_STEP(word, changes) explore_step(word, changes)

struct scenario {
    const char *name;
    void (*setup)(void);
    void (*body[EXPLORE_THREADS])(void); /* NULL: fewer threads */
    void (*check)(void);                 /* after each execution; calls explore_fail */
    unsigned preemptions;
};

enum explore_state { READY, ASLEEP, PARKED, ENDED };

#include "explore_reduce.h"

static struct {
    const struct scenario *scenario;
    ucontext_t main;
    struct {
        ucontext_t context;
        enum explore_state state;
        unsigned steps;
        struct explore_block block;
    } thread[EXPLORE_THREADS];
    int running; /* -1: not inside an execution, steps are free */
    unsigned thread_count;
    unsigned preemptions_left;
    unsigned steps;
    int park_thread; /* -1: nobody */
    unsigned park_step;
    bool park_reached;
    struct {
        unsigned char chosen, count;
    } choice[EXPLORE_CHOICES_MAX];
    unsigned choice_count, choice_next;
    const char *failure;
    unsigned long executions, cut; /* so many of them were cut short */
    struct explore_reduction reduction;
    bool unreduced;
} explorer = {.running = -1};

static _Alignas(64) char explore_stack[EXPLORE_THREADS][EXPLORE_STACK_BYTES];

static void explore_fail(const char *what) {
    if (!explorer.failure)
        explorer.failure = what;
}

static inline bool explore_is_parked(unsigned thread) {
    return explorer.thread[thread].state == PARKED;
}

/* One of `count` ways on; the same as last time until the end of the list, then the first. */
static unsigned choose(unsigned count) {
    unsigned at = explorer.choice_next++;

    if (count <= 1) {
        explorer.choice_next--;
        return 0;
    }
    if (at >= EXPLORE_CHOICES_MAX) {
        explore_fail("the explorer has no room for so many choices");
        return 0;
    }
    if (at == explorer.choice_count) {
        explorer.choice[at].chosen = 0;
        explorer.choice[at].count = (unsigned char)count;
        explorer.choice_count++;
    }
    return explorer.choice[at].chosen;
}

static void switch_to(int next) {
    int from = explorer.running;

    if (next == from)
        return;
    explorer.running = next;
    swapcontext(from < 0 ? &explorer.main : &explorer.thread[from].context,
                next < 0 ? &explorer.main : &explorer.thread[next].context);
}

/* The nth thread that can run, the running one counted if `self`; -1: there are not so many. */
static int nth_ready(unsigned n, bool self) {
    for (unsigned i = 0; i < explorer.thread_count; i++) {
        if (explorer.thread[i].state == READY && (self || (int)i != explorer.running) && n-- == 0)
            return (int)i;
    }
    return -1;
}

static unsigned ready_count(bool self) {
    unsigned count = 0;

    while (nth_ready(count, self) >= 0)
        count++;
    return count;
}

/* Leave the running thread for one that can run, or end the execution. */
static void switch_away(void) {
    unsigned count = ready_count(false);

    switch_to(count == 0 || explorer.failure ? -1 : nth_ready(choose(count), false));
}

/* A block is over: is this execution the same as one with fewer switches? */
static void finish_block(void) {
    if (explorer.unreduced || !reduction_is_redundant(&explorer.reduction, explorer.running,
                                                      &explorer.thread[explorer.running].block))
        return;
    explorer.reduction.redundant = true;
    explorer.cut++;
    switch_to(-1);
}

static void explore_step(const volatile void *word, bool changes) {
    enum explore_kind kind = changes ? WRITES : READS;
    int self = explorer.running;

    if (self < 0)
        return;
    finish_block();
    if (++explorer.steps > EXPLORE_STEPS_MAX)
        explore_fail("an execution does not end");
    if (explorer.failure) {
        switch_to(-1);
        return;
    }
    if (self == explorer.park_thread && explorer.thread[self].steps++ == explorer.park_step) {
        explorer.park_reached = true;
        explorer.thread[self].state = PARKED;
        switch_away();
    }
    bool alone = !explorer.unreduced && !reduction_is_shared(&explorer.reduction, word);

    if (explorer.preemptions_left > 0 && !alone) {
        unsigned way = choose(1 + ready_count(false));

        if (way != 0) {
            explorer.preemptions_left--;
            reduction_preempted(&explorer.reduction, &explorer.thread[self].block);
            switch_to(nth_ready(way - 1, false));
        }
    }
    if (!explorer.unreduced)
        reduction_begin(&explorer.reduction, self, &explorer.thread[self].block, word, kind);
}

/* The running thread touches plain memory that another thread may touch as well. */
static inline void explore_touch(const volatile void *object, enum explore_kind kind) {
    int self = explorer.running;

    if (self >= 0 && !explorer.unreduced)
        reduction_touch(&explorer.reduction, self, &explorer.thread[self].block, object, kind);
}

/* A free choice of who goes on. */
static inline void explore_yield(void) {
    finish_block();
    unsigned way = choose(1 + ready_count(false));

    if (way != 0)
        switch_to(nth_ready(way - 1, false));
}

/* Wait until explore_wake_all; if nobody calls it the execution fails. */
static inline void explore_sleep(void) {
    explore_touch(&explorer.thread, WRITES);
    finish_block();
    explorer.thread[explorer.running].state = ASLEEP;
    switch_away();
}

static inline void explore_wake_all(void) {
    explore_touch(&explorer.thread, WRITES);
    for (unsigned i = 0; i < explorer.thread_count; i++) {
        if (explorer.thread[i].state == ASLEEP)
            explorer.thread[i].state = READY;
    }
}

static void thread_main(void) {
    explorer.scenario->body[explorer.running]();
    finish_block();
    explorer.thread[explorer.running].state = ENDED;
    switch_away();
}

static void execute(void) {
    explorer.scenario->setup();
    explorer.preemptions_left = explorer.scenario->preemptions;
    explorer.steps = 0;
    explorer.choice_next = 0;
    explorer.executions++;
    reduction_start(&explorer.reduction);
    explorer.thread_count = 0;
    for (unsigned i = 0; i < EXPLORE_THREADS && explorer.scenario->body[i]; i++) {
        explorer.thread_count++;
        explorer.thread[i].state = READY;
        explorer.thread[i].steps = 0;
        explorer.thread[i].block = (struct explore_block){0};
        getcontext(&explorer.thread[i].context);
        explorer.thread[i].context.uc_stack.ss_sp = explore_stack[i];
        explorer.thread[i].context.uc_stack.ss_size = EXPLORE_STACK_BYTES;
        makecontext(&explorer.thread[i].context, thread_main, 0);
    }
    switch_away();
    explorer.running = -1;
    if (explorer.reduction.redundant)
        return;
    for (unsigned i = 0; i < explorer.thread_count; i++) {
        if (explorer.thread[i].state == ASLEEP && !explorer.park_reached)
            explore_fail("a thread sleeps for ever");
    }
    if (!explorer.failure)
        explorer.scenario->check();
}

/* The next list of choices in depth-first order. */
static bool next_execution(void) {
    while (explorer.choice_count > 0) {
        unsigned last = explorer.choice_count - 1;

        if (++explorer.choice[last].chosen < explorer.choice[last].count)
            return true;
        explorer.choice_count--;
    }
    return false;
}

static void explore_all(const struct scenario *scenario) {
    explorer.scenario = scenario;
    explorer.failure = NULL;
    explorer.choice_count = 0;
    do {
        execute();
        /* More is shared than was known: what was explored so far left ways out. */
        if (explorer.reduction.learned)
            explorer.choice_count = 0;
    } while (!explorer.failure && (explorer.reduction.learned || next_execution()));
}

/* Every interleaving with so many preemptions. Returns what failed, or NULL. */
static const char *explore(const struct scenario *scenario, unsigned preemptions) {
    struct scenario bounded = *scenario;

    explorer.park_thread = -1;
    explorer.park_reached = false;
    reduction_forget(&explorer.reduction);
    /* One preemption shows nearly all that is shared, at little cost. */
    bounded.preemptions = preemptions < 1 ? preemptions : 1;
    if (!explorer.unreduced)
        explore_all(&bounded);
    bounded.preemptions = preemptions;
    if (explorer.unreduced || !explorer.failure)
        explore_all(&bounded);
    return explorer.failure;
}

/* Each thread in turn parked before each of its steps. */
static inline const char *explore_parked(const struct scenario *scenario, unsigned preemptions) {
    struct scenario parked = *scenario;

    reduction_forget(&explorer.reduction);
    parked.preemptions = preemptions;
    for (int thread = 0; thread < EXPLORE_THREADS && scenario->body[thread]; thread++) {
        explorer.park_thread = thread;
        explorer.park_step = 0;
        do {
            explorer.park_reached = false;
            explore_all(&parked);
            explorer.park_step++;
        } while (!explorer.failure && explorer.park_reached);
    }
    explorer.park_thread = -1;
    return explorer.failure;
}

static inline double explore_seconds(void) {
    return (double)clock() / CLOCKS_PER_SEC;
}

/* Print one line; returns 1 if the outcome is not the expected one. */
static int explore_report(const char *kind, const char *name, bool expect_failure,
                          const char *failure, double since) {
    bool bad = expect_failure != (failure != NULL);

    printf("%s %-8s %-44s %9lu executions, %8lu cut short %5.1f s%s%s\n", bad ? "FAIL" : "ok  ",
           kind, name, explorer.executions, explorer.cut, explore_seconds() - since,
           failure ? "  " : "", failure ? failure : "");
    fflush(stdout);
    explorer.executions = explorer.cut = 0;
    return bad;
}

/*
 * The arguments of a program: so many preemptions more, and "all" for no reduction. Returns the
 * former.
 */
static inline unsigned explore_arguments(int argc, char **argv) {
    explorer.unreduced = argc > 2 && strcmp(argv[2], "all") == 0;
    return argc > 1 ? (unsigned)atoi(argv[1]) : 0;
}

/* Explore every scenario, with so many preemptions more than it asks for, and with `park` also with
 * a thread parked before each step. Returns how many went wrong. */
static inline int explore_every(const struct scenario *scenarios, unsigned count, unsigned more,
                                bool park) {
    int bad = 0;

    for (unsigned n = 0; n < count; n++) {
        double since = explore_seconds();

        bad += explore_report("explored", scenarios[n].name, false,
                              explore(&scenarios[n], scenarios[n].preemptions + more), since);
        since = explore_seconds();
        if (park)
            bad += explore_report("parked", scenarios[n].name, false,
                                  explore_parked(&scenarios[n], more), since);
    }
    return bad;
}

/* A fault is planted: one of the scenarios must find it. Returns 1 if none does. */
static inline int explore_planted(const struct scenario *scenarios, unsigned count,
                                  const char *fault) {
    const char *failure = NULL;
    double since = explore_seconds();

    for (unsigned n = 0; n < count && !failure; n++)
        failure = explore(&scenarios[n], scenarios[n].preemptions);
    return explore_report("planted", fault, true, failure, since);
}

#endif
