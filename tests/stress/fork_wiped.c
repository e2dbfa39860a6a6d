/* SPDX-License-Identifier: MIT */
/*
 * A handler of signals forks in the middle of reserves, commits and releases of a manager with
 * fork=wipe, and the child goes on with the call that was interrupted, and with others. What it is
 * given is accessible, what it gives back traps, and no guard is found missing.
 */
#define _GNU_SOURCE
#include <moat/moat.h>
#include <moat/report.h>

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILDREN = 200, REGIONS = 64, CALLS_OF_CHILD = 300, PAGE = MOAT_PAGE_BYTES, PAGES_MAX = 40 };

/* ThreadSanitizer's own part of a fork allocates, and it reports that of a handler. */
#ifdef __SANITIZE_THREAD__
#define TSAN true
#elif defined(__has_feature)
#define TSAN __has_feature(thread_sanitizer)
#else
#define TSAN false
#endif

static volatile sig_atomic_t in_child, children, bad_children;
static _Atomic unsigned findings;

static void set_timer(long microseconds) {
    const struct itimerval once = {.it_value.tv_usec = microseconds};
    setitimer(ITIMER_REAL, &once, NULL);
}

static void fork_here(int number) {
    int status = 0;

    (void)number;
    if (in_child)
        return;
    pid_t process = fork();
    if (process == 0) {
        in_child = 1;
        return;
    }
    while (waitpid(process, &status, 0) < 0)
        continue;
    children++;
    bad_children += status != 0;
    set_timer(30 + rand() % 400);
}

static void count_finding(const struct moat_finding *finding, void *unused) {
    (void)unused;
    findings++;
    if (write(STDERR_FILENO, finding->text, finding->length) < 0)
        abort();
}

static bool traps(const void *page, int ends[2]) {
    char byte;
    if (write(ends[1], page, 1) != 1)
        return true;
    (void)!read(ends[0], &byte, 1);
    return false;
}

/* One region comes, is written, and another one goes. */
static bool one_step(struct moat_manager *manager, void **slot, unsigned *seed, int ends[2]) {
    size_t size = (size_t)PAGE * (1 + (unsigned)rand_r(seed) % PAGES_MAX);
    uint32_t flags = rand_r(seed) & 1 ? MOAT_RESERVE_COMMIT : 0;

    if (*slot && (moat_release(manager, *slot) || !traps(*slot, ends)))
        return false;
    *slot = NULL;
    if (moat_reserve(manager, NULL, size, MOAT_PAGE_READWRITE, flags, slot))
        return false;
    if (!flags && moat_commit(manager, *slot, size, MOAT_PAGE_READWRITE, NULL))
        return false;
    memset(*slot, 1, size);
    return true;
}

int main(void) {
    const struct sigaction action = {.sa_handler = fork_here};
    struct moat_options options;
    struct moat_manager *manager;
    void *slots[REGIONS] = {0};
    unsigned seed = 1, calls = 0;
    int ends[2];

    if (TSAN) {
        puts("under ThreadSanitizer no handler may fork: nothing was tried");
        return 77;
    }
    moat_options_init(&options);
    options.fork = MOAT_FORK_WIPE;
    options.report_function = count_finding;
    if (moat_manager_create(&options, &manager) || pipe(ends) || sigaction(SIGALRM, &action, NULL))
        return EXIT_FAILURE;
    set_timer(300);
    while (children < CHILDREN) {
        if (!one_step(manager, &slots[(unsigned)rand_r(&seed) % REGIONS], &seed, ends)) {
            fprintf(stderr, "%s: %s\n", in_child ? "child" : "parent", moat_last_error_text());
            _exit(EXIT_FAILURE);
        }
        if (in_child && ++calls > CALLS_OF_CHILD)
            _exit(findings == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    set_timer(0); /* what runs at the end of a process is not made to be forked */
    printf("%d children, %d of them failed\n", (int)children, (int)bad_children);
    return bad_children == 0 && findings == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
