/* SPDX-License-Identifier: MIT */
/* quarantine: parts a processor, and a pool of quarantines that are never given back. */
#include "region/quarantine.h"

#include "os/os.h"
#include "region/arena.h"
#include "region/books.h"
#include "region/chance.h"
#include "region/geometry.h"
#include "region/resting.h"

#include <stdatomic.h>

#define PARTS 64u

/* The array is so much shorter than the queue. */
#define QUEUE_TO_ARRAY 4u

/* What rests, in a word: whether it stands alone, its first granule, how many there are. */
#define ALONE      (UINT64_C(1) << 62)
#define FIELD_BITS 31
#define FIELD_MASK ((UINT64_C(1) << FIELD_BITS) - 1)

/* Of one processor. */
struct part {
    _Atomic uint64_t link;   /* of the books */
    _Atomic uint64_t turn;   /* how many ever joined the queue */
    _Atomic uint64_t oldest; /* those that joined before have left it, or are overwritten */
    _Atomic uint64_t regions;
    _Atomic uint64_t bytes;
    _Atomic uint64_t slots[]; /* the queue, then the array */
};

struct moat_quarantine {
    _Atomic uint64_t link;        /* of the books */
    struct moat_quarantine *next; /* in the pool */
    _Atomic uint32_t used;
    uint32_t queue; /* slots */
    uint32_t array;
    _Atomic uint64_t bytes_max;
    _Atomic(struct part *) parts[PARTS];
};

static _Atomic(struct moat_quarantine *) pool;

static struct moat_quarantine *first_of_pool(void) {
    /* A(part) */
    return atomic_load_explicit(&pool, memory_order_acquire);
}

static void enter_pool(struct moat_quarantine *quarantine) {
    quarantine->next = first_of_pool();
    /* R(part) A(part) */
    while (!atomic_compare_exchange_weak_explicit(&pool, &quarantine->next, quarantine,
                                                  memory_order_release, memory_order_acquire))
        ;
}

struct moat_quarantine *moat_quarantine_take(uint32_t count, uint64_t bytes) {
    struct moat_quarantine *taken = first_of_pool();

    /* One for another count does not do: somebody who lets all that rests go may be looking at its
     * parts, which therefore stay what they are. */
    for (; taken; taken = taken->next) {
        uint32_t unused = 0;
        /* A(pool) */
        if (taken->queue == count &&
            atomic_compare_exchange_strong_explicit(&taken->used, &unused, 1, memory_order_acquire,
                                                    memory_order_relaxed))
            break;
    }
    if (!taken) {
        taken = moat_books_take(sizeof(*taken));
        if (!taken)
            return NULL;
        taken->queue = count;
        taken->array = count < QUEUE_TO_ARRAY ? 1 : count / QUEUE_TO_ARRAY;
        /* relaxed: nobody knows of it yet. */
        atomic_store_explicit(&taken->used, 1, memory_order_relaxed);
        enter_pool(taken);
    }
    /* relaxed: a bound. */
    atomic_store_explicit(&taken->bytes_max, bytes, memory_order_relaxed);
    return taken;
}

bool moat_quarantine_admits(const struct moat_quarantine *quarantine, size_t size) {
    /* relaxed: a bound. */
    return quarantine && size <= atomic_load_explicit(&quarantine->bytes_max, memory_order_relaxed);
}

static size_t part_size(const struct moat_quarantine *quarantine) {
    return sizeof(struct part) + (quarantine->queue + quarantine->array) * sizeof(uint64_t);
}

/* NULL: no memory for it. */
static struct part *part_of(struct moat_quarantine *quarantine) {
    _Atomic(struct part *) *place = &quarantine->parts[moat_os_processor() % PARTS];
    /* A(part) */
    struct part *part = atomic_load_explicit(place, memory_order_acquire);
    if (part)
        return part;
    struct part *fresh = moat_books_take(part_size(quarantine));
    /* R(part) A(part) */
    if (fresh && !atomic_compare_exchange_strong_explicit(place, &part, fresh, memory_order_acq_rel,
                                                          memory_order_acquire)) {
        moat_books_give(fresh, part_size(quarantine));
        return part;
    }
    return fresh;
}

