/* SPDX-License-Identifier: MIT */
/*
 * books: reservations between margins, and power-of-two pieces of them on tagged free stacks.
 *
 * Easy to get wrong: a range that is sealed cannot be opened again, not even as it is. So ranges
 * that two threads may open at once are the same ones, and who comes second is content.
 *
 * Edges
 *   extent    an extent's end is written last -> whoever reads an end finds its start
 *   piece     a piece is pushed -> whoever pops it finds it zeroed and linked
 *   slab      a slab is opened, then shown -> whoever cuts a piece off it may use that
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
#define LARGEST_ORDER  40                  /* the page bytes of 4 PiB: more than there is */
#define SLAB_SIZE      ((size_t)256 << 10) /* that small pieces are cut off */
#define MARGIN         MOAT_GRANULE
#define DUMPED_MAX     ((size_t)2 << 20) /* of what is opened at once */

#define EXTENTS_MAX 1024

/* Where chance may put books: above what programs like to ask for by address, and below where the
 * kernel puts libraries and stacks. Some 30 bits of chance, and four within the margin. */
#define CHANCE_START ((uintptr_t)0x200000000000)
#define CHANCE_END   ((uintptr_t)0x7E0000000000)
#define CHANCE_TRIES 8

/* ThreadSanitizer turns a mapping away, with the process, that is not where it expects programs to
 * have any: there the kernel chooses. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define KERNEL_CHOOSES 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define KERNEL_CHOOSES 1
#endif
#ifndef KERNEL_CHOOSES
#define KERNEL_CHOOSES 0
#endif
#define OFFSETS (MARGIN / MOAT_PAGE)

static struct {
    _Atomic uintptr_t start;
    _Atomic uintptr_t end;
} extents[EXTENTS_MAX];
static _Atomic size_t extent_count;

static _Atomic uint64_t unsealed;

/* What is left of the address space set aside for pieces at the start. */
static struct {
    _Atomic uintptr_t next;
    uintptr_t start;
    uintptr_t end;
} supply;

static struct {
    _Alignas(64) _Atomic uint64_t head; /* tag, address of the first free piece */
} stacks[LARGEST_ORDER + 1];

/* What was never used of a slab: the number of its first piece, and above that how many there are.
 * Such a word never comes again, for no piece is cut off twice. */
static _Atomic uint64_t rest_of_slab;

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

uint64_t moat_books_extent(void) {
    /* relaxed: a statistic. */
    size_t count = atomic_load_explicit(&extent_count, memory_order_relaxed);
    uint64_t sum = 0;

    for (size_t slot = 0; slot < count && slot < EXTENTS_MAX; slot++) {
        /* A(extent) */
        uintptr_t end = atomic_load_explicit(&extents[slot].end, memory_order_acquire);
        /* relaxed: ordered by A(extent). */
        uintptr_t start = atomic_load_explicit(&extents[slot].start, memory_order_relaxed);
        sum += end ? end - start : 0;
    }
    return sum;
}

/* At a base drawn by chance; where that is taken again and again, or out of this machine's reach,
 * at one of the kernel's choosing. */
static int reserve_somewhere(size_t size, uint64_t chance, void **base) {
    for (unsigned tries = 0; tries < CHANCE_TRIES; tries++) {
        uint64_t granules = (CHANCE_END - CHANCE_START - size) / MOAT_GRANULE;
        if (tries > 0 && moat_os_entropy(&chance, sizeof(chance)))
            break;
        *base = (void *)(CHANCE_START + chance % granules * MOAT_GRANULE);
        int error = moat_os_reserve_at(*base, size);
        if (!error)
            return 0;
        if (error != EEXIST)
            break;
    }
    return moat_os_reserve(size, MOAT_GRANULE, base);
}

int moat_books_reserve(size_t size, const uint64_t chance[MOAT_BOOKS_CHANCE],
                       struct moat_book *book) {
    size_t whole = moat_round_up(size, MOAT_GRANULE) + 3 * MARGIN;
    bool none = KERNEL_CHOOSES || (chance[0] | chance[1]) == 0;
    void *base;

    int error = none ? moat_os_reserve(whole, MOAT_GRANULE, &base)
                     : reserve_somewhere(whole, chance[0], &base);
    if (error)
        return error;
    book->from = (uintptr_t)base;
    book->to = book->from + whole;
    book->start = (unsigned char *)base + MARGIN + chance[1] % OFFSETS * MOAT_PAGE;
    return 0;
}

