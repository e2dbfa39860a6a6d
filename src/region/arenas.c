/* SPDX-License-Identifier: MIT */
/*
 * arenas: the list, and the moves of what is on it.
 *
 * Edges
 *   arena      a space is built, then entered in the list -> whoever finds it there sees it built
 *   presence   an arena is said to move before its mapping goes -> who gets from the kernel what
 *              lay there (its lock orders the two) does not take it for the arena's; and it is said
 *              to be here after it was mapped -> who finds it here
 *   move       what a move has changed, then its end -> whoever sees it ended
 */
#include "region/arenas.h"

#include "os/os.h"
#include "region/arena.h"
#include "region/books.h"
#include "region/claim.h"
#include "region/pages.h"
#include "region/policy.h"
#include "region/powers.h"
#include "region/resting.h"
#include "region/retain.h"
#include "region/space.h"
#include "region/spare.h"
#include "region/trap.h"

#include <errno.h>

#define ARENA_SIZE_FIRST ((size_t)1 << 30)
#define ARENA_SIZE_MAX   ((size_t)64 << 30)
#define ARENA_SIZE_MIN   ((size_t)16 << 20)

/* Under RLIMIT_AS an arena takes one part in so many of what is left: the host needs some too. */
#define ARENA_SHARE 4

enum presence { HERE, MOVING, AWAY };

_Atomic(struct moat_space *) moat_arenas_lists[MOAT_KINDS_MAX][MOAT_ARENAS_MAX];

/* Moves that ended and had changed what is mapped; and process << 32 | its moves that go on,
 * because a forked child inherits moves that never end. */
static _Atomic uint64_t steps;
static _Atomic uint64_t moving;

/* Of those, moves of this thread that came to nothing: it must not try again for their sake. */
static _Thread_local uint64_t futile;

struct moat_space *moat_arenas_at(unsigned kind, size_t number) {
    if (number >= MOAT_ARENAS_MAX)
        return NULL;
    /* A(arena) */
    return atomic_load_explicit(&moat_arenas_lists[kind][number], memory_order_acquire);
}

size_t moat_arenas_count(unsigned kind) {
    size_t count = 0;
    while (moat_arenas_at(kind, count))
        count++;
    return count;
}

bool moat_arenas_here(const struct moat_space *arena) {
    /* A(presence) */
    return atomic_load_explicit(&arena->presence, memory_order_acquire) == HERE;
}

static void set_presence(struct moat_space *arena, enum presence presence) {
    /* R(presence) */
    atomic_store_explicit(&arena->presence, presence, memory_order_release);
}

/* The first arena that is here and meets [start, end); NULL: none does. */
static struct moat_space *meeting(uintptr_t start, uintptr_t end) {
    for (unsigned kind = 0; kind < moat_kinds_count(); kind++)
        for (size_t number = 0;; number++) {
            struct moat_space *arena = moat_arenas_at(kind, number);
            if (!arena)
                break;
            if (start < arena->end && end > arena->start && moat_arenas_here(arena))
                return arena;
        }
    return NULL;
}

struct moat_space *moat_arena_of(uintptr_t address) {
    struct moat_space *arena = meeting(address, address + 1);
    bool usable = arena && address >= arena->usable_start && address < arena->usable_end;
    return usable ? arena : NULL;
}

bool moat_arena_border(uintptr_t address, uintptr_t *start, uintptr_t *end) {
    const struct moat_space *arena = meeting(address, address + 1);
    if (!arena || (address >= arena->usable_start && address < arena->usable_end))
        return false;
    bool low = address < arena->usable_start;
    *start = low ? arena->start : arena->usable_end;
    *end = low ? arena->usable_start : arena->end;
    return true;
}

bool moat_arena_meets(uintptr_t start, uintptr_t end) {
    return meeting(start, end) != NULL;
}

static uint32_t count_of(uint64_t moves, uint32_t process) {
    return moves >> 32 == process ? (uint32_t)moves : 0;
}