static size_t size_of(uint64_t word) {
    return (size_t)(word & FIELD_MASK) << MOAT_GRANULE_SHIFT;
}

static void account(struct part *part, uint64_t regions, uint64_t bytes) {
    /* relaxed: statistics, and a bound that needs to be no sharper. */
    atomic_fetch_add_explicit(&part->regions, regions, memory_order_relaxed);
    /* relaxed: as above. */
    atomic_fetch_add_explicit(&part->bytes, bytes, memory_order_relaxed);
}

static uintptr_t base_of(uint64_t word) {
    return (uintptr_t)(word >> FIELD_BITS & FIELD_MASK) << MOAT_GRANULE_SHIFT;
}

/* The bytes that were unmapped for it. */
static size_t let_go(uint64_t word) {
    uintptr_t base = base_of(word);

    if (word & ALONE)
        return moat_resting_end(base, base + size_of(word));
    moat_arena_unrest(base, size_of(word));
    return 0;
}

/* Put a word into a slot; what was there is the caller's. */
static uint64_t swap(_Atomic uint64_t *slot, uint64_t word) {
    /* relaxed: a word names addresses that claims or the list of what rests order. */
    return atomic_exchange_explicit(slot, word, memory_order_relaxed);
}

static size_t end(struct part *part, uint64_t word) {
    if (word == 0)
        return 0;
    account(part, 0 - UINT64_C(1), 0 - (uint64_t)size_of(word));
    return let_go(word);
}

/* The same as account and end, where as a rule one region like another takes its place. */
static void replace(struct part *part, uint64_t word, uint64_t ended) {
    uint64_t regions = 1 - (uint64_t)(ended != 0);
    uint64_t bytes = (uint64_t)size_of(word) - size_of(ended);

    if ((regions | bytes) != 0)
        account(part, regions, bytes);
    if (ended)
        (void)let_go(ended);
}

/* What joined the queue first and is still there; 0: nothing is. */
static uint64_t pop(const struct moat_quarantine *quarantine, struct part *part) {
    /* relaxed: only the numbers matter. */
    uint64_t oldest = atomic_load_explicit(&part->oldest, memory_order_relaxed);

    for (;;) {
        /* relaxed: only the numbers matter. */
        uint64_t turn = atomic_load_explicit(&part->turn, memory_order_relaxed);
        uint64_t at = turn > oldest + quarantine->queue ? turn - quarantine->queue : oldest;
        if (at >= turn)
            return 0;
        /* relaxed: only the numbers matter. */
        if (!atomic_compare_exchange_weak_explicit(&part->oldest, &oldest, at + 1,
                                                   memory_order_relaxed, memory_order_relaxed))
            continue;
        uint64_t word = swap(&part->slots[at % quarantine->queue], 0);
        if (word)
            return word;
        oldest = at + 1;
    }
}

/* Anything in the array; 0: nothing is. */
static uint64_t pick(const struct moat_quarantine *quarantine, struct part *part, uint32_t chance) {
    uint32_t first = moat_chance_below(chance, quarantine->array);
    uint64_t word = 0;

    for (uint32_t i = 0; i < quarantine->array && word == 0; i++)
        word = swap(&part->slots[quarantine->queue + (first + i) % quarantine->array], 0);
    return word;
}

/* Let go what is more than may rest. */
static void shrink(const struct moat_quarantine *quarantine, struct part *part, uint32_t chance) {
    /* relaxed: a bound. */
    uint64_t most = atomic_load_explicit(&quarantine->bytes_max, memory_order_relaxed);

    /* relaxed: as above. */
    while (atomic_load_explicit(&part->bytes, memory_order_relaxed) > most) {
        uint64_t word = pop(quarantine, part);
        if (word == 0)
            word = pick(quarantine, part, chance);
        if (word == 0)
            return;
        (void)end(part, word);
    }
}

