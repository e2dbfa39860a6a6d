/* SPDX-License-Identifier: MIT */
/*
 * region_table: which record owns the region that starts at this page? Answered without locks.
 *
 * A precise map from a page number (36 bits, not 0) to a handle (24 bits, not 0): open addressing
 * in lines of 64 bytes, with a seeded hash and cooperative growth. The caller owns all storage; the
 * table never allocates, never waits and never dies. README.md has the picture, the proofs and the
 * limits.
 *
 * Easy to get wrong: one page is never inserted by two threads at once, nor while it is present
 * (the operating system gives an address to one caller only). Every other pair of calls may race.
 *
 * Progress   find    wait-free while no growth runs; lock-free always
 *            insert  lock-free, and helps a running growth a bounded amount
 *            erase, replace   likewise
 *
 * Edges. R() marks the releasing end, A() the acquiring end.
 *
 *   publish   insert or replace writes the slot word -> whoever reads it sees the record too
 *   retract   erase empties the slot word -> whoever reuses the slot comes after the erase
 *   point     a pointer enters a meta word -> whoever follows it sees the slot it names reserved
 *   spill     insert raises a line's count of spilled entries before it writes the slot, erase
 *             lowers it after -> whoever sees the count at 0 sees what was erased before
 *   birth     a helper writes the slots of a line -> whoever sees its meta word born sees them born
 *   grow      the caller clears an array and publishes it -> whoever loads it sees it clear
 *   freeze    a helper saw a newer array, then froze -> whoever reads a frozen word sees that array
 *   settle    every line of an array was seen born -> whoever sees it settled sees that too
 *   quiesce   a mover leaves -> the array it may have touched is handed out; and the scan that saw
 *             nobody -> a mover that enters later sees the array settled
 */
#ifndef MOAT_LOCKFREE_REGION_TABLE_H
#define MOAT_LOCKFREE_REGION_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lockfree/atomic.h"
#include "lockfree/shard.h"

#define MOAT_TABLE_LINE_BYTES 64
#define MOAT_TABLE_SLOTS      7

/* An entry prefers three slots: one of the first four, and those at these distances from it. */
#define MOAT_TABLE_FIRST_MASK     UINT64_C(0x18) /* of a hash: its offset in the line, in bytes */
#define MOAT_TABLE_SECOND         1
#define MOAT_TABLE_THIRD          3
#define MOAT_TABLE_LINES_LOG2_MIN 1
#define MOAT_TABLE_LINES_LOG2_MAX 27
#define MOAT_TABLE_PAGE_BITS      36
#define MOAT_TABLE_HANDLE_MAX     ((UINT32_C(1) << 24) - 1)

/* Slot word: page in bits 28..63, handle in bits 4..27, flags in bits 0..3; 0: not yet born. */
#define MOAT_TABLE_PAGE_SHIFT   28
#define MOAT_TABLE_HANDLE_SHIFT 4
#define MOAT_TABLE_FROZEN       UINT64_C(1)
#define MOAT_TABLE_BORN         UINT64_C(2)

/* Of the product that is the hash: bits that no home line and no slot is made of. */
#define MOAT_TABLE_HASH_SHIFT 31

enum moat_table_status {
    MOAT_TABLE_OK = 0,
    MOAT_TABLE_FULL /* no room near the home line: grow, then retry */
};

struct moat_region_line {
    _Atomic uint64_t slot[MOAT_TABLE_SLOTS];
    _Atomic uint64_t meta; /* flags as in a slot, seven pointers of six bits, a count; born last */
};

_Static_assert(sizeof(struct moat_region_line) == MOAT_TABLE_LINE_BYTES, "a line is a cache line");
_Static_assert(sizeof(void *) == 8, "an array word holds a pointer");

/*
 * Where an array lies. Each size has two of these, which differ in `settled` alone: so one look at
 * which of them is current tells all that find must know before it looks at a line.
 */
struct moat_region_array {
    _Atomic uint64_t lines; /* address; 0, then what the first caller of grow for this size gave */
    uint64_t mask;          /* of a hash: the bytes from the first line to the first slot to try */
    uint64_t lines_log2;
    uint64_t settled; /* all lines are born */
};

