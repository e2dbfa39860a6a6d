/* SPDX-License-Identifier: MIT */
/*
 * region_table: is every history of the table one that a map could have had? Threads find, insert,
 * erase and replace a few entries that they share while others make the table grow, from two lines
 * on, and old arrays are cleared.
 *
 * What callers of the table have to keep is kept: an entry with a private handle is its owner's,
 * who may replace it; a public one may be erased by everybody, and who wins may insert the page
 * anew.
 *
 * Usage: linear_region_table [--seconds N] [--seed S]
 */
#include "lockfree/region_table.h"

#include "support/run.h"
#include "support/table_spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4, CALLS = 1500, SHARED = 5, LOG = 3 * CALLS, ARRAYS = 16 };

#define PUBLIC         (UINT32_C(1) << 23)
#define PAGE_FIRST     UINT64_C(0x1000)
#define CONFLICTS_MIN  3000
#define PLANTED_CHANCE 8

enum plant {
    NONE,
    FIND_CACHES,
    ERASE_WINS_TWICE,
    FIND_MISSES_DURING_GROWTH,
    REPLACE_IN_TWO_STEPS,
};

static const struct linear_plant plants[] = {
    {"a find that caches", FIND_CACHES},
    {"an erase that is won twice", ERASE_WINS_TWICE},
    {"a find that misses what a growth has not moved", FIND_MISSES_DURING_GROWTH},
    {"a replace that erases and inserts", REPLACE_IN_TWO_STEPS},
};

struct thread {
    struct linear_log log;
    uint64_t random;
    uint32_t handle_next;
    uint32_t own[SHARED];    /* private handle of an entry that this thread may replace, or 0 */
    uint32_t cached[SHARED]; /* planted */
};

static struct moat_region_table table;
static struct thread threads[THREADS];
static _Atomic bool absent[SHARED]; /* who takes this may insert the page */
static _Atomic uint32_t erased[SHARED];
static void *_Atomic arrays[ARRAYS];
static _Atomic unsigned array_count, growths, cleared;
static enum plant plant;

static void grow(void) {
    unsigned lines_log2 = moat_region_table_lines_log2(&table) + 1;
    size_t size = (size_t)MOAT_TABLE_LINE_BYTES << lines_log2;
    void *lines = aligned_alloc(MOAT_TABLE_LINE_BYTES, size);

    if (lines && moat_region_table_grow(&table, memset(lines, 0, size), lines_log2)) {
        atomic_store(&arrays[atomic_fetch_add(&array_count, 1)], lines);
        atomic_fetch_add(&growths, 1);
    } else {
        free(lines);
    }
}

/* What dropping its pages does to an old array, in a way that ThreadSanitizer understands. */
static void clear_retired(void) {
    void *lines;
    size_t size;

    while (moat_region_table_take_retired(&table, &lines, &size)) {
        _Atomic uint64_t *word = lines;

        for (size_t i = 0; i < size / sizeof(*word); i++)
            atomic_store_explicit(&word[i], 0, memory_order_relaxed);
        atomic_fetch_add(&cleared, 1);
    }
}

static bool growth_runs(void) {
    return atomic_load(&table.current) != atomic_load(&table.settled);
}

static uint32_t find(struct thread *self, uint64_t page) {
    uint64_t which = page - PAGE_FIRST;
    uint32_t handle;

    if (plant == FIND_CACHES && which < SHARED && self->cached[which] &&
        linear_below(&self->random, PLANTED_CHANCE))
        return self->cached[which];
    if (plant == FIND_MISSES_DURING_GROWTH && growth_runs() &&
        linear_below(&self->random, PLANTED_CHANCE) == 0)
        return 0;
    handle = moat_region_table_find(&table, page);
    if (which < SHARED)
        self->cached[which] = handle;
    return handle;
}

static bool erase(uint64_t page, uint32_t handle) {
    uint64_t which = page - PAGE_FIRST;
    bool done = moat_region_table_erase(&table, page, handle);

    if (plant == ERASE_WINS_TWICE && which < SHARED) {
        if (done)
            atomic_store(&erased[which], handle);
        return done || atomic_load(&erased[which]) == handle;
    }
    return done;
}

static bool replace(struct thread *self, uint64_t page, uint32_t from, uint32_t to) {
    if (plant != REPLACE_IN_TWO_STEPS)
        return moat_region_table_replace(&table, page, from, to);
    moat_region_table_erase(&table, page, from);
    linear_pause(&self->random);
    while (moat_region_table_insert(&table, page, to) != MOAT_TABLE_OK)
        grow();
    return true;
}

