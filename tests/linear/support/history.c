/* SPDX-License-Identifier: MIT */
/* history: stamps, and logs of one thread each. */
#include "history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Alignas(64) _Atomic uint64_t linear_now = 1;

void linear_log_open(struct linear_log *log, uint16_t thread, size_t room) {
    *log = (struct linear_log){.call = calloc(room, sizeof *log->call), .room = room};
    log->thread = thread;
    if (!log->call)
        abort();
}

void linear_log_close(struct linear_log *log) {
    free(log->call);
    *log = (struct linear_log){0};
}

struct linear_call *linear_start(struct linear_log *log, unsigned kind, uint64_t key,
                                 const uint32_t argument[LINEAR_ARGUMENTS]) {
    if (log->count == log->room) {
        fprintf(stderr, "a log is full\n");
        abort();
    }
    struct linear_call *call = &log->call[log->count++];

    *call = (struct linear_call){
        .end = LINEAR_NEVER, .key = key, .kind = (uint16_t)kind, .thread = log->thread};
    memcpy(call->argument, argument, sizeof call->argument);
    call->start = atomic_fetch_add_explicit(&linear_now, 1, memory_order_acquire);
    return call;
}

void linear_end(struct linear_call *call, uint32_t result, uint32_t more) {
    call->end = atomic_fetch_add_explicit(&linear_now, 1, memory_order_release);
    call->result[0] = result;
    call->result[1] = more;
}

void linear_forget(struct linear_log *log) {
    log->count--;
}
