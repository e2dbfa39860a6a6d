/* SPDX-License-Identifier: MIT */
/*
 * engine: run a small program in every execution that C11's weak memory allows.
 *
 * An execution is a graph: the atomic steps of each thread in order, for each load the store it
 * reads from, and for each word the order of its stores (RC11, which has no values out of thin
 * air). Graphs are enumerated as in "Truly stateless, optimal dynamic partial order reduction"
 * (Kokologiannakis, Marmanis, Gladstein, Vafeiadis; POPL 2022): steps are added one thread after
 * the other; a load is tried with each store that it may read; and a store that comes later is also
 * given to loads that came before it, without what they led to. Each consistent graph is visited
 * once, so independent steps are never reordered. The program runs from its start for each graph,
 * its loads reading what the graph says.
 *
 *   graph.c    steps, what is ordered before what, which stores a load may read
 *   visit.c    which graphs there are left to visit
 *   threads.c  runs the program along a graph: coroutines in place of threads
 *   memory.c   the program's statics, put back before each execution
 *   races.c    data races of plain accesses
 *   hooks.c    the functions that compilers call under -fsanitize=thread
 *   trace.c    a failing execution, for people
 *   explore.c  all executions
 *   main.c     all executions of the program that this is linked with
 *
 * Easy to get wrong: the program's statics are put back before each execution, and ours lie among
 * them. So all that changes here lies in one struct, which is mapped elsewhere.
 */
#ifndef MOAT_TESTS_MODEL_ENGINE_H
#define MOAT_TESTS_MODEL_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    THREADS = 8,     /* main is thread 0 */
    EVENTS = 1500,   /* of one execution; more is taken for an execution that does not end */
    WORDS = 512,     /* that atomic steps touch */
    ACCESSES = 1000, /* of one word in one execution */
    NONE = -1        /* no event; as the source of a load: what the word held at first */
};

enum event_kind { BEGIN, READ, WRITE, CREATE, JOIN, END };
enum step_type { LOAD, STORE, EXCHANGE, ADD, SUB, OR, AND, XOR, COMPARE, OF_THREAD };

/* How much of each thread comes before something: the number of its events. */
struct clock {
    uint16_t count[THREADS];
};

/* What a thread asks for. Orders are those of <stdatomic.h>. */
struct step {
    enum event_kind kind; /* of the first of its events: an update is a READ and then a WRITE */
    enum step_type type;
    int order, order_failed;
    unsigned size;
    uintptr_t at;
    uint64_t operand, expected; /* CREATE and JOIN: the thread */
    const void *caller;
};

struct event {
    struct step step;
    int16_t thread, index; /* the indexth event of its thread */
    int16_t word;
    int16_t from;  /* READ: a WRITE; BEGIN: a CREATE; JOIN: an END; else NONE */
    int16_t after; /* WRITE: the one right before it, of those that had been added then */
    uint64_t value;
    struct clock before;  /* by program order and reads-from: what it could have been caused by */
    struct clock ordered; /* by happens-before; both count the event itself */
    struct clock message; /* WRITE: what is ordered before whoever acquires from it */
};

struct word {
    uintptr_t at;
    unsigned size;
    uint64_t initial;
    unsigned long known_in; /* the execution in which `initial` was read */
    int write_count, access_count;
    int16_t write[ACCESSES]; /* in the order of the word's values */
    int16_t access[ACCESSES];
};

/* The events of the graph in the order in which they were added, and lists made from them. */
struct graph {
    int count;
    struct event event[EVENTS];
    int length[THREADS]; /* NONE: not created */
    int16_t of_thread[THREADS][EVENTS];
    int word_count;
    struct word word[WORDS];
};

/* Faults of the engine itself, which its tests must notice. */
enum engine_plant {
    PLANT_NONE,
    PLANT_NO_REVISIT,    /* a store is never given to loads added before it: independence, a lie */
    PLANT_ANY_REVISIT,   /* ... and also when what goes was not maximal */
    PLANT_NOTHING_STALE, /* a load reads the newest store: sequential consistency, more or less */
    PLANT_NO_FLOOR,      /* coherence is not looked at */
    PLANT_NO_SEQUENCE,   /* an update breaks a release sequence */
    PLANT_NO_PAIR,       /* a store comes between the halves of an update */
    PLANT_COUNT
};

struct thread; /* threads.c */
struct cell;   /* races.c */
struct page;   /* memory.c */
struct todo;   /* visit.c */

struct engine {
    struct graph graph;
    struct thread *thread; /* of this execution; see threads.c */
    int running;           /* NONE: the engine itself */
    int chosen;            /* who adds the next event; NONE: the graph is still being replayed */
    int replayed;          /* events */
    bool prelude;          /* main runs alone: its steps are no events */
    bool dropped;          /* this execution is not a consistent one, or has failed */
    int (*body)(void);     /* main of the program */
    enum engine_plant plant;
    bool quiet; /* a failure is not printed and ends the exploration only */
    char failure[300];
    struct todo *todo;
    int todo_count, todo_room;
    struct cell *cell;
    struct page *page;
    int page_count;
    const char *program;
    unsigned long runs, complete, blocked, revisits, plain_accesses, steps;
};

extern struct engine *engine; /* set once, before the statics are first looked at */

/* graph.c */
void graph_cut(int count);
void graph_enlist(int number);
struct event *graph_add(int thread, const struct step *step, int from);
void graph_set_from(int number, int from);
void graph_set_after(int number, int after);
void graph_take_word(const struct step *step);
int graph_word(const struct step *step);
int graph_place(int number);
int graph_floor(const struct event *event);
bool graph_is_update(const struct event *read);
bool graph_is_pair(int before, int after);
uint64_t graph_result(const struct event *read);
bool clock_has(const struct clock *clock, const struct event *event);

/* visit.c */
void visit_read(struct event *read);
bool visit_write(struct event *write);
bool visit_next(void);
void visit_forget(void);

/*
 * Visit all executions of a program, or so many if `limit` is not 0. Returns whether that was all;
 * engine->failure says whether one failed, if engine->quiet keeps us here.
 *
 *   done   called after each complete execution; may be NULL
 */
bool engine_explore(int (*body)(void), unsigned long limit, void (*done)(void));
void engine_start(const char *program);
void engine_print_counts(void);

/* threads.c */
int model_main(void); /* the program's main, renamed by the compiler's command line */
_Noreturn void threads_give_up(void);
void threads_start(void);
bool threads_run(void);
uint64_t threads_step(struct step *step);
const struct clock *threads_clock(void);

/* memory.c */
void memory_start(void);
void memory_restore(void);

/* races.c */
enum access { PLAIN_READ, PLAIN_WRITE, ATOMIC_READ, ATOMIC_WRITE };
void races_start(void);
void races_check(enum access access, uintptr_t at, size_t size, const void *caller);

/* trace.c */
_Noreturn void engine_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void engine_refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *engine_symbol(const void *address, char *buffer, size_t size);

#endif
