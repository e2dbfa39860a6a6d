/* SPDX-License-Identifier: MIT */
/* life_spec: thirteen transitions, written down from region_life.h and not from its code. */
#include "life_spec.h"

#include "lockfree/region_life.h"

#include <stdio.h>

#define WAITERS ((uint64_t)MOAT_LIFE_WAITERS_BIT)
#define CLOSING ((uint64_t)MOAT_LIFE_CLOSING_BIT)
#define LOCKED  ((uint64_t)MOAT_LIFE_LOCKED_BIT)
#define STRIPES ((uint64_t)MOAT_LIFE_STRIPES_ALL)

/* What is to come of a call: its results, and the word it leaves. */
struct outcome {
    uint32_t result[LINEAR_RESULTS];
    bool seen; /* result 1 counts */
    uint64_t after;
};

static struct outcome says(uint32_t result, uint64_t after) {
    return (struct outcome){.result = {result}, .after = after};
}

static struct outcome tells(enum moat_life_status status, uint64_t after) {
    return (struct outcome){.result = {status, (uint32_t)after}, .seen = true, .after = after};
}

static struct outcome enter(uint64_t word, uint64_t stripes, bool holder) {
    if (word & CLOSING)
        return tells(MOAT_LIFE_CLOSING, word | WAITERS);
    if (word & LOCKED && !holder)
        return tells(MOAT_LIFE_LOCKED, word | WAITERS);
    if (word & stripes)
        return tells(MOAT_LIFE_BUSY, word | WAITERS);
    return says(MOAT_LIFE_OK, word | stripes);
}

static struct outcome close_life(uint64_t word, bool holder) {
    if (word & CLOSING)
        return tells(MOAT_LIFE_CLOSING, word | WAITERS);
    if (word & LOCKED && !holder)
        return says(MOAT_LIFE_LOCKED, word);
    if (word & STRIPES)
        return tells(MOAT_LIFE_BUSY, word | CLOSING | WAITERS);
    return says(MOAT_LIFE_OK, word | CLOSING);
}

static struct outcome lock(uint64_t word) {
    if (word & CLOSING)
        return tells(MOAT_LIFE_CLOSING, word | WAITERS);
    if (word & LOCKED)
        return tells(MOAT_LIFE_LOCKED, word | WAITERS);
    if (word & STRIPES)
        return tells(MOAT_LIFE_BUSY, word | LOCKED | WAITERS);
    return says(MOAT_LIFE_OK, word | LOCKED);
}

static struct outcome drained(uint64_t word) {
    return word & STRIPES ? tells(MOAT_LIFE_BUSY, word | WAITERS) : says(MOAT_LIFE_OK, word);
}

/* Take bits away, and wake whoever waits. */
static struct outcome undo(uint64_t word, uint64_t bits) {
    return says((word & WAITERS) != 0, word & ~(bits | WAITERS));
}

static struct outcome expect(const struct linear_call *call, uint64_t word) {
    uint64_t generation = word >> 32;
    const uint32_t *argument = call->argument;

    switch (call->kind) {
    case LIFE_GENERATION:
        return says((uint32_t)generation, word);
    case LIFE_HELD:
        return says((uint32_t)(word & ~WAITERS), word);
    case LIFE_LOCKED:
        return says((word & LOCKED) != 0, word);
    case LIFE_LEAVE:
        return undo(word, argument[0]);
    case LIFE_DRAINED:
        return drained(word);
    case LIFE_REOPEN:
        return undo(word, CLOSING);
    case LIFE_UNLOCK:
        return undo(word, LOCKED);
    case LIFE_NUDGE:
        return undo(word, 0);
    case LIFE_DEATH:
        return says((word & WAITERS) != 0, (generation + 1) << 32);
    case LIFE_BIRTH:
        return says((uint32_t)generation + 1, (generation + 1) << 32);
    }
    if (argument[0] != generation || generation % 2 == 0)
        return says(MOAT_LIFE_GONE, word);
    if (call->kind == LIFE_ENTER)
        return enter(word, argument[1], argument[2]);
    return call->kind == LIFE_CLOSE ? close_life(word, argument[1]) : lock(word);
}

/* What only somebody may do who holds it is possible only while it is held. */
static bool is_entitled(const struct linear_call *call, uint64_t word) {
    switch (call->kind) {
    case LIFE_LEAVE:
        return (word & call->argument[0]) == call->argument[0];
    case LIFE_REOPEN:
        return (word & CLOSING) != 0;
    case LIFE_DEATH:
        return (word & CLOSING) != 0 && (word & STRIPES) == 0;
    case LIFE_UNLOCK:
        return (word & LOCKED) != 0;
    case LIFE_BIRTH:
        return (word >> 32) % 2 == 0;
    default:
        return true;
    }
}

static bool apply(const struct linear_call *call, uint64_t word, uint64_t *after) {
    struct outcome outcome = expect(call, word);

    *after = outcome.after;
    if (!is_entitled(call, word))
        return false;
    return call->end == LINEAR_NEVER ||
           (outcome.result[0] == call->result[0] &&
            (!outcome.seen || outcome.result[1] == (call->result[1] & ~MOAT_LIFE_TICK_BITS)));
}

static bool is_pure(const struct linear_call *call) {
    switch (call->kind) {
    case LIFE_GENERATION:
    case LIFE_HELD:
    case LIFE_LOCKED:
        return true;
    case LIFE_ENTER:
    case LIFE_LOCK:
        return call->result[0] == MOAT_LIFE_GONE;
    case LIFE_CLOSE:
        return call->result[0] == MOAT_LIFE_GONE || call->result[0] == MOAT_LIFE_LOCKED;
    case LIFE_DRAINED:
        return call->result[0] == MOAT_LIFE_OK;
    default:
        return false;
    }
}

static void print_call(const struct linear_call *call, char text[LINEAR_TEXT_BYTES]) {
    static const char *const names[] = {"generation", "held",    "locked", "enter", "leave",
                                        "close",      "drained", "reopen", "death", "birth",
                                        "lock",       "unlock",  "nudge"};
    static const char *const statuses[] = {"OK", "BUSY", "CLOSING", "LOCKED", "GONE"};
    bool has_status = call->kind == LIFE_ENTER || call->kind == LIFE_CLOSE ||
                      call->kind == LIFE_LOCK || call->kind == LIFE_DRAINED;
    int used = snprintf(text, LINEAR_TEXT_BYTES, "%s(%#x, %#x, %u) = ", names[call->kind],
                        call->argument[0], call->argument[1], call->argument[2]);

    if (has_status)
        snprintf(text + used, LINEAR_TEXT_BYTES - (size_t)used, "%s, seen %#x",
                 statuses[call->result[0] % 5], call->result[1]);
    else
        snprintf(text + used, LINEAR_TEXT_BYTES - (size_t)used, "%#x", call->result[0]);
}

static void print_state(uint64_t state, char text[LINEAR_TEXT_BYTES]) {
    snprintf(text, LINEAR_TEXT_BYTES, "generation %u, %#x%s%s%s", (unsigned)(state >> 32),
             (unsigned)(state & STRIPES), state & LOCKED ? " locked" : "",
             state & WAITERS ? " waiters" : "", state & CLOSING ? " closing" : "");
}

const struct linear_spec life_spec = {
    .name = "life word",
    .apply = apply,
    .is_pure = is_pure,
    .print_call = print_call,
    .print_state = print_state,
};