uint64_t moat_arena_moves(void) {
    /* A(move) */
    return atomic_load_explicit(&steps, memory_order_acquire) - futile;
}

bool moat_arena_moved(uint64_t since) {
    /* A(move) before the steps are read: what has ended by now has made one. */
    uint64_t now = atomic_load_explicit(&moving, memory_order_acquire);
    if (moat_arena_moves() != since)
        return true;
    return now != 0 && count_of(now, moat_os_process()) != 0;
}

/* Returns what end_move needs. */
static uint32_t begin_move(void) {
    uint32_t process = moat_os_process();
    /* relaxed: compared when it is swapped. */
    uint64_t before = atomic_load_explicit(&moving, memory_order_relaxed);
    uint64_t after;
    do
        after = (uint64_t)process << 32 | (count_of(before, process) + 1);
    /* R(move) A(move) */
    while (!atomic_compare_exchange_weak_explicit(&moving, &before, after, memory_order_acq_rel,
                                                  memory_order_relaxed));
    return process;
}

/* What changed nothing is no move: who finds no room would wait for it until the deadline. */
static void end_move(uint32_t process, bool changed) {
    if (changed)
        /* R(move) */
        atomic_fetch_add_explicit(&steps, 1, memory_order_release);
    /* A handler may have forked meanwhile: the child's moves are counted without this one. */
    if (process == moat_os_process())
        /* R(move) */
        atomic_fetch_sub_explicit(&moving, 1, memory_order_release);
}

static size_t size_of(const struct moat_space *arena) {
    return arena->end - arena->start;
}

/* Give up the claims on the first `count` blocks that regions may lie in. */
static void let_go(struct moat_space *arena, size_t count) {
    for (size_t block = 1; block <= count; block++)
        moat_claim_settle(arena, block, 0);
}

/* What a fresh mapping of an arena needs. 0 or errno. */
static int furnish(struct moat_space *arena) {
    /* Open blocks are writable as a whole, and merge: a child would be charged for all of them at
     * once, and could not be. Refused, only that is not mended. */
    if (arena->markers && !moat_os_strict_overcommit())
        (void)moat_os_uncharge((void *)arena->start, size_of(arena));
    /* A marker before the first split: the pieces then share what the kernel compares when it
     * merges neighbours, and opened blocks next to each other become one mapping again. */
    int error = arena->markers ? moat_os_guard_install((void *)arena->start, MOAT_PAGE) : 0;
    if (!error)
        error = moat_policy_apply(arena);
    if (!error)
        moat_trap_hide(arena);
    return error;
}

static void unmake(struct moat_space *arena) {
    moat_os_give_up((void *)arena->start, size_of(arena));
    moat_books_give(arena, moat_space_books_size(arena->start, arena->end, true));
}

/* The books come first: their refusal must not disturb those who look for room. */
static struct moat_space *make(unsigned kind, size_t number, size_t size, bool *mapped) {
    void *base;
    size_t books_size = moat_space_books_size(0, size, true);
    void *books = moat_books_take(books_size);
    if (!books)
        return NULL;
    if (moat_os_reserve(size, MOAT_BLOCK, &base)) {
        moat_books_give(books, books_size);
        return NULL;
    }
    *mapped = true;
    uintptr_t start = (uintptr_t)base;
    const struct moat_kind what = moat_kind_at(kind);
    struct moat_space *arena = moat_space_init(books, start, start + size, true);
    arena->markers = what.markers;
    arena->undumped = what.undumped;
    arena->supply = what.supply;
    moat_space_set_fork(arena, what.fork);
    arena->kind = (uint8_t)kind;
    arena->number = (uint8_t)number;
    arena->backend = moat_backend_os();
    arena->usable_start += MOAT_BLOCK;
    arena->usable_end -= MOAT_BLOCK;
    moat_claim_settle(arena, 0, MOAT_CLAIM_BORDER);
    moat_claim_settle(arena, arena->block_count - 1, MOAT_CLAIM_BORDER);
    /* Regions share these blocks without anybody opening them first. */
    for (size_t block = 0; !arena->markers && block < arena->block_count; block++)
        moat_pages_mix(arena, block);
    if (furnish(arena)) {
        unmake(arena);
        return NULL;
    }
    if (!arena->markers)
        moat_spare_want(MOAT_SPARE_PAGES);
    return arena;
}

