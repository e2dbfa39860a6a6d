/* SPDX-License-Identifier: MIT */
/* region_spec: eight kinds of calls, and the two views of a history. */
#include "region_spec.h"

#include <moat/status.h>

#include <stdio.h>
#include <stdlib.h>

#define LIVES        UINT64_C(1)
#define UNIT_SHIFT   1
#define UNIT_BITS    3
#define HOLDER_SHIFT (UNIT_SHIFT + UNIT_BITS * REGION_UNITS)
#define HOLDER_MASK  (UINT64_C(15) << HOLDER_SHIFT)
#define DEPTH_SHIFT  (HOLDER_SHIFT + 4)
#define DEPTH_ONE    (UINT64_C(1) << DEPTH_SHIFT)

static enum region_unit unit_of(uint64_t state, uint32_t unit) {
    if (!(state & LIVES))
        return UNIT_FREE;
    return (enum region_unit)(state >> (UNIT_SHIFT + UNIT_BITS * unit) & 7);
}

static uint64_t with_units(uint64_t state, uint32_t first, uint32_t count, uint32_t what) {
    for (uint32_t unit = first; unit < first + count; unit++) {
        state &= ~(UINT64_C(7) << (UNIT_SHIFT + UNIT_BITS * unit));
        state |= (uint64_t)what << (UNIT_SHIFT + UNIT_BITS * unit);
    }
    return state;
}

/* 1 and more: the thread that has it locked. */
static uint32_t holder_of(uint64_t state) {
    return (uint32_t)(state >> HOLDER_SHIFT & 15);
}

static bool all_committed(uint64_t state, const struct linear_call *call) {
    for (uint32_t unit = 0; unit < call->argument[1]; unit++)
        if (unit_of(state, call->argument[0] + unit) == UNIT_RESERVED)
            return false;
    return true;
}

/* What a call on a place without a region answers. */
static enum moat_status refusal_of(unsigned kind) {
    return kind == REGION_COMMIT || kind == REGION_PROTECT ? MOAT_INVALID_ADDRESS : MOAT_NOT_OURS;
}

static uint64_t unlocked(uint64_t state) {
    state -= DEPTH_ONE;
    return state >> DEPTH_SHIFT ? state : state & ~HOLDER_MASK;
}

/* A call on a region that is there, and that no other thread has locked. */
static enum moat_status act(const struct linear_call *call, uint64_t state, uint64_t *after) {
    const uint32_t *argument = call->argument;
    uint64_t self = (uint64_t)call->thread + 1;

    switch (call->kind) {
    case REGION_COMMIT:
        *after = with_units(state, argument[0], argument[1], argument[2]);
        return MOAT_OK;
    case REGION_DECOMMIT:
        *after = with_units(state, argument[0], argument[1], UNIT_RESERVED);
        return MOAT_OK;
    case REGION_PROTECT:
        if (!all_committed(state, call))
            return MOAT_INVALID_ADDRESS;
        *after = with_units(state, argument[0], argument[1], argument[2]);
        return MOAT_OK;
    case REGION_RELEASE:
        *after = 0;
        return MOAT_OK;
    case REGION_LOCK:
        *after = ((state & ~HOLDER_MASK) | self << HOLDER_SHIFT) + DEPTH_ONE;
        return MOAT_OK;
    default: /* REGION_UNLOCK */
        if (holder_of(state) != self)
            return MOAT_NOT_OWNER;
        *after = unlocked(state);
        return MOAT_OK;
    }
}

static bool answers(uint32_t told, enum region_unit unit) {
    return told == UNIT_NOT_FREE ? unit != UNIT_FREE : told == (uint32_t)unit;
}

/* A call that gave up waiting has changed nothing. */
static bool gave_up(const struct linear_call *call) {
    return call->result[0] == MOAT_TIMEOUT || call->result[0] == MOAT_ABANDONED;
}

static bool apply(const struct linear_call *call, uint64_t state, uint64_t *after) {
    bool pending = call->end == LINEAR_NEVER;
    bool foreign = holder_of(state) != 0 && holder_of(state) != call->thread + 1u;
    enum moat_status status;

    *after = state;
    if (call->kind == REGION_QUERY)
        return pending || answers(call->result[1], unit_of(state, call->argument[0]));
    if (!pending && gave_up(call))
        return true;
    if (call->kind == REGION_RESERVE) {
        status = state & LIVES ? MOAT_INVALID_ADDRESS : MOAT_OK;
        if (!status)
            *after = with_units(LIVES, 0, REGION_UNITS, call->argument[2]);
    } else if (!(state & LIVES)) {
        status = refusal_of(call->kind);
    } else if (call->kind == REGION_RELEASE && call->result[1]) {
        status = MOAT_NOT_OWNER;
    } else if (foreign && (call->kind == REGION_RELEASE || call->kind == REGION_UNLOCK)) {
        status = MOAT_NOT_OWNER;
    } else if (foreign) {
        return false;
    } else {
        status = act(call, state, after);
    }
    if (pending)
        return true;
    if (call->kind == REGION_PROTECT && !status && call->result[1] != REGION_UNTOLD &&
        call->result[1] != (uint32_t)unit_of(state, call->argument[0]))
        return false;
    return call->result[0] == (uint32_t)status;
}

static bool is_pure(const struct linear_call *call) {
    return call->kind == REGION_QUERY || call->result[0] != MOAT_OK;
}

static const char *const unit_names[] = {"reserved",  "noaccess", "readonly",
                                         "readwrite", "free",     "reserved (in a release)"};

