/* SPDX-License-Identifier: MIT */
/* pages: searching, claiming and marking, a word at a time. */
#include "code/pages.h"

#include "base/align.h"

#include <stdatomic.h>

#define WORD 64u

static size_t word_count(size_t count) {
    return (count + WORD - 1) / WORD;
}

size_t moat_code_pages_size(size_t count) {
    return word_count(count) * 2 * sizeof(uint64_t) + count * sizeof(uint32_t);
}

void moat_code_pages_init(struct moat_code_pages *pages, void *memory, size_t count) {
    size_t words = word_count(count);

    pages->count = count;
    pages->taken = memory;
    pages->starts = pages->taken + words;
    pages->lengths = (_Atomic uint32_t *)(pages->starts + words);
}

/* The pages of [first, end) that word `index` stands for. */
static uint64_t mask_of(size_t index, size_t first, size_t end) {
    size_t low = index * WORD < first ? first - index * WORD : 0;
    size_t high = end - index * WORD < WORD ? end - index * WORD : WORD;
    return UINT64_MAX >> (WORD - (high - low)) << low;
}

static void clear(struct moat_code_pages *pages, size_t first, size_t end) {
    for (size_t index = first / WORD; index * WORD < end; index++)
        /* R(claim) */
        atomic_fetch_and_explicit(&pages->taken[index], ~mask_of(index, first, end),
                                  memory_order_release);
}

/* Take [first, end), or nothing. */
static bool take(struct moat_code_pages *pages, size_t first, size_t end) {
    for (size_t index = first / WORD; index * WORD < end; index++) {
        uint64_t mask = mask_of(index, first, end);
        /* relaxed: compared when it is swapped. */
        uint64_t word = atomic_load_explicit(&pages->taken[index], memory_order_relaxed);
        do {
            if (word & mask) {
                if (index * WORD > first)
                    clear(pages, first, index * WORD);
                return false;
            }
            /* A(claim) */
        } while (!atomic_compare_exchange_weak_explicit(
            &pages->taken[index], &word, word | mask, memory_order_acquire, memory_order_relaxed));
    }
    return true;
}

/* The first run of `length` free pages in [from, end), as it looks now; `end` if there is none. */
static size_t find_run(const struct moat_code_pages *pages, size_t from, size_t end,
                       size_t length) {
    size_t first = from;

    for (size_t page = from; page < end;) {
        /* relaxed: a hint before a claim. */
        uint64_t word = atomic_load_explicit(&pages->taken[page / WORD], memory_order_relaxed);
        if (word == UINT64_MAX) {
            page = (page / WORD + 1) * WORD;
            first = page;
            continue;
        }
        bool is_free = (word >> page % WORD & 1) == 0;
        page++;
        if (!is_free)
            first = page;
        else if (page - first == length)
            return first;
    }
    return end;
}

static bool claim_between(struct moat_code_pages *pages, size_t from, size_t end, size_t length,
                          size_t *first) {
    for (;;) {
        size_t found = find_run(pages, from, end, length);
        if (found == end)
            return false;
        if (take(pages, found, found + length)) {
            *first = found;
            return true;
        }
        from = found; /* somebody was faster: look again from there */
    }
}

bool moat_code_pages_claim(struct moat_code_pages *pages, size_t length, size_t *first) {
    /* relaxed: a hint. */
    size_t from = atomic_load_explicit(&pages->from, memory_order_relaxed);

    if (length > pages->count)
        return false;
    if (!claim_between(pages, from, pages->count, length, first) &&
        !claim_between(pages, 0, pages->count, length, first))
        return false;
    /* relaxed: a hint. */
    atomic_store_explicit(&pages->from, (*first + length) % pages->count, memory_order_relaxed);
    return true;
}

void moat_code_pages_unclaim(struct moat_code_pages *pages, size_t first, size_t length) {
    clear(pages, first, first + length);
}

uint32_t moat_code_pages_length(const struct moat_code_pages *pages, size_t first) {
    /* relaxed: true for whoever holds the stripes, which order it; a guess for others. */
    return atomic_load_explicit(&pages->lengths[first], memory_order_relaxed);
}

void moat_code_pages_enter(struct moat_code_pages *pages, size_t first, size_t length) {
    /* relaxed: ordered by R(live), and by the stripes. */
    atomic_store_explicit(&pages->lengths[first], (uint32_t)length, memory_order_relaxed);
    /* R(live) */
    atomic_fetch_or_explicit(&pages->starts[first / WORD], UINT64_C(1) << first % WORD,
                             memory_order_release);
}

void moat_code_pages_leave(struct moat_code_pages *pages, size_t first) {
    /* relaxed: who finds it a moment longer finds a block that was live a moment ago. */
    atomic_fetch_and_explicit(&pages->starts[first / WORD], ~(UINT64_C(1) << first % WORD),
                              memory_order_relaxed);
    /* relaxed: ordered by the stripes. */
    atomic_store_explicit(&pages->lengths[first], 0, memory_order_relaxed);
}

bool moat_code_pages_find(const struct moat_code_pages *pages, size_t page, size_t *first,
                          size_t *length) {
    size_t index = page / WORD;
    uint64_t mask = UINT64_MAX >> (WORD - 1 - page % WORD);

    for (;; index--, mask = UINT64_MAX) {
        /* A(live) */
        uint64_t word = atomic_load_explicit(&pages->starts[index], memory_order_acquire) & mask;
        if (word) {
            *first = index * WORD + (WORD - 1 - (size_t)__builtin_clzll(word));
            *length = moat_code_pages_length(pages, *first);
            return page - *first < *length;
        }
        if (index == 0)
            return false;
    }
}
