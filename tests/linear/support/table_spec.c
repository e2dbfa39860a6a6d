/* SPDX-License-Identifier: MIT */
/* table_spec: find, insert, erase and replace of one key. */
#include "table_spec.h"

#include <stdio.h>

static bool apply(const struct linear_call *call, uint64_t state, uint64_t *after) {
    bool pending = call->end == LINEAR_NEVER;
    uint32_t result = call->result[0];
    bool there = state == call->argument[0];

    *after = state;
    switch (call->kind) {
    case TABLE_FIND:
        return pending || result == state;
    case TABLE_INSERT:
        if (!pending && !result)
            return true;
        *after = call->argument[0];
        return state == 0;
    case TABLE_ERASE:
        if (there)
            *after = 0;
        return pending || result == there;
    default:
        if (there)
            *after = call->argument[1];
        return pending || result == there;
    }
}

static bool is_pure(const struct linear_call *call) {
    if (call->end == LINEAR_NEVER)
        return false;
    return call->kind == TABLE_FIND || call->result[0] == 0;
}

static void print_call(const struct linear_call *call, char text[LINEAR_TEXT_BYTES]) {
    const char *verb = call->kind == TABLE_INSERT ? "insert" : "erase";
    size_t size = LINEAR_TEXT_BYTES, used;
    const uint32_t *argument = call->argument;

    if (call->kind == TABLE_FIND)
        used = (size_t)snprintf(text, size, "find()");
    else if (call->kind == TABLE_REPLACE)
        used = (size_t)snprintf(text, size, "replace(%u by %u)", argument[0], argument[1]);
    else
        used = (size_t)snprintf(text, size, "%s(%u)", verb, argument[0]);
    if (call->end == LINEAR_NEVER)
        snprintf(text + used, size - used, " did not return");
    else if (call->kind == TABLE_FIND)
        snprintf(text + used, size - used, " = %u", call->result[0]);
    else
        snprintf(text + used, size - used, " = %s", call->result[0] ? "true" : "false");
}

static void print_state(uint64_t state, char text[LINEAR_TEXT_BYTES]) {
    if (state)
        snprintf(text, LINEAR_TEXT_BYTES, "%llu is there", (unsigned long long)state);
    else
        snprintf(text, LINEAR_TEXT_BYTES, "nothing is there");
}

const struct linear_spec table_spec = {
    .name = "table",
    .apply = apply,
    .is_pure = is_pure,
    .print_call = print_call,
    .print_state = print_state,
};
