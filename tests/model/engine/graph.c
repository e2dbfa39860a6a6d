/* SPDX-License-Identifier: MIT */
/*
 * graph: the steps of an execution, what is ordered before what, and which stores a load may read.
 *
 * Coherence is all that RC11 asks beside acyclic causes when there are no sequentially consistent
 * steps: a load reads no store older than one that is ordered before it or was read before it, and
 * a store comes after those. Events are only ever added at the end of their thread, so nothing is
 * ordered after a new event, and one lower bound says it all.
 */
#include "engine.h"

#include <stdatomic.h>

bool clock_has(const struct clock *clock, const struct event *event) {
    return event->index < clock->count[event->thread];
}

static void clock_join(struct clock *clock, const struct clock *other) {
    for (int i = 0; i < THREADS; i++) {
        if (clock->count[i] < other->count[i])
            clock->count[i] = other->count[i];
    }
}

static bool acquires(int order) {
    return order == memory_order_acquire || order == memory_order_acq_rel ||
           order == memory_order_consume || order == memory_order_seq_cst;
}

static bool releases(int order) {
    return order == memory_order_release || order == memory_order_acq_rel ||
           order == memory_order_seq_cst;
}

/* Does this read lead to a write? A compare-and-swap only if it reads what it expects. */
bool graph_is_update(const struct event *read) {
    if (read->step.type == COMPARE)
        return read->value == read->step.expected;
    return read->step.type != LOAD;
}

/* What the write of an update writes. */
uint64_t graph_result(const struct event *read) {
    uint64_t value = read->value, operand = read->step.operand;
    uint64_t mask = read->step.size == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * read->step.size) - 1;

    switch (read->step.type) {
    case ADD:
        return (value + operand) & mask;
    case SUB:
        return (value - operand) & mask;
    case OR:
        return value | operand;
    case AND:
        return value & operand & mask;
    case XOR:
        return value ^ operand;
    default:
        return operand;
    }
}

static void set_clocks(struct event *event) {
    struct graph *graph = &engine->graph;
    const struct event *from = event->from == NONE ? NULL : &graph->event[event->from];
    const struct event *previous = NULL;
    struct clock none = {{0}};

    if (event->index > 0)
        previous = &graph->event[graph->of_thread[event->thread][event->index - 1]];
    event->before = previous ? previous->before : none;
    event->ordered = previous ? previous->ordered : none;
    if (from)
        clock_join(&event->before, &from->before);
    if (event->step.kind == BEGIN || event->step.kind == JOIN)
        clock_join(&event->ordered, &from->ordered);
    if (event->step.kind == READ && from) {
        int order = event->step.type == COMPARE && !graph_is_update(event)
                        ? event->step.order_failed
                        : event->step.order;

        if (acquires(order))
            clock_join(&event->ordered, &from->message);
    }
    event->before.count[event->thread] = event->ordered.count[event->thread] =
        (uint16_t)(event->index + 1);
    if (event->step.kind != WRITE)
        return;
    event->message = releases(event->step.order) ? event->ordered : none;
    /* An update goes on with the release sequence of what it read. */
    if (event->step.type != STORE && previous->from != NONE && engine->plant != PLANT_NO_SEQUENCE)
        clock_join(&event->message, &graph->event[previous->from].message);
}

void graph_set_from(int number, int from) {
    struct event *event = &engine->graph.event[number];

    event->from = (int16_t)from;
    if (event->step.kind == READ)
        event->value = from == NONE ? engine->graph.word[event->word].initial
                                    : engine->graph.event[from].value;
    set_clocks(event);
}

/* Put a write right behind another one (NONE: first) into the order of its word. */
void graph_set_after(int number, int after) {
    struct event *event = &engine->graph.event[number];
    struct word *word = &engine->graph.word[event->word];
    int place = after == NONE ? 0 : graph_place(after);

    event->after = (int16_t)after;
    for (int i = word->write_count++; i > place; i--)
        word->write[i] = word->write[i - 1];
    word->write[place] = (int16_t)number;
}

