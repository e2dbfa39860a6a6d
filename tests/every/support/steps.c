/* SPDX-License-Identifier: MIT */
/* steps: counting and deciding; what is done instead of a call is in wraps.c. */
#define _GNU_SOURCE
#include "steps.h"

#include "wraps.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

struct steps *steps;

static _Thread_local bool armed;

/* How many more calls of a plan's rows fail; which row that is, once its step was reached. */
static struct {
    const struct call_row *row;
    int left;
} state[PLANS_MAX];

void steps_start(void) {
    steps = mmap(NULL, sizeof *steps, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (steps == MAP_FAILED)
        abort();
}

void steps_arm(const struct plan plans[PLANS_MAX]) {
    steps->count = 0;
    steps->failed = 0;
    steps->unknown = NULL;
    for (unsigned i = 0; i < PLANS_MAX; i++) {
        steps->plans[i] = plans[i];
        state[i].row = NULL;
        state[i].left = 0;
    }
    armed = true;
}

void steps_disarm(void) {
    armed = false;
}

/* Whether a call takes memory or mappings, and fails when there are none left. */
static bool takes_memory(const struct call_row *row) {
    switch (row->call) {
    case CALL_mmap:
    case CALL_munmap: /* a mapping is cut in two */
    case CALL_mprotect:
    case CALL_madvise:
    case CALL_mremap:
    case CALL_mlock:
    case CALL_munlock:
        return true;
    default:
        return false;
    }
}

static bool meets(unsigned i, const struct call_row *row, unsigned number) {
    const struct plan *plan = &steps->plans[i];

    if (plan->step == 0)
        return false;
    if (number == plan->step) {
        state[i].row = row;
        state[i].left = plan->times;
    }
    if (state[i].row == NULL || state[i].left == 0)
        return false;
    if (plan->scope == SCOPE_MEMORY ? !takes_memory(row) : row != state[i].row)
        return false;
    state[i].left--;
    return true;
}

struct order steps_decide(const char *name, enum call call, long argument, size_t size) {
    struct order order = {0};

    if (!armed)
        return order;
    const struct call_row *row = call_row_of(call, argument);
    if (row == NULL) {
        steps->unknown = name;
        steps->unknown_argument = argument;
        return order;
    }
    unsigned number = ++steps->count;
    if (number < STEPS_MAX) {
        steps->row[number] = (unsigned short)(row - call_rows + 1);
        steps->large[number] = size > 4096;
    }
    for (unsigned i = 0; i < PLANS_MAX && !order.meant; i++)
        if (meets(i, row, number)) {
            order = (struct order){true, steps->plans[i].way, steps->plans[i].error};
            steps->failed++;
        }
    return order;
}

/* The same numbers in every run. */
void steps_random(unsigned char *bytes, size_t size) {
    static unsigned long state_of_chance = 20260101;
    for (size_t i = 0; i < size; i++) {
        state_of_chance = state_of_chance * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (unsigned char)(state_of_chance >> 56);
    }
}

const char *steps_plan_text(const struct plan *plan) {
    static char text[200];
    unsigned index = plan->step < STEPS_MAX ? steps->row[plan->step] : 0;
    const char *name = index ? call_row_name(&call_rows[index - 1]) : "?";
    const char *times = plan->times == FOR_EVER ? ", for ever" : plan->times > 1 ? ", often" : "";

    snprintf(text, sizeof text, "call %u, %s: %s, %s%s%s", plan->step, name,
             plan->error ? errno_name(plan->error) : "no errno", way_names[plan->way], times,
             plan->scope == SCOPE_MEMORY ? ", and all others that take memory" : "");
    return text;
}