/* Have a new arena under the first number that nobody has, the larger the more are here. */
static bool add_new(unsigned kind, size_t number, size_t here, size_t need, bool *mapped) {
    size_t size = here < 6 ? ARENA_SIZE_FIRST << here : ARENA_SIZE_MAX;
    size_t first = size;
    uint64_t room = moat_os_address_room() / ARENA_SHARE;
    struct moat_space *arena = NULL;

    while (size > room)
        size /= 2;
    while (!arena && size >= ARENA_SIZE_MIN && size / 2 >= need) {
        arena = make(kind, number, size, mapped);
        size /= 2;
    }
    if (first == ARENA_SIZE_FIRST && (!arena || size_of(arena) < first))
        moat_powers_lack(arena ? MOAT_LACKS_ARENA : MOAT_LACKS_ROOM);
    if (!arena)
        return false;
    struct moat_space *none = NULL;
    /* R(arena) */
    if (!atomic_compare_exchange_strong_explicit(&moat_arenas_lists[kind][number], &none, arena,
                                                 memory_order_release, memory_order_relaxed))
        unmake(arena);
    return true;
}

/* Have an arena again that was given back. False: it is not away, or its place is taken. */
static bool revive(struct moat_space *arena, bool *mapped) {
    void *base = (void *)arena->start;
    uint32_t away = AWAY;

    /* A(presence) whoever gave it back has cleared its books. */
    if (!atomic_compare_exchange_strong_explicit(&arena->presence, &away, MOVING,
                                                 memory_order_acquire, memory_order_relaxed))
        return false;
    int error = moat_os_reserve_at(base, size_of(arena));
    if (error == EEXIST)
        error = moat_resting_take(arena->start, arena->end);
    if (!error) {
        *mapped = true;
        error = furnish(arena);
        if (error)
            moat_os_give_up(base, size_of(arena));
    }
    set_presence(arena, error ? AWAY : HERE);
    if (!error)
        let_go(arena, arena->block_count - 2);
    return !error;
}

static bool add(unsigned kind, size_t need, size_t *number, bool *mapped) {
    struct moat_space *arena;
    size_t here = 0;

    for (*number = 0; (arena = moat_arenas_at(kind, *number)) != NULL; ++*number) {
        if (size_of(arena) / 2 >= need && revive(arena, mapped))
            return true;
        here += moat_arenas_here(arena);
    }
    return *number < MOAT_ARENAS_MAX && add_new(kind, *number, here, need, mapped);
}

bool moat_arenas_add(unsigned kind, size_t need, size_t *number) {
    uint32_t process = begin_move();
    bool mapped = false;
    bool added = add(kind, need, number, &mapped);
    end_move(process, mapped);
    futile += mapped && !added;
    return added;
}

bool moat_arena_nth(size_t nth, struct moat_space **arena) {
    size_t count;

    *arena = NULL;
    for (unsigned kind = 0; kind < moat_kinds_count() && !*arena; nth -= count, kind++) {
        count = moat_arenas_count(kind);
        if (nth < count)
            *arena = moat_arenas_at(kind, nth);
    }
    return *arena != NULL;
}

/* Where a region lies in a block, what rests there may be its guards. */
void moat_arena_wake(struct moat_space *arena) {
    for (size_t block = 1; block + 1 < arena->block_count; block++) {
        uint64_t word = moat_claim_word(arena, block);
        if (moat_claim_resting(word, MOAT_CLAIM_ALL) == word && word)
            (void)moat_claim_wake(arena, block, &word, word);
    }
}

