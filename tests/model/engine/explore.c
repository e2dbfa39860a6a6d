/* SPDX-License-Identifier: MIT */
/*
 * explore: all executions of a program.
 */
#include "engine.h"

#include <stdlib.h>

void engine_start(const char *program) {
    memory_start();
    threads_start();
    races_start();
    engine->program = program;
}

bool engine_explore(int (*body)(void), unsigned long limit, void (*done)(void)) {
    bool more = true;

    engine->body = body;
    engine->complete = engine->blocked = engine->revisits = engine->steps = 0;
    engine->plain_accesses = 0;
    engine->failure[0] = '\0';
    engine->graph.word_count = 0;
    visit_forget();
    graph_cut(0);
    while (more && engine->failure[0] == '\0') {
        if (threads_run() && done)
            done();
        more = visit_next();
        if (limit != 0 && engine->complete + engine->blocked >= limit)
            break;
    }
    return !more;
}
