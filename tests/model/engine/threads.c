/* SPDX-License-Identifier: MIT */
/*
 * threads: run the program along a graph.
 *
 * Threads are coroutines on stacks of their own. First the graph is replayed: a thread gets its
 * next event once the event that it reads from has been replayed, so that plain memory is written
 * before it is read. Then events are added, always by the first thread that can go on; which one
 * that is follows from the graph alone.
 *
 * Easy to get wrong: while main is alone its steps are no events but happen to the memory, and say
 * what each word holds at first.
 */
#define _GNU_SOURCE

#include "engine.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define STACK_BYTES ((size_t)64 << 10)
#define STACKS_AT   ((void *)0x510000000000) /* everywhere the same, if the kernel agrees */

struct thread {
    ucontext_t context;
    int next; /* its next event */
    bool begun, ended, stuck;
    bool in_update; /* it has read and will write */
    struct step step;
    void *(*body)(void *);
    void *argument, *result;
};

static struct thread *thread_of(int thread) {
    return &engine->thread[thread];
}

/* Give control to the engine, which gives it back when this thread's turn has come. */
static void wait_for_turn(void) {
    int self = engine->running;

    engine->running = NONE;
    swapcontext(&thread_of(self)->context, &thread_of(THREADS)->context);
}

static bool is_replayed(int number) {
    const struct event *event = &engine->graph.event[number];

    return thread_of(event->thread)->next > event->index;
}

/* The next event of a thread in the graph; NULL: there is none. */
static struct event *upcoming(int thread) {
    const struct graph *graph = &engine->graph;
    int next = thread_of(thread)->next;

    if (graph->length[thread] == NONE || next >= graph->length[thread])
        return NULL;
    return &engine->graph.event[graph->of_thread[thread][next]];
}

static bool is_replayable(int thread) {
    const struct event *event = upcoming(thread);

    return event && (event->from == NONE || is_replayed(event->from));
}

static void replay(const struct event *event, const struct step *step) {
    struct graph *graph = &engine->graph;
    int number = (int)(event - graph->event);

    if (event->step.kind != step->kind || event->step.type != step->type ||
        (event->word != NONE && graph->word[event->word].at != step->at))
        engine_refuse("the program does not do the same when it reads the same");
    /* What a word held at first may be known only now. */
    if (event->step.kind == READ)
        graph_set_from(number, event->from);
    thread_of(event->thread)->next++;
    engine->replayed++;
    engine->steps++;
}

/* The event of this step, from the graph or new. */
static struct event *take(const struct step *step, int from) {
    int self = engine->running;
    struct event *event;

    if (step->kind == READ || step->kind == WRITE)
        graph_take_word(step);
    while (!is_replayable(self) && engine->chosen != self)
        wait_for_turn();
    event = upcoming(self);
    if (event) {
        replay(event, step);
        return event;
    }
    event = graph_add(self, step, from);
    thread_of(self)->next++;
    engine->replayed++;
    engine->steps++;
    if (step->kind == READ)
        visit_read(event);
    if (step->kind == WRITE && !visit_write(event))
        threads_give_up();
    return event;
}

/* What comes before the next access of the running thread, which has begun. */
const struct clock *threads_clock(void) {
    int self = engine->running;
    const struct graph *graph = &engine->graph;

    return &graph->event[graph->of_thread[self][thread_of(self)->next - 1]].ordered;
}

/* End this execution. */
void threads_give_up(void) {
    engine->dropped = true;
    for (;;)
        wait_for_turn();
}

static uint64_t perform_alone(const struct step *step) {
    struct event event = {.step = *step};
    uint64_t result;

    memcpy(&event.value, (const void *)step->at, step->size);
    result = graph_result(&event);
    if (step->type != LOAD && (step->type != COMPARE || event.value == step->expected))
        memcpy((void *)step->at, &result, step->size);
    return event.value;
}

/* An atomic step of the running thread. Returns what was there before. */
uint64_t threads_step(struct step *step) {
    struct event *event;
    uint64_t value;

    if (engine->prelude)
        return perform_alone(step);
    step->kind = step->type == STORE ? WRITE : READ;
    if (step->type == STORE) {
        event = take(step, NONE);
        event->value = step->operand;
        races_check(ATOMIC_WRITE, step->at, step->size, step->caller);
        return 0;
    }
    event = take(step, NONE);
    value = event->value;
    races_check(ATOMIC_READ, step->at, step->size, step->caller);
    if (!graph_is_update(event))
        return value;
    step->operand = graph_result(event);
    step->kind = WRITE;
    thread_of(engine->running)->in_update = true;
    event = take(step, NONE);
    event->value = step->operand;
    thread_of(engine->running)->in_update = false;
    races_check(ATOMIC_WRITE, step->at, step->size, step->caller);
    return value;
}

static void thread_main(void) {
    int self = engine->running;
    struct thread *thread = thread_of(self);
    struct step step = {.kind = BEGIN, .type = OF_THREAD};

    if (self == 0) {
        if (engine->body() != 0)
            engine_fail("main did not return 0");
    } else {
        const struct graph *graph = &engine->graph;
        int creator = 0;

        while (graph->event[creator].step.kind != CREATE ||
               graph->event[creator].step.operand != (uint64_t)self)
            creator++;
        take(&step, creator);
        thread->result = thread->body(thread->argument);
        step.kind = END;
        take(&step, NONE);
    }
    thread->ended = true;
    for (;;)
        wait_for_turn();
}

