/* SPDX-License-Identifier: MIT */
/*
 * region_table_insert: where a new entry goes, and when the table asks for growth.
 *
 * Easy to get wrong: as in region_table.c, a failed step may mean that growth retired the word, and
 * the call starts over in the newer array.
 */
#include "lockfree/region_table.h"

#include "lockfree/region_table_inner.h"

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

    enum outcome outcome = moat_region_line_count_spilled(line, SPILLED_ONE);

    if (outcome != DONE)
        return outcome;
    outcome = NO_ROOM;
    for (unsigned n = 0; n < empty_count && outcome == NO_ROOM; n++) {
        uint64_t seen = EMPTY;

        /* R(publish) A(retract) A(freeze) */
        if (moat_cas_acq_rel(&line->slot[empty[n]], &seen, word)) {
            /* One that it prefers has become free meanwhile. */
            if (slot_is_preferred(hash, empty[n]))
                moat_region_line_count_spilled(line, 0 - SPILLED_ONE);
            return DONE;
        }
        if (is_retired(seen))
            outcome = AGAIN;
    }
    /* If growth has frozen the line, it has counted for itself. */
    moat_region_line_count_spilled(line, 0 - SPILLED_ONE);
    return outcome;
}

/* Find an empty slot in the group of eight lines around `home` and take it out of circulation. */
static enum outcome reserve(struct moat_region_table *table, uint64_t array, uint64_t home,
                            unsigned *pointer) {
    uint64_t line_count = array_line_count(array);

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

    outcome = moat_region_line_exchange_pointer(line, 0, pointer);
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
    uint64_t wanted = array_word(table, array_lines_log2(array), true);

    /* relaxed: a hint; what it leads to does not rest on it. */
    if (moat_load_relaxed(&table->wanted) == wanted)
        return;
    if (at_once || moat_region_table_live(table) > array_line_count(array) * 5 / 2)
        /* relaxed: as above. */
        moat_store_relaxed(&table->wanted, wanted);
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
