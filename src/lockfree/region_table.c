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

    *table = (struct moat_region_table){0};
    table->seed[0] = mix(seed[0]) | 1;
    table->seed[1] = mix(seed[0] ^ mix(seed[1])) | 1;
    for (unsigned log2 = 0; log2 <= MOAT_TABLE_LINES_LOG2_MAX; log2++) {
        uint64_t last = ((UINT64_C(1) << log2) - 1) * MOAT_TABLE_LINE_BYTES;

        for (unsigned settled = 0; settled < 2; settled++)
            table->array[log2][settled] = (struct moat_region_array){
                .mask = last | MOAT_TABLE_FIRST_MASK, .lines_log2 = log2, .settled = settled};
    }

    for (uint64_t index = 0; index < UINT64_C(1) << lines_log2; index++) {
        for (unsigned i = 0; i < MOAT_TABLE_SLOTS; i++)
            /* relaxed: R(grow) below publishes the whole array. */
            moat_store_relaxed(&lines[index].slot[i], EMPTY);
        /* relaxed: as above. */
        moat_store_relaxed(&lines[index].meta, MOAT_TABLE_BORN);
    }
    for (unsigned settled = 0; settled < 2; settled++)
        /* relaxed: as above. */
        moat_store_relaxed(&table->array[lines_log2][settled].lines, (uint64_t)(uintptr_t)lines);
    /* relaxed: as above. */
    moat_store_relaxed(&table->retiring, (uint64_t)lines_log2 << 32);
    /* R(settle) */
    moat_store_release(&table->settled, array_word(table, lines_log2, true));
    /* R(grow) R(settle) */
    moat_store_release(&table->current, array_word(table, lines_log2, true));
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

enum outcome moat_region_line_count_spilled(struct moat_region_line *line, uint64_t change) {
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

enum outcome moat_region_line_exchange_pointer(struct moat_region_line *line, unsigned from,
                                               unsigned to) {
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
        moat_region_line_count_spilled(line, 0 - SPILLED_ONE);
    if (place.pointer && moat_region_line_exchange_pointer(line, place.pointer, 0) == DONE) {
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