/* An array word is the address of a moat_region_array. */
struct moat_region_table {
    /* Read by every call, written only by growth. */
    _Alignas(MOAT_TABLE_LINE_BYTES) uint64_t seed[2];
    _Atomic uint64_t current; /* array word */
    _Atomic uint64_t
        settled;             /* newest array whose lines are all born; == current: no growth runs */
    _Atomic uint64_t wanted; /* the array that somebody found too full; compared with current */

    /* By log2 of their lines: while the lines are being born, and then. */
    _Alignas(
        MOAT_TABLE_LINE_BYTES) struct moat_region_array array[MOAT_TABLE_LINES_LOG2_MAX + 1][2];

    /* Written by calls that help a growth. Indexed by log2 of the parent's lines: used once. */
    _Alignas(MOAT_TABLE_LINE_BYTES) struct {
        _Atomic uint64_t cursor;   /* parent lines that some thread has taken on */
        _Atomic uint64_t frontier; /* parent lines before this one have all moved */
    } progress[MOAT_TABLE_LINES_LOG2_MAX + 1];

    _Atomic uint64_t retiring; /* log2 of the next array to hand out << 32 | shards seen quiet */

    struct {
        /* May wrap below zero in one shard; the sum does not. */
        _Alignas(MOAT_TABLE_LINE_BYTES) _Atomic uint64_t live;
        _Atomic uint64_t movers; /* threads that may be writing lines for a growth */
    } shard[MOAT_SHARD_COUNT];
};

/*
 * Start an empty table in storage of 2^lines_log2 lines: zero-filled, 64-byte aligned, kept for
 * ever.
 *
 *   seed        from the operating system; it decides where entries lie, so it must not leak
 *   lines_log2  MOAT_TABLE_LINES_LOG2_MIN to _MAX
 *
 * Threads   none but the caller
 */
void moat_region_table_init(struct moat_region_table *table, const uint64_t seed[2], void *storage,
                            unsigned lines_log2);

/*
 * Enter a page that is not in the table.
 *
 * Returns   MOAT_TABLE_OK     find returns the handle from now on
 *           MOAT_TABLE_FULL   nothing changed; call moat_region_table_grow, then try again
 */
enum moat_table_status moat_region_table_insert(struct moat_region_table *table, uint64_t page,
                                                uint32_t handle);

/*
 * Remove the entry page -> handle. Of racing erases of one entry exactly one returns true; false
 * means that the entry was not there at some moment during the call.
 */
bool moat_region_table_erase(struct moat_region_table *table, uint64_t page, uint32_t handle);

/*
 * Make the entry page -> from one of page -> to, in one step: no find misses the page meanwhile.
 * For whoever alone may erase that entry, so that it is there.
 *
 * Returns false, with nothing changed, only if it was not.
 */
bool moat_region_table_replace(struct moat_region_table *table, uint64_t page, uint32_t from,
                               uint32_t to);

/* Should the caller get storage for twice the lines and call grow? Reads one cache line. */
bool moat_region_table_wants_growth(const struct moat_region_table *table);

/* log2 of the lines of the current array. */
unsigned moat_region_table_lines_log2(const struct moat_region_table *table);

/*
 * Publish an array of twice the lines; entries move later, a few with every insert and erase.
 *
 *   storage     zero-filled, 64-byte aligned, kept for ever if the call succeeds
 *   lines_log2  moat_region_table_lines_log2() + 1, as the caller saw it when it sized the storage
 *
 * Returns true when this array was published. false: another thread was first, the size no longer
 * fits, or the previous growth still runs (the call then helps it, a bounded amount); the storage
 * is untouched and belongs to the caller.
 */
bool moat_region_table_grow(struct moat_region_table *table, void *storage, unsigned lines_log2);

/*
 * Get an old array that nobody moves lines from any more, at most once per array, oldest first. Its
 * pages may be dropped so that they read as zero, but never unmapped or reused: a reader may still
 * look at them.
 *
 * Returns false when there is none, or when a thread may still be moving its lines: try again
 * later. Such a thread, stopped for ever, keeps pages from being dropped, and nothing else.
 */
