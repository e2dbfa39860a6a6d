/* SPDX-License-Identifier: MIT */
/* product: which faults there are to try, and the sums of what was tried. */
#define _GNU_SOURCE
#include "product.h"

#include "trial.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* Every errno is tried with the first few calls of a row, and the likeliest one with some more, and
 * then with the 16th, the 32nd and so on; but with `full` each is tried with all. */
enum { OFTEN = 2, LESS_OFTEN = 8, PAIRED = 150, FINDINGS_MAX = 20 };

static struct {
    bool full;
    bool loud;
    const char *only;
    unsigned share; /* one in so many of the double faults is tried */
} wish = {.share = 100};

static struct {
    unsigned operations, trials, pairs, refused, findings;
    unsigned rows; /* that occurred */
    unsigned deepest;
    bool met[256];
    bool errors[256];
} sums;

static void report(const struct trial *trial, const struct verdict *verdict) {
    sums.findings++;
    fprintf(stderr, "%s [%s]", trial->operation->name, trial->options);
    for (unsigned i = 0; i < PLANS_MAX && trial->plans[i].step; i++)
        fprintf(stderr, "; %s", steps_plan_text(&trial->plans[i]));
    fprintf(stderr, ":\n    %s\n", verdict->text);
    if (sums.findings == FINDINGS_MAX)
        exit(EXIT_FAILURE);
}

static void note_calls(void) {
    for (unsigned step = 1; step <= steps->count && step < STEPS_MAX; step++)
        if (steps->row[step] && !sums.met[steps->row[step]]) {
            sums.met[steps->row[step]] = true;
            sums.rows++;
        }
    sums.deepest = steps->count > sums.deepest ? steps->count : sums.deepest;
}

static bool try_one(struct trial *trial) {
    if (wish.loud && trial->plans[0].step)
        fprintf(stderr, "%s [%s] %s\n", trial->operation->name, trial->options,
                steps_plan_text(&trial->plans[0]));
    const struct verdict *verdict = trial_run(trial);

    sums.trials++;
    sums.refused += verdict->refused;
    for (unsigned i = 0; i < PLANS_MAX; i++)
        sums.errors[trial->plans[i].error & 255] |= trial->plans[i].step != 0;
    if (!verdict->good)
        report(trial, verdict);
    note_calls();
    return verdict->good;
}

/* What is known of one call of the undisturbed run. */
struct step {
    unsigned number;
    unsigned nth; /* of its row, from 1 */
    const struct call_row *row;
    bool large;
};

static void fail(struct trial *trial, const struct step *step, int error, enum way way, int times,
                 enum scope scope) {
    trial->plans[0] = (struct plan){step->number, error, way, scope, times};
    (void)try_one(trial);
}

/* All ways in which one call can fail, or answer less. */
static void fail_step(struct trial *trial, const struct step *step) {
    const struct call_row *row = step->row;
    bool all = wish.full || step->nth <= OFTEN;
    bool some = all || step->nth <= LESS_OFTEN || (step->nth & (step->nth - 1)) == 0;

    if (!some)
        return;
    for (unsigned i = 0; i < ROW_ERRORS_MAX && row->errors[i] && (i == 0 || all); i++)
        fail(trial, step, row->errors[i], WAY_UNDONE, 1, SCOPE_ROW);
    if (row->errors[0])
        fail(trial, step, row->errors[0], WAY_UNDONE, FOR_EVER, SCOPE_ROW);
    if (row->errors[0] == ENOMEM)
        fail(trial, step, ENOMEM, WAY_UNDONE, FOR_EVER, SCOPE_MEMORY);
    for (int way = WAY_HALF; way < WAY_LIE; way++)
        if (row->ways & 1u << way && (way != WAY_HALF || step->large))
            fail(trial, step, way < WAY_SHORT ? row->errors[0] : 0, (enum way)way, 1, SCOPE_ROW);
    for (unsigned i = 0; i < 3 && row->passing[i] && all; i++)
        for (int times = 1; times <= 3; times += 2)
            fail(trial, step, row->passing[i], WAY_UNDONE, times, SCOPE_ROW);
}

/* The calls of the last trial. */
static unsigned read_steps(struct step list[STEPS_MAX]) {
    static unsigned nths[256];
    unsigned count = 0;

    memset(nths, 0, sizeof nths);
    for (unsigned number = 1; number <= steps->count && number < STEPS_MAX; number++) {
        unsigned row = steps->row[number];
        list[count++] =
            (struct step){number, ++nths[row], &call_rows[row - 1], steps->large[number] != 0};
    }
    return count;
}

