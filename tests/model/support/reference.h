/* SPDX-License-Identifier: MIT */
/*
 * reference: how many executions does C11 allow a tiny program? Counted the slow way.
 *
 * Each choice of a store for each load and of an order of the stores of each word is made and held
 * against the axioms of RC11, with relations as bit matrices. It shares no idea with the engine:
 * no clocks, no order of adding, no revisits.
 */
#ifndef MOAT_TESTS_MODEL_REFERENCE_H
#define MOAT_TESTS_MODEL_REFERENCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "../engine/engine.h"

#define LITMUS_THREADS  4
#define LITMUS_STEPS    6
#define LITMUS_WORDS    3
#define LITMUS_EVENTS   16
#define LITMUS_OUTCOMES 4096

/* A step of a tiny program. PLAIN: `operand` 1 writes and 0 reads what is not atomic. */
#define PLAIN OF_THREAD
struct litmus_step {
    enum step_type type;
    unsigned word, operand, expected;
    int order, order_failed;
};

struct litmus {
    const char *name;
    unsigned long complete;   /* executions; 0: as the reference says */
    const char *never, *must; /* what each load reads, thread by thread, words by blanks */
    bool race;                /* a data race is to be found */
    unsigned length[LITMUS_THREADS];
    struct litmus_step step[LITMUS_THREADS][LITMUS_STEPS];
};

/* What loads read and words hold at last, four bits each; and how often. */
struct outcomes {
    unsigned long count, executions;
    uint64_t outcome[LITMUS_OUTCOMES];
};

static void outcomes_add(struct outcomes *outcomes, uint64_t outcome) {
    outcomes->executions++;
    for (unsigned long i = 0; i < outcomes->count; i++) {
        if (outcomes->outcome[i] == outcome)
            return;
    }
    if (outcomes->count < LITMUS_OUTCOMES)
        outcomes->outcome[outcomes->count++] = outcome;
}

static bool outcomes_have(const struct outcomes *outcomes, uint64_t outcome) {
    for (unsigned long i = 0; i < outcomes->count; i++) {
        if (outcomes->outcome[i] == outcome)
            return true;
    }
    return false;
}

struct reference {
    const struct litmus *litmus;
    struct outcomes *outcomes;
    unsigned count;
    struct litmus_step step[LITMUS_EVENTS];
    unsigned thread[LITMUS_EVENTS];
    int from[LITMUS_EVENTS]; /* NONE: what the word held at first */
    unsigned value[LITMUS_EVENTS], written[LITMUS_EVENTS];
    bool writes[LITMUS_EVENTS];
    unsigned position[LITMUS_EVENTS]; /* of a write in the order of its word, from 1 */
};

typedef uint16_t relation[LITMUS_EVENTS];

static bool reads(const struct litmus_step *step) {
    return step->type != STORE;
}

static void relation_close(const struct reference *all, relation related) {
    for (unsigned k = 0; k < all->count; k++) {
        for (unsigned i = 0; i < all->count; i++) {
            if (related[i] >> k & 1)
                related[i] |= related[k];
        }
    }
}

static bool is_acyclic(const struct reference *all, relation related) {
    for (unsigned i = 0; i < all->count; i++) {
        if (related[i] >> i & 1)
            return false;
    }
    return true;
}

/* Values follow from what reads from what. False: one would come from itself or from nothing. */
static bool find_values(struct reference *all) {
    bool known[LITMUS_EVENTS] = {false};
    unsigned found = 0, before;

    do {
        before = found;
        for (unsigned i = 0; i < all->count; i++) {
            const struct litmus_step *step = &all->step[i];
            unsigned value = 0;

            if (known[i] || (reads(step) && all->from[i] != NONE && !known[all->from[i]]))
                continue;
            if (reads(step) && all->from[i] != NONE) {
                if (!all->writes[all->from[i]])
                    return false;
                value = all->written[all->from[i]];
            }
            all->value[i] = value;
            all->writes[i] =
                step->type != LOAD && (step->type != COMPARE || value == step->expected);
            all->written[i] = step->type == ADD ? (value + step->operand) & 15 : step->operand;
            known[i] = true;
            found++;
        }
    } while (found != before);
    return found == all->count;
}

static bool is_in(int order, int one, int other) {
    return order == one || order == other;
}

/* Who synchronises with the load of event i: the releases of the sequence that it reads from. */
static void add_synchronisation(const struct reference *all, unsigned i, relation ordered) {
    const struct litmus_step *step = &all->step[i];
    int order = all->writes[i] || step->type != COMPARE ? step->order : step->order_failed;

    if (!reads(step) || !is_in(order, memory_order_acquire, memory_order_acq_rel))
        return;
    for (int from = all->from[i]; from != NONE;
         from = all->step[from].type == STORE ? NONE : all->from[from]) {
        if (is_in(all->step[from].order, memory_order_release, memory_order_acq_rel))
            ordered[from] |= (uint16_t)(1u << i);
    }
}