void moat_quarantine_rest(struct moat_quarantine *quarantine, uintptr_t base, size_t size,
                          bool alone) {
    struct part *part = part_of(quarantine);
    uint64_t word = (uint64_t)(base >> MOAT_GRANULE_SHIFT) << FIELD_BITS |
                    moat_round_up(size, MOAT_GRANULE) >> MOAT_GRANULE_SHIFT;

    word |= alone ? ALONE : 0;
    if (!part) {
        (void)let_go(word);
        return;
    }
    uint64_t chance = moat_chance_draw();
    uint32_t slot = quarantine->queue + moat_chance_below((uint32_t)chance, quarantine->array);
    uint64_t pushed = swap(&part->slots[slot], word);
    if (pushed) {
        /* relaxed: only the number matters. */
        uint64_t turn = atomic_fetch_add_explicit(&part->turn, 1, memory_order_relaxed);
        pushed = swap(&part->slots[turn % quarantine->queue], pushed);
    }
    replace(part, word, pushed);
    shrink(quarantine, part, (uint32_t)(chance >> 32));
}

static size_t empty(struct moat_quarantine *quarantine) {
    size_t size = 0;

    for (unsigned i = 0; i < PARTS; i++) {
        /* A(part) */
        struct part *part = atomic_load_explicit(&quarantine->parts[i], memory_order_acquire);
        for (uint32_t slot = 0; part && slot < quarantine->queue + quarantine->array; slot++)
            size += end(part, swap(&part->slots[slot], 0));
    }
    return size;
}

void moat_quarantine_give(struct moat_quarantine *quarantine) {
    if (!quarantine)
        return;
    (void)empty(quarantine);
    /* R(pool) */
    atomic_store_explicit(&quarantine->used, 0, memory_order_release);
}

size_t moat_quarantine_empty_all(void) {
    size_t size = 0;
    for (struct moat_quarantine *at = first_of_pool(); at; at = at->next)
        size += empty(at);
    return size + moat_resting_end_all();
}

static void forget(_Atomic uint64_t *slot, struct part *part, bool (*is_emptied)(uintptr_t)) {
    /* relaxed: only the number matters. */
    uint64_t word = atomic_load_explicit(slot, memory_order_relaxed);

    /* relaxed: as above. */
    if (word != 0 && !(word & ALONE) && is_emptied(base_of(word)) &&
        atomic_compare_exchange_strong_explicit(slot, &word, 0, memory_order_relaxed,
                                                memory_order_relaxed))
        account(part, 0 - UINT64_C(1), 0 - (uint64_t)size_of(word));
}

void moat_quarantine_forget(bool (*is_emptied)(uintptr_t base)) {
    for (struct moat_quarantine *at = first_of_pool(); at; at = at->next)
        for (unsigned i = 0; i < PARTS; i++) {
            /* A(part) */
            struct part *part = atomic_load_explicit(&at->parts[i], memory_order_acquire);
            for (uint32_t slot = 0; part && slot < at->queue + at->array; slot++)
                forget(&part->slots[slot], part, is_emptied);
        }
}

void moat_quarantine_count(const struct moat_quarantine *quarantine, uint64_t *regions,
                           uint64_t *bytes) {
    *regions = *bytes = 0;
    for (unsigned i = 0; quarantine && i < PARTS; i++) {
        /* A(part) */
        const struct part *part = atomic_load_explicit(&quarantine->parts[i], memory_order_acquire);
        if (!part)
            continue;
        /* relaxed: a statistic. */
        *regions += atomic_load_explicit(&part->regions, memory_order_relaxed);
        /* relaxed: a statistic. */
        *bytes += atomic_load_explicit(&part->bytes, memory_order_relaxed);
    }
}
