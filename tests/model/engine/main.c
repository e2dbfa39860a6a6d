/* SPDX-License-Identifier: MIT */
/*
 * main: all executions of the program that this is linked with, whose own main is model_main by
 * then.
 */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An argument: so many executions at most. */
int main(int argc, char **argv) {
    const char *slash = strrchr(argv[0], '/');
    bool all;

    engine_start(slash ? slash + 1 : argv[0]);
    all = engine_explore(model_main, argc > 1 ? strtoul(argv[1], NULL, 0) : 0, NULL);
    printf("%s: ", engine->program);
    engine_print_counts();
    printf("%s: %s\n", engine->program, all ? "that is all" : "stopped there, there are more");
    return 0;
}
