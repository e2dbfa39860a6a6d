/* SPDX-License-Identifier: MIT */
/*
 * bench_fork: what a fork costs a child that uses Moat, by the number of regions: the fork itself,
 * the first call, which mends what the parent's threads may have left half done, and the next one.
 *
 *     moat_bench_fork [most regions, 1000000 by default]
 *     MOAT_OPTIONS=trap=protect moat_bench_fork
 *
 * Regions of 64 KiB with one committed page in each hundredth. A child that never calls Moat pays
 * for the fork alone, which is the kernel's work.
 */
#define _GNU_SOURCE
#include <moat/moat.h>

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 65536, PAGE = 4096, ROUNDS = 7 };

static double *told; /* by children: shared with them */

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static void call(struct moat_manager *manager) {
    void *at;
    if (moat_reserve(manager, NULL, SIZE, MOAT_PAGE_READWRITE, 0, &at) || moat_release(manager, at))
        _exit(1);
}

/* The middle of some numbers. */
static double median(double *numbers) {
    for (unsigned i = 0; i < ROUNDS; i++)
        for (unsigned j = i + 1; j < ROUNDS; j++)
            if (numbers[j] < numbers[i]) {
                double other = numbers[i];
                numbers[i] = numbers[j];
                numbers[j] = other;
            }
    return numbers[ROUNDS / 2];
}

/* False: the kernel does not fork. */
static bool measure(struct moat_manager *manager, unsigned count) {
    double forked[ROUNDS], first[ROUNDS], next[ROUNDS];

    for (unsigned i = 0; i < ROUNDS; i++) {
        int state;
        fflush(NULL);
        double begin = now();
        pid_t child = fork();
        if (child == 0) {
            double start = now();
            call(manager);
            double middle = now();
            call(manager);
            told[0] = middle - start;
            told[1] = now() - middle;
            _exit(0);
        }
        forked[i] = now() - begin;
        if (child < 0) {
            printf("%9u regions: fork is refused: %s\n", count, strerror(errno));
            return false;
        }
        if (waitpid(child, &state, 0) != child || state != 0)
            exit(1);
        first[i] = told[0];
        next[i] = told[1];
    }
    printf("%9u regions: fork %9.3f ms, first call of the child %9.3f ms, next %7.4f ms\n", count,
           median(forked), median(first), median(next));
    return true;
}

int main(int argc, char **argv) {
    unsigned most = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 1000000;
    struct moat_options options;
    struct moat_manager *manager;
    unsigned count = 0;
    char text[1024];

    told = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    moat_options_init(&options);
    if (told == MAP_FAILED || moat_manager_create(&options, &manager))
        return 1;
    moat_options_print(&options, text, sizeof text);
    printf("options: %s; medians of %d\n", text, ROUNDS);
    for (unsigned stop = 1; stop <= most; stop = stop == 1 ? 1000 : stop * 10) {
        for (; count < stop; count++) {
            void *at;
            if (moat_reserve(manager, NULL, SIZE, MOAT_PAGE_READWRITE, 0, &at) ||
                (count % 100 == 0 &&
                 moat_commit(manager, at, PAGE, MOAT_PAGE_READWRITE, NULL) != MOAT_OK)) {
                fprintf(stderr, "%s\n", moat_last_error_text());
                return 1;
            }
            if (count % 100 == 0)
                *(volatile char *)at = 1;
        }
        if (!measure(manager, stop))
            break;
    }
    return 0;
}