/* Chosen by chance, and the same in every run. */
static bool is_chosen(const struct trial *trial, unsigned first, unsigned second) {
    unsigned hash = 2166136261u;

    for (const char *at = trial->operation->name; *at; at++)
        hash = (hash ^ (unsigned char)*at) * 16777619u;
    hash = (hash ^ first * 977u ^ second * 131071u) * 16777619u;
    return (hash >> 7) % wish.share == 0;
}

/* Another call fails after the first one did: while things are undone, or done otherwise. */
static void fail_twice(struct trial *trial, const struct step *list, unsigned count) {
    static struct step seconds[STEPS_MAX];

    for (unsigned i = 0; i < count; i++) {
        if (list[i].row->errors[0] == 0 || (list[i].nth > LESS_OFTEN && !wish.full))
            continue;
        trial->plans[0] =
            (struct plan){list[i].number, list[i].row->errors[0], WAY_UNDONE, SCOPE_ROW, 1};
        trial->plans[1] = (struct plan){0};
        if (!trial_run(trial)->good) /* reported before */
            continue;
        unsigned more = read_steps(seconds);
        for (unsigned k = list[i].number; k < more && (wish.full || k < PAIRED); k++) {
            if (seconds[k].row->errors[0] == 0 || (seconds[k].nth > LESS_OFTEN && !wish.full) ||
                !is_chosen(trial, i, k))
                continue;
            trial->plans[1] = (struct plan){seconds[k].number, seconds[k].row->errors[0],
                                            WAY_UNDONE, SCOPE_ROW, k % 2 ? 1 : FOR_EVER};
            sums.pairs++;
            (void)try_one(trial);
        }
    }
    trial->plans[1] = (struct plan){0};
}

/* Seconds of the processor that all trials took; machines are shared. */
static double seconds(void) {
    struct rusage used;
    getrusage(RUSAGE_CHILDREN, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void try_operation(const struct operation *operation, const char *options) {
    static struct step list[STEPS_MAX];
    struct trial trial = {.operation = operation, .options = options};
    unsigned before = sums.trials;

    if (wish.only && !strstr(operation->name, wish.only))
        return;
    double start = seconds();
    sums.operations++;
    if (!try_one(&trial))
        return;
    unsigned count = read_steps(list);
    for (unsigned i = 0; i < count; i++)
        fail_step(&trial, &list[i]);
    fail_twice(&trial, list, count);
    printf("%-34s %-28s %4u calls %6u trials %7.2f s\n", operation->name, options, count,
           sums.trials - before, seconds() - start);
    fflush(stdout);
}

static unsigned count_errors(void) {
    unsigned count = 0;
    for (unsigned error = 1; error < 256; error++)
        count += sums.errors[error];
    return count;
}

static int usage(const char *name) {
    fprintf(stderr,
            "usage: %s [full] [share N] [only WORD] [loud]\n"
            "  full   every errno with every call, not with the first %d of a row alone\n"
            "  share  one in N of the pairs of faults; 1: all (%u)\n",
            name, OFTEN, wish.share);
    return EXIT_FAILURE;
}

int product_main(int count, char **arguments, const struct group *groups, size_t group_count) {
    for (int i = 1; i < count; i++)
        if (strcmp(arguments[i], "full") == 0)
            wish.full = true;
        else if (strcmp(arguments[i], "loud") == 0)
            wish.loud = true;
        else if (strcmp(arguments[i], "only") == 0 && i + 1 < count)
            wish.only = arguments[++i];
        else if (strcmp(arguments[i], "share") == 0 && i + 1 < count && atoi(arguments[i + 1]) > 0)
            wish.share = (unsigned)atoi(arguments[++i]);
        else
            return usage(arguments[0]);
    if (!kernel_tells_markers()) {
        printf("this kernel has no markers, or does not tell which pages carry them\n");
        return 77;
    }
    trial_start();
    for (size_t i = 0; i < group_count; i++)
        for (const char *const *options = groups[i].options; *options; options++)
            for (size_t k = 0; k < groups[i].count; k++)
                try_operation(&groups[i].operations[k], *options);
    printf("%u operations, %u trials (%u of them with two faults): %u kinds of calls, %u errnos, "
           "up to the %u%s call; %u refused, %u findings\n",
           sums.operations, sums.trials, sums.pairs, sums.rows, count_errors(), sums.deepest, "th",
           sums.refused, sums.findings);
    return sums.findings || !sums.operations ? EXIT_FAILURE : EXIT_SUCCESS;
}
