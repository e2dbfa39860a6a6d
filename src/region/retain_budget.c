/* SPDX-License-Identifier: MIT */
/*
 * retain_budget: two sums, each with a share in hand for every processor.
 *
 * All of it is arithmetic on single words. A word that was read too early makes a draw fail or go
 * to the sum of the process, which is where the bound is; no memory is passed by them.
 */
#include "region/retain_budget.h"

#include "os/os.h"
#include "region/powers.h"

#include <stdatomic.h>

#define SHARES 64u

/* Of what the process may use, and of its mappings: a granule makes three out of one. */
#define MEMORY_PARTS  64u
#define MAPPING_PARTS 16u
#define SPLITS        2u

/* What is drawn at once, and what a share keeps when it has more than twice that. */
#define BYTES_STEP    ((uint64_t)256 << 10)
#define GRANULES_STEP UINT64_C(4)

struct share {
    _Alignas(128) _Atomic uint64_t bytes;
    _Atomic uint64_t granules;
};

static struct share shares[SHARES];

/* What was drawn from the process, be it spent or in a share. */
static struct {
    _Alignas(128) _Atomic uint64_t bytes;
    _Alignas(128) _Atomic uint64_t granules;
} drawn;

/* What the process may use; 0: nobody has looked yet. */
static _Atomic uint64_t memory;

static struct share *share_of_this_processor(void) {
    return &shares[moat_os_processor() % SHARES];
}

static uint64_t look(const _Atomic uint64_t *word) {
    /* relaxed: only the number matters. */
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void add(_Atomic uint64_t *word, uint64_t amount) {
    /* relaxed: only the number matters. */
    atomic_fetch_add_explicit(word, amount, memory_order_relaxed);
}

/* Take from a word unless less than that is there. */
static bool take(_Atomic uint64_t *word, uint64_t amount) {
    uint64_t there = look(word);
    while (there >= amount)
        /* relaxed: only the number matters. */
        if (atomic_compare_exchange_weak_explicit(word, &there, there - amount,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    return false;
}

/* Raise a sum, but not above `most`. */
static bool raise_to(_Atomic uint64_t *sum, uint64_t amount, uint64_t most) {
    uint64_t before = look(sum);
    while (amount <= most && before <= most - amount)
        /* relaxed: only the number matters. */
        if (atomic_compare_exchange_weak_explicit(sum, &before, before + amount,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    return false;
}

static bool draw(_Atomic uint64_t *share, _Atomic uint64_t *sum, uint64_t amount, uint64_t step,
                 uint64_t most) {
    if (take(share, amount))
        return true;
    if (raise_to(sum, amount + step, most)) {
        add(share, step);
        return true;
    }
    return raise_to(sum, amount, most);
}

static void refund(_Atomic uint64_t *share, _Atomic uint64_t *sum, uint64_t amount, uint64_t step) {
    add(share, amount);
    uint64_t there = look(share);
    if (there > 2 * step && take(share, there - step))
        add(sum, 0 - (there - step));
}

bool moat_retain_draw(size_t bytes, uint64_t most) {
    struct share *share = share_of_this_processor();
    return bytes <= most && draw(&share->bytes, &drawn.bytes, bytes, BYTES_STEP, most);
}

void moat_retain_refund(size_t bytes) {
    refund(&share_of_this_processor()->bytes, &drawn.bytes, bytes, BYTES_STEP);
}

bool moat_sever_draw(size_t granules) {
    struct share *share = share_of_this_processor();
    uint64_t most = moat_powers_mappings() / MAPPING_PARTS / SPLITS;
    return draw(&share->granules, &drawn.granules, granules, GRANULES_STEP, most);
}

void moat_sever_refund(size_t granules) {
    refund(&share_of_this_processor()->granules, &drawn.granules, granules, GRANULES_STEP);
}

uint64_t moat_retained_bytes(void) {
    uint64_t in_hand = 0;
    for (unsigned i = 0; i < SHARES; i++)
        in_hand += look(&shares[i].bytes);
    uint64_t all = look(&drawn.bytes);
    return all > in_hand ? all - in_hand : 0;
}

bool moat_retained_any(void) {
    return look(&drawn.bytes) != 0;
}

uint64_t moat_retain_most(uint64_t option) {
    if (option == 0)
        return 0;
    uint64_t limit = look(&memory);
    if (limit == 0) {
        struct moat_load load;
        limit = moat_os_memory(&load) || !moat_load_known(&load) ? UINT64_MAX : load.limit;
        /* relaxed: whoever looks meanwhile reads the same. */
        atomic_store_explicit(&memory, limit ? limit : 1, memory_order_relaxed);
    }
    return option < limit / MEMORY_PARTS ? option : limit / MEMORY_PARTS;
}

void moat_retain_recount(uint64_t bytes, uint64_t granules) {
    for (unsigned i = 0; i < SHARES; i++) {
        /* relaxed: nobody else draws. */
        atomic_store_explicit(&shares[i].bytes, 0, memory_order_relaxed);
        /* relaxed: nobody else draws. */
        atomic_store_explicit(&shares[i].granules, 0, memory_order_relaxed);
    }
    /* relaxed: nobody else draws. */
    atomic_store_explicit(&drawn.bytes, bytes, memory_order_relaxed);
    /* relaxed: nobody else draws. */
    atomic_store_explicit(&drawn.granules, granules, memory_order_relaxed);
}