/* One call, with its stamps. */
static uint32_t call(struct thread *self, enum table_kind kind, uint64_t page, uint32_t handle,
                     uint32_t to) {
    const uint32_t argument[LINEAR_ARGUMENTS] = {handle, to};
    struct linear_call *call = linear_start(&self->log, kind, page, argument);
    uint32_t result = 0;

    linear_pause(&self->random);
    switch (kind) {
    case TABLE_FIND:
        result = find(self, page);
        break;
    case TABLE_INSERT:
        result = moat_region_table_insert(&table, page, handle) == MOAT_TABLE_OK;
        break;
    case TABLE_ERASE:
        result = erase(page, handle);
        break;
    case TABLE_REPLACE:
        result = replace(self, page, handle, to);
    }
    linear_pause(&self->random);
    linear_end(call, result, 0);
    return result;
}

static void insert(struct thread *self, uint64_t page, uint32_t handle) {
    while (!call(self, TABLE_INSERT, page, handle, 0))
        grow();
    if (moat_region_table_wants_growth(&table))
        grow();
    clear_retired();
}

/* Change an entry of one's own; in the end it is made public. */
static void change_own(struct thread *self, unsigned which) {
    uint32_t to = self->handle_next++;

    if (linear_below(&self->random, 2))
        to |= PUBLIC;
    call(self, TABLE_REPLACE, PAGE_FIRST + which, self->own[which], to);
    self->own[which] = to & PUBLIC ? 0 : to;
}

static void use_shared(struct thread *self, unsigned which) {
    uint64_t page = PAGE_FIRST + which;

    if (self->own[which] && linear_below(&self->random, 2)) {
        change_own(self, which);
        return;
    }
    if (atomic_exchange(&absent[which], false)) {
        self->own[which] = self->handle_next++;
        insert(self, page, self->own[which]);
        return;
    }
    uint32_t handle = call(self, TABLE_FIND, page, 0, 0);

    /* Public, or one of those that are gone: its life is the handle's. */
    if (handle & PUBLIC && linear_below(&self->random, 2) &&
        call(self, TABLE_ERASE, page, handle, 0))
        atomic_store(&absent[which], true);
}

/* A page of its own for each handle: they fill the table. */
static void fill(struct thread *self, uint32_t other) {
    uint32_t handle = self->handle_next++;

    insert(self, PAGE_FIRST + SHARED + handle, handle);
    call(self, TABLE_FIND, PAGE_FIRST + SHARED + other, 0, 0);
}

static void run(unsigned number) {
    struct thread *self = &threads[number];

    for (unsigned i = 0; i < CALLS; i++) {
        const struct thread *other = &threads[linear_below(&self->random, THREADS)];
        uint32_t first = (uint32_t)(other - threads) << 12;

        if (linear_below(&self->random, 8) == 0)
            fill(self, first + 1 + linear_below(&self->random, 2 * CALLS / 8));
        else
            use_shared(self, linear_below(&self->random, SHARED));
    }
}

static void play(int planted, uint64_t seed, bool quiet, struct linear_sum *sum) {
    struct linear_log logs[THREADS];
    uint64_t seeds[2] = {linear_random(&seed), linear_random(&seed)};
    size_t size = (size_t)MOAT_TABLE_LINE_BYTES << 1;
    void *lines = aligned_alloc(MOAT_TABLE_LINE_BYTES, size);

    if (!lines)
        abort();
    plant = (enum plant)planted;
    atomic_store(&arrays[0], lines);
    atomic_store(&array_count, 1);
    moat_region_table_init(&table, seeds, memset(lines, 0, size), 1);
    for (unsigned i = 0; i < SHARED; i++)
        atomic_store(&absent[i], true);
    for (unsigned i = 0; i < THREADS; i++) {
        threads[i] = (struct thread){.random = linear_random(&seed), .handle_next = (i << 12) + 1};
        linear_log_open(&threads[i].log, (uint16_t)i, LOG);
    }
    linear_threads(THREADS, seed, run);
    for (unsigned i = 0; i < THREADS; i++)
        logs[i] = threads[i].log;
    linear_judge(&table_spec, logs, THREADS, 0, quiet, sum);
    for (unsigned i = 0; i < THREADS; i++)
        linear_log_close(&threads[i].log);
    for (unsigned i = 0; i < array_count; i++)
        free(arrays[i]);
}

int main(int argc, char **argv) {
    struct linear_run of = linear_arguments(argc, argv, 2);
    int result =
        linear_play("table", &of, CONFLICTS_MIN, play, plants, sizeof plants / sizeof plants[0]);

    printf("%u growths, %u arrays cleared\n", growths, cleared);
    return result;
}
