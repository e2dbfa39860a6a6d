/* SPDX-License-Identifier: MIT */
/* expect_text: fork, with standard error in a pipe. */
#define _GNU_SOURCE
#include "expect_text.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SKIPPED = 4, ROOM = 8192 };

static unsigned failures, tried, skipped;

static bool matches(const char *text, const char *pattern) {
    for (; *pattern != '\0'; pattern++) {
        if (*pattern == '#') {
            size_t digits = strspn(text, "0123456789abcdefx");
            if (digits == 0)
                return false;
            text += digits;
        } else if (*pattern == '*') {
            const char stops[] = {pattern[1], '\n', '\0'};
            text += strcspn(text, stops);
        } else if (*text++ != *pattern) {
            return false;
        }
    }
    return *text == '\0';
}

static void play_child(const char *text, void (*play)(const struct scene *scene)) {
    struct moat_options options;
    struct scene scene = {.size = 0};
    struct rlimit none = {0, 0};

    setrlimit(RLIMIT_CORE, &none);
    moat_options_init(&options);
    must(moat_options_parse(&options, text, NULL, 0) == MOAT_OK, text);
    enum moat_status status = moat_manager_create(&options, &scene.manager);
    if (status == MOAT_NOT_SUPPORTED)
        _exit(SKIPPED);
    must(status == MOAT_OK, "manager");
    play(&scene);
    _exit(0);
}

static void read_all(int end, char text[static ROOM]) {
    size_t length = 0;
    ssize_t more;
    while (length < ROOM - 1 && (more = read(end, text + length, ROOM - 1 - length)) > 0)
        length += (size_t)more;
    text[length] = '\0';
}

static bool ended(int status, enum ending ending) {
    if (ending == KILLED)
        return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
    return WIFEXITED(status) && WEXITSTATUS(status) == (int)ending;
}

void expect_text(const char *options, void (*play)(const struct scene *scene), const char *text,
                 enum ending ending) {
    char found[ROOM];
    int ends[2], status;

    if (pipe(ends) != 0)
        abort();
    pid_t child = fork();
    if (child < 0)
        abort();
    if (child == 0) {
        close(ends[0]);
        dup2(ends[1], STDERR_FILENO);
        play_child(options, play);
    }
    close(ends[1]);
    read_all(ends[0], found);
    close(ends[0]);
    if (waitpid(child, &status, 0) != child)
        abort();
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
        skipped++;
        return;
    }
    tried++;
    if (ended(status, ending) && matches(found, text))
        return;
    failures++;
    fprintf(stderr, "FAIL %s: %s %d with\n%sinstead of\n%s\n", options,
            WIFEXITED(status) ? "exited with" : "killed by",
            WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), found, text);
}

int end_texts(void) {
    printf("%u texts, %u not as expected, %u skipped\n", tried, failures, skipped);
    return failures == 0 && tried > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
