/* SPDX-License-Identifier: MIT */
/* habit: a word a size class and processor. */
#include "region/habit.h"

#include "os/os.h"
#include "region/geometry.h"
#include "region/watch.h"

#include <stdatomic.h>

#define PARTS   64u
#define CLASSES 16u

/* Pages that are alike are asked about more and more rarely, from once in 8 times to once in 64.
 * For dense ones fresh memory has to be taken, which costs much: once in 128 times in the end. */
#define RARITY_FIRST 3u
#define RARITY_LAST  6u
#define RARITY_DENSE 7u

/* Of one processor: the last line of one and the first of the next are apart. */
struct part {
    _Alignas(128) _Atomic uint32_t words[CLASSES];
    _Atomic uintptr_t samples[CLASSES]; /* fresh pages to be asked about; 0: none are out */
};

static struct part parts[PARTS];

/* A word, taken apart. All zero: nobody has asked. */
struct guess {
    enum moat_habit habit;
    unsigned rarity; /* beyond RARITY_FIRST, as a power of two */
    unsigned count;  /* of times since */
};

static struct guess read_word(uint32_t word) {
    return (struct guess){(enum moat_habit)(word & 3), word >> 2 & 7, word >> 5};
}

static uint32_t make_word(struct guess guess) {
    return (uint32_t)guess.habit | guess.rarity << 2 | guess.count << 5;
}

/* Where the guess about a size is. */
struct slot {
    _Atomic uint32_t *word;
    _Atomic uintptr_t *sample;
};

static struct slot slot_of(size_t size) {
    struct part *part = &parts[moat_os_processor() % PARTS];
    unsigned class = 63u - (unsigned)__builtin_clzll(size >> MOAT_PAGE_SHIFT | 1);

    if (class >= CLASSES)
        class = CLASSES - 1;
    return (struct slot){&part->words[class], &part->samples[class]};
}

static struct guess get(const struct slot *slot) {
    /* relaxed: a guess. */
    return read_word(atomic_load_explicit(slot->word, memory_order_relaxed));
}

static void put(const struct slot *slot, struct guess guess) {
    /* relaxed: a guess. */
    atomic_store_explicit(slot->word, make_word(guess), memory_order_relaxed);
}

static void learn(const struct slot *slot, struct guess before, enum moat_habit habit) {
    struct guess guess = {.habit = habit, .rarity = before.rarity};

    if (habit != before.habit)
        guess.rarity = 0;
    else if (RARITY_FIRST + guess.rarity < (habit == MOAT_HABIT_DENSE ? RARITY_DENSE : RARITY_LAST))
        guess.rarity++;
    put(slot, guess);
}

static enum moat_habit ask(uintptr_t start, uintptr_t end) {
    size_t all = (end - start) >> MOAT_PAGE_SHIFT;
    size_t most = all - all / 4;
    size_t held;

    if (moat_watch_count(start, end, most, &held))
        return MOAT_HABIT_SPARSE;
    if (held == 0)
        return MOAT_HABIT_EMPTY;
    return held >= most ? MOAT_HABIT_DENSE : MOAT_HABIT_SPARSE;
}

enum moat_habit moat_habit_of(size_t size) {
    struct slot slot = slot_of(size);
    return get(&slot).habit;
}

static bool is_time(struct guess *guess) {
    return ++guess->count >= 1u << (RARITY_FIRST + guess->rarity);
}

/* Whether it is time to ask about pages that are given back. */
static bool is_due(const struct slot *slot, struct guess *guess, uintptr_t start) {
    if (guess->habit == MOAT_HABIT_DENSE) {
        /* relaxed: a guess. */
        if (atomic_load_explicit(slot->sample, memory_order_relaxed) != start)
            return false;
        /* relaxed: as above. */
        atomic_store_explicit(slot->sample, 0, memory_order_relaxed);
        return true;
    }
    return is_time(guess);
}

enum moat_habit moat_habit_judge(uintptr_t start, uintptr_t end) {
    struct slot slot = slot_of(end - start);
    struct guess guess = get(&slot);

    if (!is_due(&slot, &guess, start)) {
        if (guess.habit != MOAT_HABIT_DENSE)
            put(&slot, guess);
        return guess.habit;
    }
    enum moat_habit habit = ask(start, end);
    learn(&slot, guess, habit);
    return habit;
}

bool moat_habit_empty(uintptr_t start, uintptr_t end) {
    struct slot slot = slot_of(end - start);
    struct guess guess = get(&slot);
    size_t held;

    if (guess.habit != MOAT_HABIT_EMPTY)
        return false;
    if (!moat_watch_count(start, end, 1, &held) && held == 0)
        return true;
    learn(&slot, guess, MOAT_HABIT_SPARSE);
    return false;
}

bool moat_habit_recycles(uintptr_t start, uintptr_t end) {
    struct slot slot = slot_of(end - start);
    struct guess guess = get(&slot);

    if (guess.habit != MOAT_HABIT_DENSE)
        return false;
    bool fresh = is_time(&guess);
    if (fresh) {
        guess.count = 0;
        /* relaxed: a guess. */
        atomic_store_explicit(slot.sample, start, memory_order_relaxed);
    }
    put(&slot, guess);
    return !fresh;
}
