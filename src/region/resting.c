/* SPDX-License-Identifier: MIT */
/*
 * resting: a list of words, each a mapping: first granule << 32 | granules. Searches look at no
 * more words than were ever in use at once. A word stays where it is while somebody has the mapping
 * in hand, so that others see that he may let go of it again.
 */
#include "region/resting.h"

#include "os/os.h"
#include "region/geometry.h"

#include <errno.h>
#include <stdatomic.h>

/* Processors that list at once begin apart. */
#define SLOTS_APART 64u

/* Pieces that one reservation may be made of. */
#define PIECES_MAX 128u

/* In a word: it is in somebody's hand. Granules have no such number. */
#define HELD (UINT64_C(1) << 63)

/* How long whoever meets such a word sleeps until he looks again, and how often he does. He may
 * have been interrupted by himself, so there has to be an end. */
#define NAP_NS   (MOAT_OS_MS / 10)
#define NAPS_MAX 10000u

_Atomic uint64_t moat_resting_slots[MOAT_RESTING_SLOTS];
static _Atomic uint32_t slots_used; /* those ever used are below this */

struct piece {
    uintptr_t start;
    uintptr_t end;
};

static uint64_t pack(uintptr_t start, uintptr_t end) {
    return (uint64_t)(start >> MOAT_GRANULE_SHIFT) << 32 | (end - start) >> MOAT_GRANULE_SHIFT;
}

static struct piece unpack(uint64_t word) {
    uintptr_t start = (uintptr_t)((word & ~HELD) >> 32) << MOAT_GRANULE_SHIFT;
    return (struct piece){start, start + ((uintptr_t)(uint32_t)word << MOAT_GRANULE_SHIFT)};
}

static uint32_t in_use(void) {
    /* relaxed: who has to find a mapping knows that it was listed, and so of this. */
    return atomic_load_explicit(&slots_used, memory_order_relaxed);
}

