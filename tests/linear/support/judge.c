/* SPDX-License-Identifier: MIT */
/* judge: sort by key and start, count overlaps, check. */
#include "judge.h"

#include "timeline.h"

#include <stdlib.h>
#include <string.h>

static int by_key_and_start(const void *one, const void *other) {
    const struct linear_call *a = one, *b = other;

    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->start < b->start ? -1 : a->start > b->start;
}

static bool changes(const struct linear_spec *spec, const struct linear_call *call) {
    return !spec->is_pure || !spec->is_pure(call);
}

static void count_overlaps(const struct linear_spec *spec, const struct linear_call *call,
                           size_t count, struct linear_sum *sum) {
    for (size_t i = 0; i < count; i++)
        for (size_t j = i + 1; j < count && call[j].start < call[i].end; j++) {
            sum->pairs++;
            sum->conflicts += changes(spec, &call[i]) || changes(spec, &call[j]);
        }
}

static void judge_key(const struct linear_spec *spec, const struct linear_call *call, size_t count,
                      uint64_t initial, bool quiet, struct linear_sum *sum) {
    struct linear_verdict verdict;

    count_overlaps(spec, call, count, sum);
    linear_check(spec, call, count, initial, &verdict);
    sum->histories++;
    sum->calls += count;
    sum->explored += verdict.explored;
    sum->repeated += verdict.repeated;
    if (verdict.open_most > sum->open_most)
        sum->open_most = verdict.open_most;
    if (!verdict.linearizable && sum->violations++ == 0 && !quiet)
        linear_draw(stdout, spec, call, count, initial, &verdict);
    linear_verdict_free(&verdict);
}

void linear_judge(const struct linear_spec *spec, const struct linear_log *log, unsigned logs,
                  uint64_t initial, bool quiet, struct linear_sum *sum) {
    size_t count = 0, used = 0;

    for (unsigned i = 0; i < logs; i++)
        count += log[i].count;
    struct linear_call *call = malloc((count + 1) * sizeof *call);

    if (!call)
        abort();
    for (unsigned i = 0; i < logs; i++) {
        memcpy(call + used, log[i].call, log[i].count * sizeof *call);
        used += log[i].count;
    }
    qsort(call, count, sizeof *call, by_key_and_start);
    for (size_t first = 0, last; first < count; first = last) {
        for (last = first; last < count && call[last].key == call[first].key;)
            last++;
        judge_key(spec, call + first, last - first, initial, quiet, sum);
    }
    free(call);
}

void linear_print_sum(const char *what, const struct linear_sum *sum) {
    printf("%s: %llu histories, %llu calls, %llu overlapping pairs, %llu of them with a change; ",
           what, (unsigned long long)sum->histories, (unsigned long long)sum->calls,
           (unsigned long long)sum->pairs, (unsigned long long)sum->conflicts);
    if (sum->explored)
        printf("at most %zu calls at once, %llu configurations, %llu met again; ", sum->open_most,
               (unsigned long long)sum->explored, (unsigned long long)sum->repeated);
    printf("%llu violations\n", (unsigned long long)sum->violations);
}
