/* SPDX-License-Identifier: MIT */
/*
 * visit: which graphs there are left to visit.
 *
 * Each new event goes on in one way at once, the newest store for a load, the last place for a
 * store, and leaves the others to do. They are taken up from the last one on: the graph is cut
 * behind that event, which is then changed. A store is also given to loads that were added before
 * it: then the events after such a load go, but for those that the store came from; and only if
 * they were all what they would be if added now, newest store and last place, for of all graphs
 * that lead to the same one must do so.
 */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

enum todo_kind { FROM, AFTER, REVISIT, RETURN };

struct todo {
    enum todo_kind kind;
    int count;            /* FROM, AFTER: of the events that stay, the last being the one changed */
    int other;            /* the event read from, or come after */
    struct event *events; /* REVISIT, RETURN: a graph of its own, of `count` events */
};

static struct todo *leave(enum todo_kind kind, int count, int other) {
    struct todo *todo;

    if (engine->todo_count == engine->todo_room) {
        engine->todo_room = engine->todo_room ? 2 * engine->todo_room : 1024;
        engine->todo = realloc(engine->todo, (size_t)engine->todo_room * sizeof(*engine->todo));
        if (!engine->todo)
            engine_refuse("out of memory");
    }
    todo = &engine->todo[engine->todo_count++];
    *todo = (struct todo){.kind = kind, .count = count, .other = other};
    return todo;
}

static struct event *copy_events(const struct event *events, int count) {
    size_t size = (size_t)count * sizeof(*events);
    struct event *copy = malloc(size);

    if (!copy)
        engine_refuse("out of memory");
    return memcpy(copy, events, size);
}

/* A load was added: it reads the newest store, and the others are left to do. */
void visit_read(struct event *read) {
    const struct word *word = &engine->graph.word[read->word];
    int floor = engine->plant == PLANT_NOTHING_STALE ? word->write_count : graph_floor(read);

    for (int place = floor; place < word->write_count; place++)
        leave(FROM, engine->graph.count, place == 0 ? NONE : word->write[place - 1]);
    graph_set_from(engine->graph.count - 1,
                   word->write_count == 0 ? NONE : word->write[word->write_count - 1]);
}

/*
 * Give the last event, a write that has no place yet, each place from `floor` on that it may have,
 * the last one at once. False: there is none.
 */
static bool place_write(int floor) {
    struct graph *graph = &engine->graph;
    int number = graph->count - 1;
    const struct event *write = &graph->event[number];
    struct word *word = &graph->word[write->word];
    int first = graph_floor(write), last = word->write_count;
    int chosen = NONE;
    bool any = false;

    if (write->step.type != STORE)
        first = last =
            graph_place(graph->event[graph->of_thread[write->thread][write->index - 1]].from);
    for (int place = first < floor ? floor : first; place <= last; place++) {
        int before = place == 0 ? NONE : word->write[place - 1];

        if (place < word->write_count && graph_is_pair(before, word->write[place]))
            continue;
        if (any)
            leave(AFTER, graph->count, chosen);
        chosen = before;
        any = true;
    }
    if (any)
        graph_set_after(number, chosen);
    return any;
}

/* Was this event there before `event`, or did `write` come from it? */
static bool is_previous(int number, int event, const struct event *write) {
    return number <= event || clock_has(&write->before, &engine->graph.event[number]);
}

/* Is this event, which is to go or to change, what it would be if it were added now? */
static bool is_maximal(int number, const struct event *write) {
    const struct graph *graph = &engine->graph;
    const struct event *event = &graph->event[number];
    int at = event->step.kind == WRITE ? number : event->from;
    const struct word *word;

    if ((event->step.kind != READ && event->step.kind != WRITE) ||
        engine->plant == PLANT_ANY_REVISIT)
        return true;
    if (at != NONE && !is_previous(at, number, write))
        return false;
    word = &graph->word[event->word];
    for (int i = graph_place(at); i < word->write_count; i++) {
        if (is_previous(word->write[i], number, write))
            return false;
    }
    for (int i = 0; i < word->access_count && event->step.kind == WRITE; i++) {
        int other = word->access[i];

        if (graph->event[other].step.kind == READ && graph->event[other].from == number &&
            is_previous(other, number, write))
            return false;
    }
    return true;
}