static void use_through(uint32_t slot) {
    uint32_t used = in_use();
    /* relaxed: as above. */
    while (used <= slot &&
           !atomic_compare_exchange_weak_explicit(&slots_used, &used, slot + 1,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

static bool list(uintptr_t start, uintptr_t end) {
    uint32_t first = moat_os_processor() * SLOTS_APART % MOAT_RESTING_SLOTS;

    for (uint32_t i = 0; i < MOAT_RESTING_SLOTS; i++) {
        uint32_t slot = (first + i) % MOAT_RESTING_SLOTS;
        uint64_t none = 0;
        /* relaxed: a look before the swap. */
        if (atomic_load_explicit(&moat_resting_slots[slot], memory_order_relaxed) != 0)
            continue;
        use_through(slot);
        /* R(rest) */
        if (atomic_compare_exchange_strong_explicit(&moat_resting_slots[slot], &none,
                                                    pack(start, end), memory_order_release,
                                                    memory_order_relaxed))
            return true;
    }
    return false;
}

/* Have a word in hand that was seen in a slot and that nobody had. */
static bool hold(uint32_t slot, uint64_t word) {
    /* A(rest) */
    return atomic_compare_exchange_strong_explicit(&moat_resting_slots[slot], &word, word | HELD,
                                                   memory_order_acquire, memory_order_relaxed);
}

/* Let go of a word: what rests there now, or nothing. */
static void let_go(uint32_t slot, uintptr_t start, uintptr_t end) {
    /* R(rest) */
    atomic_store_explicit(&moat_resting_slots[slot], start < end ? pack(start, end) : 0,
                          memory_order_release);
}

/* The lowest mapping that has a part of [from, to), in a hand or not. */
static bool find(uintptr_t from, uintptr_t to, uint32_t *slot, uint64_t *word) {
    bool found = false;

    for (uint32_t i = 0; i < in_use(); i++) {
        /* A(rest) */
        uint64_t other = atomic_load_explicit(&moat_resting_slots[i], memory_order_acquire);
        const struct piece piece = unpack(other);
        if (other == 0 || piece.start >= to || piece.end <= from)
            continue;
        if (found && (*word & ~HELD) < (other & ~HELD))
            continue;
        found = true;
        *slot = i;
        *word = other;
    }
    return found;
}

bool moat_resting_enter(uintptr_t start, uintptr_t end) {
    if (moat_os_reserve_over((void *)start, end - start))
        return false;
    return list(start, end);
}

/* Whether nothing was mapped over a piece since it rests: whoever did that keeps what he has, and
 * the rest of the piece is address space lost. Where nobody can be asked, it is taken for ours. */
static bool is_ours(const struct piece *piece) {
    struct moat_os_mapping mapping;

    for (uintptr_t at = piece->start; at < piece->end; at = mapping.end) {
        if (moat_os_query(at, &mapping))
            return true;
        if (!mapping.mapped || mapping.access != MOAT_OS_NONE || mapping.file || mapping.shared)
            return false;
    }
    return true;
}

/* Unmap what is in hand; what the kernel refuses to unmap rests on. Returns the bytes unmapped. */
static size_t unmap(uint32_t slot, const struct piece *piece) {
    size_t size = piece->end - piece->start;
    if (!is_ours(piece))
        size = 0;
    else if (moat_os_unreserve((void *)piece->start, size)) {
        let_go(slot, piece->start, piece->end);
        return 0;
    }
    let_go(slot, 0, 0);
    return size;
}

size_t moat_resting_end(uintptr_t start, uintptr_t end) {
    const struct piece piece = {start, end};
    for (uint32_t slot = 0; slot < in_use(); slot++)
        if (hold(slot, pack(start, end)))
            return unmap(slot, &piece);
    return 0;
}

size_t moat_resting_end_all(void) {
    size_t size = 0;
    for (uint32_t slot = 0; slot < in_use(); slot++) {
        /* relaxed: a look before the swap. */
        uint64_t word = atomic_load_explicit(&moat_resting_slots[slot], memory_order_relaxed);
        const struct piece piece = unpack(word);
        if (word != 0 && !(word & HELD) && hold(slot, word))
            size += unmap(slot, &piece);
    }
    return size;
}

void moat_resting_in_child(void) {
    for (uint32_t slot = 0; slot < in_use(); slot++)
        /* relaxed: other threads of a child find words as they are, held or not. */
        (void)atomic_fetch_and_explicit(&moat_resting_slots[slot], ~HELD, memory_order_relaxed);
}

bool moat_resting_meets(uintptr_t from, uintptr_t to, uintptr_t *start, uintptr_t *end) {
    uint32_t slot;
    uint64_t word;

    if (!find(from, to, &slot, &word))
        return false;
    const struct piece piece = unpack(word);
    *start = piece.start;
    *end = piece.end;
    return true;
}

/* A reservation in the making: what lies in [start, at) is its maker's, the pieces, which ascend,
 * and the holes between them, which are reserved. */
struct making {
    uintptr_t start;
    uintptr_t at;
    struct piece pieces[PIECES_MAX];
    uint32_t slots[PIECES_MAX];
    unsigned count;
    unsigned naps;
};

/* Reserve the hole up to `stop`, in which nothing rested; or find that something does by now. */
static int fill_hole(struct making *making, uintptr_t stop) {
    uint32_t slot;
    uint64_t word;

    int error = moat_os_reserve_at((void *)making->at, stop - making->at);
    if (!error)
        making->at = stop;
    return error == EEXIST && find(making->at, stop, &slot, &word) ? 0 : error;
}

static int nap(struct making *making) {
    if (making->naps++ == NAPS_MAX)
        return EEXIST;
    moat_os_nap(NAP_NS);
    return 0;
}

/* Have the next piece or hole in hand; or find that somebody else had it first, and look again. */
static int extend(struct making *making, uintptr_t end) {
    uint32_t slot;
    uint64_t word;

    if (!find(making->at, end, &slot, &word))
        return fill_hole(making, end);
    const struct piece piece = unpack(word);
    if (piece.start > making->at)
        return fill_hole(making, piece.start);
    if (word & HELD)
        return nap(making);
    if (making->count == PIECES_MAX)
        return EEXIST;
    if (!hold(slot, word))
        return 0;
    if (!is_ours(&piece)) {
        let_go(slot, 0, 0);
        return EEXIST;
    }
    making->pieces[making->count] = piece;
    making->slots[making->count++] = slot;
    making->at = piece.end;
    return 0;
}

/* All rests as it did. */
static void undo(const struct making *making) {
    uintptr_t at = making->start;

    for (unsigned i = 0; i <= making->count; i++) {
        const struct piece *piece = i < making->count ? &making->pieces[i] : NULL;
        uintptr_t stop = piece ? piece->start : making->at;
        if (at < stop)
            moat_os_give_up((void *)at, stop - at);
        if (!piece)
            break;
        let_go(making->slots[i], piece->start, piece->end);
        at = piece->end;
    }
}

/* What is too much does not rest any longer, as long as the kernel lets it go. */
static void cut_off(uintptr_t start, uintptr_t end) {
    if (start < end && moat_os_unreserve((void *)start, end - start))
        (void)list(start, end); /* full: address space is lost, nothing else */
}

int moat_resting_take(uintptr_t start, uintptr_t end) {
    struct making making = {.start = start, .at = start};

    while (making.at < end) {
        int error = extend(&making, end);
        if (error) {
            undo(&making);
            return error;
        }
    }
    if (making.count > 0) {
        cut_off(making.pieces[0].start, start);
        cut_off(end, making.at);
    }
    for (unsigned i = 0; i < making.count; i++)
        let_go(making.slots[i], 0, 0);
    return 0;
}