void moat_books_return(const struct moat_book *book) {
    moat_os_give_up((void *)book->from, book->to - book->from);
}

/* Whether a kernel that says it has sealed a range keeps to it: one that does refuses a change that
 * changes nothing. What it did once it does again. */
static bool is_sealed(void *start, unsigned access) {
    static _Atomic bool keeps;
    /* relaxed: found out at the start, by one thread. */
    if (atomic_load_explicit(&keeps, memory_order_relaxed))
        return true;
    bool sealed = moat_os_protect(start, MOAT_PAGE, access) == EPERM;
    /* relaxed: as above. */
    atomic_store_explicit(&keeps, sealed, memory_order_relaxed);
    return sealed;
}

void moat_books_count_unsealed(void) {
    /* relaxed: a statistic. */
    atomic_fetch_add_explicit(&unsealed, 1, memory_order_relaxed);
}

static void seal(void *start, size_t size, unsigned access) {
    if (!moat_powers()->seal || moat_os_seal(start, size) || !is_sealed(start, access))
        moat_books_count_unsealed();
}

/* Whose first page is open. */
static void seal_open(void *start, size_t size) {
    seal(start, size, MOAT_OS_READ | MOAT_OS_WRITE);
}

void moat_books_freeze(void *start, size_t size) {
    if (moat_os_protect(start, size, MOAT_OS_READ))
        moat_books_count_unsealed();
    else
        seal(start, size, MOAT_OS_READ);
}

uint64_t moat_books_unsealed(void) {
    /* relaxed: a statistic. */
    return atomic_load_explicit(&unsealed, memory_order_relaxed);
}

int moat_books_keep(const struct moat_book *book) {
    return moat_books_claim(book->from, book->to) ? 0 : ENOMEM;
}

/* Books are in core dumps, so that tools can tell what was where, as far as they are small: of a
 * large one little is touched, and who reads a dump from a pipe has to read all of it. What is not
 * open has nothing to dump. A kernel that refuses costs dump size, nothing else. */
static int make_usable(void *start, size_t size) {
    int error = moat_os_protect(start, size, MOAT_OS_READ | MOAT_OS_WRITE);
    if (!error && size > DUMPED_MAX)
        (void)moat_os_dump_exclude((unsigned char *)start + DUMPED_MAX, size - DUMPED_MAX);
    return error;
}

void moat_books_supply(void *start, size_t size) {
    supply.start = (uintptr_t)start;
    supply.end = (uintptr_t)start + size;
    /* relaxed: nobody else asks for pieces yet. */
    atomic_store_explicit(&supply.next, (uintptr_t)start, memory_order_relaxed);
}

/* Cut a stretch with a margin behind it off the supply; NULL: not that much is left. */
static unsigned char *cut(size_t size) {
    size_t whole = moat_round_up(size, MOAT_GRANULE) + MARGIN;
    /* relaxed: only the number matters. */
    uintptr_t next = atomic_load_explicit(&supply.next, memory_order_relaxed);
    do {
        if (whole > supply.end - next)
            return NULL;
        /* relaxed: only the number matters. */
    } while (!atomic_compare_exchange_weak_explicit(&supply.next, &next, next + whole,
                                                    memory_order_relaxed, memory_order_relaxed));
    return (unsigned char *)next;
}

/* What was cut off the supply, with the margin behind it. */
static int open_piece(unsigned char *start, size_t size) {
    uintptr_t behind = (uintptr_t)start + moat_round_up(size, MOAT_GRANULE) + MARGIN;
    uintptr_t from, to;
    int error = make_usable(start, size);

    if (error)
        return error;
    if ((uintptr_t)start == supply.start && moat_books_contain(supply.start, &from, &to)) {
        seal((void *)from, behind - from, MOAT_OS_NONE);
        seal((void *)(to - MARGIN), MARGIN, MOAT_OS_NONE);
    } else {
        seal_open(start, behind - (uintptr_t)start);
    }
    return 0;
}

/* Fresh usable memory for pieces. Address space that would not open is lost, but nothing points to
 * it, and where the kernel refuses memory there is little more to come. */
static void *fresh(size_t size) {
    unsigned char *start = cut(size);
    struct moat_book book;

    if (start)
        return open_piece(start, size) ? NULL : start;
    uint64_t chance[MOAT_BOOKS_CHANCE];
    if (moat_os_entropy(chance, sizeof(chance)))
        chance[0] = chance[1] = 0;
    if (moat_books_reserve(size, chance, &book))
        return NULL;
    if (moat_books_keep(&book)) {
        moat_books_return(&book);
        return NULL;
    }
    return moat_books_open_whole(book.start, size) ? NULL : book.start;
}

