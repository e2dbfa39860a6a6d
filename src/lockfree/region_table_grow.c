/* SPDX-License-Identifier: MIT */
/*
 * region_table_grow: how entries come from an array into one of twice the lines.
 *
 * Line H of n becomes lines H and H + n. Whoever moves it freezes its meta word, then
 * its slots and the displaced slots that the meta word names. Frozen words never change, so all
 * helpers compute the same two children; each word of a child leaves 0 once, by a compare-and-swap
 * from 0, and the two meta words leave it last. Doing it twice is doing it once: a helper may stop
 * for hours. What the parent counted is not used: a thread may have stopped before it lowered it.
 *
 * Easy to get wrong: once the page of a line was dropped its words read as 0 again, and freezing or
 * birth would give them a false life. Hence movers are counted, and no array is handed out while
 * one may know it. Inserts and erases need not be: they swap only words that are not 0.
 */
#include "lockfree/region_table.h"

#include "lockfree/region_table_inner.h"

#define LINES_MOVED_PER_CALL    2u
#define LINES_VERIFIED_PER_CALL 16u
#define HELPS_PER_REFUSAL       8u

/* What a parent line becomes. */
struct brood {
    uint64_t slot[2][MOAT_TABLE_SLOTS];
    uint64_t meta[2];
};

/* The word as it stays for ever. The first look spares a write when somebody else has frozen it. */
static uint64_t freeze(_Atomic uint64_t *at) {
    /* A(freeze) */
    uint64_t word = moat_load_acquire(at);

    if (word & MOAT_TABLE_FROZEN)
        return word;
    /* R(freeze) A(publish) A(retract) A(point) */
    return moat_or_acq_rel(at, MOAT_TABLE_FROZEN) | MOAT_TABLE_FROZEN;
}

/* The first empty slot of one child; MOAT_TABLE_SLOTS if there is none. */
static unsigned empty_slot(const struct brood *brood, unsigned side) {
    unsigned i = 0;

    while (i < MOAT_TABLE_SLOTS && brood->slot[side][i] != EMPTY)
        i++;
    return i;
}

/*
 * Give an entry a slot in its child line, best where find looks first, or else a displaced slot in
 * the sibling. One of the two has room: at most 7 + 7 entries share their 14 slots. So no entry is
 * ever displaced further than a newly inserted one, and growth puts most of them back home.
 */
static void place(struct brood *brood, unsigned side, uint64_t hash, uint64_t word) {
    uint64_t preferred[PREFERRED];
    unsigned slot;

    slots_preferred(hash, preferred);
    for (unsigned n = 0; n < PREFERRED; n++) {
        if (brood->slot[side][preferred[n]] == EMPTY) {
            brood->slot[side][preferred[n]] = word;
            return;
        }
    }
    slot = empty_slot(brood, side);
    if (slot < MOAT_TABLE_SLOTS) {
        brood->slot[side][slot] = word;
        brood->meta[side] += SPILLED_ONE;
        return;
    }
    slot = empty_slot(brood, !side);
    for (unsigned n = 0; n < POINTER_COUNT && slot < MOAT_TABLE_SLOTS; n++) {
        if (meta_pointer(brood->meta[side], n) == 0) {
            brood->slot[!side][slot] = word;
            brood->meta[side] = meta_with_pointer(brood->meta[side], n, pointer_to_sibling(slot));
            return;
        }
    }
}

/* Freeze line `index` of the parent and compute its children. */
static void hatch(const struct moat_region_table *table, uint64_t parent, uint64_t child,
                  uint64_t index, struct brood *brood) {
    struct moat_region_line *line = &moat_region_table_lines(parent)[index];
    uint64_t stray[MOAT_TABLE_SLOTS + POINTER_COUNT]; /* spilled or displaced */
    unsigned stray_count = 0;
    uint64_t line_count = array_line_count(parent);
    /* First: from now on nobody points to another displaced slot. */
    uint64_t meta = freeze(&line->meta);

    *brood = (struct brood){.meta = {MOAT_TABLE_BORN, MOAT_TABLE_BORN}};
    for (unsigned i = 0; i < MOAT_TABLE_SLOTS; i++) {
        uint64_t word = freeze(&line->slot[i]) & ~MOAT_TABLE_FROZEN;
        uint64_t hash = moat_region_table_hash(table, word_page(word));
        uint64_t target = array_home(child, hash);

        brood->slot[0][i] = brood->slot[1][i] = EMPTY;
        /* An entry displaced from another line moves with that line. */
        if (word_page(word) == 0 || (target & (line_count - 1)) != index)
            continue;
        if (slot_is_preferred(hash, i))
            brood->slot[target >= line_count][i] = word;
        else
            stray[stray_count++] = word;
    }
    for (unsigned n = 0; n < POINTER_COUNT; n++) {
        unsigned pointer = meta_pointer(meta, n);

        if (pointer == 0)
            continue;
        uint64_t word = freeze(pointer_slot(parent, index, pointer)) & ~MOAT_TABLE_FROZEN;

        if (word_page(word) != 0)
            stray[stray_count++] = word;
    }
    for (unsigned n = 0; n < stray_count; n++) {
        uint64_t hash = moat_region_table_hash(table, word_page(stray[n]));

        place(brood, array_home(child, hash) >= line_count, hash, stray[n]);
    }
}

