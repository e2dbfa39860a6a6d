/* SPDX-License-Identifier: MIT */
/*
 * books: reservations between margins, and power-of-two pieces of them on tagged free stacks.
 *
 * Edges
 *   extent    an extent's end is written last -> whoever reads an end finds its start
 *   piece     a piece is pushed -> whoever pops it finds it zeroed and linked
 */
#include "region/books.h"

#include "os/os.h"
#include "region/geometry.h"
#include "region/powers.h"
#include "region/space.h"

#include <errno.h>
#include <stdatomic.h>

/* A free-stack head: the number of a piece, 256 bytes each, and a count of pushes against ABA. A
 * thread would have to sleep through exactly 2^25 pushes to be fooled. */
#define PIECE_SHIFT 8
#define NUMBER_BITS 39
#define NUMBER_MASK (((uint64_t)1 << NUMBER_BITS) - 1)

#define SMALLEST_ORDER PIECE_SHIFT
#define LARGEST_ORDER  40 /* the page bytes of 4 PiB: more than there is */
#define SLAB_SIZE      ((size_t)256 << 10)
#define MARGIN         MOAT_GRANULE

#define EXTENTS_MAX 1024

static struct {
    _Atomic uintptr_t start;
    _Atomic uintptr_t end;
} extents[EXTENTS_MAX];
static _Atomic size_t extent_count;

/* What is left of the address space set aside for pieces at the start. */
static struct {
    _Atomic uintptr_t next;
    uintptr_t end;
} supply;

static struct {
    _Alignas(64) _Atomic uint64_t head; /* tag, address of the first free piece */
} stacks[LARGEST_ORDER + 1];

bool moat_books_claim(uintptr_t start, uintptr_t end) {
    /* relaxed: the slot is this thread's alone; the end publishes it. */
    size_t slot = atomic_fetch_add_explicit(&extent_count, 1, memory_order_relaxed);
    if (slot >= EXTENTS_MAX) {
        /* relaxed: as above. */
        atomic_fetch_sub_explicit(&extent_count, 1, memory_order_relaxed);
        return false;
    }
    /* relaxed: published by the end. */
    atomic_store_explicit(&extents[slot].start, start, memory_order_relaxed);
    /* R(extent) */
    atomic_store_explicit(&extents[slot].end, end, memory_order_release);
    return true;
}

/* Find an extent that has a part of [from, to). */
static bool find_extent(uintptr_t from, uintptr_t to, uintptr_t *start, uintptr_t *end) {
    /* relaxed: an extent that is not there yet is one this caller cannot know of. */
    size_t count = atomic_load_explicit(&extent_count, memory_order_relaxed);
    if (count > EXTENTS_MAX)
        count = EXTENTS_MAX;
    for (size_t slot = 0; slot < count; slot++) {
        /* A(extent) */
        *end = atomic_load_explicit(&extents[slot].end, memory_order_acquire);
        /* relaxed: ordered by A(extent). */
        *start = atomic_load_explicit(&extents[slot].start, memory_order_relaxed);
        if (from < *end && to > *start)
            return true;
    }
    return false;
}

bool moat_books_contain(uintptr_t address, uintptr_t *start, uintptr_t *end) {
    return find_extent(address, address + 1, start, end);
}

bool moat_books_meet(uintptr_t from, uintptr_t to) {
    uintptr_t start, end;
    return find_extent(from, to, &start, &end);
}

int moat_books_reserve(size_t size, void **start) {
    size_t whole = moat_round_up(size, MOAT_GRANULE) + 2 * MARGIN;
    void *base;
    int error = moat_os_reserve(whole, MOAT_GRANULE, &base);
    if (error)
        return error;
    if (!moat_books_claim((uintptr_t)base, (uintptr_t)base + whole)) {
        (void)moat_os_unreserve(base, whole);
        return ENOMEM;
    }
    /* Books hold no user data, and a reservation is far larger than what it holds. A kernel that
     * refuses costs dump size, nothing else. */
    (void)moat_os_dump_exclude(base, whole);
    *start = (unsigned char *)base + MARGIN;
    return 0;
}

void moat_books_supply(void *start, size_t size) {
    supply.end = (uintptr_t)start + size;
    /* relaxed: nobody else asks for pieces yet. */
    atomic_store_explicit(&supply.next, (uintptr_t)start, memory_order_relaxed);
}