/* Whether a range can be read and written; where nobody can be asked, it is taken to be. */
static bool is_open(uintptr_t start, uintptr_t end) {
    struct moat_os_mapping mapping;

    for (; start < end; start = mapping.end)
        if (moat_os_query(start, &mapping))
            return true;
        else if (mapping.access != (MOAT_OS_READ | MOAT_OS_WRITE) || mapping.file)
            return false;
    return true;
}

/* Open [start, start + size) and seal [from, to), which is that and margins. */
static int open_in(void *start, size_t size, uintptr_t from, uintptr_t to) {
    int error = make_usable(start, size);

    if (!error && from < (uintptr_t)start)
        seal((void *)from, to - from, MOAT_OS_NONE);
    else if (!error)
        seal_open(start, to - from);
    /* Another thread has opened it meanwhile, and sealed it. */
    if (error == EPERM && moat_powers()->seal && is_open((uintptr_t)start, (uintptr_t)start + size))
        return 0;
    return error;
}

int moat_books_open(void *start, size_t size) {
    return open_in(start, size, (uintptr_t)start, (uintptr_t)start + size);
}

int moat_books_open_first(void *start, size_t size) {
    uintptr_t from, to;

    if (!moat_books_contain((uintptr_t)start, &from, &to))
        return EINVAL;
    int error = open_in(start, size, from, (uintptr_t)start + size);
    if (!error)
        seal((void *)(to - MARGIN), MARGIN, MOAT_OS_NONE);
    return error;
}

int moat_books_open_whole(void *start, size_t size) {
    uintptr_t from, to;

    if (!moat_books_contain((uintptr_t)start, &from, &to))
        return EINVAL;
    return open_in(start, size, from, to);
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

/* Pieces in a slab are aligned to their size, up to a page. What that passes over is lost, which is
 * less than a page. NULL: no piece of this order is left. */
static void *cut_slab(unsigned order) {
    uint64_t size = UINT64_C(1) << (order - PIECE_SHIFT);
    uint64_t alignment = size < MOAT_PAGE >> PIECE_SHIFT ? size : MOAT_PAGE >> PIECE_SHIFT;
    /* A(slab) */
    uint64_t rest = atomic_load_explicit(&rest_of_slab, memory_order_acquire);
    uint64_t number, next;

    do {
        number = moat_round_up(rest & NUMBER_MASK, alignment);
        uint64_t taken = number + size - (rest & NUMBER_MASK);
        uint64_t count = rest >> NUMBER_BITS;
        if (count < taken)
            return NULL;
        next = (count - taken) << NUMBER_BITS | (number + size);
        /* R(slab) A(slab) passes on what whoever opened the slab has released. */
    } while (!atomic_compare_exchange_weak_explicit(&rest_of_slab, &rest, next,
                                                    memory_order_acq_rel, memory_order_acquire));
    return (void *)(uintptr_t)(number << PIECE_SHIFT);
}

/* Show what is left of a slab; of two the larger is kept, and the other lost: it was never touched,
 * so that is address space. */
static void keep_rest(unsigned char *start, size_t size) {
    uint64_t number = (uint64_t)(uintptr_t)start >> PIECE_SHIFT;
    uint64_t fresh_rest = (uint64_t)(size >> PIECE_SHIFT) << NUMBER_BITS | number;
    /* relaxed: the CAS below orders what matters. */
    uint64_t rest = atomic_load_explicit(&rest_of_slab, memory_order_relaxed);

    while (rest >> NUMBER_BITS < fresh_rest >> NUMBER_BITS &&
           /* R(slab) */
           !atomic_compare_exchange_weak_explicit(&rest_of_slab, &rest, fresh_rest,
                                                  memory_order_release, memory_order_relaxed))
        ;
}

/* A fresh reservation: one large piece, or a slab that the small ones of every order are cut off
 * one by one, so that nothing is touched before it is used. */
static void *grow(unsigned order) {
    size_t size = (size_t)1 << order;
    if (size >= SLAB_SIZE)
        return fresh(size);
    void *piece = cut_slab(order);
    if (piece)
        return piece;
    unsigned char *slab = fresh(SLAB_SIZE);
    if (slab)
        keep_rest(slab + size, SLAB_SIZE - size);
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
