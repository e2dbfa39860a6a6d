/* SPDX-License-Identifier: MIT */
/* brute: inventing and permuting. */
#include "brute.h"

#include "run.h"

#include <string.h>

enum { CALLS_MAX = 8, THREADS_MAX = 8, VALUES = 4 };

/* What a thread does next with its call. */
enum stage { IDLE, STARTED, WORKED, STOPPED };

size_t brute_invent(const struct brute_object *object, struct linear_call *call, size_t most,
                    unsigned threads, uint64_t *random) {
    size_t wanted = 2 + linear_below(random, (unsigned)most - 1), count = 0, ended = 0, lost = 0;
    size_t own[THREADS_MAX] = {0};
    enum stage stage[THREADS_MAX] = {IDLE};
    uint64_t state = 0, now = 1;

    while (ended + lost < wanted) {
        unsigned thread = linear_below(random, threads);
        struct linear_call *mine = &call[own[thread]];

        if (stage[thread] == IDLE && count < wanted) {
            own[thread] = count;
            call[count] = (struct linear_call){
                .start = now++, .end = LINEAR_NEVER, .key = 1, .thread = (uint16_t)thread};
            object->invent(&call[count++], random);
            stage[thread] = STARTED;
        } else if (stage[thread] == STARTED) {
            mine->result[0] = object->answer(mine, state, &state);
            stage[thread] = WORKED;
        } else if (stage[thread] == WORKED && linear_below(random, 12) == 0 && lost + 1 < threads) {
            /* The thread is stopped for ever. */
            stage[thread] = STOPPED;
            lost++;
        } else if (stage[thread] == WORKED) {
            mine->end = now++;
            stage[thread] = IDLE;
            ended++;
        }
    }
    if (linear_below(random, 2))
        call[linear_below(random, (unsigned)count)].result[0] = linear_below(random, VALUES);
    return count;
}

static bool in_real_order(const struct linear_call *call, const unsigned *order, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (size_t j = i + 1; j < count; j++)
            if (call[order[j]].end < call[order[i]].start)
                return false;
    return true;
}

static bool explains(const struct linear_spec *spec, const struct linear_call *call,
                     const unsigned *order, size_t count, uint64_t state) {
    for (size_t i = 0; i < count; i++)
        if (!spec->apply(&call[order[i]], state, &state))
            return false;
    return true;
}

/* Whether an order that starts with order[0..fixed) is in real order and explains it. */
static bool permute(const struct linear_spec *spec, const struct linear_call *call, unsigned *order,
                    size_t fixed, size_t count, uint64_t initial, uint64_t *orders) {
    if (fixed == count) {
        ++*orders;
        return in_real_order(call, order, count) && explains(spec, call, order, count, initial);
    }
    for (size_t i = fixed; i < count; i++) {
        unsigned first = order[fixed];

        order[fixed] = order[i];
        order[i] = first;
        if (permute(spec, call, order, fixed + 1, count, initial, orders))
            return true;
        order[i] = order[fixed];
        order[fixed] = first;
    }
    return false;
}

bool brute_check(const struct linear_spec *spec, const struct linear_call *call, size_t count,
                 uint64_t initial, uint64_t *orders) {
    for (unsigned chosen = 0; chosen < 1u << count; chosen++) {
        unsigned order[CALLS_MAX];
        size_t used = 0;
        bool all_ended = true;

        for (unsigned i = 0; i < count; i++) {
            if (chosen >> i & 1)
                order[used++] = i;
            else if (call[i].end != LINEAR_NEVER)
                all_ended = false;
        }
        if (all_ended && permute(spec, call, order, 0, used, initial, orders))
            return true;
    }
    return false;
}