/* Cut a stretch with a margin behind it off the supply; NULL: not that much is left. */
static void *cut(size_t size) {
    size_t whole = moat_round_up(size, MOAT_GRANULE) + MARGIN;
    /* relaxed: only the number matters. */
    uintptr_t next = atomic_load_explicit(&supply.next, memory_order_relaxed);
    do {
        if (whole > supply.end - next)
            return NULL;
        /* relaxed: only the number matters. */
    } while (!atomic_compare_exchange_weak_explicit(&supply.next, &next, next + whole,
                                                    memory_order_relaxed, memory_order_relaxed));
    return (void *)next;
}

/* Fresh usable memory for pieces. Address space that would not open is lost, but nothing points to
 * it, and where the kernel refuses memory there is little more to come. */
static void *fresh(size_t size) {
    void *start = cut(size);
    if (!start && moat_books_reserve(size, &start))
        return NULL;
    return moat_books_open(start, size) ? NULL : start;
}

int moat_books_open(void *start, size_t size) {
    return moat_os_protect(start, size, MOAT_OS_READ | MOAT_OS_WRITE);
}

static unsigned order_of(size_t size) {
    unsigned order = SMALLEST_ORDER;
    while (((size_t)1 << order) < size)
        order++;
    return order;
}

static _Atomic uint64_t *piece_of(uint64_t head) {
    return (_Atomic uint64_t *)(uintptr_t)((head & NUMBER_MASK) << PIECE_SHIFT);
}

static void push(unsigned order, void *memory) {
    uint64_t number = (uint64_t)(uintptr_t)memory >> PIECE_SHIFT;
    _Atomic uint64_t *piece = memory;
    /* relaxed: the CAS below orders what matters. */
    uint64_t head = atomic_load_explicit(&stacks[order].head, memory_order_relaxed);
    uint64_t next;
    do {
        /* relaxed: published by R(piece). */
        atomic_store_explicit(piece, head & NUMBER_MASK, memory_order_relaxed);
        next = ((head >> NUMBER_BITS) + 1) << NUMBER_BITS | number;
        /* R(piece) */
    } while (!atomic_compare_exchange_weak_explicit(&stacks[order].head, &head, next,
                                                    memory_order_release, memory_order_relaxed));
}

static void *pop(unsigned order) {
    /* A(piece) */
    uint64_t head = atomic_load_explicit(&stacks[order].head, memory_order_acquire);
    while (head & NUMBER_MASK) {
        _Atomic uint64_t *piece = piece_of(head);
        /* relaxed: a piece that was taken links anywhere, but then the count has moved. */
        uint64_t next = atomic_load_explicit(piece, memory_order_relaxed);
        next = (head & ~NUMBER_MASK) | (next & NUMBER_MASK);
        /* A(piece) */
        if (atomic_compare_exchange_weak_explicit(&stacks[order].head, &head, next,
                                                  memory_order_acquire, memory_order_acquire)) {
            /* relaxed: the piece is this thread's now. */
            atomic_store_explicit(piece, 0, memory_order_relaxed);
            return piece;
        }
    }
    return NULL;
}

/* A fresh reservation: one large piece, or a slab cut into small ones. */
static void *grow(unsigned order) {
    size_t piece_size = (size_t)1 << order;
    size_t slab_size = piece_size < SLAB_SIZE ? SLAB_SIZE : piece_size;
    unsigned char *slab = fresh(slab_size);

    for (size_t at = piece_size; slab && at < slab_size; at += piece_size)
        push(order, slab + at);
    return slab;
}

void *moat_books_take(size_t size) {
    unsigned order = order_of(size);
    if (order > LARGEST_ORDER)
        return NULL;
    void *piece = pop(order);
    return piece ? piece : grow(order);
}

void moat_books_give(void *memory, size_t size) {
    unsigned order = order_of(size);
    size_t whole = (size_t)1 << order;
    _Atomic uint64_t *words = memory;

    /* Large pieces are whole pages of their own: the kernel has zeroes, and takes the memory. */
    if (whole < SLAB_SIZE || !moat_powers()->discard_zeroes || moat_os_discard(memory, whole))
        for (size_t word = 0; word < (size + 7) / 8; word++)
            /* R(rebirth) a query that reads a zero finds its region's life word changed. */
            atomic_store_explicit(&words[word], 0, memory_order_release);
    push(order, memory);
}
