/* SPDX-License-Identifier: MIT */
/*
 * table_world: a tiny table whose calls are recorded, and what must hold when all threads are done.
 *
 * Pages are chosen by their hash, so that a few keys are enough to spill entries, to fill a line,
 * to displace entries and to send them to either child of their line.
 */
#ifndef MOAT_TESTS_MODEL_TABLE_WORLD_H
#define MOAT_TESTS_MODEL_TABLE_WORLD_H

#include "explore.h" /* first: it defines the seam */

#include "history.h"
#include "pairs.h"
#include "plants.h"

#include "lockfree/region_table.c"
#include "lockfree/region_table_grow.c"
#include "lockfree/region_table_insert.c"

#define KEYS         HISTORY_KEYS_MAX
#define FILLERS      (2 * MOAT_TABLE_SLOTS)
#define FILLER_FIRST 100u /* handle of filler 0 */
#define LOG2_LAST    3u

/* What may meet; the first four are enum history_kind. */
enum { GROW = REPLACE + 1, DROP, TABLE_KINDS };
static const char *const table_kinds[] = {"find", "insert", "erase", "replace", "grow", "drop"};

static struct moat_region_table table;
/* By log2 of the lines; the last is a second array of four lines, for the loser of a race. */
static _Alignas(64) struct moat_region_line storage[LOG2_LAST + 2][1 << LOG2_LAST];
static bool dropped[LOG2_LAST + 2];
static uint64_t key_page[KEYS];
static uint64_t filler[FILLERS];
static uint64_t near_filler[FILLERS]; /* all in line 0, of two lines or of four */
static uint64_t clash_page[KEYS];     /* as key_page; those of line 0 prefer the same slots */
static uint64_t clash_filler[FILLERS];
static const uint64_t *page_of, *filler_page; /* those that the scenario uses */
static unsigned filler_count;
static unsigned growths;
static unsigned log2_first; /* of the lines of the first array */

/* A page of this line, of four, different from all pages handed out before. */
static uint64_t page_of_line(uint64_t line) {
    static uint64_t next = 1;

    while (moat_region_table_hash(&table, next) / MOAT_TABLE_LINE_BYTES % 4 != line)
        next++;
    return next++;
}

/* The same, and it prefers slots 0, 3 and 1, in this order. */
static uint64_t page_that_clashes(uint64_t line) {
    uint64_t page;

    do
        page = page_of_line(line);
    while (slot_first(moat_region_table_hash(&table, page)) != 0);
    return page;
}

static void reset_to(unsigned lines_log2) {
    static const uint64_t seed[2] = {7, 11};

    memset(storage, 0, sizeof(storage));
    memset(dropped, 0, sizeof(dropped));
    moat_region_table_init(&table, seed, storage[lines_log2], lines_log2);
    history_reset();
    page_of = key_page;
    filler_page = lines_log2 == 1 ? filler : near_filler;
    filler_count = 0;
    growths = 0;
    log2_first = lines_log2;
}

static void reset(void) {
    reset_to(1);
}

/*
 * Keys 0 to 5 live in line 0, which becomes lines 0 and 2: even keys go to 0, odd keys to 2. Keys 6
 * and 7 live in line 1. The first seven fillers live in line 0 and go to line 0 with one exception,
 * so that displaced entries stay displaced; the others live in line 1.
 */
static void choose_pages(void) {
    reset();
    for (unsigned i = 0; i < KEYS; i++) {
        key_page[i] = page_of_line((i & 1) * 2 + (i >= 6));
        clash_page[i] = page_that_clashes((i & 1) * 2 + (i >= 6));
    }
    for (unsigned i = 0; i < FILLERS; i++)
        filler[i] = page_of_line(i < MOAT_TABLE_SLOTS ? 2 * (i == 0) : 1);
    for (unsigned i = 0; i < FILLERS; i++)
        near_filler[i] = page_of_line(0);
    for (unsigned i = 0; i < FILLERS; i++)
        clash_filler[i] = page_that_clashes(0);
}

/* A table of two lines whose keys and fillers all prefer the same three slots of line 0. */
static void reset_clashing(void) {
    reset();
    page_of = clash_page;
    filler_page = clash_filler;
}

static void fill(unsigned count) {
    for (; filler_count < count; filler_count++)
        moat_region_table_insert(&table, filler_page[filler_count], FILLER_FIRST + filler_count);
}

static void preset(unsigned key, unsigned handle) {
    moat_region_table_insert(&table, page_of[key], handle);
    history.initial |= handle << (4 * key);
}

