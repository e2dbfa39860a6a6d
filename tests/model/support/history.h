/* SPDX-License-Identifier: MIT */
/*
 * history: was this execution of a small map linearizable?
 *
 * Every call is recorded with the moments of its start and its end. The search tries each order
 * that respects "ended before started" against a map of a few keys. A call that never ended (its
 * thread was parked) may have taken effect or not.
 */
#ifndef MOAT_TESTS_MODEL_HISTORY_H
#define MOAT_TESTS_MODEL_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "pairs.h"

#define HISTORY_CALLS_MAX 24
#define HISTORY_KEYS_MAX  8
#define NEVER             UINT32_MAX

enum history_kind { FIND, INSERT, ERASE, REPLACE };

struct history_call {
    enum history_kind kind;
    unsigned key;    /* below HISTORY_KEYS_MAX */
    unsigned handle; /* 1 to 15 */
    unsigned to;     /* REPLACE: 1 to 15 */
    unsigned result; /* FIND: a handle or 0; INSERT: 1 entered, 0 full; else 1: it was there */
    uint32_t start, end;
};

static struct {
    struct history_call call[HISTORY_CALLS_MAX];
    unsigned count;
    uint32_t now;
    uint32_t initial; /* four bits of handle a key */
} history;

static void history_reset(void) {
    history.count = 0;
    history.now = 0;
    history.initial = 0;
}

static unsigned history_start(enum history_kind kind, unsigned key, unsigned handle) {
    unsigned at = history.count++;

    pairs_begin((int)kind);
    /* Whether a call ended before another one started is all that matters of their order. */
    explore_touch(&history, STARTS);
    history.call[at] = (struct history_call){
        .kind = kind, .key = key, .handle = handle, .start = history.now++, .end = NEVER};
    return at;
}

static void history_end(unsigned at, unsigned result) {
    pairs_end();
    explore_touch(&history, ENDS);
    history.call[at].result = result;
    history.call[at].end = history.now++;
}

/* Can the call happen in this state, with its result? Then *after is the state it leaves. */
static bool apply(const struct history_call *call, uint32_t state, uint32_t *after) {
    unsigned shift = call->key * 4;
    uint32_t held = state >> shift & 15;
    bool pending = call->end == NEVER;

    *after = state;
    switch (call->kind) {
    case FIND:
        return pending || call->result == held;
    case INSERT:
        if (!pending && !call->result)
            return true;
        *after |= call->handle << shift;
        return held == 0;
    case REPLACE:
        if (held == call->handle)
            *after ^= (call->handle ^ call->to) << shift;
        return pending || call->result == (held == call->handle);
    default:
        if (held == call->handle)
            *after &= ~(UINT32_C(15) << shift);
        return pending || call->result == (held == call->handle);
    }
}

static bool search_order(uint32_t done, uint32_t state) {
    uint32_t first_end = NEVER;
    bool open = false;

    for (unsigned i = 0; i < history.count; i++) {
        if (done >> i & 1)
            continue;
        if (history.call[i].end != NEVER)
            open = true;
        if (history.call[i].end < first_end)
            first_end = history.call[i].end;
    }
    if (!open)
        return true;
    for (unsigned i = 0; i < history.count; i++) {
        uint32_t after;

        if (!(done >> i & 1) && history.call[i].start < first_end &&
            apply(&history.call[i], state, &after) && search_order(done | UINT32_C(1) << i, after))
            return true;
    }
    return false;
}

static bool history_is_linearizable(void) {
    return search_order(0, history.initial);
}

#endif
