/* SPDX-License-Identifier: MIT */
/*
 * checker: is the checker right? Histories made by hand, one legal and one not, that differ in as
 * little as can be; and thousands of small random ones, judged by all permutations as well.
 *
 * Both have to be able to fail: a checker whose pruning is wrong must be found out here.
 */
#include "support/brute.h"
#include "support/run.h"
#include "support/table_spec.h"
#include "support/timeline.h"

#include <stdio.h>
#include <string.h>

enum { CALLS_MAX = 6, ROUNDS = 6000, THREADS = 3 };

static unsigned failures;

#define FIND(thread, from, to, handle)                                                             \
    {                                                                                              \
        from, to, 1, TABLE_FIND, thread, {0}, {                                                    \
            handle                                                                                 \
        }                                                                                          \
    }
#define INSERT(thread, from, to, handle)                                                           \
    {                                                                                              \
        from, to, 1, TABLE_INSERT, thread, {handle}, {                                             \
            1                                                                                      \
        }                                                                                          \
    }
#define ERASE(thread, from, to, handle, result)                                                    \
    {                                                                                              \
        from, to, 1, TABLE_ERASE, thread, {handle}, {                                              \
            result                                                                                 \
        }                                                                                          \
    }
#define REPLACE(thread, from, to, handle, by)                                                      \
    {                                                                                              \
        from, to, 1, TABLE_REPLACE, thread, {handle, by}, {                                        \
            1                                                                                      \
        }                                                                                          \
    }

struct hand_made {
    const char *name;
    bool legal;
    struct linear_call call[CALLS_MAX];
};

static const struct hand_made by_hand[] = {
    {"a find that overlaps the erase may see what it erases",
     true,
     {INSERT(0, 1, 2, 7), ERASE(0, 3, 6, 7, 1), FIND(1, 4, 5, 7)}},
    {"stale read: a find after the erase sees it still",
     false,
     {INSERT(0, 1, 2, 7), ERASE(0, 3, 4, 7, 1), FIND(1, 5, 6, 7)}},
    {"two finds, one after the other, see it and then not",
     true,
     {INSERT(0, 1, 2, 7), ERASE(0, 3, 8, 7, 1), FIND(1, 4, 5, 7), FIND(1, 6, 7, 0)}},
    {"two finds, one after the other, see it not and then again",
     false,
     {INSERT(0, 1, 2, 7), ERASE(0, 3, 8, 7, 1), FIND(1, 4, 5, 0), FIND(1, 6, 7, 7)}},
    {"an erase, then an insert of another",
     true,
     {INSERT(0, 1, 2, 7), ERASE(1, 3, 4, 7, 1), INSERT(2, 5, 6, 8)}},
    {"lost erase: it said true, and yet it is there",
     false,
     {INSERT(0, 1, 2, 7), ERASE(1, 3, 4, 7, 1), FIND(2, 5, 6, 7), FIND(0, 7, 8, 7)}},
    {"of two erases at once one wins",
     true,
     {INSERT(0, 1, 2, 7), ERASE(1, 3, 6, 7, 1), ERASE(2, 4, 5, 7, 0)}},
    {"two winners", false, {INSERT(0, 1, 2, 7), ERASE(1, 3, 6, 7, 1), ERASE(2, 4, 5, 7, 1)}},
    {"a find during a replace may see either",
     true,
     {INSERT(0, 1, 2, 7), REPLACE(0, 3, 8, 7, 9), FIND(1, 4, 5, 7), FIND(2, 6, 7, 9)}},
    {"a value that was never written",
     false,
     {INSERT(0, 1, 2, 7), REPLACE(0, 3, 8, 7, 9), FIND(1, 4, 5, 7), FIND(2, 6, 7, 5)}},
    {"the find starts one stamp before the insert has ended",
     true,
     {INSERT(0, 1, 4, 7), FIND(1, 3, 5, 0)}},
    {"real time, inverted by one stamp: it starts right after",
     false,
     {INSERT(0, 1, 3, 7), FIND(1, 4, 5, 0)}},
    {"who never returned may have inserted",
     true,
     {INSERT(0, 1, LINEAR_NEVER, 7), FIND(1, 2, 3, 0), FIND(1, 4, 5, 7)}},
    {"who never returned has not inserted twice",
     false,
     {INSERT(0, 1, LINEAR_NEVER, 7), ERASE(1, 2, 3, 7, 1), ERASE(1, 4, 5, 7, 1)}},
};

static void check_by_hand(void) {
    for (size_t i = 0; i < sizeof by_hand / sizeof by_hand[0]; i++) {
        const struct hand_made *it = &by_hand[i];
        struct linear_verdict verdict;
        size_t count = 0;

        while (count < CALLS_MAX && it->call[count].start != 0)
            count++;
        linear_check(&table_spec, it->call, count, 0, &verdict);
        printf("%s: %s\n", it->name, verdict.linearizable ? "accepted" : "rejected");
        if (verdict.linearizable != it->legal && ++failures)
            printf("FAIL: that is wrong\n");
        if (!verdict.linearizable)
            linear_draw(stdout, &table_spec, it->call, count, 0, &verdict);
        linear_verdict_free(&verdict);
    }
}