/* Between these two a thread may move lines of arrays that it loads meanwhile. */
static unsigned mover_enter(struct moat_region_table *table) {
    unsigned shard = moat_shard_of_this_thread();

    /* R(quiesce) A(quiesce) */
    moat_add_acq_rel(&table->shard[shard].movers, 1);
    return shard;
}

static void mover_leave(struct moat_region_table *table, unsigned shard) {
    /* R(quiesce) A(quiesce) */
    moat_add_acq_rel(&table->shard[shard].movers, UINT64_MAX);
}

/* Move one line of the parent. For movers. */
static void move_line(const struct moat_region_table *table, uint64_t parent, uint64_t child,
                      uint64_t index) {
    struct moat_region_line *first = &moat_region_table_lines(child)[index];
    struct moat_region_line *line[2] = {first, first + array_line_count(parent)};
    struct brood brood;

    /* A(birth): the second is born after all else. */
    if (moat_load_acquire(&line[1]->meta) != 0)
        return;
    hatch(table, parent, child, index, &brood);
    for (unsigned side = 0; side < 2; side++) {
        for (unsigned i = 0; i < MOAT_TABLE_SLOTS; i++) {
            uint64_t unborn = 0;

            /* R(publish) A(freeze) */
            moat_cas_acq_rel(&line[side]->slot[i], &unborn, brood.slot[side][i]);
        }
    }
    /* Pointers of one child lead into the other: both are born only when all slots are. */
    for (unsigned side = 0; side < 2; side++) {
        uint64_t unborn = 0;

        /* R(birth) A(birth) */
        moat_cas_acq_rel(&line[side]->meta, &unborn, brood.meta[side]);
    }
}

void moat_region_table_bear(struct moat_region_table *table, uint64_t array, uint64_t index) {
    unsigned shard = mover_enter(table);
    /* A(settle): loaded as a mover. If it is the parent, neither array was handed out before. */
    uint64_t parent = moat_load_acquire(&table->settled);

    /* Otherwise the growth has ended: the line is born, or the array is old. */
    if (array_lines_log2(parent) + 1 == array_lines_log2(array))
        move_line(table, parent, array, index & (array_line_count(parent) - 1));
    mover_leave(table, shard);
}

/*
 * All lines are born: from now on finds may believe a miss at once. `current` goes first, for what
 * is not equal to it counts as a growth that runs, and is helped.
 */
static void settle(struct moat_region_table *table, uint64_t parent, uint64_t array) {
    unsigned lines_log2 = array_lines_log2(array);
    uint64_t born = array_word(table, lines_log2, true);

    /* relaxed: every helper writes the same; R(grow) below publishes it. */
    moat_store_relaxed(&table->array[lines_log2][true].lines,
                       (uint64_t)(uintptr_t)moat_region_table_lines(array));
    /* R(grow) R(settle) A(grow): fails only if another helper has done it. */
    moat_cas_acq_rel(&table->current, &array, born);
    /* R(settle) A(settle): as above. */
    moat_cas_acq_rel(&table->settled, &parent, born);
}

/*
 * Lines are taken on by a cursor, so that helpers work on different ones. Their taker may have been
 * stopped: when all are taken on, a frontier passes over them once more and moves what is left.
 */
static void help_growth(struct moat_region_table *table) {
    /* A(settle): loaded as a mover, and first: it is never newer than the current array. */
    uint64_t parent = moat_load_acquire(&table->settled);
    /* A(grow) */
    uint64_t array = moat_load_acquire(&table->current);
    unsigned parent_log2 = array_lines_log2(parent);
    uint64_t line_count = array_line_count(parent);

    if (parent_log2 + 1 != array_lines_log2(array))
        return;

    /* relaxed: the cursor only shares out work; the frontier decides what is done. */
    if (moat_load_relaxed(&table->progress[parent_log2].cursor) < line_count) {
        /* relaxed: as above. */
        uint64_t first =
            moat_add_relaxed(&table->progress[parent_log2].cursor, LINES_MOVED_PER_CALL);

        for (uint64_t i = first; i < first + LINES_MOVED_PER_CALL && i < line_count; i++)
            move_line(table, parent, array, i);
        return;
    }

    /* A(settle) */
    uint64_t first = moat_load_acquire(&table->progress[parent_log2].frontier);
    uint64_t next = first;

    while (next < line_count && next < first + LINES_VERIFIED_PER_CALL)
        move_line(table, parent, array, next++);
    /* R(settle) A(settle) */
    if (next != first && !moat_cas_acq_rel(&table->progress[parent_log2].frontier, &first, next))
        return;
    if (next == line_count)
        settle(table, parent, array);
}

