/* SPDX-License-Identifier: MIT */
/*
 * history: graves in rings, and an index that finds them by any address that they cover.
 *
 * An end is written to the next grave of a ring; threads share a few of these. Its range, of at
 * most 2^k bytes for the least such k, touches at most two aligned blocks of 2^k bytes; these have
 * a place each in a table, by the hash of k and the block. Whoever looks for an address tries its
 * block for every k that there was so far. A place holds the newest grave, and a grave the word
 * that was in its places before, so that ranges which share a block can be told apart as long as
 * they are few.
 *
 * All of this is lossy and none of it is trusted: a grave that was found must itself say that it
 * covers the address. A thread that stops half-way in a grave keeps that grave from all others; who
 * comes round to it takes the next one.
 *
 * Edges
 *   opened   the books are opened, then shown -> who finds them may write to them
 *   torn     a grave's stamp turns odd, then its words are written -> who reads such a word finds
 *            the stamp changed
 *   whole    the words are written, then the stamp turns even -> who reads the stamp finds them
 */
#include "region/history.h"

#include "base/site.h"
#include "os/os.h"
#include "region/books.h"
#include "region/graves.h"
#include "region/region.h"
#include "region/registry.h"

#define THREAD_MASK (((uint64_t)1 << MOAT_MOMENT_THREAD_BITS) - 1)

#define NUMBER_BITS 14
#define TAG_BITS    18
#define ORDER_FIRST MOAT_PAGE_SHIFT
#define LINKS_MAX   8u                  /* graves that are looked at for one block */
#define TRIES       4u                  /* graves that somebody else is writing */
#define HASH        0x9e3779b97f4a7c15u /* Fibonacci hashing: the upper bits are the good ones */

_Static_assert(MOAT_GRAVE_SHARDS *MOAT_GRAVES == 1u << NUMBER_BITS, "a number names every grave");
_Static_assert(NUMBER_BITS + TAG_BITS == 32, "a place is one word");

static void *closed; /* the books, before there is a history; written before any region lives */
static _Atomic(struct moat_graves *) the_history;
static _Atomic bool refused;

/* A block of 2^order bytes, and where the table has it. */
struct block {
    unsigned order;
    uint64_t number;
    uint32_t place;
    uint32_t tag; /* in place of a word of the table */
};

size_t moat_history_bytes(void) {
    return moat_round_up(sizeof(struct moat_graves), MOAT_PAGE);
}

void moat_history_start(void *books) {
    closed = books;
}

static struct moat_graves *find_history(void) {
    /* A(opened) */
    return atomic_load_explicit(&the_history, memory_order_acquire);
}

/* With the first end; threads that meet here do the same. NULL: the kernel has refused it. */
static struct moat_graves *need_history(void) {
    struct moat_graves *history = find_history();

    /* relaxed: a word that stands for itself. */
    if (history || atomic_load_explicit(&refused, memory_order_relaxed))
        return history;
    if (moat_books_open_whole(closed, moat_history_bytes())) {
        /* relaxed: as above. */
        atomic_store_explicit(&refused, true, memory_order_relaxed);
        return NULL;
    }
    /* R(opened) */
    atomic_store_explicit(&the_history, closed, memory_order_release);
    return closed;
}

uint64_t moat_history_now(void) {
    return moat_os_clock_coarse();
}

/* Now, and this thread, in a word. */
static uint64_t this_moment(void) {
    return moat_history_now() >> MOAT_MOMENT_TIME_SHIFT << MOAT_MOMENT_THREAD_BITS |
           (moat_os_thread() & THREAD_MASK);
}

static struct moat_moment moment_of(uint64_t when, uint64_t site) {
    return (struct moat_moment){
        .time = when >> MOAT_MOMENT_THREAD_BITS << MOAT_MOMENT_TIME_SHIFT,
        .thread = (uint32_t)(when & THREAD_MASK),
        .site = (uintptr_t)site,
    };
}

static struct moat_birth *birth_of(uint32_t handle) {
    return &moat_registry()->births[handle];
}

void moat_history_born(uint32_t handle) {
    struct moat_birth *birth = birth_of(handle);
    /* R(rebirth) */
    atomic_store_explicit(&birth->when, this_moment(), memory_order_release);
    /* R(rebirth) */
    atomic_store_explicit(&birth->site, moat_site(), memory_order_release);
}

struct moat_moment moat_history_birth(const struct moat_region_ref *ref) {
    struct moat_birth *birth = birth_of(ref->handle);
    /* A(rebirth) */
    uint64_t when = atomic_load_explicit(&birth->when, memory_order_acquire);
    /* A(rebirth) */
    uint64_t site = atomic_load_explicit(&birth->site, memory_order_acquire);
    return moat_region_lives(ref) ? moment_of(when, site) : (struct moat_moment){0};
}

