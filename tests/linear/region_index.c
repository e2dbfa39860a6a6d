/* SPDX-License-Identifier: MIT */
/*
 * region_index: does each search keep what the index promises, while threads insert and erase pages
 * that share words at every level? The promise is weaker than linearizability; support/members.h
 * has it.
 *
 * Usage: linear_region_index [--seconds N] [--seed S]
 */
#include "lockfree/region_index.h"

#include "support/members.h"
#include "support/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4, CALLS = 2000, NODES = 64 };

#define CONFLICTS_MIN  3000
#define PLANTED_CHANCE 16
#define PAGE_FIRST     (UINT64_C(1) << 30)

enum plant { NONE, FIND_CACHES, FIND_PASSES_BY, INSERT_LATE };

static const struct linear_plant plants[] = {
    {"a search that caches", FIND_CACHES},
    {"a search that passes the nearest page by", FIND_PASSES_BY},
    {"an insert that is done after its end", INSERT_LATE},
};

/* Neighbours in a word, in the next words, nodes and directory words; ascending. */
static const uint64_t distance[MEMBERS_MAX] = {
    0,
    1,
    2,
    3,
    31,
    32,
    33,
    64,
    1023,
    1024,
    1025,
    2048,
    32767,
    32768,
    32769,
    40000,
    65535,
    65536,
    UINT64_C(1) << 20,
    (UINT64_C(1) << 20) + 1,
    (UINT64_C(1) << 20) + 5,
    (UINT64_C(1) << 20) + 40,
    (UINT64_C(1) << 20) + 32768,
    UINT64_C(1) << 22,
    (UINT64_C(1) << 22) + 1,
    (UINT64_C(1) << 25) - 1,
    UINT64_C(1) << 25,
    (UINT64_C(1) << 30) - 1,
    UINT64_C(1) << 30,
    UINT64_C(1) << 34,
    (UINT64_C(1) << 34) + 1,
    (UINT64_C(1) << 35) + 7,
};

/* Whoever takes the word off IN or OUT may erase or insert the page. */
enum standing { OUT, IN, TAKEN };

struct thread {
    struct linear_log log;
    uint64_t random;
    uint64_t late;      /* planted: a page that is still to be inserted */
    uint64_t cached[2]; /* planted: the last answers */
};

static struct moat_region_index ordered;
static struct thread threads[THREADS];
static _Atomic unsigned standing[MEMBERS_MAX];
static enum plant plant;

static uint64_t page_of(unsigned number) {
    return PAGE_FIRST + distance[number];
}

static uint32_t number_of(uint64_t page) {
    for (unsigned i = 0; i < MEMBERS_MAX; i++)
        if (page_of(i) == page)
            return i;
    return MEMBERS_UNKNOWN;
}

static void insert(struct thread *self, uint64_t page) {
    if (plant == INSERT_LATE && linear_below(&self->random, PLANTED_CHANCE) == 0)
        self->late = page;
    else if (!moat_region_index_insert(&ordered, page))
        abort();
}

static bool find(struct thread *self, bool up, uint64_t page, uint64_t *found) {
    bool planted = linear_below(&self->random, PLANTED_CHANCE) == 0;
    bool done = up ? moat_region_index_find_next(&ordered, page, found)
                   : moat_region_index_find_last(&ordered, page, found);
    uint64_t further;

    if (plant == FIND_PASSES_BY && planted && done &&
        (up ? moat_region_index_find_next(&ordered, *found + 1, &further)
            : moat_region_index_find_last(&ordered, *found - 1, &further)))
        *found = further;
    if (plant == FIND_CACHES && planted && done && self->cached[up] &&
        (up ? self->cached[up] >= page : self->cached[up] <= page))
        *found = self->cached[up];
    if (done)
        self->cached[up] = *found;
    return done;
}

static void search(struct thread *self, bool up, unsigned from) {
    const uint32_t argument[LINEAR_ARGUMENTS] = {from};
    struct linear_call *call =
        linear_start(&self->log, up ? MEMBERS_FIND_NEXT : MEMBERS_FIND_LAST, 0, argument);
    uint64_t page = 0;

    linear_pause(&self->random);
    bool found = find(self, up, page_of(from), &page);

    linear_pause(&self->random);
    linear_end(call, found, found ? number_of(page) : 0);
}

static void toggle(struct thread *self, unsigned number) {
    const uint32_t argument[LINEAR_ARGUMENTS] = {number};
    unsigned was = atomic_load(&standing[number]);

    if (was == TAKEN || !atomic_compare_exchange_strong(&standing[number], &was, TAKEN))
        return;
    struct linear_call *call =
        linear_start(&self->log, was == IN ? MEMBERS_ERASE : MEMBERS_INSERT, 0, argument);

    linear_pause(&self->random);
    if (was == IN)
        moat_region_index_erase(&ordered, page_of(number));
    else
        insert(self, page_of(number));
    linear_pause(&self->random);
    linear_end(call, 0, 0);
    if (self->late) {
        linear_pause(&self->random);
        search(self, true, number);
        if (!moat_region_index_insert(&ordered, self->late))
            abort();
        self->late = 0;
    }
    atomic_store(&standing[number], was == IN ? OUT : IN);
}

