/* SPDX-License-Identifier: MIT */
/* stash: some slots a processor, each with room for the largest body; a word says what is in it. */
#include "region/stash.h"

#include "os/annotate.h"
#include "os/os.h"
#include "region/books.h"
#include "region/chance.h"
#include "region/habit.h"
#include "region/pages.h"
#include "region/powers.h"
#include "region/retain_budget.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#define PARTS 64u
#define SLOTS 16u

/* Slots begin where page tables do, and what lies between them traps. */
#define STRIDE (MOAT_STASH_SIZE_MAX + MOAT_BLOCK)

/* What a slot is, besides the size of the body in it. */
enum { EMPTY = 0, MOVING = 1, LOST = 2 };

/* No address: somebody is reserving the slots of a part. */
#define BUSY ((uintptr_t)1)

/* Of one processor. */
struct part {
    _Alignas(128) _Atomic uint64_t slots[SLOTS];
    _Atomic uintptr_t start; /* of the first; 0: no address space yet; BUSY: it is on its way */
    _Atomic uint32_t turn;   /* the slot that makes way next */
};

static struct part parts[PARTS];

/* Whether a body was ever put away, and whether this process cannot. */
static _Atomic bool used, refused;

static bool is_set(const _Atomic bool *flag) {
    /* relaxed: a hint. */
    return atomic_load_explicit(flag, memory_order_relaxed);
}

static void set(_Atomic bool *flag) {
    /* relaxed: a hint. */
    if (!is_set(flag))
        /* relaxed: a hint. */
        atomic_store_explicit(flag, true, memory_order_relaxed);
}

static void *place_of(const struct part *part, unsigned slot) {
    /* A(body) */
    return (void *)(atomic_load_explicit(&part->start, memory_order_acquire) + slot * STRIDE);
}

/* 0: this process cannot. */
static uintptr_t reserve_slots(void) {
    const uint64_t chance[MOAT_BOOKS_CHANCE] = {moat_chance_draw(), moat_chance_draw()};
    struct moat_book book;

    if (moat_annotated() || moat_powers_lacking() || moat_os_strict_overcommit() ||
        moat_books_reserve(SLOTS * STRIDE + MOAT_BLOCK, chance, &book))
        return 0;
    if (moat_books_keep(&book) == 0)
        return moat_round_up((uintptr_t)book.start, MOAT_BLOCK);
    moat_books_return(&book);
    return 0;
}

/* Address space for the slots of a part, once. Nobody waits for whoever is at it: a child may have
 * nobody who is. */
static bool has_room(struct part *part) {
    uintptr_t start = 0;

    /* A(body) */
    if (atomic_load_explicit(&part->start, memory_order_acquire) > BUSY)
        return true;
    /* relaxed: shown when it is there. */
    if (!atomic_compare_exchange_strong_explicit(&part->start, &start, BUSY, memory_order_relaxed,
                                                 memory_order_relaxed))
        return start > BUSY;
    start = reserve_slots();
    if (start == 0)
        set(&refused);
    /* R(body) */
    atomic_store_explicit(&part->start, start, memory_order_release);
    return start != 0;
}

/* Take a slot that is `from`. */
static bool grab(struct part *part, unsigned slot, uint64_t from) {
    /* A(body) */
    return atomic_compare_exchange_strong_explicit(&part->slots[slot], &from, MOVING,
                                                   memory_order_acquire, memory_order_relaxed);
}

static void let_go(struct part *part, unsigned slot, uint64_t is) {
    /* R(body) */
    atomic_store_explicit(&part->slots[slot], is, memory_order_release);
}

static uint64_t peek(const struct part *part, unsigned slot) {
    /* relaxed: looked at again when the slot is taken. */
    return atomic_load_explicit(&part->slots[slot], memory_order_relaxed);
}

static bool is_full(uint64_t word) {
    return word > LOST;
}

/* Give the memory of a slot back that the caller has; the size of what was in it. */
static size_t drop(struct part *part, unsigned slot, uint64_t size) {
    if (moat_os_discard(place_of(part, slot), size)) {
        let_go(part, slot, size);
        return 0;
    }
    let_go(part, slot, EMPTY);
    moat_retain_refund(size);
    return size;
}

/* An empty slot, or SLOTS: another body makes way when all are full, or when it is `crowded`. */
static unsigned find_empty(struct part *part, bool crowded) {
    for (unsigned slot = 0; slot < SLOTS && !crowded; slot++)
        if (peek(part, slot) == EMPTY && grab(part, slot, EMPTY))
            return slot;
    for (unsigned tries = 0; tries < SLOTS; tries++) {
        /* relaxed: only the number matters. */
        unsigned slot = atomic_fetch_add_explicit(&part->turn, 1, memory_order_relaxed) % SLOTS;
        uint64_t size = peek(part, slot);
        if (is_full(size) && grab(part, slot, size) && drop(part, slot, size))
            return grab(part, slot, EMPTY) ? slot : SLOTS;
    }
    return SLOTS;
}

