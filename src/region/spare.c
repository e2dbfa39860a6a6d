/* SPDX-License-Identifier: MIT */
/*
 * spare: one word a page, which says who may change the rights of that page.
 *
 * A thread that stops while it changes a page keeps that page from others for good, and so may a
 * forked child find it: it is one less, nothing else.
 *
 * Edges
 *   stretch   the stretch is reserved, then shown -> whoever sees it may change its pages
 *   parked    the size of a range is written, then its start -> whoever takes it by its start
 */
#include "region/spare.h"

#include "os/os.h"
#include "region/books.h"
#include "region/geometry.h"
#include "region/powers.h"

#include <errno.h>
#include <stdatomic.h>

/* Behind the pages that are spent is one that is never kept: to see whether there is room. */
#define PROBE MOAT_SPARE_PAGES

/* Another thread may take each time what was meant for this one. */
#define TIMES_MAX (2 * MOAT_SPARE_PAGES)

enum { GONE, CHANGING, HELD };

static _Atomic(unsigned char *) stretch; /* NULL: none yet */
static _Atomic uint8_t pages[MOAT_SPARE_PAGES];
static _Atomic unsigned held;
static _Atomic unsigned wanted; /* only grows */

/* Ranges that wait to be unmapped. A slot is taken by writing 1 for its start. */
#define PARKED_MAX 1024u
#define TAKEN      ((uintptr_t)1)

static struct {
    _Atomic uintptr_t start; /* 0: none */
    _Atomic size_t size;
    _Atomic bool inherited; /* by forked children */
} parked[PARKED_MAX];
static _Atomic size_t parked_bytes;

/* Pages without rights stand between those that are spent, and the margins at the ends. */
static void *page_at(unsigned char *base, unsigned number) {
    return base + (2 * (size_t)number + 1) * MOAT_PAGE;
}

static unsigned char *find_stretch(void) {
    /* A(stretch) */
    return atomic_load_explicit(&stretch, memory_order_acquire);
}

/* Change the rights of one page that is `from`. */
static bool change(unsigned char *base, unsigned number, uint8_t from, uint8_t to, int *error) {
    uint8_t seen = from;
    /* relaxed: the page is never touched, and the kernel orders calls on it. */
    if (!atomic_compare_exchange_strong_explicit(&pages[number], &seen, CHANGING,
                                                 memory_order_relaxed, memory_order_relaxed))
        return false;
    *error =
        moat_os_protect(page_at(base, number), MOAT_PAGE, to == HELD ? MOAT_OS_READ : MOAT_OS_NONE);
    /* relaxed: as above. */
    atomic_store_explicit(&pages[number], *error ? from : to, memory_order_relaxed);
    if (*error)
        return false;
    if (to == HELD)
        /* relaxed: a statistic. */
        atomic_fetch_add_explicit(&held, 1, memory_order_relaxed);
    else
        /* relaxed: a statistic. */
        atomic_fetch_sub_explicit(&held, 1, memory_order_relaxed);
    return true;
}

static bool gain(unsigned char *base, int *error) {
    *error = 0;
    for (unsigned number = 0; number < MOAT_SPARE_PAGES && !*error; number++)
        if (change(base, number, GONE, HELD, error))
            return true;
    return false;
}

static bool spend(unsigned char *base) {
    int error;
    for (unsigned number = 0; number < MOAT_SPARE_PAGES; number++)
        if (change(base, number, HELD, GONE, &error))
            return true;
    return false;
}

/* Whether fewer are held than are wanted. */
static bool is_short(void) {
    /* relaxed: a hint. */
    unsigned now = atomic_load_explicit(&held, memory_order_relaxed);
    /* relaxed: a hint. */
    return now < atomic_load_explicit(&wanted, memory_order_relaxed);
}

/* The stretch, set aside if it is not yet; NULL: no address space for it. */
static unsigned char *need_stretch(void) {
    const size_t size = (2 * (size_t)PROBE + 3) * MOAT_PAGE;
    unsigned char *base = find_stretch();
    void *fresh;

    if (base)
        return base;
    if (moat_os_reserve(size, MOAT_PAGE, &fresh))
        return NULL;
    /* R(stretch) A(stretch) */
    if (!atomic_compare_exchange_strong_explicit(&stretch, &base, fresh, memory_order_acq_rel,
                                                 memory_order_acquire)) {
        moat_os_give_up(fresh, size);
        return base;
    }
    (void)moat_books_claim((uintptr_t)fresh, (uintptr_t)fresh + size);
    return fresh;
}