static struct block block_at(uintptr_t address, unsigned order) {
    struct block block = {.order = order, .number = (uint64_t)address >> order};
    uint64_t hash = (block.number << 6 | order) * HASH;
    block.place = (uint32_t)(hash >> (64 - MOAT_GRAVE_PLACES_LOG2));
    uint32_t tag = (uint32_t)(hash >> (64 - MOAT_GRAVE_PLACES_LOG2 - TAG_BITS)) | 1;
    block.tag = tag << NUMBER_BITS;
    return block;
}

/* The least order of blocks of which a range touches at most two. */
static unsigned order_of(uintptr_t start, uintptr_t end) {
    uintptr_t size = end - start;
    return size <= MOAT_PAGE ? ORDER_FIRST : 64u - (unsigned)__builtin_clzl(size - 1);
}

/* Take a grave to write to; false: all that were tried are being written. */
static bool take(struct moat_graves *history, uint32_t *number, uint64_t *stamp) {
    uint32_t shard = moat_os_thread() % MOAT_GRAVE_SHARDS;

    for (unsigned tries = 0; tries < TRIES; tries++) {
        /* relaxed: only the number matters. */
        uint64_t next =
            atomic_fetch_add_explicit(&history->rings[shard].next, 1, memory_order_relaxed);
        uint32_t at = (uint32_t)(next % MOAT_GRAVES);
        _Atomic uint64_t *of = &history->graves[shard][at].stamp;
        /* relaxed: the exchange below decides. */
        uint64_t before = atomic_load_explicit(of, memory_order_relaxed);
        *number = shard * MOAT_GRAVES + at;
        *stamp = 2 * (next + 1);
        /* A(whole) so that the words of two writers come one after the other. */
        if (!(before & 1) && before < *stamp &&
            atomic_compare_exchange_strong_explicit(of, &before, *stamp - 1, memory_order_acquire,
                                                    memory_order_relaxed))
            return true;
    }
    return false;
}

/* Show a grave where a block is looked up; the result is what was shown there before. */
static uint32_t show(struct moat_graves *history, const struct block *block, uint32_t number) {
    _Atomic uint32_t *place = &history->places[block->place];
    /* relaxed: what a place says is verified in the grave. */
    uint32_t before = atomic_load_explicit(place, memory_order_relaxed);
    /* relaxed: as above. */
    atomic_store_explicit(place, block->tag | number, memory_order_relaxed);
    return before;
}

/* Have a k tried from now on; read far more often than written. */
static void note_order(struct moat_graves *history, unsigned order) {
    uint64_t bit = UINT64_C(1) << order;
    /* relaxed: who does not see the bit yet comes too early to find anything. */
    if (!(atomic_load_explicit(&history->orders, memory_order_relaxed) & bit))
        /* relaxed: as above. */
        atomic_fetch_or_explicit(&history->orders, bit, memory_order_relaxed);
}

void moat_history_ended(const struct moat_region_ref *ref, uintptr_t start, uintptr_t end,
                        bool released) {
    struct moat_graves *history = need_history();
    uint32_t number;
    uint64_t stamp;

    if (!history || !take(history, &number, &stamp))
        return;
    unsigned order = order_of(start, end);
    note_order(history, order);
    struct block first = block_at(start, order);
    struct block last = block_at(end - 1, order);
    uint64_t before = show(history, &first, number);
    if (last.number != first.number)
        before |= (uint64_t)show(history, &last, number) << 32;
    const struct moat_birth *birth = birth_of(ref->handle);
    const uint64_t words[MOAT_GRAVE_WORDS] = {
        [MOAT_GRAVE_START] = start | (released ? MOAT_GRAVE_RELEASED : 0),
        [MOAT_GRAVE_END] = end,
        [MOAT_GRAVE_BASE] = ref->base,
        [MOAT_GRAVE_SIZE] = ref->size,
        [MOAT_GRAVE_OWNER] = (uintptr_t)ref->owner,
        /* relaxed: the region is the caller's. */
        [MOAT_GRAVE_BORN] = atomic_load_explicit(&birth->when, memory_order_relaxed),
        /* relaxed: as above. */
        [MOAT_GRAVE_BORN_SITE] = atomic_load_explicit(&birth->site, memory_order_relaxed),
        [MOAT_GRAVE_ENDED] = this_moment(),
        [MOAT_GRAVE_ENDED_SITE] = moat_site(),
        [MOAT_GRAVE_BEFORE] = before,
    };
    struct moat_grave *grave = &history->graves[number / MOAT_GRAVES][number % MOAT_GRAVES];
    for (unsigned word = 0; word < MOAT_GRAVE_WORDS; word++)
        /* R(torn) */
        atomic_store_explicit(&grave->words[word], words[word], memory_order_release);
    /* R(whole) */
    atomic_store_explicit(&grave->stamp, stamp, memory_order_release);
}

/* A copy of a grave. */
struct found {
    uint64_t stamp; /* 0: nothing */
    uint32_t number;
    uint64_t before;
    struct moat_past past;
};