/* Claim every block, or none. */
static bool hold(struct moat_space *arena) {
    size_t count = arena->block_count - 2;
    for (size_t block = 1; block <= count; block++)
        if (!moat_claim_block(arena, block)) {
            let_go(arena, block - 1);
            return false;
        }
    return true;
}

static void zero(_Atomic uint8_t *from, const _Atomic uint8_t *to) {
    for (; from < to; from++)
        /* R(rebirth) */
        atomic_store_explicit(from, 0, memory_order_release);
}

/* Bring the books back to what they are when an arena is made, and give their memory back. */
static void clear_books(struct moat_space *arena) {
    _Atomic uint8_t *uniform = MOAT_SPACE_FIELD(arena, uniform);
    _Atomic uint8_t *first = MOAT_SPACE_FIELD(arena, pages);
    _Atomic uint8_t *last = first + (size_of(arena) >> MOAT_PAGE_SHIFT);
    _Atomic uint8_t *from = first + (moat_round_up((uintptr_t)first, MOAT_PAGE) - (uintptr_t)first);
    _Atomic uint8_t *to = last - ((uintptr_t)last & (MOAT_PAGE - 1));

    moat_retain_forget(arena);
    if (from >= to || !moat_powers()->discard_zeroes ||
        moat_os_discard((void *)from, (size_t)(to - from)))
        from = to = last;
    zero(first, from);
    zero(to, last);
    moat_pages_set_blocks(arena, arena->start, arena->end, MOAT_BLOCK_CLOSED);
    for (size_t block = 0; block < arena->block_count; block++) {
        /* relaxed: guarded by the claim. */
        atomic_store_explicit(&arena->shown[block], 0, memory_order_relaxed);
        /* R(rebirth) */
        atomic_store_explicit(&uniform[block], arena->markers ? 0 : MOAT_UNIFORM_MIXED,
                              memory_order_release);
    }
}

static size_t retire(struct moat_space *arena) {
    if (!hold(arena))
        return 0;
    set_presence(arena, MOVING);
    if (moat_os_unreserve((void *)arena->start, size_of(arena))) {
        set_presence(arena, HERE);
        let_go(arena, arena->block_count - 2);
        return 0;
    }
    clear_books(arena);
    set_presence(arena, AWAY);
    return size_of(arena);
}

size_t moat_arena_retire(struct moat_space *arena) {
    /* Most arenas cannot go, and looking disturbs nobody. */
    for (size_t block = 1; block + 1 < arena->block_count; block++)
        if (moat_claim_any_taken(arena, block))
            return 0;
    uint32_t process = begin_move();
    size_t size = retire(arena);
    end_move(process, true);
    return size;
}

/* Whether it was unmapped by then is not known, and not asked: what lies there now may be
 * anybody's. Every block is claimed. */
void moat_arenas_settle(void) {
    struct moat_space *arena;

    for (size_t nth = 0; moat_arena_nth(nth, &arena); nth++)
        /* A(presence) */
        if (atomic_load_explicit(&arena->presence, memory_order_acquire) == MOVING) {
            clear_books(arena);
            set_presence(arena, AWAY);
        }
}

void moat_arenas_restore(struct moat_space *arena) {
    if (!moat_arenas_here(arena))
        return;
    int error = moat_os_reserve_at((void *)arena->start, size_of(arena));
    if (!error)
        error = furnish(arena);
    if (error) {
        for (size_t block = 1; block + 1 < arena->block_count; block++)
            moat_claim_settle(arena, block, MOAT_CLAIM_ALL);
        set_presence(arena, MOVING);
    }
}

void moat_arenas_empty(struct moat_space *arena) {
    if (!moat_arenas_here(arena))
        return;
    clear_books(arena);
    let_go(arena, arena->block_count - 2);
}