void moat_region_table_help(struct moat_region_table *table) {
    /* relaxed: a hint; the mover loads both again. */
    uint64_t array = moat_load_relaxed(&table->current);

    /* relaxed: as above. */
    if (moat_load_relaxed(&table->settled) == array)
        return;
    unsigned shard = mover_enter(table);

    help_growth(table);
    mover_leave(table, shard);
}

bool moat_region_table_wants_growth(const struct moat_region_table *table) {
    /* relaxed: a hint; grow decides for itself. */
    uint64_t array = moat_load_relaxed(&table->current);

    /* relaxed: as above. */
    return moat_load_relaxed(&table->wanted) == array &&
           /* relaxed: as above. */
           moat_load_relaxed(&table->settled) == array;
}

unsigned moat_region_table_lines_log2(const struct moat_region_table *table) {
    /* relaxed: a number; grow checks that it still holds. */
    return array_lines_log2(moat_load_relaxed(&table->current));
}

bool moat_region_table_grow(struct moat_region_table *table, void *storage, unsigned lines_log2) {
    for (unsigned i = 0; i < HELPS_PER_REFUSAL; i++)
        moat_region_table_help(table);

    /* A(grow) */
    uint64_t array = moat_load_acquire(&table->current);
    unsigned array_log2 = array_lines_log2(array);

    /* A(settle): an array gets a child only when all of its own lines are born. */
    if (moat_load_acquire(&table->settled) != array || lines_log2 != array_log2 + 1 ||
        lines_log2 > MOAT_TABLE_LINES_LOG2_MAX)
        return false;

    struct moat_region_array *child = &table->array[lines_log2][false];
    uint64_t none = 0;
    /* R(grow) A(grow): of racing callers the first one's storage is taken. */
    bool taken = moat_cas_acq_rel(&child->lines, &none, (uint64_t)(uintptr_t)storage);

    /* R(grow) A(grow): if it fails, another caller has published it. */
    moat_cas_acq_rel(&table->current, &array, (uint64_t)(uintptr_t)child);
    return taken;
}

/*
 * Was there a moment, since the caller looked at `settled`, when no mover of this shard was at
 * work? Then all that enter later see what the caller saw.
 */
static bool shard_is_quiet(_Atomic uint64_t *movers) {
    /* relaxed: spares a write to a line in use; the step below decides. */
    if (moat_load_relaxed(movers) != 0)
        return false;
    /* R(quiesce) A(quiesce): a mover that enters after this step reads from it. */
    return moat_add_acq_rel(movers, 0) == 0;
}

bool moat_region_table_take_retired(struct moat_region_table *table, void **storage, size_t *size) {
    /* A(quiesce) */
    uint64_t retiring = moat_load_acquire(&table->retiring);
    unsigned lines_log2 = (unsigned)(retiring >> 32);
    uint64_t quiet = retiring;

    /* A(settle) */
    if (array_lines_log2(moat_load_acquire(&table->settled)) <= lines_log2)
        return false;
    for (unsigned i = 0; i < MOAT_SHARD_COUNT; i++) {
        if (!(quiet >> i & 1) && shard_is_quiet(&table->shard[i].movers))
            quiet |= UINT64_C(1) << i;
    }
    if ((uint32_t)quiet != (UINT32_C(1) << MOAT_SHARD_COUNT) - 1) {
        /* R(quiesce) A(quiesce): remembered for the next call; if it fails, somebody else's is. */
        moat_cas_acq_rel(&table->retiring, &retiring, quiet);
        return false;
    }
    /* R(quiesce) A(quiesce) */
    if (!moat_cas_acq_rel(&table->retiring, &retiring, (uint64_t)(lines_log2 + 1) << 32))
        return false;
    /* relaxed: ordered by A(settle) above. */
    *storage = moat_region_table_lines(array_word(table, lines_log2, true));
    *size = (size_t)MOAT_TABLE_LINE_BYTES << lines_log2;
    return true;
}