/* False: nobody has written to it yet, or somebody does now. */
static bool copy(struct moat_graves *history, uint32_t number, struct found *found) {
    struct moat_grave *grave = &history->graves[number / MOAT_GRAVES][number % MOAT_GRAVES];
    uint64_t words[MOAT_GRAVE_WORDS];
    /* A(whole) */
    uint64_t stamp = atomic_load_explicit(&grave->stamp, memory_order_acquire);

    for (unsigned word = 0; word < MOAT_GRAVE_WORDS; word++)
        /* A(torn) */
        words[word] = atomic_load_explicit(&grave->words[word], memory_order_acquire);
    *found = (struct found){
        .stamp = stamp,
        .number = number,
        .before = words[MOAT_GRAVE_BEFORE],
        .past =
            {
                .start = (uintptr_t)(words[MOAT_GRAVE_START] & ~MOAT_GRAVE_RELEASED),
                .end = (uintptr_t)words[MOAT_GRAVE_END],
                .base = (uintptr_t)words[MOAT_GRAVE_BASE],
                .size = (size_t)words[MOAT_GRAVE_SIZE],
                .owner = (const struct moat_manager *)(uintptr_t)words[MOAT_GRAVE_OWNER],
                .released = (words[MOAT_GRAVE_START] & MOAT_GRAVE_RELEASED) != 0,
                .born = moment_of(words[MOAT_GRAVE_BORN], words[MOAT_GRAVE_BORN_SITE]),
                .ended = moment_of(words[MOAT_GRAVE_ENDED], words[MOAT_GRAVE_ENDED_SITE]),
            },
    };
    /* relaxed: ordered behind the words by A(torn). */
    uint64_t after = atomic_load_explicit(&grave->stamp, memory_order_relaxed);
    return stamp != 0 && !(stamp & 1) && after == stamp;
}

bool moat_history_is_of(const struct moat_region_ref *ref, const struct moat_past *past) {
    const struct moat_moment born = moat_history_birth(ref);
    return past->base == ref->base && past->size == ref->size && past->born.time == born.time &&
           past->born.thread == born.thread && past->born.site == born.site;
}

/* Whether one end came after another. The ring knows; between rings the clock may be too coarse,
 * but a region is born after what lay there before it ended, and is released last. */
static bool is_newer(const struct found *a, const struct found *b) {
    if (a->number / MOAT_GRAVES == b->number / MOAT_GRAVES)
        return a->stamp > b->stamp;
    if (a->past.ended.time != b->past.ended.time)
        return a->past.ended.time > b->past.ended.time;
    if (a->past.born.time != b->past.born.time)
        return a->past.born.time > b->past.born.time;
    return a->past.released && !b->past.released;
}

/* The same at an address where a region lives, if there is one: what ended in its life is newer. */
static bool is_newer_in(const struct moat_region_ref *ref, const struct found *a,
                        const struct found *b) {
    bool recent = ref && moat_history_is_of(ref, &a->past);
    if (ref && recent != moat_history_is_of(ref, &b->past))
        return recent;
    return is_newer(a, b);
}

/* What is looked for, and the newest that was found. */
struct search {
    const struct moat_region_ref *ref; /* of the region that lives there; NULL: none, or any */
    uintptr_t address;
    struct found newest;
};

/* Look at the graves that are shown for one block, the newest first. */
static void search_block(struct moat_graves *history, const struct block *block,
                         struct search *search) {
    struct found found;
    /* relaxed: what a place says is verified in the grave. */
    uint32_t shown = atomic_load_explicit(&history->places[block->place], memory_order_relaxed);

    for (unsigned links = 0; links < LINKS_MAX; links++) {
        uint32_t number = shown & ((1u << NUMBER_BITS) - 1);
        if (shown - number != block->tag || !copy(history, number, &found))
            return;
        const struct moat_past *past = &found.past;
        bool starts = past->start >> block->order == block->number;
        bool ends = (past->end - 1) >> block->order == block->number;
        if (order_of(past->start, past->end) != block->order || !(starts || ends))
            return; /* another end has taken the grave since */
        if (search->address >= past->start && search->address < past->end &&
            (search->newest.stamp == 0 || is_newer_in(search->ref, &found, &search->newest)))
            search->newest = found;
        shown = (uint32_t)(starts ? found.before : found.before >> 32);
    }
}

bool moat_history_find_in(const struct moat_region_ref *ref, uintptr_t address,
                          struct moat_past *past) {
    struct moat_graves *history = find_history();
    struct search search = {.ref = ref, .address = address};

    if (!history || address >= MOAT_OS_USER_END)
        return false;
    /* relaxed: as in note_order. */
    uint64_t orders = atomic_load_explicit(&history->orders, memory_order_relaxed);
    for (; orders != 0; orders &= orders - 1) {
        struct block block = block_at(address, (unsigned)__builtin_ctzl(orders));
        search_block(history, &block, &search);
    }
    *past = search.newest.past;
    return search.newest.stamp != 0;
}

bool moat_history_find(uintptr_t address, struct moat_past *past) {
    return moat_history_find_in(NULL, address, past);
}
