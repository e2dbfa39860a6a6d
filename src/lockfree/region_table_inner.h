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
 * another line of its group of eight (by exclusive or, so never 0) and a slot there. 0 is no
 * pointer. Above them it counts the spilled entries: those of this line that lie in it, but in none
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

static inline uint64_t array_word(const void *lines, unsigned lines_log2) {
    return (uint64_t)(uintptr_t)lines | (64 - lines_log2);
}

static inline unsigned array_lines_log2(uint64_t array) {
    return 64 - (unsigned)(array & MOAT_TABLE_SHIFT_MASK);
}

static inline uint64_t array_home(uint64_t array, uint64_t hash) {
    return hash >> (array & MOAT_TABLE_SHIFT_MASK);
}

static inline uint64_t entry_word(uint64_t page, uint32_t handle) {
    return page << MOAT_TABLE_PAGE_SHIFT | (uint64_t)handle << MOAT_TABLE_HANDLE_SHIFT |
           MOAT_TABLE_BORN;
}

static inline uint64_t word_page(uint64_t word) {
    return word >> MOAT_TABLE_PAGE_SHIFT;
}

/*
 * Of the slots that an entry prefers, the one that is tried first: each slot of a line for about as
 * many entries, since the rarer it is taken, the better is it predicted. By masks, not through
 * memory: only then do the cache misses of several inserts or erases overlap.
 */
static inline uint64_t slot_tried_first(uint64_t hash) {
    uint64_t late = moat_region_table_late_slot(hash);
    uint64_t early = moat_region_table_early_slot(hash);
    uint64_t middle = moat_region_table_middle_slot(hash);
    uint64_t not_late = 0 - (hash >> 27 & 1);
    uint64_t not_early = 0 - (hash >> 26 & 1);

    return late ^ ((late ^ early ^ ((early ^ middle) & not_early)) & not_late);
}

/* All of them. */
static inline void slots_preferred(uint64_t hash, uint64_t slot[PREFERRED]) {
    slot[0] = moat_region_table_late_slot(hash);
    slot[1] = moat_region_table_early_slot(hash);
    slot[2] = moat_region_table_middle_slot(hash);
}

/* Is this a slot where find looks at once? An entry in any other of its home line is spilled. */
static inline bool slot_is_preferred(uint64_t hash, uint64_t slot) {
    return slot == moat_region_table_late_slot(hash) ||
           slot == moat_region_table_early_slot(hash) ||
           slot == moat_region_table_middle_slot(hash);
}

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

/* The slot that a pointer in the meta word of line `home` names. */
static inline _Atomic uint64_t *pointer_slot(uint64_t array, uint64_t home, unsigned pointer) {
    struct moat_region_line *line =
        &moat_region_table_lines(array)[home ^ (pointer >> POINTER_SLOT_BITS)];

    return &line->slot[pointer & ((1u << POINTER_SLOT_BITS) - 1)];
}

/* Did growth take this word out of use? 0: its page was even dropped. A newer array is current. */
static inline bool is_retired(uint64_t word) {
    return (word & MOAT_TABLE_FROZEN) != 0 || word == 0;
}

/*
 * If a growth into this array runs, see to it that a line is born. Afterwards the line is born, or
 * the array is no longer current.
 */
void moat_region_table_bear(struct moat_region_table *table, uint64_t array, uint64_t index);

/* If a growth runs, move a few lines. */
void moat_region_table_help(struct moat_region_table *table);

#endif