/* A second object: a word that is written blindly, swapped and read. A write may change a state or
 * leave it as it is, whatever its result, and that is where a pruning can go wrong. */
enum word_kind { WORD_READ, WORD_WRITE, WORD_SWAP };

static bool word_apply(const struct linear_call *call, uint64_t state, uint64_t *after) {
    bool pending = call->end == LINEAR_NEVER;

    *after = call->kind == WORD_READ ? state : call->argument[0];
    return pending || call->kind == WORD_WRITE || call->result[0] == state;
}

static bool word_is_pure(const struct linear_call *call) {
    return call->kind == WORD_READ;
}

/* Wrong: a write changes a state, though there is one that it leaves as it is. */
static bool word_is_pure_by_mistake(const struct linear_call *call) {
    return call->kind != WORD_SWAP;
}

static const struct linear_spec word_spec = {
    .name = "word", .apply = word_apply, .is_pure = word_is_pure};
static const struct linear_spec word_unpruned = {.name = "unpruned", .apply = word_apply};
static const struct linear_spec word_mistaken = {
    .name = "mistaken", .apply = word_apply, .is_pure = word_is_pure_by_mistake};

static void table_invent(struct linear_call *call, uint64_t *random) {
    call->kind = (uint16_t)linear_below(random, 4);
    call->argument[0] = 1 + linear_below(random, 2);
    call->argument[1] = 1 + linear_below(random, 3);
}

static uint32_t table_answer(const struct linear_call *call, uint64_t state, uint64_t *after) {
    struct linear_call asked = *call;

    /* Of the answers there are, one is right; an insert where something is finds no room. */
    for (uint32_t result = 4; result-- > 0;) {
        asked.end = 0;
        asked.result[0] = result;
        if ((call->kind == TABLE_FIND || result < 2) && table_spec.apply(&asked, state, after))
            return result;
    }
    return 0;
}

static void word_invent(struct linear_call *call, uint64_t *random) {
    call->kind = (uint16_t)linear_below(random, 3);
    call->argument[0] = linear_below(random, 3);
}

static uint32_t word_answer(const struct linear_call *call, uint64_t state, uint64_t *after) {
    *after = call->kind == WORD_READ ? state : call->argument[0];
    return call->kind == WORD_WRITE ? 0 : (uint32_t)state;
}

/* One object, judged both ways. */
struct comparison {
    const struct linear_spec *spec;
    const struct brute_object *object;
    bool mistaken; /* the two must not always agree */
    uint64_t orders;
    unsigned legal, illegal, differ;
};

static void compare(struct comparison *it, uint64_t seed) {
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct linear_call call[CALLS_MAX];
        struct linear_verdict verdict;
        size_t count = brute_invent(it->object, call, CALLS_MAX, THREADS, &seed);
        bool truth = brute_check(it->spec, call, count, 0, &it->orders);

        linear_check(it->spec, call, count, 0, &verdict);
        it->legal += truth;
        it->illegal += !truth;
        it->differ += truth != verdict.linearizable;
        linear_verdict_free(&verdict);
    }
}

static void conclude(const struct comparison *it) {
    unsigned few = (it->legal + it->illegal) / 10;

    printf("%s: %u random histories are legal and %u are not, by %llu permutations; the checker "
           "differs on %u\n",
           it->spec->name, it->legal, it->illegal, (unsigned long long)it->orders, it->differ);
    if ((it->legal < few || it->illegal < few) && ++failures)
        printf("FAIL: hardly a choice\n");
    if ((it->differ != 0) != it->mistaken && ++failures)
        printf(it->mistaken ? "FAIL: a pruning that is wrong is not found out\n"
                            : "FAIL: the checker is wrong\n");
}

int main(int argc, char **argv) {
    static const struct brute_object table = {table_invent, table_answer};
    static const struct brute_object word = {word_invent, word_answer};
    struct comparison comparisons[] = {
        {&table_spec, &table, false, 0, 0, 0, 0},
        {&word_spec, &word, false, 0, 0, 0, 0},
        {&word_unpruned, &word, false, 0, 0, 0, 0},
        {&word_mistaken, &word, true, 0, 0, 0, 0},
    };
    enum { COMPARISONS = sizeof comparisons / sizeof comparisons[0] };
    struct linear_run run = linear_arguments(argc, argv, 1);
    double end = linear_clock() + run.seconds;

    printf("seed %#llx\n", (unsigned long long)run.seed);
    check_by_hand();
    do {
        for (unsigned i = 0; i < COMPARISONS; i++)
            compare(&comparisons[i], run.seed);
        run.seed = linear_random(&run.seed);
    } while (linear_clock() < end);
    for (unsigned i = 0; i < COMPARISONS; i++)
        conclude(&comparisons[i]);
    printf("%u failures\n", failures);
    return failures != 0;
}
