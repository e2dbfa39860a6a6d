/* SPDX-License-Identifier: MIT */
/*
 * frozen: a state each, and pages that are opened when they are first taken.
 *
 * Edges
 *   given   memory is zeroed, then said to be free -> whoever takes it next finds it zeroed
 *   taken   memory is opened, then said to be taken -> whoever lists it may read it
 */
#include "region/frozen.h"

#include "base/align.h"
#include "os/os.h"
#include "region/books.h"

#include <stdatomic.h>

enum state { CLOSED, FREE, MOVING, TAKEN };

static struct {
    _Atomic uint8_t *states; /* written once, at the start, as are the others */
    unsigned char *first;
    size_t count;
} all;

static size_t states_size(size_t count) {
    return moat_round_up(count, MOAT_PAGE);
}

size_t moat_frozen_books_size(size_t count) {
    return states_size(count) + count * MOAT_FROZEN_SIZE;
}

int moat_frozen_start(void *books, size_t count) {
    int error = moat_books_open_first(books, states_size(count));
    if (error)
        return error;
    all.states = books;
    all.first = (unsigned char *)books + states_size(count);
    all.count = count;
    return 0;
}

static void set_state(size_t number, enum state state) {
    /* R(given) R(taken) */
    atomic_store_explicit(&all.states[number], (uint8_t)state, memory_order_release);
}

static int set_access(unsigned char *memory, unsigned access) {
    return moat_os_protect(memory, MOAT_PAGE, access);
}

/* Make memory usable that never was, or not wholly. */
static int open_all(unsigned char *memory) {
    int error = moat_books_open(memory + MOAT_PAGE, MOAT_FROZEN_SIZE - MOAT_PAGE);
    return error ? error : set_access(memory, MOAT_OS_READ | MOAT_OS_WRITE);
}

void *moat_frozen_take(void) {
    for (size_t number = 0; number < all.count; number++) {
        /* relaxed: the swap orders what matters. */
        uint8_t now = atomic_load_explicit(&all.states[number], memory_order_relaxed);
        if (now != CLOSED && now != FREE)
            continue;
        uint8_t before = now;
        /* A(given) */
        if (!atomic_compare_exchange_strong_explicit(&all.states[number], &now, MOVING,
                                                     memory_order_acquire, memory_order_relaxed))
            continue;
        unsigned char *memory = all.first + number * MOAT_FROZEN_SIZE;
        if (before == CLOSED && open_all(memory)) {
            set_state(number, CLOSED);
            return NULL;
        }
        set_state(number, TAKEN);
        return memory;
    }
    return NULL;
}

void moat_frozen_freeze(void *memory) {
    if (set_access(memory, MOAT_OS_READ))
        moat_books_count_unsealed();
}

static void zero(_Atomic uint64_t *words) {
    if (moat_os_discard((void *)words, MOAT_FROZEN_SIZE))
        for (size_t word = 0; word < MOAT_FROZEN_SIZE / sizeof(*words); word++)
            /* relaxed: R(given) orders it. */
            atomic_store_explicit(&words[word], 0, memory_order_relaxed);
}

void moat_frozen_give(void *memory) {
    size_t number = (size_t)((unsigned char *)memory - all.first) / MOAT_FROZEN_SIZE;

    if (set_access(memory, MOAT_OS_READ | MOAT_OS_WRITE))
        return;
    set_state(number, MOVING);
    zero(memory);
    set_state(number, FREE);
}

size_t moat_frozen_count(void) {
    return all.count;
}

void *moat_frozen_nth(size_t nth) {
    if (nth >= all.count)
        return NULL;
    /* A(taken) */
    uint8_t state = atomic_load_explicit(&all.states[nth], memory_order_acquire);
    return state == TAKEN ? all.first + nth * MOAT_FROZEN_SIZE : NULL;
}