static void print_call(const struct linear_call *call, char text[LINEAR_TEXT_BYTES]) {
    static const char *const names[] = {"reserve", "commit", "decommit", "protect",
                                        "release", "lock",   "unlock",   "query"};
    size_t size = LINEAR_TEXT_BYTES, used;
    const uint32_t *argument = call->argument;
    uint32_t last = argument[0] + argument[1] - 1;

    used = (size_t)snprintf(text, size, "%s", names[call->kind]);
    if (call->kind == REGION_COMMIT || call->kind == REGION_PROTECT)
        used += (size_t)snprintf(text + used, size - used, " %u-%u %s", argument[0], last,
                                 unit_names[argument[2]]);
    else if (call->kind == REGION_DECOMMIT)
        used += (size_t)snprintf(text + used, size - used, " %u-%u", argument[0], last);
    else if (call->kind == REGION_RESERVE)
        used += (size_t)snprintf(text + used, size - used, " %s", unit_names[argument[2]]);
    if (call->kind == REGION_QUERY)
        snprintf(text + used, size - used, " %u = %s", argument[0], unit_names[call->result[1]]);
    else if (call->kind == REGION_PROTECT && !call->result[0] && call->result[1] != REGION_UNTOLD)
        snprintf(text + used, size - used, " = was %s", unit_names[call->result[1]]);
    else
        snprintf(text + used, size - used, " = %s",
                 moat_status_describe((enum moat_status)call->result[0])->name);
}

static void print_state(uint64_t state, char text[LINEAR_TEXT_BYTES]) {
    char units[REGION_UNITS + 1] = "";

    for (uint32_t unit = 0; unit < REGION_UNITS && state & LIVES; unit++)
        units[unit] = ".nrw"[unit_of(state, unit) & 3];
    if (!(state & LIVES))
        snprintf(text, LINEAR_TEXT_BYTES, "free");
    else if (holder_of(state))
        snprintf(text, LINEAR_TEXT_BYTES, "%s locked by thread %u", units, holder_of(state) - 1);
    else
        snprintf(text, LINEAR_TEXT_BYTES, "%s", units);
}

const struct linear_spec region_spec = {
    .name = "region",
    .apply = apply,
    .is_pure = is_pure,
    .print_call = print_call,
    .print_state = print_state,
};

/* Whether a call overlaps one of this kind, of another thread on the same place, that succeeds or
 * gives up. */
static bool meets(const struct linear_log *log, unsigned logs, const struct linear_call *call,
                  enum region_kind kind) {
    for (unsigned i = 0; i < logs; i++) {
        size_t low = 0, high = log[i].count;

        /* The first that ends after the call starts; those of one thread come in order. */
        while (low < high) {
            size_t middle = low + (high - low) / 2;

            if (log[i].call[middle].end < call->start)
                low = middle + 1;
            else
                high = middle;
        }
        for (; low < log[i].count && log[i].call[low].start < call->end; low++)
            if (log[i].call[low].kind == kind && log[i].call[low].key == call->key &&
                log[i].call[low].thread != call->thread &&
                (log[i].call[low].result[0] == MOAT_OK || gave_up(&log[i].call[low])))
                return true;
    }
    return false;
}

/* The same call, with what is granted to it. */
static struct linear_call granted(const struct linear_log *log, unsigned logs,
                                  const struct linear_call *call) {
    struct linear_call copy = *call;

    if (call->kind == REGION_QUERY && call->result[1] == UNIT_RESERVED &&
        meets(log, logs, call, REGION_RELEASE))
        copy.result[1] = UNIT_NOT_FREE;
    if (call->kind == REGION_RELEASE)
        copy.result[1] = call->result[0] == MOAT_NOT_OWNER && meets(log, logs, call, REGION_LOCK);
    return copy;
}

/* Copy calls without the queries. */
static void take_whole(struct linear_log *to, const struct linear_log *from,
                       const struct linear_log *log, unsigned logs) {
    for (size_t i = 0; i < from->count; i++)
        if (from->call[i].kind != REGION_QUERY)
            to->call[to->count++] = granted(log, logs, &from->call[i]);
}

/* Copy calls once for each unit that they concern, as if they concerned no other. A protect that is
 * refused may be so for another unit; it changes nothing. */
static void take_units(struct linear_log *to, const struct linear_log *from,
                       const struct linear_log *log, unsigned logs) {
    for (size_t i = 0; i < from->count; i++) {
        const struct linear_call *call = &from->call[i];
        bool all = call->kind == REGION_RESERVE || call->kind >= REGION_RELEASE;
        uint32_t first = call->argument[0], count = call->argument[1];

        if (call->kind == REGION_PROTECT && call->result[0] != MOAT_OK && count > 1)
            continue;
        if (all && call->kind != REGION_QUERY)
            first = 0, count = REGION_UNITS;
        for (uint32_t unit = first; unit < first + count; unit++) {
            struct linear_call *copy = &to->call[to->count++];

            *copy = granted(log, logs, call);
            copy->key = call->key * REGION_UNITS + unit;
            copy->argument[0] = unit;
            copy->argument[1] = 1;
            if (call->kind == REGION_PROTECT && unit != first)
                copy->result[1] = REGION_UNTOLD;
        }
    }
}

void region_judge(const struct linear_log *log, unsigned logs, bool quiet, struct linear_sum *sum) {
    struct linear_log whole, units;
    size_t count = 0;

    for (unsigned i = 0; i < logs; i++)
        count += log[i].count;
    linear_log_open(&whole, 0, count + 1);
    linear_log_open(&units, 0, REGION_UNITS * count + 1);
    for (unsigned i = 0; i < logs; i++) {
        take_whole(&whole, &log[i], log, logs);
        take_units(&units, &log[i], log, logs);
    }
    linear_judge(&region_spec, &whole, 1, 0, quiet, sum);
    linear_judge(&region_spec, &units, 1, 0, quiet || sum->violations, sum);
    linear_log_close(&whole);
    linear_log_close(&units);
}
