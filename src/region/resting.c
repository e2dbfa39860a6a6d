/* SPDX-License-Identifier: MIT */
/*
 * resting: a list of words, each a mapping: first granule << 32 | granules. Searches look at no
 * more words than were ever in use at once.
 */
#include "region/resting.h"

#include "os/os.h"
#include "region/geometry.h"

#include <errno.h>
#include <stdatomic.h>

#define SLOTS 4096u

/* Processors that list at once begin apart. */
#define SLOTS_APART 64u

/* Pieces that one reservation may be made of. */
#define PIECES_MAX 128u

static _Atomic uint64_t slots[SLOTS];
static _Atomic uint32_t slots_used; /* those ever used are below this */

struct piece {
    uintptr_t start;
    uintptr_t end;
};

static uint64_t pack(uintptr_t start, uintptr_t end) {
    return (uint64_t)(start >> MOAT_GRANULE_SHIFT) << 32 | (end - start) >> MOAT_GRANULE_SHIFT;
}

static struct piece unpack(uint64_t word) {
    uintptr_t start = (uintptr_t)(word >> 32) << MOAT_GRANULE_SHIFT;
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
    uint32_t first = moat_os_processor() * SLOTS_APART % SLOTS;

    for (uint32_t i = 0; i < SLOTS; i++) {
        uint32_t slot = (first + i) % SLOTS;
        uint64_t none = 0;
        /* relaxed: a look before the swap. */
        if (atomic_load_explicit(&slots[slot], memory_order_relaxed) != 0)
            continue;
        use_through(slot);
        /* R(rest) */
        if (atomic_compare_exchange_strong_explicit(&slots[slot], &none, pack(start, end),
                                                    memory_order_release, memory_order_relaxed))
            return true;
    }
    return false;
}

/* Take a word out of the list, from the slot it was seen in. */
static bool take_slot(uint32_t slot, uint64_t word) {
    /* A(rest) */
    return atomic_compare_exchange_strong_explicit(&slots[slot], &word, 0, memory_order_acquire,
                                                   memory_order_relaxed);
}

static bool find(uintptr_t from, uintptr_t to, uint32_t *slot, uint64_t *word) {
    for (*slot = 0; *slot < in_use(); ++*slot) {
        /* A(rest) */
        *word = atomic_load_explicit(&slots[*slot], memory_order_acquire);
        const struct piece piece = unpack(*word);
        if (*word != 0 && piece.start < to && piece.end > from)
            return true;
    }
    return false;
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

/* Unmap a piece that was taken, or list it again. */
static size_t unmap(const struct piece *piece) {
    size_t size = piece->end - piece->start;
    if (!is_ours(piece))
        return 0;
    if (!moat_os_unreserve((void *)piece->start, size))
        return size;
    (void)list(piece->start, piece->end); /* full: address space is lost, nothing else */
    return 0;
}

size_t moat_resting_end(uintptr_t start, uintptr_t end) {
    const struct piece piece = {start, end};
    for (uint32_t slot = 0; slot < in_use(); slot++)
        if (take_slot(slot, pack(start, end)))
            return unmap(&piece);
    return 0;
}

size_t moat_resting_end_all(void) {
    size_t size = 0;
    for (uint32_t slot = 0; slot < in_use(); slot++) {
        /* relaxed: a look before the swap. */
        uint64_t word = atomic_load_explicit(&slots[slot], memory_order_relaxed);
        const struct piece piece = unpack(word);
        if (word != 0 && take_slot(slot, word))
            size += unmap(&piece);
    }
    return size;
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

/* What was taken for a reservation, in ascending order. */
struct catch {
    struct piece pieces[PIECES_MAX];
    unsigned count;
};

static void keep(struct catch *catch, struct piece piece) {
    unsigned at = catch->count++;
    for (; at > 0 && catch->pieces[at - 1].start > piece.start; at--)
        catch->pieces[at] = catch->pieces[at - 1];
    catch->pieces[at] = piece;
}

/* False: they are too many. */
static bool take_all(struct catch *catch, uintptr_t start, uintptr_t end) {
    uint32_t slot;
    uint64_t word;

    while (find(start, end, &slot, &word)) {
        if (catch->count == PIECES_MAX)
            return false;
        if (take_slot(slot, word))
            keep(catch, unpack(word));
    }
    return true;
}

static bool all_ours(const struct catch *catch) {
    for (unsigned i = 0; i < catch->count; i++)
        if (!is_ours(&catch->pieces[i]))
            return false;
    return true;
}

static void list_again(const struct catch *catch) {
    for (unsigned i = 0; i < catch->count; i++)
        if (is_ours(&catch->pieces[i]) && !list(catch->pieces[i].start, catch->pieces[i].end))
            (void)unmap(&catch->pieces[i]);
}

/* Reserve, or give back, the holes in [start, end) that lie before the piece numbered `last`. */
static int fill_holes(const struct catch *catch, uintptr_t start, uintptr_t end) {
    uintptr_t at = start;
    int error = 0;

    for (unsigned i = 0; i <= catch->count; i++) {
        uintptr_t stop = i < catch->count ? catch->pieces[i].start : end;
        if (at < stop)
            error = moat_os_reserve_at((void *)at, stop - at);
        if (error) {
            end = at;
            break;
        }
        if (i < catch->count)
            at = catch->pieces[i].end;
    }
    if (!error)
        return 0;
    at = start;
    for (unsigned i = 0; i < catch->count && at < end; i++) {
        if (at < catch->pieces[i].start)
            moat_os_give_up((void *)at, catch->pieces[i].start - at);
        at = catch->pieces[i].end;
    }
    return error;
}

int moat_resting_take(uintptr_t start, uintptr_t end) {
    struct catch catch = {.count = 0};

    int error = take_all(&catch, start, end) && catch.count > 0 && all_ours(&catch) ? 0 : EEXIST;
    if (!error)
        error = fill_holes(&catch, start, end);
    if (error) {
        list_again(&catch);
        return error;
    }
    /* What is too much does not rest any longer, as long as the kernel lets it go. */
    const struct piece left = {catch.pieces[0].start, start};
    const struct piece right = {end, catch.pieces[catch.count - 1].end};
    if (left.start < left.end)
        (void)unmap(&left);
    if (right.start < right.end)
        (void)unmap(&right);
    return 0;
}
