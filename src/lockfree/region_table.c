/* SPDX-License-Identifier: MIT */
/*
 * region_table: find, insert, erase and replace in the current array.
 *
 * Within one array an entry never moves, so whoever looks at every place where it may lie either
 * finds it or looked in a moment when it was not there. What growth does to this is in
 * region_table_grow.c.
 *
 * Easy to get wrong: a failed step may mean that growth retired the word. Then a newer array is
 * published and the call starts over there; what it left in the old one is gone with it.
 */
#include "lockfree/region_table.h"

#include "lockfree/region_table_inner.h"

enum outcome {
    DONE,
    NO_ROOM,
    AGAIN /* a line was unborn, or a word frozen by growth: start over in the current array */
};

/* Where an entry was seen. */
struct place {
    _Atomic uint64_t *slot;
    uint64_t word;
    unsigned pointer; /* 0: in its home line */
};

/* A spread of one seed word over 64 bits (the finalizer of SplitMix64). */
static uint64_t mix(uint64_t value) {
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

void moat_region_table_init(struct moat_region_table *table, const uint64_t seed[2], void *storage,
                            unsigned lines_log2) {
    struct moat_region_line *lines = storage;
    uint64_t array = array_word(storage, lines_log2);

    *table = (struct moat_region_table){0};
    table->seed[0] = mix(seed[0]);
    table->seed[1] = mix(seed[1]) | 1;
    table->seed[2] = mix(seed[0] ^ mix(~seed[1])) | 1;

    for (uint64_t index = 0; index < UINT64_C(1) << lines_log2; index++) {
        for (unsigned i = 0; i < MOAT_TABLE_SLOTS; i++)
            /* relaxed: R(grow) below publishes the whole array. */
            moat_store_relaxed(&lines[index].slot[i], EMPTY);
        /* relaxed: as above. */
        moat_store_relaxed(&lines[index].meta, MOAT_TABLE_BORN);
    }
    /* relaxed: as above. */
    moat_store_relaxed(&table->retiring, (uint64_t)lines_log2 << 32);
    /* R(settle) */
    moat_store_release(&table->settled, array);
    /* R(grow) */
    moat_store_release(&table->current, array);
}

/* Look for a page in a born line and behind its pointers. No slot: it is not there. */
static void locate(uint64_t array, uint64_t home, uint64_t meta, uint64_t page,
                   struct place *place) {
    struct moat_region_line *line = &moat_region_table_lines(array)[home];

    *place = (struct place){0};
    for (unsigned i = 0; i < MOAT_TABLE_SLOTS; i++) {
        /* A(publish) A(freeze) */
        uint64_t word = moat_load_acquire(&line->slot[i]);

        if (word_page(word) == page)
            *place = (struct place){.slot = &line->slot[i], .word = word};
    }
    for (unsigned n = 0; n < POINTER_COUNT && !place->slot; n++) {
        unsigned pointer = meta_pointer(meta, n);

        if (pointer == 0)
            continue;
        _Atomic uint64_t *slot = pointer_slot(array, home, pointer);
        /* A(publish) A(freeze) */
        uint64_t word = moat_load_acquire(slot);

        if (word_page(word) == page)
            *place = (struct place){.slot = slot, .word = word, .pointer = pointer};
    }
}

uint32_t moat_region_table_find_far(struct moat_region_table *table, uint64_t page) {
    uint64_t hash = moat_region_table_hash(table, page);

    for (;;) {
        /* A(grow) */
        uint64_t array = moat_load_acquire(&table->current);
        uint64_t home = array_home(array, hash);
        struct place place;
        /* A(birth) A(point) */
        uint64_t meta = moat_load_acquire(&moat_region_table_lines(array)[home].meta);

        if (meta == 0) {
            moat_region_table_bear(table, array, home);
            continue;
        }
        locate(array, home, meta, page, &place);
        if (place.slot)
            return (uint32_t)(place.word >> MOAT_TABLE_HANDLE_SHIFT) & MOAT_TABLE_HANDLE_MAX;

        /* relaxed: the acquiring loads above order it; an array not current may have been
         * cleared, so what was not seen there may be in the newer one. */
        if (moat_load_relaxed(&table->current) == array)
            return 0;
    }
}

/* Into one slot of the home line. */
static enum outcome insert_at(_Atomic uint64_t *slot, uint64_t word) {
    /* A(freeze) */
    uint64_t seen = moat_load_acquire(slot);

    /* R(publish) A(retract) A(freeze) */
    if (seen == EMPTY && moat_cas_acq_rel(slot, &seen, word))
        return DONE;
    return is_retired(seen) ? AGAIN : NO_ROOM;
}

/* Into one of the slots of the home line where find looks at once. */
static enum outcome insert_preferred(struct moat_region_line *line, uint64_t hash, uint64_t word) {
    uint64_t slot[PREFERRED];
    enum outcome outcome = insert_at(&line->slot[slot_tried_first(hash)], word);

    slots_preferred(hash, slot);
    for (unsigned n = 0; n < PREFERRED && outcome == NO_ROOM; n++)
        outcome = insert_at(&line->slot[slot[n]], word);
    return outcome;
}

/*
 * Add SPILLED_ONE or its negative to a meta word. Each thread takes away only what it or the insert
 * of what it erased has added, so it does not matter what the word was between load and swap.
 */
static enum outcome count_spilled(struct moat_region_line *line, uint64_t change) {
    /* A(spill) A(freeze) */
    uint64_t meta = moat_load_acquire(&line->meta);

    do {
        if (is_retired(meta))
            return AGAIN;
        if (change == SPILLED_ONE && (meta & SPILLED_MASK) == SPILLED_MASK)
            return NO_ROOM;
        /* R(spill) A(spill) A(freeze) */
    } while (!moat_cas_acq_rel(&line->meta, &meta, meta + change));
    return DONE;
}

/*
 * Into another slot of the home line. First the count is raised: from the moment the entry is live,
 * no find may take the line for one without spilled entries. *crowded: at most one slot was empty.
 */
static enum outcome insert_spilled(struct moat_region_line *line, uint64_t hash, uint64_t word,
                                   bool *crowded) {
    unsigned empty[MOAT_TABLE_SLOTS];
    unsigned empty_count = 0;

    for (unsigned i = 0; i < MOAT_TABLE_SLOTS; i++) {
        /* A(freeze) */
        uint64_t seen = moat_load_acquire(&line->slot[i]);

        if (is_retired(seen))
            return AGAIN;
        if (seen == EMPTY)
            empty[empty_count++] = i;
    }
    *crowded = empty_count <= 1;
    if (empty_count == 0)
        return NO_ROOM;

    enum outcome outcome = count_spilled(line, SPILLED_ONE);

    if (outcome != DONE)
        return outcome;
    outcome = NO_ROOM;
    for (unsigned n = 0; n < empty_count && outcome == NO_ROOM; n++) {
        uint64_t seen = EMPTY;

        /* R(publish) A(retract) A(freeze) */
        if (moat_cas_acq_rel(&line->slot[empty[n]], &seen, word)) {
            /* One that it prefers has become free meanwhile. */
            if (slot_is_preferred(hash, empty[n]))
                count_spilled(line, 0 - SPILLED_ONE);
            return DONE;
        }
        if (is_retired(seen))
            outcome = AGAIN;
    }
    /* If growth has frozen the line, it has counted for itself. */
    count_spilled(line, 0 - SPILLED_ONE);
    return outcome;
}

/* Find an empty slot in the group of eight lines around `home` and take it out of circulation. */
static enum outcome reserve(struct moat_region_table *table, uint64_t array, uint64_t home,
                            unsigned *pointer) {
    uint64_t line_count = UINT64_C(1) << array_lines_log2(array);

    for (uint64_t offset = 1; offset < NEIGHBOURS && offset < line_count; offset++) {
        struct moat_region_line *line = &moat_region_table_lines(array)[home ^ offset];

        /* A(birth) */
        if (moat_load_acquire(&line->meta) == 0)
            moat_region_table_bear(table, array, home ^ offset);

        for (unsigned i = 0; i < MOAT_TABLE_SLOTS; i++) {
            /* A(freeze) */
            uint64_t seen = moat_load_acquire(&line->slot[i]);

            /* R(point) A(retract) A(freeze) */
            if (seen == EMPTY && moat_cas_acq_rel(&line->slot[i], &seen, RESERVED)) {
                *pointer = pointer_make(offset, i);
                return DONE;
            }
            if (is_retired(seen))
                return AGAIN;
        }
    }
    return NO_ROOM;
}

/*
 * Replace one pointer of a meta word by another; 0 stands for no pointer. The word is a set and
 * each pointer in it belongs to one thread, so it does not matter what the word was between load
 * and swap.
 */
static enum outcome exchange_pointer(struct moat_region_line *line, unsigned from, unsigned to) {
    /* A(point) A(freeze) */
    uint64_t meta = moat_load_acquire(&line->meta);

    for (;;) {
        unsigned n = 0;

        if (is_retired(meta))
            return AGAIN;
        while (n < POINTER_COUNT && meta_pointer(meta, n) != from)
            n++;
        if (n == POINTER_COUNT)
            return NO_ROOM;
        /* R(point) A(point) A(freeze) */
        if (moat_cas_acq_rel(&line->meta, &meta, meta_with_pointer(meta, n, to)))
            return DONE;
    }
}

/* Reserve, point, fill: the last step makes the entry live, and a miss before it saw no entry. */
static enum outcome insert_displaced(struct moat_region_table *table, uint64_t array, uint64_t home,
                                     uint64_t word) {
    struct moat_region_line *line = &moat_region_table_lines(array)[home];
    uint64_t reserved = RESERVED;
    unsigned pointer;
    enum outcome outcome = reserve(table, array, home, &pointer);

    if (outcome != DONE)
        return outcome;
    _Atomic uint64_t *slot = pointer_slot(array, home, pointer);

    outcome = exchange_pointer(line, 0, pointer);
    if (outcome == NO_ROOM)
        /* R(retract) A(freeze): no harm if it fails, growth drops what is only reserved. */
        moat_cas_acq_rel(slot, &reserved, EMPTY);
    if (outcome != DONE)
        return outcome;

    /* R(publish) A(freeze): fails only if growth retired the word; then nothing was entered. */
    return moat_cas_acq_rel(slot, &reserved, word) ? DONE : AGAIN;
}

/* An insert met a crowded line. If the whole table is crowded, say so; the sum reads many lines. */
static void ask_for_growth(struct moat_region_table *table, uint64_t array, bool at_once) {
    /* relaxed: a hint; what it leads to does not rest on it. */
    if (moat_load_relaxed(&table->wanted) == array)
        return;
    if (at_once || moat_region_table_live(table) > (UINT64_C(5) << array_lines_log2(array)) / 2)
        /* relaxed: as above. */
        moat_store_relaxed(&table->wanted, array);
}

/* Add 1, or UINT64_MAX for -1, to the number of live entries. */
static void count(struct moat_region_table *table, uint64_t entries) {
    /* relaxed: a number that orders nothing. */
    moat_add_relaxed(&table->shard[moat_shard_of_this_thread()].live, entries);
}

enum moat_table_status moat_region_table_insert(struct moat_region_table *table, uint64_t page,
                                                uint32_t handle) {
    uint64_t hash = moat_region_table_hash(table, page);
    uint64_t word = entry_word(page, handle);
    enum outcome outcome;
    bool crowded;
    uint64_t array;

    do {
        /* A(grow) */
        array = moat_load_acquire(&table->current);
        uint64_t home = array_home(array, hash);
        struct moat_region_line *line = &moat_region_table_lines(array)[home];

        moat_region_table_help(table);
        /* A(birth) */
        if (moat_load_acquire(&line->meta) == 0)
            moat_region_table_bear(table, array, home);
        crowded = false;
        outcome = insert_preferred(line, hash, word);
        if (outcome == NO_ROOM)
            outcome = insert_spilled(line, hash, word, &crowded);
        if (outcome == NO_ROOM)
            outcome = insert_displaced(table, array, home, word);
    } while (outcome == AGAIN);

    if (crowded)
        ask_for_growth(table, array, outcome == NO_ROOM);
    if (outcome != DONE)
        return MOAT_TABLE_FULL;
    count(table, 1);
    return MOAT_TABLE_OK;
}

/* Nearly all entries lie where find looks at once. If the step fails, the caller finds out why. */
static bool erase_preferred(struct moat_region_line *line, uint64_t hash, uint64_t entry) {
    _Atomic uint64_t *first = &line->slot[slot_tried_first(hash)];
    uint64_t slot[PREFERRED];
    /* A(publish) A(freeze) */
    uint64_t word = moat_load_acquire(first);

    if (word == entry)
        /* R(retract) A(freeze) */
        return moat_cas_acq_rel(first, &word, EMPTY);
    slots_preferred(hash, slot);
    for (unsigned n = 0; n < PREFERRED; n++) {
        /* A(publish) A(freeze) */
        word = moat_load_acquire(&line->slot[slot[n]]);
        if (word == entry)
            /* R(retract) A(freeze) */
            return moat_cas_acq_rel(&line->slot[slot[n]], &word, EMPTY);
    }
    return false;
}

/* One try in one array. *erased is set unless the outcome is AGAIN. */
static enum outcome erase_in(struct moat_region_table *table, uint64_t array, uint64_t hash,
                             uint64_t entry, bool *erased) {
    uint64_t home = array_home(array, hash);
    struct moat_region_line *line = &moat_region_table_lines(array)[home];
    struct place place;

    *erased = erase_preferred(line, hash, entry);
    if (*erased)
        return DONE;

    /* A(birth) A(point) */
    uint64_t meta = moat_load_acquire(&line->meta);

    if (meta == 0) {
        moat_region_table_bear(table, array, home);
        return AGAIN;
    }
    locate(array, home, meta, word_page(entry), &place);
    if (!place.slot)
        /* relaxed: as in find_far: a miss in an array not current proves nothing. */
        return moat_load_relaxed(&table->current) == array ? DONE : AGAIN;
    if (place.word != entry)
        return is_retired(place.word) ? AGAIN : DONE;

    /* R(retract) A(freeze) */
    if (!moat_cas_acq_rel(place.slot, &place.word, place.pointer ? RESERVED : EMPTY))
        return is_retired(place.word) ? AGAIN : DONE;
    *erased = true;
    if (!place.pointer && !slot_is_preferred(hash, (uint64_t)(place.slot - line->slot)))
        count_spilled(line, 0 - SPILLED_ONE);
    if (place.pointer && exchange_pointer(line, place.pointer, 0) == DONE) {
        uint64_t reserved = RESERVED;

        /* R(retract) A(freeze): no harm if it fails, growth drops what is only reserved. */
        moat_cas_acq_rel(place.slot, &reserved, EMPTY);
    }
    return DONE;
}

bool moat_region_table_erase(struct moat_region_table *table, uint64_t page, uint32_t handle) {
    if (page == 0 || page >> MOAT_TABLE_PAGE_BITS != 0)
        return false;

    uint64_t hash = moat_region_table_hash(table, page);
    uint64_t entry = entry_word(page, handle);
    uint64_t array;
    bool erased;

    do {
        /* A(grow) */
        array = moat_load_acquire(&table->current);
        moat_region_table_help(table);
    } while (erase_in(table, array, hash, entry, &erased) == AGAIN);

    if (erased)
        count(table, UINT64_MAX);
    return erased;
}

/* One try in one array. An entry keeps its place, so neither count nor pointer changes. */
static enum outcome replace_in(struct moat_region_table *table, uint64_t array, uint64_t hash,
                               uint64_t from, uint64_t to, bool *replaced) {
    uint64_t home = array_home(array, hash);
    struct place place;
    /* A(birth) A(point) */
    uint64_t meta = moat_load_acquire(&moat_region_table_lines(array)[home].meta);

    *replaced = false;
    if (meta == 0) {
        moat_region_table_bear(table, array, home);
        return AGAIN;
    }
    locate(array, home, meta, word_page(from), &place);
    if (!place.slot)
        /* relaxed: as in find_far: a miss in an array not current proves nothing. */
        return moat_load_relaxed(&table->current) == array ? DONE : AGAIN;
    /* R(publish) A(publish) A(freeze) */
    *replaced = place.word == from && moat_cas_acq_rel(place.slot, &place.word, to);
    return !*replaced && is_retired(place.word) ? AGAIN : DONE;
}

bool moat_region_table_replace(struct moat_region_table *table, uint64_t page, uint32_t from,
                               uint32_t to) {
    uint64_t hash = moat_region_table_hash(table, page);
    uint64_t array;
    bool replaced;

    do {
        /* A(grow) */
        array = moat_load_acquire(&table->current);
        moat_region_table_help(table);
    } while (replace_in(table, array, hash, entry_word(page, from), entry_word(page, to),
                        &replaced) == AGAIN);
    return replaced;
}

uint64_t moat_region_table_live(const struct moat_region_table *table) {
    uint64_t sum = 0;

    for (unsigned i = 0; i < MOAT_SHARD_COUNT; i++)
        /* relaxed: a count of many threads is never of one moment. */
        sum += moat_load_relaxed(&table->shard[i].live);
    /* The sum of different moments may be less than nothing too. */
    return sum > UINT64_MAX / 2 ? 0 : sum;
}
