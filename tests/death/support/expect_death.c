/* SPDX-License-Identifier: MIT */
/*
 * expect_death: fork, a pipe that tells what the child is about to touch and where it died.
 */
#define _GNU_SOURCE
#include "expect_death.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

const char *const kinds[KINDS] = {"trap=auto", "trap=protect", "backend=mimalloc"};

/* How children end that were not killed by their touch. */
enum { ALIVE = 0, SCENE_FAILED = 3, SKIPPED = 4 };

static int report_to; /* of the child: the target first, then where it died */
static unsigned failures, tried, skipped;

static void report(const void *address) {
    uintptr_t number = (uintptr_t)address;
    if (write(report_to, &number, sizeof number) != (ssize_t)sizeof number)
        _exit(SCENE_FAILED);
}

static void on_fault(int number, siginfo_t *info, void *context) {
    (void)context;
    report(info->si_addr);
    /* The fault comes again and kills. */
    signal(number, SIG_DFL);
}

void must(bool holds, const char *what) {
    if (holds)
        return;
    fprintf(stderr, "scene: %s: %s\n", what, moat_last_error_text());
    _exit(SCENE_FAILED);
}

unsigned char *must_reserve(struct moat_manager *manager, size_t size, bool commit) {
    void *base;
    must(moat_reserve(manager, NULL, size, MOAT_PAGE_READWRITE, commit ? MOAT_RESERVE_COMMIT : 0,
                      &base) == MOAT_OK,
         "reserve");
    return base;
}

void about_to_touch(const unsigned char *target) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    static bool told;
    if (told)
        return;
    told = true;
    must(sigaction(SIGSEGV, &action, NULL) == 0, "sigaction");
    report(target);
}

void touch_byte(unsigned char *target, enum touch touch) {
    volatile unsigned char *byte = target;
    void (*function)(void);
    switch (touch) {
    case TOUCH_READ:
        (void)*byte;
        break;
    case TOUCH_WRITE:
        *byte = 1;
        break;
    case TOUCH_EXECUTE:
        memcpy(&function, &target, sizeof function);
        function();
    }
}

static void play(const char *text, unsigned char *(*set)(const struct scene *), size_t size,
                 enum touch touch) {
    struct moat_options options;
    struct scene scene = {.size = size};
    struct rlimit none = {0, 0};

    setrlimit(RLIMIT_CORE, &none);
    moat_options_init(&options);
    must(moat_options_parse(&options, text, NULL, 0) == MOAT_OK, text);
    enum moat_status status = moat_manager_create(&options, &scene.manager);
    if (status == MOAT_NOT_SUPPORTED)
        _exit(SKIPPED);
    must(status == MOAT_OK, "manager");
    unsigned char *target = set(&scene);
    must(target != NULL, "no target");
    about_to_touch(target);
    touch_byte(target, touch);
    _exit(ALIVE);
}

/* What the child told: the target, and where it died; 0 for what it did not tell. */
static void listen_to(int end, uintptr_t told[static 2]) {
    told[0] = told[1] = 0;
    for (int i = 0; i < 2 && read(end, &told[i], sizeof told[i]) == (ssize_t)sizeof told[i]; i++)
        continue;
}

static void judge(const char *text, size_t size, enum touch touch, bool death, int status,
                  const uintptr_t told[static 2]) {
    static const char *const verbs[] = {"read", "write", "execute"};
    bool died = WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV && told[0] && told[0] == told[1];
    bool lived = WIFEXITED(status) && WEXITSTATUS(status) == ALIVE && told[0] && !told[1];

    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
        skipped++;
        return;
    }
    tried++;
    if (death ? died : lived)
        return;
    failures++;
    fprintf(stderr, "FAIL %s, %zu bytes, %s of %#lx: expected %s; %s %d, fault at %#lx\n", text,
            size, verbs[touch], (unsigned long)told[0], death ? "death" : "life",
            WIFEXITED(status) ? "exited with" : "killed by",
            WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), (unsigned long)told[1]);
}

static void expect(const char *text, unsigned char *(*set)(const struct scene *), size_t size,
                   enum touch touch, bool death) {
    int ends[2], status;
    uintptr_t told[2];
    if (pipe(ends) != 0)
        abort();
    pid_t child = fork();
    if (child < 0)
        abort();
    if (child == 0) {
        close(ends[0]);
        report_to = ends[1];
        play(text, set, size, touch);
    }
    close(ends[1]);
    listen_to(ends[0], told);
    close(ends[0]);
    if (waitpid(child, &status, 0) != child)
        abort();
    judge(text, size, touch, death, status, told);
}

void expect_death(const char *options, unsigned char *(*set)(const struct scene *), size_t size,
                  enum touch touch) {
    expect(options, set, size, touch, true);
}

void expect_life(const char *options, unsigned char *(*set)(const struct scene *), size_t size,
                 enum touch touch) {
    expect(options, set, size, touch, false);
}

int end_expectations(void) {
    printf("%u touches, %u not as expected, %u skipped\n", tried, failures, skipped);
    return failures == 0 && tried > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