/* A write's place in the order of its word, from 1; 0 is what the word held at first. */
int graph_place(int number) {
    const struct word *word;
    int place = 0;

    if (number == NONE)
        return 0;
    word = &engine->graph.word[engine->graph.event[number].word];
    while (word->write[place] != number)
        place++;
    return place + 1;
}

/* The place of the newest write that this event may not be older than. */
int graph_floor(const struct event *event) {
    const struct graph *graph = &engine->graph;
    const struct word *word = &graph->word[event->word];
    int floor = 0;

    for (int i = 0; i < word->access_count && engine->plant != PLANT_NO_FLOOR; i++) {
        const struct event *other = &graph->event[word->access[i]];
        int place;

        if (other == event || !clock_has(&event->ordered, other))
            continue;
        place = graph_place(other->step.kind == READ ? other->from : word->access[i]);
        if (floor < place)
            floor = place;
    }
    return floor;
}

/* Is `after` the write of an update that read `before`? Then nothing comes between them. */
bool graph_is_pair(int before, int after) {
    const struct event *write = &engine->graph.event[after];

    if (write->step.type == STORE || engine->plant == PLANT_NO_PAIR)
        return false;
    return engine->graph.event[engine->graph.of_thread[write->thread][write->index - 1]].from ==
           before;
}

int graph_word(const struct step *step) {
    struct graph *graph = &engine->graph;
    int number = 0;

    while (number < graph->word_count && graph->word[number].at != step->at)
        number++;
    if (number == WORDS)
        engine_refuse("more than %d atomic words", WORDS);
    if (number == graph->word_count) {
        graph->word_count++;
        graph->word[number] = (struct word){.at = step->at, .size = step->size};
    }
    if (graph->word[number].size != step->size)
        engine_refuse("one word is used in two sizes");
    return number;
}

/* The first time that an execution touches a word, its memory says what it holds. */
void graph_take_word(const struct step *step) {
    struct word *word = &engine->graph.word[graph_word(step)];
    uint64_t value = 0;

    if (word->known_in == engine->runs)
        return;
    word->known_in = engine->runs;
    __builtin_memcpy(&value, (const void *)step->at, step->size);
    word->initial = value;
}

/* Count an event in: the next one. Its place among the writes of its word comes later. */
void graph_enlist(int number) {
    struct graph *graph = &engine->graph;
    struct event *event = &graph->event[number];

    if (event->step.kind == CREATE)
        graph->length[event->step.operand] = 0;
    graph->of_thread[event->thread][graph->length[event->thread]++] = (int16_t)number;
    graph->count = number + 1;
    if (event->word == NONE)
        return;
    struct word *word = &graph->word[event->word];

    if (word->access_count == ACCESSES)
        engine_fail("an execution does not end: %d steps on one word", ACCESSES);
    word->access[word->access_count++] = (int16_t)number;
}

/* Keep the first events only. */
void graph_cut(int count) {
    struct graph *graph = &engine->graph;

    graph->count = 0;
    for (int i = 0; i < graph->word_count; i++)
        graph->word[i].write_count = graph->word[i].access_count = 0;
    for (int i = 1; i < THREADS; i++)
        graph->length[i] = NONE;
    graph->length[0] = 0;
    for (int i = 0; i < count; i++) {
        graph_enlist(i);
        if (graph->event[i].step.kind == WRITE)
            graph_set_after(i, graph->event[i].after);
    }
}

struct event *graph_add(int thread, const struct step *step, int from) {
    struct graph *graph = &engine->graph;
    int number = graph->count;
    struct event *event = &graph->event[number];

    if (number == EVENTS)
        engine_fail("an execution does not end: %d steps", EVENTS);
    *event = (struct event){.step = *step,
                            .thread = (int16_t)thread,
                            .index = (int16_t)graph->length[thread],
                            .word = NONE,
                            .from = NONE,
                            .after = NONE};
    if (step->kind == READ || step->kind == WRITE)
        event->word = (int16_t)graph_word(step);
    graph_enlist(number);
    graph_set_from(number, from);
    return event;
}
