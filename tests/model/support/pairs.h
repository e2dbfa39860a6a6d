/* SPDX-License-Identifier: MIT */
/*
 * pairs: which operations have been explored against which?
 *
 * Two operations meet when one begins while another thread is inside the other. Counted over all
 * executions, printed as a matrix; a pair that should have met and did not is a failure.
 *
 * Include explore.h first.
 */
#ifndef MOAT_TESTS_MODEL_PAIRS_H
#define MOAT_TESTS_MODEL_PAIRS_H

#include "explore.h"

#define PAIRS_KINDS_MAX 8

static struct {
    unsigned long execution;     /* that `inside` belongs to */
    int inside[EXPLORE_THREADS]; /* a kind and one more; 0: none */
    unsigned long met[PAIRS_KINDS_MAX][PAIRS_KINDS_MAX];
    bool three[PAIRS_KINDS_MAX][PAIRS_KINDS_MAX][PAIRS_KINDS_MAX]; /* kinds in order */
} pairs;

static void pairs_meet(int a, int b) {
    pairs.met[a][b]++;
    if (a != b)
        pairs.met[b][a]++;
}

/* The running thread begins an operation of this kind, from 0. */
static void pairs_begin(int kind) {
    int self = explorer.running, last = -1;

    if (self < 0)
        return;
    if (pairs.execution != explorer.executions)
        memset(pairs.inside, 0, sizeof(pairs.inside));
    pairs.execution = explorer.executions;
    pairs.inside[self] = kind + 1;
    for (int i = 0; i < EXPLORE_THREADS; i++) {
        int other = pairs.inside[i] - 1;

        if (i == self || other < 0)
            continue;
        pairs_meet(kind, other);
        if (last >= 0) {
            int low = last < other ? last : other, high = last < other ? other : last;

            if (kind < low)
                pairs.three[kind][low][high] = true;
            else
                pairs.three[low][kind < high ? kind : high][kind < high ? high : kind] = true;
        }
        last = other;
    }
}

static void pairs_end(void) {
    if (explorer.running >= 0)
        pairs.inside[explorer.running] = 0;
}

/*
 * Print how often each pair met. Returns 1 if one never did.
 *
 *   never   pairs that cannot meet, a set of bits for each kind
 */
static int pairs_report(const char *const *name, int kinds, const unsigned *never) {
    unsigned triples = 0, missing = 0;

    printf("\nmet      ");
    for (int b = 0; b < kinds; b++)
        printf("%10s", name[b]);
    for (int a = 0; a < kinds; a++) {
        printf("\n%-9s", name[a]);
        for (int b = 0; b < kinds; b++) {
            bool impossible = never[a] >> b & 1 || never[b] >> a & 1;

            missing += pairs.met[a][b] == 0 && !impossible;
            if (impossible && pairs.met[a][b] == 0)
                printf("%10s", "-");
            else
                printf("%10lu", pairs.met[a][b]);
            for (int c = b; c < kinds && b >= a; c++)
                triples += pairs.three[a][b][c];
        }
    }
    printf("\n%s %u pairs never met; %u kinds of threes did\n", missing ? "FAIL" : "ok  ", missing,
           triples);
    return missing != 0;
}

#endif
