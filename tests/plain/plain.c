/* SPDX-License-Identifier: MIT */
/*
 * plain: the runner behind this folder's criterion.h.
 *
 *     program [--filter SUITE/TEST] [--except FILE]
 *
 * Each line of such a file is "SUITE/TEST why": a test that is not run here, for that reason.
 *
 * The last line says how many tests there were; the status is 0 when none failed, also where some
 * or all were skipped.
 *
 * Easy to get wrong: what is printed is flushed before each fork, or the child prints it again.
 */
#define _GNU_SOURCE
#include <criterion/criterion.h>

#include <fcntl.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SKIPPED = 77 };

static struct plain_test *tests, **last_test = &tests;
static struct plain_suite *suites;

/* Of the test that this child is. */
static bool has_failed;
static FILE *redirected;

void plain_add_test(struct plain_test *test) {
    *last_test = test;
    last_test = &test->next;
}

void plain_add_suite(struct plain_suite *suite) {
    suite->next = suites;
    suites = suite;
}

static void say(const char *file, int line, const char *what, const char *format, va_list rest) {
    fprintf(stdout, "%s:%d: %s", file, line, what);
    if (format[0] != '\0') {
        fputs(": ", stdout);
        vfprintf(stdout, format, rest);
    }
    fputc('\n', stdout);
    fflush(stdout);
}

void plain_expect_failed(const char *file, int line, const char *what, const char *format, ...) {
    va_list rest;
    va_start(rest, format);
    say(file, line, what, format, rest);
    va_end(rest);
    has_failed = true;
}

void plain_assert_failed(const char *file, int line, const char *what, const char *format, ...) {
    va_list rest;
    va_start(rest, format);
    say(file, line, what, format, rest);
    va_end(rest);
    _exit(EXIT_FAILURE);
}

void plain_skip(const char *format, ...) {
    va_list rest;
    fputs("skipped: ", stdout);
    va_start(rest, format);
    vfprintf(stdout, format, rest);
    va_end(rest);
    fputc('\n', stdout);
    fflush(stdout);
    _exit(SKIPPED);
}

void cr_log_info(const char *format, ...) {
    va_list rest;
    va_start(rest, format);
    vfprintf(stdout, format, rest);
    va_end(rest);
    fputc('\n', stdout);
}

void cr_redirect_stderr(void) {
    char name[] = "/tmp/moat-plain-XXXXXX";
    int file = mkostemp(name, O_APPEND | O_CLOEXEC);
    redirected = fopen(name, "re"); /* an offset of its own */
    unlink(name);
    if (file < 0 || !redirected || dup2(file, STDERR_FILENO) < 0)
        plain_assert_failed(__FILE__, __LINE__, "standard error goes to a file", "");
    close(file);
}

FILE *cr_get_redirected_stderr(void) {
    clearerr(redirected); /* an end that has moved on meanwhile */
    return redirected;
}

static const struct plain_options *options_of_suite(const char *name) {
    static const struct plain_options none;
    for (const struct plain_suite *suite = suites; suite; suite = suite->next)
        if (strcmp(suite->name, name) == 0)
            return suite->options;
    return &none;
}

static void step(void (*function)(void)) {
    if (function)
        function();
}

static int run_in_child(const struct plain_test *test, void *parameter) {
    const struct plain_options *suite = options_of_suite(test->suite);
    step(suite->init);
    step(test->options->init);
    test->run(parameter);
    step(test->options->fini);
    step(suite->fini);
    return has_failed ? EXIT_FAILURE : test->options->exit_code;
}

static struct { unsigned run, failed, skipped; } sums;

static void count(const struct plain_test *test, int state) {
    bool ended = WIFEXITED(state) && test->options->signal == 0 &&
                 WEXITSTATUS(state) == test->options->exit_code;
    bool killed = WIFSIGNALED(state) && WTERMSIG(state) == test->options->signal;

    sums.run++;
    if (ended || killed)
        return;
    if (WIFEXITED(state) && WEXITSTATUS(state) == SKIPPED) {
        sums.skipped++;
        return;
    }
    sums.failed++;
    printf("FAILED %s/%s", test->suite, test->name);
    if (WIFSIGNALED(state))
        printf(" by signal %d", WTERMSIG(state));
    putchar('\n');
}

static void run(const struct plain_test *test, void *parameter) {
    int state;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        exit(run_in_child(test, parameter));
    if (child < 0 || waitpid(child, &state, 0) != child) {
        perror("plain: fork");
        exit(EXIT_FAILURE);
    }
    count(test, state);
}

/* Why a test is not run; "" when it is. Until the next such call. */
static const char *exception(const char *list, const char *name) {
    static char line[256];
    size_t length = strlen(name);
    bool found = false;
    FILE *file = list ? fopen(list, "re") : NULL;

    if (!file) {
        if (list)
            plain_assert_failed(__FILE__, __LINE__, list, "cannot be read");
        return "";
    }
    while (!found && fgets(line, sizeof line, file))
        found = strncmp(line, name, length) == 0 && line[length] == ' ';
    fclose(file);
    if (!found)
        return "";
    line[strcspn(line, "\n")] = '\0';
    return line + length;
}

static void run_all(const struct plain_test *test) {
    if (!test->parameters) {
        run(test, NULL);
        return;
    }
    struct criterion_test_params all = test->parameters();
    for (size_t i = 0; i < all.length; i++)
        run(test, (unsigned char *)all.params + i * all.size);
}

int main(int argument_count, char **arguments) {
    const char *filter = "*", *list = NULL;
    for (int i = 1; i + 1 < argument_count; i += 2)
        if (strcmp(arguments[i], "--filter") == 0)
            filter = arguments[i + 1];
        else if (strcmp(arguments[i], "--except") == 0)
            list = arguments[i + 1];
    for (const struct plain_test *test = tests; test; test = test->next) {
        char name[256];
        (void)snprintf(name, sizeof name, "%s/%s", test->suite, test->name);
        if (test->options->disabled || fnmatch(filter, name, 0) != 0)
            continue;
        const char *why = exception(list, name);
        if (why[0] == '\0') {
            run_all(test);
            continue;
        }
        printf("skipped: %s:%s\n", name, why);
        sums.run++;
        sums.skipped++;
    }
    printf("%u tests: %u failed, %u skipped\n", sums.run, sums.failed, sums.skipped);
    return sums.failed != 0 || sums.run == 0;
}
