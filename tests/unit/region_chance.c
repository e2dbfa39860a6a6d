/* SPDX-License-Identifier: MIT */
/*
 * chance: no number comes twice, none is favoured, and a forked child has numbers of its own.
 *
 * Bounds lie so far out that honest chance does not reach them once in 10^12 runs.
 */
#define _GNU_SOURCE
#include "region/chance.h"
#include "region/region.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DRAWS = 1 << 16, THREADS = 4 };

static int compare(const void *a, const void *b) {
    uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;
    return first < second ? -1 : first > second;
}

static void check_distinct(uint64_t *draws, size_t count) {
    qsort(draws, count, sizeof *draws, compare);
    for (size_t i = 1; i < count; i++)
        cr_assert_neq(draws[i], draws[i - 1]);
}

static void start(void) {
    cr_assert_eq(moat_region_start(), MOAT_OK);
}

Test(region_chance, every_bit_is_set_half_of_the_time, .init = start) {
    static unsigned set[64];
    for (unsigned i = 0; i < DRAWS; i++) {
        uint64_t draw = moat_chance_draw();
        for (unsigned bit = 0; bit < 64; bit++)
            set[bit] += (unsigned)(draw >> bit & 1);
    }
    /* The standard deviation is 128. */
    for (unsigned bit = 0; bit < 64; bit++)
        cr_assert(abs((int)set[bit] - DRAWS / 2) < 1300, "bit %u: %u", bit, set[bit]);
}

Test(region_chance, below_a_bound_every_number_comes, .init = start) {
    for (uint32_t bound = 1; bound <= 64; bound++) {
        unsigned seen[64] = {0};
        for (unsigned i = 0; i < 1000 * bound; i++) {
            uint32_t number = moat_chance_below((uint32_t)moat_chance_draw(), bound);
            cr_assert_lt(number, bound);
            seen[number]++;
        }
        /* About 1000 of each, give or take 32. */
        for (uint32_t number = 0; number < bound; number++)
            cr_assert(seen[number] > 650 && seen[number] < 1350, "%u of %u: %u", number, bound,
                      seen[number]);
    }
}

static void *draw_many(void *into) {
    uint64_t *draws = into;
    for (unsigned i = 0; i < DRAWS; i++)
        draws[i] = moat_chance_draw();
    return NULL;
}

Test(region_chance, threads_that_draw_at_once_get_different_numbers, .init = start) {
    static uint64_t draws[THREADS][DRAWS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, draw_many, draws[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    check_distinct(&draws[0][0], (size_t)THREADS * DRAWS);
}

/* 64 draws each of this process and of two children, one after the other's fork. */
static void check_children(pid_t (*make)(void)) {
    enum { EACH = 64, FAMILY = 3 };
    uint64_t draws[FAMILY * EACH];

    (void)moat_chance_draw();
    for (int child = 0; child + 1 < FAMILY; child++) {
        int ends[2];
        cr_assert_eq(pipe(ends), 0);
        pid_t id = make();
        cr_assert_geq(id, 0);
        if (id == 0) {
            uint64_t mine[EACH];
            for (int i = 0; i < EACH; i++)
                mine[i] = moat_chance_draw();
            _exit(write(ends[1], mine, sizeof mine) == (ssize_t)sizeof mine ? 0 : 1);
        }
        cr_assert_eq(read(ends[0], &draws[child * EACH], EACH * sizeof *draws),
                     (ssize_t)(EACH * sizeof *draws));
        int status;
        cr_assert_eq(waitpid(id, &status, 0), id);
        cr_assert_eq(status, 0);
        close(ends[0]);
        close(ends[1]);
    }
    for (int i = 0; i < EACH; i++)
        draws[(FAMILY - 1) * EACH + i] = moat_chance_draw();
    check_distinct(draws, FAMILY * EACH);
}

static pid_t fork_plainly(void) {
    return fork();
}

/* The C library does not know, and so runs no handler. */
static pid_t fork_unseen(void) {
    return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

Test(region_chance, a_forked_child_has_numbers_of_its_own, .init = start) {
    check_children(fork_plainly);
}

Test(region_chance, and_so_has_one_that_nobody_was_told_of, .init = start) {
    check_children(fork_unseen);
}
