/* SPDX-License-Identifier: MIT */
/*
 * The explorer against itself: under each bound on preemptions, does it reach with its reduction
 * exactly what it reaches without? For random tiny programs, what every load reads and what the
 * words hold at last is compared, and then a lie about independence must be found out.
 */
#include "support/explore.h"

#define PROGRAMS 200
#define SEED     77001u
#define WORDS    3
#define STEPS    4
#define BOUNDS   4 /* 0 to 3 preemptions */
#define RESULTS  8192

#include "lockfree/atomic.h"

enum step { LOAD, STORE, ADD, SWAP, CALL, STEP_KINDS };

static struct {
    unsigned length;
    struct {
        enum step step;
        unsigned word, value;
    } step[STEPS];
} program[EXPLORE_THREADS];

static _Atomic uint64_t word[WORDS];
static unsigned plain; /* which call came when: told with explore_touch */
static uint64_t seen;  /* all that was read, in an order that scheduling does not change */

static struct results {
    unsigned count;
    uint64_t result[RESULTS];
} full, reduced;

static struct results *collected;

static void reset(void) {
    for (unsigned i = 0; i < WORDS; i++)
        word[i] = 0;
    plain = 0;
    seen = 0;
}

static void perform(unsigned thread) {
    for (unsigned i = 0; i < program[thread].length; i++) {
        _Atomic uint64_t *at = &word[program[thread].step[i].word];
        uint64_t value = program[thread].step[i].value, got = 0;

        switch (program[thread].step[i].step) {
        case LOAD:
            got = moat_load_acquire(at);
            break;
        case STORE:
            moat_store_release(at, value);
            break;
        case ADD:
            got = moat_add_acq_rel(at, value);
            break;
        case SWAP:
            if (!moat_cas_acq_rel(at, &got, value))
                got += 8;
            break;
        default:
            got = moat_load_acquire(at);
            explore_touch(&plain, WRITES);
            plain = (plain * 3 + thread + 1) & 15;
            got += plain;
        }
        /* Threads read on their own, so what each read is put together without an order. */
        seen += (got & 31) << (5 * i + 20 * thread);
    }
}

static void first(void) {
    perform(0);
}
static void second(void) {
    perform(1);
}
static void third(void) {
    perform(2);
}

static void collect(void) {
    uint64_t result = seen;

    for (unsigned i = 0; i < WORDS; i++)
        result = result * 0x9e3779b97f4a7c15u + word[i];
    result = result * 0x9e3779b97f4a7c15u + plain;
    for (unsigned i = 0; i < collected->count; i++) {
        if (collected->result[i] == result)
            return;
    }
    if (collected->count == RESULTS)
        explore_fail("more results than there is room for");
    else
        collected->result[collected->count++] = result;
}

static unsigned draw(uint32_t *random, unsigned below) {
    *random = *random * 1664525u + 1013904223u;
    return (unsigned)((uint64_t)(*random >> 8) * below >> 24);
}

static unsigned draw_program(uint32_t *random) {
    unsigned threads = 2 + draw(random, 2);

    for (unsigned thread = 0; thread < EXPLORE_THREADS; thread++) {
        program[thread].length = thread < threads ? 2 + draw(random, STEPS - 1) : 0;
        for (unsigned i = 0; i < STEPS; i++) {
            program[thread].step[i].step = (enum step)draw(random, STEP_KINDS);
            program[thread].step[i].word = draw(random, WORDS);
            program[thread].step[i].value = 1 + draw(random, 3);
        }
    }
    return threads;
}

static bool are_equal(void) {
    if (full.count != reduced.count)
        return false;
    for (unsigned i = 0; i < full.count; i++) {
        bool found = false;

        for (unsigned j = 0; j < reduced.count; j++)
            found |= full.result[i] == reduced.result[j];
        if (!found)
            return false;
    }
    return true;
}

static unsigned long explore_into(struct results *results, const struct scenario *scenario,
                                  unsigned bound, bool all) {
    results->count = 0;
    collected = results;
    explorer.executions = explorer.cut = 0;
    explorer.unreduced = all;
    explore(scenario, bound);
    return explorer.executions;
}

/* For each bound: executions without and with the reduction. Returns programs that differ. */
static unsigned compare(unsigned programs, unsigned long executions[BOUNDS][2]) {
    uint32_t random = SEED;
    unsigned different = 0;

    for (unsigned n = 0; n < programs; n++) {
        struct scenario scenario = {"random", reset, {first, second}, collect, 0};
        bool equal = true;

        scenario.body[2] = draw_program(&random) == 3 ? third : NULL;
        for (unsigned bound = 0; bound < BOUNDS; bound++) {
            executions[bound][0] += explore_into(&full, &scenario, bound, true);
            executions[bound][1] += explore_into(&reduced, &scenario, bound, false);
            equal &= are_equal() && !explorer.failure;
        }
        different += !equal;
    }
    return different;
}

/* An argument: so many programs. */
int main(int argc, char **argv) {
    unsigned programs = argc > 1 ? (unsigned)atoi(argv[1]) : PROGRAMS;
    unsigned long executions[BOUNDS][2] = {{0}};
    unsigned different = compare(programs, executions);

    printf("%s %u programs from seed %u: %u reach something else with the reduction\n",
           different ? "FAIL" : "ok  ", programs, SEED, different);
    for (unsigned bound = 0; bound < BOUNDS; bound++)
        printf("     %u preemptions: %9lu executions without, %9lu with\n", bound,
               executions[bound][0], executions[bound][1]);

    explorer.reduction.lie = true;
    unsigned lies = compare(programs, executions);

    printf("%s planted: reads and writes said to be independent: %u programs differ\n",
           lies ? "ok  " : "FAIL", lies);
    return different != 0 || lies == 0;
}
