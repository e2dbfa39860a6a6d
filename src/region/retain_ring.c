/* SPDX-License-Identifier: MIT */
/*
 * retain_ring: stacks of words that wrap around, each word a place.
 *
 * Whoever takes a word swaps it for 0, so it is his alone; the depth follows, and may be wrong by
 * as many as are at it at once. A hole that this leaves is looked past, a few words deep; what lies
 * under more of them is found when the stack comes round, as the oldest there.
 */
#include "region/retain_ring.h"

#include "os/os.h"
#include "region/chance.h"

#include <stdatomic.h>

#define SHARDS 64u
#define WORDS  256u

/* So many of the youngest words are looked at, and drawn from. */
#define YOUNG 8u

/* From this depth on others may help themselves. */
#define PLENTY 16u

/* A word: first granule, pages, arena, kind. A base is not 0, so no word is. */
#define GRANULE_SHIFT 33
#define PAGES_SHIFT   26
#define PAGES_MASK    UINT64_C(0x7F)
#define NUMBER_SHIFT  8
#define NUMBER_MASK   UINT64_C(0xFFFF)
#define KIND_MASK     UINT64_C(0xFF)

struct stack {
    _Alignas(64) _Atomic uint32_t top; /* words there ever were above the bottom */
    _Atomic uint64_t words[WORDS];
};

static struct stack stacks[SHARDS][MOAT_RETAIN_GRANULES];

/* The processor that had plenty of a size when it last told of one, plus 1. */
static _Atomic uint32_t rich[MOAT_RETAIN_GRANULES];

static unsigned granules_of(size_t size) {
    return (unsigned)(moat_round_up(size, MOAT_GRANULE) >> MOAT_GRANULE_SHIFT);
}

static uint64_t pack(const struct moat_retained_place *place) {
    return (uint64_t)(place->base >> MOAT_GRANULE_SHIFT) << GRANULE_SHIFT |
           (uint64_t)(place->size >> MOAT_PAGE_SHIFT) << PAGES_SHIFT |
           (uint64_t)place->number << NUMBER_SHIFT | place->kind;
}

static struct moat_retained_place unpack(uint64_t word) {
    return (struct moat_retained_place){
        .kind = (unsigned)(word & KIND_MASK),
        .number = (unsigned)(word >> NUMBER_SHIFT & NUMBER_MASK),
        .base = (uintptr_t)(word >> GRANULE_SHIFT) << MOAT_GRANULE_SHIFT,
        .size = (size_t)(word >> PAGES_SHIFT & PAGES_MASK) << MOAT_PAGE_SHIFT,
    };
}

static uint64_t look(const _Atomic uint64_t *word) {
    /* relaxed: a hint. */
    return atomic_load_explicit(word, memory_order_relaxed);
}

static uint64_t swap(_Atomic uint64_t *word, uint64_t with) {
    /* relaxed: a hint. */
    return atomic_exchange_explicit(word, with, memory_order_relaxed);
}

bool moat_retain_ring_put(const struct moat_retained_place *place,
                          struct moat_retained_place *forgotten) {
    unsigned shard = moat_os_processor() % SHARDS;
    unsigned size = granules_of(place->size) - 1;
    struct stack *stack = &stacks[shard][size];
    /* relaxed: a hint. */
    uint32_t top = atomic_fetch_add_explicit(&stack->top, 1, memory_order_relaxed);

    uint64_t old = swap(&stack->words[top % WORDS], pack(place));
    /* relaxed: a hint. */
    if (look(&stack->words[(top - PLENTY) % WORDS]) != 0 &&
        atomic_load_explicit(&rich[size], memory_order_relaxed) != shard + 1)
        /* relaxed: a hint. */
        atomic_store_explicit(&rich[size], shard + 1, memory_order_relaxed);
    if (old)
        *forgotten = unpack(old);
    return old != 0;
}

static bool fits(uint64_t word, unsigned kind, size_t size) {
    const struct moat_retained_place place = unpack(word);
    return word != 0 && place.kind == kind && place.size == size;
}

/* The youngest word that fits, out of the stack; 0: there is none among the young. */
static uint64_t pop(struct stack *stack, unsigned kind, size_t size) {
    /* relaxed: a hint. */
    uint32_t top = atomic_load_explicit(&stack->top, memory_order_relaxed);
    bool above = false; /* something stays above it */

    for (uint32_t depth = 1; depth <= YOUNG; depth++) {
        _Atomic uint64_t *at = &stack->words[(top - depth) % WORDS];
        uint64_t word = look(at);
        if (!fits(word, kind, size)) {
            above |= word != 0;
            continue;
        }
        word = swap(at, 0);
        uint32_t before = top;
        if (!above)
            /* relaxed: where somebody else was at it, a hole is left. */
            (void)atomic_compare_exchange_strong_explicit(
                &stack->top, &before, top - depth, memory_order_relaxed, memory_order_relaxed);
        return word;
    }
    return 0;
}

/* Put a word back in the place of another one among the young, and take that. */
static uint64_t trade(struct stack *stack, uint64_t word, unsigned kind, size_t size,
                      uint32_t chance) {
    /* relaxed: a hint. */
    uint32_t top = atomic_load_explicit(&stack->top, memory_order_relaxed);
    uint32_t depth = moat_chance_below(chance, YOUNG); /* 0: as it is */
    _Atomic uint64_t *at = &stack->words[(top - depth) % WORDS];

    if (depth == 0 || !fits(look(at), kind, size))
        return word;
    uint64_t other = swap(at, word);
    return other ? other : swap(at, 0);
}

static uint64_t get(struct stack *stack, unsigned kind, size_t size, uint32_t chance) {
    uint64_t word = pop(stack, kind, size);
    if (word != 0 && chance != 0)
        word = trade(stack, word, kind, size, chance);
    return word;
}

bool moat_retain_ring_get(unsigned kind, size_t size, uint32_t chance,
                          struct moat_retained_place *place) {
    unsigned shard = moat_os_processor() % SHARDS;
    unsigned granules = granules_of(size);
    uint64_t word;

    if (granules == 0 || granules > MOAT_RETAIN_GRANULES)
        return false;
    word = get(&stacks[shard][granules - 1], kind, size, chance);
    if (!word) {
        /* relaxed: a hint. */
        uint32_t other = atomic_load_explicit(&rich[granules - 1], memory_order_relaxed);
        if (other != 0 && other != shard + 1)
            word = get(&stacks[other - 1][granules - 1], kind, size, chance);
    }
    if (!word)
        return false;
    *place = unpack(word);
    return place->size == size && place->kind == kind;
}

/* Among the largest there are. */
bool moat_retain_ring_get_oldest(struct moat_retained_place *place) {
    unsigned shard = moat_os_processor() % SHARDS;

    for (unsigned granules = MOAT_RETAIN_GRANULES; granules-- > 0;) {
        struct stack *stack = &stacks[shard][granules];
        /* relaxed: a hint. */
        uint32_t top = atomic_load_explicit(&stack->top, memory_order_relaxed);
        for (uint32_t i = 0; i < WORDS; i++) {
            _Atomic uint64_t *at = &stack->words[(top + i) % WORDS];
            uint64_t word = look(at) ? swap(at, 0) : 0;
            if (word == 0)
                continue;
            *place = unpack(word);
            return true;
        }
    }
    return false;
}