/* A full slot with a body of that size, or SLOTS. */
static unsigned find_body(struct part *part, size_t size) {
    for (unsigned slot = 0; slot < SLOTS; slot++)
        if (peek(part, slot) == size && grab(part, slot, size))
            return slot;
    return SLOTS;
}

/* Whether all pages are the region's alone, without markers, and may be read and written. */
static bool is_movable(struct moat_space *space, uintptr_t start, uintptr_t end) {
    while (start < end) {
        struct moat_run run = moat_pages_run(space, start, end);
        if (run.state != (MOAT_PAGE_COMMITTED | MOAT_CODE_READWRITE) ||
            (run.open && !moat_space_whole_blocks(space, run.start, run.end)))
            return false;
        start = run.end;
    }
    return true;
}

static bool takes_part(const struct moat_space *space, size_t size) {
    return space->arena && size >= MOAT_STASH_SIZE_MIN && size <= MOAT_STASH_SIZE_MAX &&
           !is_set(&refused) && moat_kind_plain(space->kind);
}

/* Move pages to where nothing is of value. A failure may leave a hole there, which is filled at
 * once, by what stands there otherwise. */
static int move(void *from, void *to, size_t size) {
    int error = moat_os_move(from, to, size);

    if (error == EINVAL || error == ENOSYS || error == ENOTSUP)
        set(&refused);
    if (error && error != ENOTSUP && moat_os_reserve_at(to, size) == 0)
        (void)moat_os_uncharge(to, size);
    return error;
}

/* What has gone from a place is not even readable. */
static void set_gone(struct moat_space *space, uintptr_t start, uintptr_t end) {
    while (start < end) {
        struct moat_run run = moat_pages_run(space, start, end);
        if (run.open)
            moat_pages_set_blocks(space, run.start, run.end, MOAT_BLOCK_CLOSED);
        moat_pages_set(space, run.start, run.end, 0);
        start = run.end;
    }
}

bool moat_stash_put(struct moat_space *space, uintptr_t start, uintptr_t end, uint64_t most) {
    struct part *part = &parts[moat_os_processor() % PARTS];
    size_t size = end - start;

    if (!takes_part(space, size) || !is_movable(space, start, end) || !has_room(part))
        return false;
    bool paid = moat_retain_draw(size, most);
    unsigned slot = find_empty(part, !paid);
    if (slot == SLOTS || (!paid && !moat_retain_draw(size, most))) {
        if (slot < SLOTS)
            let_go(part, slot, EMPTY);
        if (paid)
            moat_retain_refund(size);
        return false;
    }
    if (move((void *)start, place_of(part, slot), size)) {
        let_go(part, slot, EMPTY);
        moat_retain_refund(size);
        return false;
    }
    /* In one step: what others write here meanwhile goes as well. */
    bool closed = moat_os_uncharge((void *)start, size) == 0;
    set(&used);
    if (closed) {
        let_go(part, slot, size);
        set_gone(space, start, end);
    } else { /* the content comes back without the kernel, which may refuse anything now */
        memcpy((void *)start, place_of(part, slot), size);
        (void)drop(part, slot, size);
    }
    return closed;
}

bool moat_stash_take(struct moat_space *space, uintptr_t start, uintptr_t end) {
    unsigned first = moat_os_processor() % PARTS;
    size_t size = end - start;

    if (!is_set(&used) || !takes_part(space, size) || !moat_habit_recycles(start, end))
        return false;
    for (unsigned i = 0; i < PARTS; i++) {
        struct part *part = &parts[(first + i) % PARTS];
        unsigned slot = find_body(part, size);
        if (slot == SLOTS)
            continue;
        /* Whoever changes rights without telling us has them changed for all of a mapping. */
        if (!moat_os_writable(place_of(part, slot))) {
            (void)drop(part, slot, size);
            return false;
        }
        memset(place_of(part, slot), 0, size);
        if (move(place_of(part, slot), (void *)start, size)) {
            let_go(part, slot, size);
            return false;
        }
        let_go(part, slot, EMPTY);
        moat_retain_refund(size);
        return true;
    }
    return false;
}

size_t moat_stash_empty(void) {
    size_t given = 0;

    for (unsigned i = 0; i < PARTS && is_set(&used); i++)
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            uint64_t size = peek(&parts[i], slot);
            if (is_full(size) && grab(&parts[i], slot, size))
                given += drop(&parts[i], slot, size);
        }
    return given;
}

size_t moat_stash_mend(void) {
    size_t held = 0;

    for (unsigned i = 0; i < PARTS && is_set(&used); i++)
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            uint64_t is = peek(&parts[i], slot);
            if (is == MOVING)
                let_go(&parts[i], slot,
                       moat_os_discard(place_of(&parts[i], slot), MOAT_STASH_SIZE_MAX) ? LOST
                                                                                       : EMPTY);
            else if (is_full(is))
                held += is;
        }
    return held;
}