static bool insert(unsigned key, unsigned handle) {
    unsigned call = history_start(INSERT, key, handle);
    bool entered = moat_region_table_insert(&table, page_of[key], handle) == MOAT_TABLE_OK;

    history_end(call, entered);
    return entered;
}

static void find(unsigned key) {
    unsigned call = history_start(FIND, key, 0);

    history_end(call, moat_region_table_find(&table, page_of[key]));
}

static void erase(unsigned key, unsigned handle) {
    unsigned call = history_start(ERASE, key, handle);

    history_end(call, moat_region_table_erase(&table, page_of[key], handle));
}

static void replace(unsigned key, unsigned from, unsigned to) {
    unsigned call = history_start(REPLACE, key, from);

    history.call[call].to = to;
    history_end(call, moat_region_table_replace(&table, page_of[key], from, to));
}

static void grow(unsigned lines_log2, unsigned copy) {
    pairs_begin(GROW);
    growths += moat_region_table_grow(&table, storage[lines_log2 + copy], lines_log2);
    pairs_end();
}

/* Not a size that fits: only helps. */
static void help_to_the_end(void) {
    pairs_begin(GROW);
    while (table.settled != table.current)
        moat_region_table_grow(&table, NULL, 0);
    pairs_end();
}

/* Drop the pages of every array that is handed out, word by word. */
static void drop_retired(void) {
    void *lines;
    size_t size;

    pairs_begin(DROP);
    while (moat_region_table_take_retired(&table, &lines, &size)) {
        _Atomic uint64_t *word = lines;

        for (size_t i = 0; i < size / sizeof(*word); i++)
            moat_store_relaxed(&word[i], 0);
        explore_touch(dropped, WRITES);
        for (unsigned i = 0; i < LOG2_LAST + 2; i++) {
            if (lines == storage[i] && dropped[i])
                explore_fail("an array was handed out twice");
            dropped[i] |= lines == storage[i];
        }
    }
    pairs_end();
}

/* Are displaced entries and pointers one to one, spilled entries counted, and none reserved? */
static bool current_is_tidy(void) {
    uint64_t line_count = UINT64_C(1) << array_lines_log2(table.current);
    unsigned displaced = 0, pointers = 0;

    for (uint64_t home = 0; home < line_count; home++) {
        struct moat_region_line *line = &moat_region_table_lines(table.current)[home];
        uint64_t spilled = 0;

        for (unsigned n = 0; n < POINTER_COUNT; n++) {
            unsigned pointer = meta_pointer(line->meta, n);

            pointers += pointer != 0;
            if (pointer != 0 && word_page(*pointer_slot(table.current, home, pointer)) == 0)
                return false;
        }
        for (unsigned i = 0; i < MOAT_TABLE_SLOTS; i++) {
            uint64_t page = word_page(line->slot[i]);

            if (page == 0 && line->slot[i] != EMPTY)
                return false;
            uint64_t hash = moat_region_table_hash(&table, page);
            bool is_native = array_home(table.current, hash) == home;

            displaced += page != 0 && !is_native;
            spilled += page != 0 && is_native && !slot_is_preferred(hash, i);
        }
        if (line->meta >> SPILLED_SHIFT != spilled)
            return false;
    }
    return displaced == pointers;
}

static bool dropped_is_zero(void) {
    static const struct moat_region_line zero[1 << LOG2_LAST];

    for (unsigned i = 0; i < LOG2_LAST + 2; i++) {
        if (dropped[i] && memcmp(storage[i], zero, sizeof(zero)) != 0)
            return false;
    }
    return true;
}

static void check(void) {
    bool parked = false;

    for (unsigned i = 0; i < explorer.thread_count; i++)
        parked |= explore_is_parked(i);
    help_to_the_end();
    for (unsigned key = 0; key < KEYS; key++)
        find(key);
    if (!history_is_linearizable())
        explore_fail("not linearizable");
    for (unsigned i = 0; i < filler_count; i++) {
        if (moat_region_table_find(&table, filler_page[i]) != FILLER_FIRST + i)
            explore_fail("an entry that nobody touched is gone");
    }
    if (!parked && !current_is_tidy())
        explore_fail("a slot is lost");
    if (!dropped_is_zero())
        explore_fail("a dropped array was written");
    if (growths > array_lines_log2(table.current) - log2_first)
        explore_fail("two threads published the same growth");
}

#endif