/* The graph in which a load reads from a write added later, without what the load had led to. */
static void leave_revisit(int load, int last) {
    struct graph *graph = &engine->graph;
    const struct event *write = &graph->event[last];
    int16_t renumbered[EVENTS] = {0};
    int count = 0;

    for (int i = load; i < last; i++) {
        if ((i == load || !clock_has(&write->before, &graph->event[i])) && !is_maximal(i, write))
            return;
    }
    for (int i = 0; i <= last; i++) {
        bool stays = i <= load || clock_has(&write->before, &graph->event[i]);

        renumbered[i] = stays ? (int16_t)count++ : NONE;
    }
    struct todo *todo = leave(REVISIT, count, renumbered[load]);

    todo->events = malloc((size_t)count * sizeof(struct event));
    if (!todo->events)
        engine_refuse("out of memory");
    for (int i = 0; i <= last; i++) {
        struct event event = graph->event[i];

        if (renumbered[i] == NONE)
            continue;
        if (event.from != NONE && i != load)
            event.from = renumbered[event.from];
        if (event.step.kind == WRITE && i != last) {
            const struct word *word = &graph->word[event.word];
            int place = graph_place(i) - 1;

            /* The nearest one before it that stays and has been added by then. */
            while (--place >= 0 && (renumbered[word->write[place]] == NONE ||
                                    renumbered[word->write[place]] > renumbered[i]))
                continue;
            event.after = place < 0 ? (int16_t)NONE : renumbered[word->write[place]];
        }
        todo->events[renumbered[i]] = event;
    }
}

/* A write was added, the last event. False: the execution is not a consistent one. */
bool visit_write(struct event *write) {
    struct graph *graph = &engine->graph;
    const struct word *word = &graph->word[write->word];
    int last = graph->count - 1;

    for (int i = 0; i < word->access_count; i++) {
        const struct event *other = &graph->event[word->access[i]];

        if (other->step.kind == READ && !clock_has(&write->before, other) &&
            engine->plant != PLANT_NO_REVISIT)
            leave_revisit(word->access[i], last);
    }
    return place_write(0);
}

static void load_events(struct event *events, int count) {
    memcpy(engine->graph.event, events, (size_t)count * sizeof(*events));
    free(events);
}

/* How many events of this graph are needed by what is left to do with it. */
static int events_needed(void) {
    int i = engine->todo_count;

    while (i > 0 && engine->todo[i - 1].kind == REVISIT)
        i--;
    return i > 0 && engine->todo[i - 1].kind != RETURN ? engine->todo[i - 1].count : 0;
}

/* Begin a graph of its own. False: it is not consistent. */
static bool revisit(const struct todo *todo) {
    struct graph *graph = &engine->graph;
    int last = todo->count - 1, count = events_needed(), floor;

    if (count != 0)
        leave(RETURN, count, NONE)->events = copy_events(graph->event, count);
    load_events(todo->events, todo->count);
    graph_cut(last);
    /* What the load may not be older than, whatever it reads. */
    graph_set_from(todo->other, NONE);
    floor = graph_floor(&graph->event[todo->other]);
    graph_enlist(last);
    if (!place_write(floor))
        return false;
    graph_set_from(todo->other, last);
    engine->revisits++;
    return true;
}

/* Leave nothing to do. */
void visit_forget(void) {
    while (engine->todo_count > 0)
        free(engine->todo[--engine->todo_count].events);
}

/* Set up the next graph. False: all have been visited. */
bool visit_next(void) {
    while (engine->todo_count > 0) {
        struct todo todo = engine->todo[--engine->todo_count];
        int last = todo.count - 1;

        switch (todo.kind) {
        case FROM:
            graph_cut(todo.count);
            graph_set_from(last, todo.other);
            return true;
        case AFTER:
            engine->graph.event[last].after = (int16_t)todo.other;
            graph_cut(todo.count);
            break;
        case REVISIT:
            if (!revisit(&todo))
                continue;
            break;
        default:
            load_events(todo.events, todo.count);
            graph_cut(todo.count);
            continue;
        }
        return true;
    }
    return false;
}