/* Raise what is wanted; false: all were before. */
static bool raise_wanted(unsigned more) {
    /* relaxed: a number that stands for itself. */
    unsigned before = atomic_load_explicit(&wanted, memory_order_relaxed);
    unsigned after;

    do {
        unsigned rest = MOAT_SPARE_PAGES - before;
        if (rest == 0)
            return false;
        after = before + (more < rest ? more : rest);
        /* relaxed: as above. */
    } while (!atomic_compare_exchange_weak_explicit(&wanted, &before, after, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

void moat_spare_want(unsigned more) {
    int error = 0;

    if (!raise_wanted(more))
        return;
    unsigned char *base = need_stretch();
    while (base && is_short() && gain(base, &error))
        continue;
    if (!base || error)
        moat_powers_lack(MOAT_LACKS_SPARE);
}

enum moat_room moat_spare_room(void) {
    unsigned char *base = find_stretch();

    if (!base)
        return MOAT_ROOM_UNKNOWN;
    void *probe = page_at(base, PROBE);
    int error = moat_os_protect(probe, MOAT_PAGE, MOAT_OS_READ);
    if (error)
        return error == ENOMEM ? MOAT_ROOM_NONE : MOAT_ROOM_UNKNOWN;
    (void)moat_os_protect(probe, MOAT_PAGE, MOAT_OS_NONE);
    return MOAT_ROOM_LEFT;
}

bool moat_spare_lend(int error, struct moat_spare_use *use) {
    unsigned char *base = find_stretch();

    /* EAGAIN: the same of calls that change flags. */
    if ((error != ENOMEM && error != EAGAIN) || !base || use->times++ >= TIMES_MAX)
        return false;
    /* It was something else; or others have made room since, as happens to who has been here. */
    if (moat_spare_room() == MOAT_ROOM_LEFT)
        return use->times > 1 || is_short();
    return spend(base);
}

int moat_spare_protect(void *start, size_t size, unsigned access) {
    struct moat_spare_use use = {0};
    int error;

    do
        error = moat_os_protect(start, size, access);
    while (moat_spare_lend(error, &use));
    return error;
}

unsigned moat_spare_count(void) {
    /* relaxed: a statistic. */
    return 2 * atomic_load_explicit(&held, memory_order_relaxed);
}

bool moat_spare_park(void *start, size_t size, bool inherited) {
    for (unsigned slot = 0; slot < PARKED_MAX; slot++) {
        uintptr_t none = 0;
        /* A(parked) */
        if (!atomic_compare_exchange_strong_explicit(&parked[slot].start, &none, TAKEN,
                                                     memory_order_acquire, memory_order_relaxed))
            continue;
        /* relaxed: published by the start. */
        atomic_store_explicit(&parked[slot].size, size, memory_order_relaxed);
        /* relaxed: as above. */
        atomic_store_explicit(&parked[slot].inherited, inherited, memory_order_relaxed);
        /* R(parked) */
        atomic_store_explicit(&parked[slot].start, (uintptr_t)start, memory_order_release);
        /* relaxed: a statistic, and a hint. */
        atomic_fetch_add_explicit(&parked_bytes, size, memory_order_relaxed);
        return true;
    }
    return false;
}

void moat_spare_forget(void) {
    for (unsigned slot = 0; slot < PARKED_MAX; slot++) {
        /* A(parked) */
        uintptr_t start = atomic_load_explicit(&parked[slot].start, memory_order_acquire);
        /* relaxed: ordered by A(parked). */
        if (start <= TAKEN || atomic_load_explicit(&parked[slot].inherited, memory_order_relaxed))
            continue;
        /* relaxed: ordered by A(parked). */
        size_t size = atomic_load_explicit(&parked[slot].size, memory_order_relaxed);
        /* R(parked) */
        atomic_store_explicit(&parked[slot].start, 0, memory_order_release);
        /* relaxed: a statistic, and a hint. */
        atomic_fetch_sub_explicit(&parked_bytes, size, memory_order_relaxed);
    }
}

size_t moat_spare_parked(void) {
    /* relaxed: a statistic. */
    return atomic_load_explicit(&parked_bytes, memory_order_relaxed);
}

/* Unmap what can be unmapped, up to the first that still cannot. */
static void unpark(void) {
    for (unsigned slot = 0; slot < PARKED_MAX && moat_spare_parked() != 0; slot++) {
        /* relaxed: compared when it is swapped. */
        uintptr_t start = atomic_load_explicit(&parked[slot].start, memory_order_relaxed);
        /* A(parked) */
        if (start <= TAKEN ||
            !atomic_compare_exchange_strong_explicit(&parked[slot].start, &start, TAKEN,
                                                     memory_order_acquire, memory_order_relaxed))
            continue;
        /* relaxed: ordered by A(parked). */
        size_t size = atomic_load_explicit(&parked[slot].size, memory_order_relaxed);
        int error = moat_os_unreserve((void *)start, size);
        /* R(parked) */
        atomic_store_explicit(&parked[slot].start, error ? start : 0, memory_order_release);
        if (error)
            return;
        /* relaxed: a statistic, and a hint. */
        atomic_fetch_sub_explicit(&parked_bytes, size, memory_order_relaxed);
    }
}

void moat_spare_refill(void) {
    int error;

    if (moat_spare_parked() != 0)
        unpark();
    if (!is_short())
        return;
    unsigned char *base = need_stretch();
    if (base)
        (void)gain(base, &error);
}
