/* SPDX-License-Identifier: MIT */
/*
 * explore_reduce: which interleavings need not be explored, under a bound on preemptions.
 *
 * A block is a step and the plain code behind it. Two rules, each of which leaves, of all the
 * interleavings that differ in the order of independent blocks only, one that has no more
 * preemptions than any other:
 *
 *   1. No thread is preempted before a step on a word that is not shared: that one thread alone
 *      touches, or that nobody writes. Move the block before the switch: everybody sees the same.
 *   2. An execution is given up when a thread that was preempted has gone on, and the block before
 *      which it was preempted is independent of all that others did meanwhile. The same execution
 *      with that block before the switch is explored: it has no more preemptions (the thread is
 *      left one block later, and returned to as before), and it comes earlier in the order of
 *      choices, where going on is the first; so the first of all such executions is never given up.
 *
 * A switch to this thread rather than to that one is not judged: to move a block to the front of
 * another thread's may cost a preemption more. (Sleep sets and dynamic reduction as they are known
 * do so, and lose executions under a bound.)
 *
 * What is shared is learned. When an execution touches a word in a way that makes it shared, the
 * exploration starts over; so in the last one, in which nothing is learned, the rules were right.
 *
 * Easy to get wrong: a touch of plain memory that is not told makes blocks look independent.
 */
#ifndef MOAT_TESTS_MODEL_EXPLORE_REDUCE_H
#define MOAT_TESTS_MODEL_EXPLORE_REDUCE_H

#define EXPLORE_LOG_MAX   4096
#define EXPLORE_WORDS_MAX 1024

/* Each of the last three commutes with itself: reads; and starts, or ends, of calls. */
enum explore_kind { WRITES, READS, STARTS, ENDS };

struct explore_touch {
    const volatile void *at;
    enum explore_kind kind;
    int thread;
};

/* Where a thread is in the log of touches. */
struct explore_block {
    bool resumed;              /* it was preempted before this block */
    unsigned preempted, first; /* the log's length then, and at the start of this block */
    const volatile void *word; /* of its step */
};

struct explore_word {
    const volatile void *at;
    unsigned touchers, writers; /* a bit a thread */
    bool shared;
};

struct explore_reduction {
    struct explore_touch log[EXPLORE_LOG_MAX];
    unsigned count;
    struct explore_word word[EXPLORE_WORDS_MAX];
    bool learned, redundant;
    bool lie; /* a fault for the tests: reads and writes commute */
};

static void reduction_forget(struct explore_reduction *reduction) {
    memset(reduction->word, 0, sizeof(reduction->word));
}

static void reduction_start(struct explore_reduction *reduction) {
    reduction->count = 0;
    reduction->learned = reduction->redundant = false;
}

static struct explore_word *word_at(struct explore_reduction *reduction, const volatile void *at) {
    size_t i = ((uintptr_t)at >> 2) * 0x9e3779b97f4a7c15u >> 54;

    while (reduction->word[i].at && reduction->word[i].at != at)
        i = (i + 1) % EXPLORE_WORDS_MAX;
    reduction->word[i].at = at;
    return &reduction->word[i];
}

static bool reduction_is_shared(struct explore_reduction *reduction, const volatile void *at) {
    return word_at(reduction, at)->shared;
}

static void share(struct explore_reduction *reduction, struct explore_word *word) {
    reduction->learned |= !word->shared;
    word->shared = true;
}

static void note_touch(struct explore_reduction *reduction, int thread, const volatile void *at,
                       enum explore_kind kind) {
    struct explore_word *word = word_at(reduction, at);
    unsigned self = 1u << thread;

    if (reduction->count < EXPLORE_LOG_MAX)
        reduction->log[reduction->count] = (struct explore_touch){at, kind, thread};
    reduction->count++;
    word->touchers |= self;
    if (kind != READS)
        word->writers |= self;
    if (word->writers != 0 && (word->touchers & (word->touchers - 1)) != 0)
        share(reduction, word);
}

static void reduction_preempted(struct explore_reduction *reduction, struct explore_block *block) {
    block->resumed = true;
    block->preempted = reduction->count;
}

/* A thread takes a step. */
static void reduction_begin(struct explore_reduction *reduction, int thread,
                            struct explore_block *block, const volatile void *at,
                            enum explore_kind kind) {
    block->first = reduction->count;
    block->word = at;
    note_touch(reduction, thread, at, kind);
}

/* ... and touches plain memory behind it: so the step is not alone what others may depend on. */
static void reduction_touch(struct explore_reduction *reduction, int thread,
                            struct explore_block *block, const volatile void *at,
                            enum explore_kind kind) {
    note_touch(reduction, thread, at, kind);
    if (block->word)
        share(reduction, word_at(reduction, block->word));
}

static bool commute(const struct explore_reduction *reduction, const struct explore_touch *a,
                    const struct explore_touch *b) {
    return a->at != b->at || (a->kind == b->kind && a->kind != WRITES) ||
           (reduction->lie && (a->kind == READS || b->kind == READS));
}

/* Rule 2, when a block is over. */
static bool reduction_is_redundant(const struct explore_reduction *reduction, int thread,
                                   struct explore_block *block) {
    bool resumed = block->resumed;

    block->resumed = false;
    if (!resumed || reduction->count > EXPLORE_LOG_MAX)
        return false;
    for (unsigned i = block->preempted; i < block->first; i++) {
        for (unsigned own = block->first; own < reduction->count; own++) {
            if (reduction->log[i].thread != thread &&
                !commute(reduction, &reduction->log[i], &reduction->log[own]))
                return false;
        }
    }
    return true;
}

#endif