bool moat_region_table_take_retired(struct moat_region_table *table, void **storage, size_t *size);

/* How many entries there are, more or less: exact when no call is in flight. */
uint64_t moat_region_table_live(const struct moat_region_table *table);

/* The part of find that is rarely needed: spilled or displaced entries, and lines not yet moved. */
uint32_t moat_region_table_find_far(struct moat_region_table *table, uint64_t page);

/*
 * Two rounds: one multiply-shift would map keys at a regular stride to clusters of lines. Of what
 * is left the low six bits say which slots an entry prefers, and those above them its line.
 */
static inline uint64_t moat_region_table_hash(const struct moat_region_table *table,
                                              uint64_t page) {
    uint64_t hash = page * table->seed[0];

    hash ^= hash >> 32;
    return hash * table->seed[1] >> MOAT_TABLE_HASH_SHIFT;
}

static inline const struct moat_region_array *moat_region_table_array(uint64_t array) {
    return (const struct moat_region_array *)(uintptr_t)array;
}

static inline struct moat_region_line *moat_region_table_lines(uint64_t array) {
    /* relaxed: whoever has an array word acquired it with what was written before. */
    return (struct moat_region_line *)(uintptr_t)moat_load_relaxed(
        &moat_region_table_array(array)->lines);
}

/* Handle and flags if the slot holds the page of probe; else a number greater than any such. */
static inline uint64_t moat_region_table_differ(const _Atomic uint64_t *slot, uint64_t probe) {
    /* A(publish) A(freeze) */
    return moat_load_acquire(slot) ^ probe;
}

static inline uint64_t moat_region_table_lesser(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* The line that a slot lies in. */
static inline const struct moat_region_line *moat_region_table_line_around(
    const _Atomic uint64_t *slot) {
    return (const struct moat_region_line *)((uintptr_t)slot &
                                             ~(uintptr_t)(MOAT_TABLE_LINE_BYTES - 1));
}

/*
 * The handle of the region that starts at this page, or 0.
 *
 *   page   any value; only 1 to 2^36 - 1 can be present
 *
 * One cache line and few instructions, for the fewer there are, the more lookups of a caller's loop
 * the processor has under way while they wait for memory. The three slots where nearly all entries
 * lie are compared without a branch between them: one that is mispredicted where it waits for
 * memory throws away the lookups begun meanwhile. That nothing lies elsewhere only a miss asks, and
 * it is one compare of the meta word.
 *
 * Threads   any, at once; also in a signal handler and in a forked child
 */
static inline uint32_t moat_region_table_find(struct moat_region_table *table, uint64_t page) {
    /* Checked before the shift below can cut it off: no address aliases onto a live one. */
    if (page >> MOAT_TABLE_PAGE_BITS != 0)
        return 0;

    /* A(grow) A(settle) */
    uint64_t array = moat_load_acquire(&table->current);
    uint64_t offset = moat_region_table_hash(table, page) & moat_region_table_array(array)->mask;
    const _Atomic uint64_t *slot =
        (const _Atomic uint64_t *)((uintptr_t)moat_region_table_lines(array) + offset);
    uint64_t probe = page << MOAT_TABLE_PAGE_SHIFT;
    uint64_t hit = moat_region_table_lesser(
        moat_region_table_lesser(moat_region_table_differ(&slot[0], probe),
                                 moat_region_table_differ(&slot[MOAT_TABLE_SECOND], probe)),
        moat_region_table_differ(&slot[MOAT_TABLE_THIRD], probe));

    if (hit < UINT64_C(1) << MOAT_TABLE_PAGE_SHIFT)
        return (uint32_t)(hit >> MOAT_TABLE_HANDLE_SHIFT);
    /* Settled: the slots were born when they were read. Clean: nothing lies elsewhere. */
    if (moat_region_table_array(array)->settled &&
        /* A(spill) */
        moat_load_acquire(&moat_region_table_line_around(slot)->meta) == MOAT_TABLE_BORN &&
        /* relaxed: the acquiring loads above order it; one not current may have been cleared. */
        moat_load_relaxed(&table->current) == array)
        return 0;
    return moat_region_table_find_far(table, page);
}

#endif
