/* SPDX-License-Identifier: MIT */
/*
 * The engine against itself: does it visit each execution that C11 allows, once, and no other?
 *
 * Named programs have their outcomes written down; these and random ones are also counted by a
 * reference that enumerates all relations and checks the axioms. Then faults are planted into the
 * engine, and each must make a difference.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/litmus_table.h"
#include "support/reference.h"

#define RANDOM_PROGRAMS 1500
#define SEED            20240607u

/* Between executions only what lies here is not put back: it is not a static. */
struct state {
    const struct litmus *litmus;
    struct outcomes found, wanted;
    unsigned read[LITMUS_THREADS][LITMUS_STEPS];
    uint64_t word[LITMUS_WORDS];
    uint64_t plain;
};

static struct state *state;

static void perform(unsigned thread, unsigned at) {
    const struct litmus_step *what = &state->litmus->step[thread][at];
    struct step step = {.type = what->type,
                        .order = what->order,
                        .order_failed = what->order_failed,
                        .size = sizeof(uint64_t),
                        .at = (uintptr_t)&state->word[what->word],
                        .operand = what->operand,
                        .expected = what->expected};

    if (what->type != PLAIN)
        state->read[thread][at] = (unsigned)threads_step(&step) & 15;
    else if (what->operand)
        races_check(PLAIN_WRITE, (uintptr_t)&state->plain, sizeof(state->plain), NULL);
    else if (at == 0 || state->read[thread][at - 1] == what->expected)
        races_check(PLAIN_READ, (uintptr_t)&state->plain, sizeof(state->plain), NULL);
}

static void *body(void *argument) {
    unsigned thread = (unsigned)(uintptr_t)argument;

    for (unsigned i = 0; i < state->litmus->length[thread]; i++)
        perform(thread, i);
    return NULL;
}

static int program(void) {
    pthread_t thread[LITMUS_THREADS];
    unsigned count = 0;

    while (count < LITMUS_THREADS && state->litmus->length[count] != 0)
        count++;
    for (unsigned i = 0; i < count; i++)
        pthread_create(&thread[i], NULL, body, (void *)(uintptr_t)i);
    for (unsigned i = 0; i < count; i++)
        pthread_join(thread[i], NULL);
    return 0;
}

static void note_outcome(void) {
    uint64_t outcome = 0;
    unsigned shift = 0;

    for (unsigned thread = 0; thread < LITMUS_THREADS; thread++) {
        for (unsigned i = 0; i < state->litmus->length[thread]; i++) {
            const struct litmus_step *what = &state->litmus->step[thread][i];

            if (what->type == PLAIN || what->type == STORE)
                continue;
            outcome |= (uint64_t)state->read[thread][i] << shift;
            shift += 4;
        }
    }
    for (unsigned i = 0; i < LITMUS_WORDS; i++, shift += 4) {
        uintptr_t at = (uintptr_t)&state->word[i];

        for (int n = 0; n < engine->graph.word_count; n++) {
            const struct word *word = &engine->graph.word[n];

            if (word->at == at && word->write_count != 0)
                outcome |= (engine->graph.event[word->write[word->write_count - 1]].value & 15)
                           << shift;
        }
    }
    outcomes_add(&state->found, outcome);
}

static void explore(const struct litmus *litmus) {
    state->litmus = litmus;
    state->found.count = state->found.executions = 0;
    engine_explore(program, 0, note_outcome);
}

static unsigned loads_of(const struct litmus *litmus) {
    unsigned count = 0;

    for (unsigned thread = 0; thread < LITMUS_THREADS; thread++) {
        for (unsigned i = 0; i < litmus->length[thread]; i++)
            count += litmus->step[thread][i].type != STORE && litmus->step[thread][i].type != PLAIN;
    }
    return count;
}

/* Is an outcome written in digits among those found, whatever the words hold at last? */
static bool was_found(const char *digits, unsigned loads) {
    uint64_t outcome = 0, mask = (UINT64_C(1) << 4 * loads) - 1;

    for (unsigned i = 0; i < loads; i++)
        outcome |= (uint64_t)(digits[i] - '0') << 4 * i;
    for (unsigned long i = 0; i < state->found.count; i++) {
        if ((state->found.outcome[i] & mask) == outcome)
            return true;
    }
    return false;
}

static bool all_found(const char *list, unsigned loads, bool expected) {
    for (; list && *list; list += loads + (list[loads] == ' ')) {
        if (was_found(list, loads) != expected)
            return false;
    }
    return true;
}

