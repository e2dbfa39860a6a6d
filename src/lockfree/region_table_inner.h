/* SPDX-License-Identifier: MIT */
/*
 * region_table_inner: what the two halves of the table share: words, pointers, and who is in
 * flight.
 *
 * A slot goes 0 -> EMPTY or an entry (once, at birth), then between EMPTY, RESERVED and entries,
 * then FROZEN for good. A slot word with a page in it is a live entry wherever it lies. RESERVED
 * belongs to the one thread that is filling or emptying a displaced slot; nobody else changes it,
 * but growth may freeze it.
 *
 * A meta word holds up to seven pointers, each to a displaced entry of this line: the offset of
 * another line of its group of eight (by exclusive or, so never 0) and a slot there; or 0 for the
 * offset of its sibling, half of the array away, and one more than the slot. 0 is no pointer. Above
 * them it counts the spilled entries: those of this line that lie in it, but in none
 * of the three slots that they prefer.
 */
#ifndef MOAT_LOCKFREE_REGION_TABLE_INNER_H
#define MOAT_LOCKFREE_REGION_TABLE_INNER_H

#include "lockfree/region_table.h"

#define EMPTY    MOAT_TABLE_BORN
#define RESERVED (MOAT_TABLE_BORN | UINT64_C(4))

#define PREFERRED           3u
#define NEIGHBOURS          8u
#define POINTER_COUNT       7u
#define POINTER_BITS        6u
#define POINTER_SLOT_BITS   3u
#define POINTER_MASK        ((UINT64_C(1) << POINTER_BITS) - 1)
#define POINTER_FIRST_SHIFT 4u
#define SPILLED_SHIFT       (POINTER_FIRST_SHIFT + POINTER_COUNT * POINTER_BITS)
#define SPILLED_ONE         (UINT64_C(1) << SPILLED_SHIFT)
#define SPILLED_MASK        (UINT64_MAX << SPILLED_SHIFT)

/* Moving a line finds room for all it has in the two lines it becomes. */
_Static_assert(POINTER_COUNT + MOAT_TABLE_SLOTS <= 2 * MOAT_TABLE_SLOTS, "a line would not fit");
_Static_assert(SPILLED_SHIFT + 3 <= 64, "no room to count the entries of a line");

static inline unsigned array_lines_log2(uint64_t array) {
    return (unsigned)moat_region_table_array(array)->lines_log2;
}

static inline uint64_t array_line_count(uint64_t array) {
    return UINT64_C(1) << array_lines_log2(array);
}

static inline uint64_t array_home(uint64_t array, uint64_t hash) {
    return (hash & moat_region_table_array(array)->mask) / MOAT_TABLE_LINE_BYTES;
}

/* The array of this size while its lines are being born, or once they all are. */
static inline uint64_t array_word(const struct moat_region_table *table, unsigned lines_log2,
                                  bool settled) {
    return (uint64_t)(uintptr_t)&table->array[lines_log2][settled];
}

static inline uint64_t entry_word(uint64_t page, uint32_t handle) {
    return page << MOAT_TABLE_PAGE_SHIFT | (uint64_t)handle << MOAT_TABLE_HANDLE_SHIFT |
           MOAT_TABLE_BORN;
}

static inline uint64_t word_page(uint64_t word) {
    return word >> MOAT_TABLE_PAGE_SHIFT;
}

static inline uint64_t slot_first(uint64_t hash) {
    return (hash & MOAT_TABLE_FIRST_MASK) / sizeof(uint64_t);
}

/*
 * Of the slots that an entry prefers, the one that is tried first: 0, 1, 5 or 6, those that the
 * fewest entries prefer.
 */
static inline uint64_t slot_tried_first(uint64_t hash) {
    uint64_t first = slot_first(hash);

    return first + (first & 2 ? MOAT_TABLE_THIRD : 0);
}

/* All of them. */
static inline void slots_preferred(uint64_t hash, uint64_t slot[PREFERRED]) {
    slot[0] = slot_first(hash);
    slot[1] = slot[0] + MOAT_TABLE_THIRD;
    slot[2] = slot[0] + MOAT_TABLE_SECOND;
}

/* Is this a slot where find looks at once? An entry in any other of its home line is spilled. */
static inline bool slot_is_preferred(uint64_t hash, uint64_t slot) {
    uint64_t distance = slot - slot_first(hash);

    return distance == 0 || distance == MOAT_TABLE_SECOND || distance == MOAT_TABLE_THIRD;
}

enum outcome {
    DONE,
    NO_ROOM,
    AGAIN /* a line was unborn, or a word frozen by growth: start over in the current array */
};

/* The nth pointer of a meta word; 0: none. */
static inline unsigned meta_pointer(uint64_t meta, unsigned n) {
    return (unsigned)(meta >> (POINTER_FIRST_SHIFT + n * POINTER_BITS) & POINTER_MASK);
}

static inline uint64_t meta_with_pointer(uint64_t meta, unsigned n, unsigned pointer) {
    unsigned shift = POINTER_FIRST_SHIFT + n * POINTER_BITS;

    return (meta & ~(POINTER_MASK << shift)) | (uint64_t)pointer << shift;
}

static inline unsigned pointer_make(uint64_t offset, unsigned slot) {
    return (unsigned)offset << POINTER_SLOT_BITS | slot;
}

/* A pointer to a slot of the line that was born of the same parent. */
static inline unsigned pointer_to_sibling(unsigned slot) {
    return slot + 1;
}

/* The slot that a pointer in the meta word of line `home` names. */
static inline _Atomic uint64_t *pointer_slot(uint64_t array, uint64_t home, unsigned pointer) {
    uint64_t offset = pointer >> POINTER_SLOT_BITS;
    unsigned slot = pointer & ((1u << POINTER_SLOT_BITS) - 1);

    if (offset == 0) {
        offset = array_line_count(array) / 2;
        slot--;
    }
    return &moat_region_table_lines(array)[home ^ offset].slot[slot];
}

/* Did growth take this word out of use? 0: its page was even dropped. A newer array is current. */
static inline bool is_retired(uint64_t word) {
    return (word & MOAT_TABLE_FROZEN) != 0 || word == 0;
}

/* Add 1, or UINT64_MAX for -1, to the number of live entries. */
static inline void count(struct moat_region_table *table, uint64_t entries) {
    /* relaxed: a number that orders nothing. */
    moat_add_relaxed(&table->shard[moat_shard_of_this_thread()].live, entries);
}

/*
 * Add SPILLED_ONE or its negative to a meta word. Each thread takes away only what it or the insert
 * of what it erased has added, so it does not matter what the word was between load and swap.
 */
enum outcome moat_region_line_count_spilled(struct moat_region_line *line, uint64_t change);

/*
 * Replace one pointer of a meta word by another; 0 stands for no pointer. The word is a set and
 * each pointer in it belongs to one thread, so it does not matter what the word was between load
 * and swap.
 */
enum outcome moat_region_line_exchange_pointer(struct moat_region_line *line, unsigned from,
                                               unsigned to);

/*
 * If a growth into this array runs, see to it that a line is born. Afterwards the line is born, or
 * the array is no longer current.
 */
void moat_region_table_bear(struct moat_region_table *table, uint64_t array, uint64_t index);

/* If a growth runs, move a few lines. */
void moat_region_table_help(struct moat_region_table *table);

#endif
