/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "probe.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    PAGE = 4096,
    WARM = 40,       /* lives: thresholds that adapt have adapted, caches are filled */
    LIVE = 8,        /* neighbours; the worst of them is told */
    NEAR_PAGES = 16, /* how far from an end a trap is looked for */
    LATER_MS = 300,  /* how long a trap after a free is waited for */
    CHILD_SECONDS = 10,
};

static const struct allocator *allocator;
static size_t size;
static char *answer; /* of a child: shared with it */

static char *take(void) {
    char *memory = allocator->take(size);
    if (memory == NULL) {
        snprintf(answer, PAGE, "no memory");
        _exit(0);
    }
    return memory;
}

static void warm_up(void) {
    for (int i = 0; i < WARM; i++) {
        char *memory = take();
        memset(memory, 0xa5, size);
        allocator->give(memory, size);
    }
}

/* Whether a read would trap: the kernel is asked to read it. */
static bool traps(const char *address) {
    static int ends[2];
    char byte;

    if (ends[1] == 0 && pipe(ends) != 0)
        abort();
    if (write(ends[1], address, 1) == 1)
        return read(ends[0], &byte, 1) != 1;
    return errno == EFAULT;
}

static size_t trapping_pages(const char *memory) {
    size_t count = 0;
    for (size_t at = 0; at < size; at += PAGE)
        count += traps(memory + at);
    return count;
}

/* The answer stands if the access ends this process. */
static void read_for_real(const char *address, const char *words) {
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    snprintf(answer, PAGE, "%s", words);
    (void)*(const volatile char *)address;
    snprintf(answer, PAGE, "no signal");
}

static void ask_after_free(void) {
    const size_t pages = size / PAGE;
    char *memory = take();

    memset(memory, 0x5a, size);
    allocator->give(memory, size);
    size_t count = trapping_pages(memory);
    if (count == pages) {
        read_for_real(memory, "at once");
        return;
    }
    for (int waited = 0; waited < LATER_MS; waited++) {
        nanosleep(&(struct timespec){0, 1000000}, NULL);
        if (traps(memory) && trapping_pages(memory) == pages) {
            read_for_real(memory, "later");
            return;
        }
    }
    snprintf(answer, PAGE, count == 0 ? "no" : "partly");
}

/* The pages that can be read from `first` on, in steps of one page, before one traps. */
static int readable_pages(const char *first, ptrdiff_t step) {
    int count = 0;
    while (count <= NEAR_PAGES && !traps(first + count * step))
        count++;
    return count;
}

static void ask_beside(bool past) {
    char *live[LIVE];
    int worst = 0;
    const char *at = NULL;

    for (int i = 0; i < LIVE; i++)
        live[i] = take();
    for (int i = 0; i < LIVE; i++) {
        const char *first = past ? live[i] + size : live[i] - 1;
        ptrdiff_t step = past ? PAGE : -PAGE;
        int count = readable_pages(first, step);
        if (count >= worst) {
            worst = count;
            at = first + count * step;
        }
    }
    if (worst > NEAR_PAGES) {
        snprintf(answer, PAGE, "no");
        return;
    }
    char words[64] = "at once";
    if (worst > 0)
        snprintf(words, sizeof words, "after %d page%s", worst, worst == 1 ? "" : "s");
    read_for_real(at, words);
}

static void ask_before(void) {
    ask_beside(false);
}

static void ask_past(void) {
    ask_beside(true);
}

static void ask_zero(void) {
    snprintf(answer, PAGE, "yes");
    for (int i = 0; i < WARM; i++) {
        char *memory = take();
        for (size_t at = 0; at < size; at++)
            if (memory[at] != 0)
                snprintf(answer, PAGE, "no");
        memset(memory, 0xa5, size);
        allocator->give(memory, size);
    }
}

static void ask_double_free(void) {
    char *memory = take();

    allocator->give(memory, size);
    if (!allocator->give(memory, size)) {
        snprintf(answer, PAGE, "refused");
        return;
    }
    snprintf(answer, PAGE, "silent");
    for (int i = 0; i < WARM; i++) {
        char *one = take(), *other = take();
        if (one < other + size && other < one + size)
            snprintf(answer, PAGE, "given out twice");
        allocator->give(one, size);
        if (one != other)
            allocator->give(other, size);
    }
}

/* A child's answer to one question; how it ended, where it was not meant to. */
static void put_to_child(const char *name, void (*ask)(void), bool access) {
    int status = 0;

    snprintf(answer, PAGE, "nothing");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        int silent = memfd_create("complaints", 0); /* of allocators about their last words */
        dup2(silent, STDERR_FILENO);
        alarm(CHILD_SECONDS);
        warm_up();
        ask();
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        snprintf(answer, PAGE, "unknown");
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        snprintf(answer, PAGE, "hangs");
    else if (WIFSIGNALED(status) && !access)
        snprintf(answer, PAGE, "%ssignal %s", answer[0] == 'n' ? "" : "silent, later ",
                 sigabbrev_np(WTERMSIG(status)));
    printf("\t%s=%s", name, answer);
}

void probe(const struct allocator *probed, size_t probed_size) {
    allocator = probed;
    size = probed_size;
    answer = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (answer == MAP_FAILED)
        return;
    put_to_child("after_free", ask_after_free, true);
    put_to_child("before", ask_before, true);
    put_to_child("past", ask_past, true);
    put_to_child("zero", ask_zero, false);
    put_to_child("double_free", ask_double_free, false);
    printf("\n");
}