static void run(unsigned number) {
    struct thread *self = &threads[number];
    /* At times few pages are in play, so that words empty under searches. */
    unsigned first = 0, count = MEMBERS_MAX;

    for (unsigned i = 0; i < CALLS; i++) {
        if (i % 250 == 0) {
            count = linear_below(&self->random, 2) ? MEMBERS_MAX : 4;
            first = linear_below(&self->random, MEMBERS_MAX - count + 1);
        }
        unsigned which = first + linear_below(&self->random, count);

        if (linear_below(&self->random, 2))
            toggle(self, which);
        else
            search(self, linear_below(&self->random, 2), which);
    }
}

static void play(int planted, uint64_t seed, bool quiet, struct linear_sum *sum) {
    struct linear_log logs[THREADS];
    void *directory = calloc(1, MOAT_REGION_INDEX_DIRECTORY_BYTES);
    size_t size = (NODES + 1) * MOAT_REGION_INDEX_NODE_BYTES;
    void *nodes = aligned_alloc(64, size);

    if (!directory || !nodes)
        abort();
    plant = (enum plant)planted;
    moat_region_index_init(&ordered, directory, memset(nodes, 0, size), NODES);
    moat_region_index_extend(&ordered, NODES);
    for (unsigned i = 0; i < MEMBERS_MAX; i++)
        atomic_store(&standing[i], OUT);
    for (unsigned i = 0; i < THREADS; i++) {
        threads[i] = (struct thread){.random = linear_random(&seed)};
        linear_log_open(&threads[i].log, (uint16_t)i, 2 * CALLS);
    }
    linear_threads(THREADS, seed, run);
    for (unsigned i = 0; i < THREADS; i++)
        logs[i] = threads[i].log;
    members_judge(logs, THREADS, quiet, sum);
    for (unsigned i = 0; i < THREADS; i++)
        linear_log_close(&threads[i].log);
    free(nodes);
    free(directory);
}

#define CALL(kind, from, to, thread, number, found, answer)                                        \
    {                                                                                              \
        from, to, 0, kind, thread, {number}, {                                                     \
            found, answer                                                                          \
        }                                                                                          \
    }

struct hand_made {
    const char *name;
    bool legal;
    struct linear_call call[4];
    size_t count;
};

/* The judge of intervals on histories that differ by a stamp. */
static const struct hand_made by_hand[] = {
    {"a search that starts before the insert has ended may pass the page by",
     true,
     {CALL(MEMBERS_INSERT, 1, 4, 0, 5, 0, 0), CALL(MEMBERS_FIND_NEXT, 3, 6, 1, 5, 0, 0)},
     2},
    {"one that starts after it, and ends before the erase starts, may not",
     false,
     {CALL(MEMBERS_INSERT, 1, 3, 0, 5, 0, 0), CALL(MEMBERS_FIND_NEXT, 4, 6, 1, 5, 0, 0),
      CALL(MEMBERS_ERASE, 7, 8, 0, 5, 0, 0)},
     3},
    {"one that ends after the erase starts may",
     true,
     {CALL(MEMBERS_INSERT, 1, 3, 0, 5, 0, 0), CALL(MEMBERS_FIND_NEXT, 4, 7, 1, 5, 0, 0),
      CALL(MEMBERS_ERASE, 6, 8, 0, 5, 0, 0)},
     3},
    {"the answer may be a page whose erase has not ended",
     true,
     {CALL(MEMBERS_INSERT, 1, 2, 0, 5, 0, 0), CALL(MEMBERS_ERASE, 3, 6, 0, 5, 0, 0),
      CALL(MEMBERS_FIND_LAST, 5, 7, 1, 9, 1, 5)},
     3},
    {"and not one whose erase has",
     false,
     {CALL(MEMBERS_INSERT, 1, 2, 0, 5, 0, 0), CALL(MEMBERS_ERASE, 3, 4, 0, 5, 0, 0),
      CALL(MEMBERS_FIND_LAST, 5, 7, 1, 9, 1, 5)},
     3},
    {"nor one of which nobody ever heard", false, {CALL(MEMBERS_FIND_LAST, 5, 7, 1, 9, 1, 5)}, 1},
    {"a page further away, past one that was there throughout",
     false,
     {CALL(MEMBERS_INSERT, 1, 2, 0, 5, 0, 0), CALL(MEMBERS_INSERT, 3, 4, 0, 7, 0, 0),
      CALL(MEMBERS_FIND_LAST, 5, 7, 1, 9, 1, 5)},
     3},
};

static int check_by_hand(void) {
    int failures = 0;

    for (size_t i = 0; i < sizeof by_hand / sizeof by_hand[0]; i++) {
        struct linear_call call[4];
        struct linear_log log = {.call = call, .count = by_hand[i].count};
        struct linear_sum sum = {0};

        memcpy(call, by_hand[i].call, sizeof call);
        members_judge(&log, 1, false, &sum);
        printf("%s: %s\n", by_hand[i].name, sum.violations ? "rejected" : "accepted");
        if ((sum.violations == 0) != by_hand[i].legal && ++failures)
            printf("FAIL: that is wrong\n");
    }
    return failures;
}

int main(int argc, char **argv) {
    struct linear_run of = linear_arguments(argc, argv, 2);

    if (check_by_hand() != 0)
        return 1;
    return linear_play("index", &of, CONFLICTS_MIN, play, plants, sizeof plants / sizeof plants[0]);
}