static bool is_consistent(const struct reference *all) {
    relation causes = {0}, ordered = {0}, coherent = {0};

    for (unsigned i = 0; i < all->count; i++) {
        for (unsigned j = i + 1; j < all->count; j++) {
            if (all->thread[i] == all->thread[j])
                ordered[i] |= (uint16_t)(1u << j);
        }
    }
    memcpy(causes, ordered, sizeof(causes));
    for (unsigned i = 0; i < all->count; i++) {
        if (reads(&all->step[i]) && all->from[i] != NONE) {
            causes[all->from[i]] |= (uint16_t)(1u << i);
            coherent[all->from[i]] |= (uint16_t)(1u << i);
        }
        add_synchronisation(all, i, ordered);
    }
    for (unsigned i = 0; i < all->count; i++) {
        unsigned seen =
            reads(&all->step[i]) && all->from[i] != NONE ? all->position[all->from[i]] : 0;

        for (unsigned j = 0; j < all->count; j++) {
            if (i == j || !all->writes[j] || all->step[i].word != all->step[j].word)
                continue;
            if ((all->writes[i] && all->position[i] < all->position[j]) ||
                (reads(&all->step[i]) && seen < all->position[j]))
                coherent[i] |= (uint16_t)(1u << j);
            /* Nothing comes between the halves of an update. */
            if (all->writes[i] && reads(&all->step[i]) && seen < all->position[j] &&
                all->position[j] < all->position[i])
                return false;
        }
        if (all->writes[i] && reads(&all->step[i]) && all->position[i] <= seen)
            return false;
    }
    relation_close(all, causes);
    relation_close(all, ordered);
    relation_close(all, coherent);
    if (!is_acyclic(all, causes) || !is_acyclic(all, ordered))
        return false;
    for (unsigned i = 0; i < all->count; i++) {
        for (unsigned j = 0; j < all->count; j++) {
            if (ordered[i] >> j & 1 && coherent[j] >> i & 1)
                return false;
        }
    }
    return true;
}

static uint64_t outcome_of(const struct reference *all) {
    uint64_t outcome = 0;
    unsigned shift = 0, last[LITMUS_WORDS] = {0}, place[LITMUS_WORDS] = {0};

    for (unsigned i = 0; i < all->count; i++) {
        if (reads(&all->step[i])) {
            outcome |= (uint64_t)all->value[i] << shift;
            shift += 4;
        }
        if (all->writes[i] && all->position[i] > place[all->step[i].word]) {
            place[all->step[i].word] = all->position[i];
            last[all->step[i].word] = all->written[i];
        }
    }
    for (unsigned word = 0; word < LITMUS_WORDS; word++, shift += 4)
        outcome |= (uint64_t)last[word] << shift;
    return outcome;
}

/* Give write number `i` and those after it each position among the writes of their words. */
static void order_writes(struct reference *all, unsigned i) {
    unsigned others = 0;

    while (i < all->count && !all->writes[i])
        i++;
    if (i == all->count) {
        if (is_consistent(all))
            outcomes_add(all->outcomes, outcome_of(all));
        return;
    }
    for (unsigned j = 0; j < all->count; j++)
        others += all->writes[j] && all->step[j].word == all->step[i].word;
    for (unsigned position = 1; position <= others; position++) {
        bool taken = false;

        for (unsigned j = 0; j < i; j++)
            taken |= all->writes[j] && all->step[j].word == all->step[i].word &&
                     all->position[j] == position;
        if (taken)
            continue;
        all->position[i] = position;
        order_writes(all, i + 1);
    }
}

/* Give load number `i` and those after it each write to read from. */
static void choose_sources(struct reference *all, unsigned i) {
    while (i < all->count && !reads(&all->step[i]))
        i++;
    if (i == all->count) {
        if (find_values(all))
            order_writes(all, 0);
        return;
    }
    all->from[i] = NONE;
    choose_sources(all, i + 1);
    for (unsigned j = 0; j < all->count; j++) {
        if (j == i || all->step[j].type == LOAD || all->step[j].word != all->step[i].word)
            continue;
        all->from[i] = (int)j;
        choose_sources(all, i + 1);
    }
}

/* All that the axioms allow, plain accesses left out. */
static void reference_count(const struct litmus *litmus, struct outcomes *outcomes) {
    struct reference all = {.litmus = litmus, .outcomes = outcomes};

    outcomes->count = outcomes->executions = 0;
    for (unsigned thread = 0; thread < LITMUS_THREADS; thread++) {
        for (unsigned i = 0; i < litmus->length[thread]; i++) {
            if (litmus->step[thread][i].type == PLAIN)
                continue;
            all.thread[all.count] = thread;
            all.step[all.count++] = litmus->step[thread][i];
        }
    }
    choose_sources(&all, 0);
}

#endif