int pthread_create(pthread_t *restrict created, const pthread_attr_t *restrict attributes,
                   void *(*body)(void *), void *restrict argument) {
    struct step step = {.kind = CREATE, .type = OF_THREAD, .caller = __builtin_return_address(0)};
    int child = 1;

    if (attributes)
        engine_refuse("a thread with attributes");
    engine->prelude = false;
    while (upcoming(engine->running) == NULL && engine->chosen != engine->running)
        wait_for_turn();
    if (upcoming(engine->running)) {
        step.operand = upcoming(engine->running)->step.operand;
    } else {
        while (child < THREADS && engine->graph.length[child] != NONE)
            child++;
        if (child == THREADS)
            engine_refuse("more than %d threads", THREADS);
        step.operand = (uint64_t)child;
    }
    take(&step, NONE);
    thread_of((int)step.operand)->body = body;
    thread_of((int)step.operand)->argument = argument;
    thread_of((int)step.operand)->begun = true;
    *created = (pthread_t)step.operand;
    return 0;
}

int pthread_join(pthread_t joined, void **result) {
    struct step step = {.kind = JOIN,
                        .type = OF_THREAD,
                        .operand = (uint64_t)joined,
                        .caller = __builtin_return_address(0)};
    struct thread *self = thread_of(engine->running);
    const struct graph *graph = &engine->graph;

    self->step = step;
    /* The engine chooses a stuck thread only when the other one has ended. */
    self->stuck = true;
    if (!upcoming(engine->running) && !thread_of((int)joined)->ended)
        wait_for_turn();
    while (!is_replayable(engine->running) && engine->chosen != engine->running)
        wait_for_turn();
    self->stuck = false;
    take(&step,
         upcoming(engine->running) ? NONE : graph->of_thread[joined][graph->length[joined] - 1]);
    if (result)
        *result = thread_of((int)joined)->result;
    return 0;
}

void __VERIFIER_assume(int condition);

void __VERIFIER_assume(int condition) {
    if (condition)
        return;
    thread_of(engine->running)->stuck = true;
    thread_of(engine->running)->step.kind = BEGIN;
    for (;;)
        wait_for_turn();
}

static bool can_add(int thread) {
    const struct thread *self = thread_of(thread);

    if (!self->begun || self->ended)
        return false;
    return !self->stuck || (self->step.kind == JOIN && thread_of((int)self->step.operand)->ended);
}

/* Who is to run: along the graph, then to add to it. NONE: nobody can. */
static int next_thread(void) {
    int next = NONE;

    engine->chosen = NONE;
    if (engine->replayed < engine->graph.count) {
        for (int i = 0; i < THREADS; i++) {
            if (thread_of(i)->begun && is_replayable(i))
                return i;
        }
        /* Main may still be in its prelude. */
        return engine->prelude ? 0 : NONE;
    }
    for (int i = THREADS; i-- > 0;) {
        if (can_add(i) && (next == NONE || !thread_of(next)->in_update))
            next = i;
    }
    engine->chosen = next;
    return next;
}

static void prepare(int thread) {
    struct thread *self = thread_of(thread);
    char *stack = (char *)engine->thread + STACK_BYTES * 4 + STACK_BYTES * (size_t)thread;

    self->next = 0;
    self->begun = thread == 0;
    self->ended = self->stuck = self->in_update = false;
    getcontext(&self->context);
    self->context.uc_stack.ss_sp = stack;
    self->context.uc_stack.ss_size = STACK_BYTES;
    self->context.uc_link = NULL;
    makecontext(&self->context, thread_main, 0);
}

/* One execution of the program, along the graph and on from there. Did all threads end? */
bool threads_run(void) {
    bool blocked = false;
    int next;

    engine->runs++;
    engine->replayed = 0;
    engine->prelude = true;
    engine->dropped = false;
    memory_restore();
    for (int i = 0; i < THREADS; i++)
        prepare(i);
    while (!engine->dropped && (next = next_thread()) != NONE) {
        engine->running = next;
        swapcontext(&thread_of(THREADS)->context, &thread_of(next)->context);
        engine->running = NONE;
    }
    if (engine->dropped)
        return false;
    if (engine->replayed < engine->graph.count)
        engine_refuse("the graph cannot be replayed");
    for (int i = 0; i < THREADS; i++)
        blocked |= thread_of(i)->begun && !thread_of(i)->ended;
    if (blocked)
        engine->blocked++;
    else
        engine->complete++;
    return !blocked;
}

void threads_start(void) {
    size_t size = STACK_BYTES * (THREADS + 4);
    void *room = mmap(STACKS_AT, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (room == MAP_FAILED || sizeof(struct thread) * (THREADS + 1) > STACK_BYTES * 4)
        engine_refuse("no memory for stacks");
    engine->thread = room;
    engine->running = engine->chosen = NONE;
}