/* What the engine found and what the axioms allow: the same, each once? */
static bool agrees(const struct litmus *litmus) {
    explore(litmus);
    reference_count(litmus, &state->wanted);
    if (state->found.executions != state->wanted.executions ||
        state->found.count != state->wanted.count)
        return false;
    for (unsigned long i = 0; i < state->found.count; i++) {
        if (!outcomes_have(&state->wanted, state->found.outcome[i]))
            return false;
    }
    return true;
}

static int check_named(void) {
    int bad = 0;

    for (unsigned i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
        const struct litmus *litmus = &named[i];
        unsigned loads = loads_of(litmus);
        bool right = agrees(litmus) && all_found(litmus->never, loads, false) &&
                     all_found(litmus->must, loads, true) &&
                     (litmus->complete == 0 || litmus->complete == state->found.executions);

        printf("%s litmus   %-40s %4lu executions, %4lu outcomes, by the axioms %lu and %lu\n",
               right ? "ok  " : "FAIL", litmus->name, state->found.executions, state->found.count,
               state->wanted.executions, state->wanted.count);
        bad += !right;
    }
    for (unsigned i = 0; i < sizeof(racing) / sizeof(racing[0]); i++) {
        bool right;

        explore(&racing[i]);
        right = (engine->failure[0] != '\0') == racing[i].race;
        printf("%s race     %-40s %s\n", right ? "ok  " : "FAIL", racing[i].name,
               engine->failure[0] ? engine->failure : "none");
        bad += !right;
    }
    return bad;
}

static unsigned draw(uint32_t *random, unsigned below) {
    *random = *random * 1664525u + 1013904223u;
    return (unsigned)((uint64_t)(*random >> 8) * below >> 24);
}

static struct litmus_step draw_step(uint32_t *random) {
    static const int orders[] = {RLX, ACQ, REL, AR};
    static const enum step_type types[] = {LOAD, LOAD, STORE, STORE, ADD, COMPARE, EXCHANGE};
    struct litmus_step step = {.type = types[draw(random, 7)],
                               .word = draw(random, 2),
                               .operand = 1 + draw(random, 2),
                               .expected = draw(random, 2)};
    int order = orders[draw(random, 4)];

    if (step.type == LOAD && (order == REL || order == AR))
        order = ACQ;
    if (step.type == STORE && (order == ACQ || order == AR))
        order = REL;
    step.order = order;
    step.order_failed = draw(random, 2) ? ACQ : RLX;
    return step;
}

/* How many random programs the engine and the axioms disagree about; it stops at `most`. */
static unsigned compare_random(unsigned programs, unsigned most, unsigned long *executions) {
    uint32_t random = SEED;
    unsigned wrong = 0;

    for (unsigned n = 0; n < programs && wrong < most; n++) {
        struct litmus litmus = {.name = "random"};
        unsigned threads = 2 + draw(&random, 2), left = 7 - draw(&random, 2);

        for (unsigned i = 0; i < left; i++) {
            unsigned thread = i < threads ? i : draw(&random, threads);

            if (litmus.length[thread] < LITMUS_STEPS)
                litmus.step[thread][litmus.length[thread]++] = draw_step(&random);
        }
        wrong += !agrees(&litmus);
        *executions += state->found.executions;
    }
    return wrong;
}

int main(int argc, char **argv) {
    static const char *const plant_name[PLANT_COUNT] = {
        [PLANT_NO_REVISIT] = "a store never concerns loads before it",
        [PLANT_ANY_REVISIT] = "loads revisited whatever goes",
        [PLANT_NOTHING_STALE] = "loads read the newest store",
        [PLANT_NO_FLOOR] = "no coherence",
        [PLANT_NO_SEQUENCE] = "no release sequences",
        [PLANT_NO_PAIR] = "stores within an update",
    };
    unsigned programs = argc > 1 ? (unsigned)atoi(argv[1]) : RANDOM_PROGRAMS;
    unsigned long executions = 0;
    unsigned wrong;
    int bad;

    state = calloc(1, sizeof(*state));
    if (!state)
        return 1;
    engine_start(argv[0]);
    engine->quiet = true;
    bad = check_named();
    wrong = compare_random(programs, programs, &executions);
    printf("%s random   %u programs from seed %u, %lu executions, %u not as the axioms say\n",
           wrong ? "FAIL" : "ok  ", programs, SEED, executions, wrong);
    for (enum engine_plant plant = PLANT_NONE + 1; plant < PLANT_COUNT; plant++) {
        bool found;

        engine->plant = plant;
        found = compare_random(programs, 1, &executions) != 0;
        printf("%s planted  %-40s %s\n", found ? "ok  " : "FAIL", plant_name[plant],
               found ? "found" : "not found");
        bad += !found;
    }
    return bad + (wrong != 0) != 0;
}
