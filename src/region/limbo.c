/* SPDX-License-Identifier: MIT */
/* limbo: parts a processor, a thread that looks at the clock, and a list of all limbos. */
#include "region/limbo.h"

#include "os/os.h"
#include "region/arena.h"
#include "region/books.h"
#include "region/held.h"
#include "region/latch.h"
#include "region/limbo_trap.h"
#include "region/pages.h"

#include <moat/options.h>

#include <errno.h>
#include <stdatomic.h>

#define PARTS 64u

#define STACK_SIZE ((size_t)256 << 10)

/* A word: dense, guards behind and before, pages, first granule. A base is not 0. */
#define DENSE        (UINT64_C(1) << 63)
#define AFTER_SHIFT  58
#define BEFORE_SHIFT 53
#define GUARDS_MASK  UINT64_C(31)
#define PAGES_SHIFT  33
#define PAGES_MASK   UINT64_C(0xFFFFF)
#define BASE_MASK    UINT64_C(0x1FFFFFFFF)

struct part {
    _Atomic uint64_t link; /* of the books */
    _Atomic uint64_t turn;
    _Atomic uint64_t regions;
    _Atomic uint64_t bytes;
    _Atomic uint64_t since; /* of moat_os_clock: nothing in it has been there for longer */
    _Atomic uint64_t flushes;
    _Atomic uint64_t stuck;
    _Atomic uint64_t hands; /* that have words of it, which may not trap yet */
    _Atomic uint64_t words[];
};

struct moat_limbo {
    _Atomic uint64_t link;   /* of the books */
    struct moat_limbo *next; /* in the list, for ever */
    struct moat_limbo_terms terms;
    uintptr_t worker;
    _Atomic uint32_t used;     /* enum use */
    _Atomic uint32_t visitors; /* who flush it and are not its owner's */
    _Atomic uint32_t off;      /* nothing is put off */
    _Atomic uint32_t stop;
    _Atomic uint32_t asleep;
    _Atomic uint32_t puts; /* into parts that were empty; the thread sleeps on it */
    _Atomic(struct part *) parts[PARTS];
};

enum use { UNUSED, USED, ENDING };

static _Atomic(struct moat_limbo *) all;

static struct moat_limbo *first_of_all(void) {
    /* A(limbo) */
    return atomic_load_explicit(&all, memory_order_acquire);
}

static uint64_t look(const _Atomic uint64_t *word) {
    /* relaxed: a number. */
    return atomic_load_explicit(word, memory_order_relaxed);
}

static uint32_t flag(const _Atomic uint32_t *word) {
    /* R(sleep) A(sleep), sequentially consistent. */
    return atomic_load_explicit(word, memory_order_seq_cst);
}

static void set_flag(_Atomic uint32_t *word, uint32_t value) {
    /* R(sleep) A(sleep), sequentially consistent. */
    atomic_store_explicit(word, value, memory_order_seq_cst);
}

static uint64_t add(_Atomic uint64_t *word, uint64_t amount) {
    /* relaxed: a number. */
    return atomic_fetch_add_explicit(word, amount, memory_order_relaxed);
}

static size_t part_size(const struct moat_limbo *limbo) {
    return sizeof(struct part) + limbo->terms.regions * sizeof(uint64_t);
}

static struct part *part_at(const struct moat_limbo *limbo, unsigned at) {
    /* A(part) */
    return atomic_load_explicit(&limbo->parts[at], memory_order_acquire);
}

/* NULL: no memory for it. */
static struct part *part_of(struct moat_limbo *limbo) {
    unsigned at = moat_os_processor() % PARTS;
    struct part *part = part_at(limbo, at);
    if (part)
        return part;
    struct part *fresh = moat_books_take(part_size(limbo));
    /* R(part) A(part) */
    if (fresh && !atomic_compare_exchange_strong_explicit(
                     &limbo->parts[at], &part, fresh, memory_order_acq_rel, memory_order_acquire)) {
        moat_books_give(fresh, part_size(limbo));
        return part;
    }
    return fresh;
}

static uint64_t pack(const struct moat_place *place, bool dense) {
    return (dense ? DENSE : 0) | (uint64_t)place->after << AFTER_SHIFT |
           (uint64_t)place->before << BEFORE_SHIFT |
           (uint64_t)(place->size >> MOAT_PAGE_SHIFT) << PAGES_SHIFT |
           place->base >> MOAT_GRANULE_SHIFT;
}

static size_t size_of(uint64_t word) {
    return (size_t)(word >> PAGES_SHIFT & PAGES_MASK) << MOAT_PAGE_SHIFT;
}

/* An arena in which granules are claimed stays. */
static struct moat_limbo_place unpack(uint64_t word) {
    uintptr_t base = (uintptr_t)(word & BASE_MASK) << MOAT_GRANULE_SHIFT;
    return (struct moat_limbo_place){
        .place = {.space = moat_arena_of(base),
                  .base = base,
                  .size = size_of(word),
                  .before = (uint8_t)(word >> BEFORE_SHIFT & GUARDS_MASK),
                  .after = (uint8_t)(word >> AFTER_SHIFT & GUARDS_MASK)},
        .dense = (word & DENSE) != 0,
    };
}

static uint64_t swap(_Atomic uint64_t *slot, uint64_t word) {
    /* R(put) A(put) */
    return atomic_exchange_explicit(slot, word, memory_order_acq_rel);
}

/* Before a word is taken: whoever misses the word finds the hand. */
static void take_hand(struct part *part) {
    /* R(put) A(put) */
    atomic_fetch_add_explicit(&part->hands, 1, memory_order_acq_rel);
}

static void leave_hand(struct part *part) {
    /* R(hand) */
    atomic_fetch_sub_explicit(&part->hands, 1, memory_order_release);
}

static void account(struct part *part, uint64_t regions, uint64_t bytes) {
    (void)add(&part->regions, regions);
    (void)add(&part->bytes, bytes);
}

/* Put a word where the next one goes. What was there: it is in nobody's hands now. */
static uint64_t put_word(const struct moat_limbo *limbo, struct part *part, uint64_t word) {
    uint64_t turn = add(&part->turn, 1);
    return swap(&part->words[turn % limbo->terms.regions], word);
}

/* Put back what will not trap, for later; the bytes that there is no room for. */
static size_t put_back(const struct moat_limbo *limbo, struct part *part,
                       const struct moat_place *place) {
    if (!part)
        return place->size;
    account(part, 1, place->size);
    (void)add(&part->stuck, 1);
    uint64_t other = put_word(limbo, part, pack(place, false));
    if (other)
        account(part, 0 - UINT64_C(1), 0 - (uint64_t)size_of(other));
    return other ? size_of(other) : 0;
}

/* Have some places trap, and give them up. */
static size_t trap(struct moat_limbo *limbo, struct part *part, const uint64_t *words,
                   size_t count) {
    struct moat_limbo_place places[MOAT_LIMBO_BATCH];
    struct moat_limbo_report report = {0};

    for (size_t i = 0; i < count; i++)
        places[i] = unpack(words[i]);
    moat_limbo_trap(places, count, &limbo->terms, &report);
    for (size_t i = 0; i < count; i++) {
        const struct moat_place *place = &places[i].place;
        if (part)
            account(part, 0 - UINT64_C(1), 0 - (uint64_t)place->size);
        if (places[i].traps)
            moat_place_forget(place, limbo->terms.quarantine, 0);
        else
            report.stranded += put_back(limbo, part, place);
    }
    limbo->terms.told(limbo->terms.owner, &report);
    return report.trapped;
}

static size_t flush(struct moat_limbo *limbo, struct part *part) {
    uint64_t words[MOAT_LIMBO_BATCH];
    size_t trapped = 0;
    size_t count = 0;

    if (moat_latched())
        return 0;
    moat_held_begin(MOAT_HELD_PLACE);
    (void)add(&part->flushes, 1);
    /* relaxed: a number. */
    atomic_store_explicit(&part->stuck, 0, memory_order_relaxed);
    take_hand(part);
    for (uint32_t slot = 0; slot < limbo->terms.regions; slot++) {
        /* A(put) */
        uint64_t word = atomic_load_explicit(&part->words[slot], memory_order_acquire);
        word = word ? swap(&part->words[slot], 0) : 0;
        if (word)
            words[count++] = word;
        if (count == MOAT_LIMBO_BATCH) {
            trapped += trap(limbo, part, words, count);
            count = 0;
        }
    }
    if (count)
        trapped += trap(limbo, part, words, count);
    leave_hand(part);
    moat_held_end(MOAT_HELD_PLACE);
    return trapped;
}

bool moat_limbo_admits(const struct moat_limbo *limbo, const struct moat_place *place) {
    const struct moat_space *space = place->space;

    if (!limbo || !space->arena || !space->markers || flag(&limbo->off) ||
        place->size > limbo->terms.bytes || place->size > MOAT_BLOCK ||
        moat_space_fork(space) != MOAT_FORK_INHERIT)
        return false;
    struct moat_run run = moat_pages_run(space, place->base, place->base + place->size);
    return run.open && run.state == MOAT_PAGE_COMMITTED && run.end == place->base + place->size;
}

/* The thread may be asleep because there was nothing. */
static void tell_worker(struct moat_limbo *limbo) {
    /* R(sleep) A(sleep), sequentially consistent. */
    atomic_fetch_add_explicit(&limbo->puts, 1, memory_order_seq_cst);
    if (flag(&limbo->asleep))
        moat_os_wake(&limbo->puts);
}

void moat_limbo_put(struct moat_limbo *limbo, const struct moat_place *place, bool dense) {
    struct part *part = part_of(limbo);
    uint64_t word = pack(place, dense);

    moat_held_begin(MOAT_HELD_PLACE);
    if (!part) {
        (void)trap(limbo, NULL, &word, 1);
        moat_held_end(MOAT_HELD_PLACE);
        return;
    }
    uint64_t regions = add(&part->regions, 1);
    uint64_t bytes = add(&part->bytes, place->size) + place->size;
    if (regions == 0)
        /* relaxed: read after the count. */
        atomic_store_explicit(&part->since, moat_os_clock(), memory_order_relaxed);
    take_hand(part);
    uint64_t other = put_word(limbo, part, word);
    if (other)
        (void)trap(limbo, part, &other, 1);
    leave_hand(part);
    if (regions == 0)
        tell_worker(limbo);
    moat_held_end(MOAT_HELD_PLACE);
    if (regions + 1 >= limbo->terms.regions || bytes >= limbo->terms.bytes)
        (void)flush(limbo, part);
}

size_t moat_limbo_flush(struct moat_limbo *limbo) {
    size_t trapped = 0;

    for (unsigned at = 0; limbo && at < PARTS; at++) {
        struct part *part = part_at(limbo, at);
        if (part && look(&part->regions))
            trapped += flush(limbo, part);
    }
    return trapped;
}

bool moat_limbo_settle(struct moat_limbo *limbo, uint64_t patience_ns) {
    uint64_t deadline = moat_os_clock() + patience_ns;

    if (!limbo || flag(&limbo->off)) /* in a forked child there is nobody else */
        return true;
    for (unsigned at = 0; at < PARTS; at++) {
        struct part *part = part_at(limbo, at);
        /* A(hand) */
        while (part && atomic_load_explicit(&part->hands, memory_order_acquire) != 0) {
            uint64_t now = moat_os_clock();
            if (now >= deadline)
                return false;
            /* A sleep: it takes a fraction of a millisecond, mostly. */
            (void)moat_os_wait(&limbo->stop, 0, now + MOAT_OS_MS / 10);
        }
    }
    return true;
}

size_t moat_limbo_flush_all(void) {
    size_t trapped = 0;
    for (struct moat_limbo *limbo = first_of_all(); limbo; limbo = limbo->next) {
        /* R(sleep) A(sleep), sequentially consistent: its end sees the visitor, or he sees it. */
        atomic_fetch_add_explicit(&limbo->visitors, 1, memory_order_seq_cst);
        if (flag(&limbo->used) == USED)
            trapped += moat_limbo_flush(limbo);
        /* R(sleep) A(sleep) */
        atomic_fetch_sub_explicit(&limbo->visitors, 1, memory_order_seq_cst);
    }
    return trapped;
}

/* Flush what has been there for half of the time or more; whether anything is left. */
static bool look_after(struct moat_limbo *limbo, uint64_t half) {
    bool any = false;

    for (unsigned at = 0; at < PARTS; at++) {
        struct part *part = part_at(limbo, at);
        if (!part || !look(&part->regions))
            continue;
        if (moat_os_clock() - look(&part->since) >= half)
            (void)flush(limbo, part);
        any |= look(&part->regions) != 0;
    }
    return any;
}

static void *run(void *argument) {
    struct moat_limbo *limbo = argument;
    uint64_t half = limbo->terms.ms * MOAT_OS_MS / 2;

    moat_os_worker_name("moat-limbo");
    while (!flag(&limbo->stop)) {
        uint32_t puts = flag(&limbo->puts);
        if (look_after(limbo, half)) {
            (void)moat_os_wait(&limbo->stop, 0, moat_os_clock() + half);
            continue;
        }
        set_flag(&limbo->asleep, 1);
        if (!flag(&limbo->stop) && flag(&limbo->puts) == puts)
            (void)moat_os_wait(&limbo->puts, puts, UINT64_MAX);
        set_flag(&limbo->asleep, 0);
    }
    return NULL;
}

/* One that was ended, with parts of the same size, or NULL. */
static struct moat_limbo *find_unused(uint32_t regions) {
    for (struct moat_limbo *limbo = first_of_all(); limbo; limbo = limbo->next) {
        uint32_t unused = UNUSED;
        /* R(sleep) A(sleep), sequentially consistent: its fields are as its last owner left
         * them. */
        if (limbo->terms.regions == regions &&
            atomic_compare_exchange_strong_explicit(&limbo->used, &unused, ENDING,
                                                    memory_order_seq_cst, memory_order_relaxed))
            return limbo;
    }
    return NULL;
}

static void list(struct moat_limbo *limbo) {
    limbo->next = first_of_all();
    /* R(limbo) A(limbo) */
    while (!atomic_compare_exchange_weak_explicit(&all, &limbo->next, limbo, memory_order_release,
                                                  memory_order_acquire))
        ;
}

int moat_limbo_start(const struct moat_limbo_terms *terms, struct moat_limbo **limbo) {
    struct moat_limbo *made = find_unused(terms->regions);
    bool fresh = !made;

    if (fresh)
        made = moat_books_take(sizeof(*made));
    if (!made)
        return ENOMEM;
    made->terms = *terms;
    set_flag(&made->stop, 0);
    set_flag(&made->off, 0);
    int error = moat_os_worker_start(STACK_SIZE, run, made, &made->worker);
    if (error) {
        if (fresh)
            moat_books_give(made, sizeof(*made));
        else
            set_flag(&made->used, UNUSED);
        return error;
    }
    set_flag(&made->used, USED);
    if (fresh)
        list(made);
    *limbo = made;
    return 0;
}

bool moat_limbo_end(struct moat_limbo *limbo) {
    struct moat_limbo_sums sums;

    if (!limbo)
        return true;
    set_flag(&limbo->stop, 1);
    moat_os_wake(&limbo->stop);
    tell_worker(limbo);
    if (!flag(&limbo->off)) /* a forked child has no such thread */
        moat_os_worker_join(limbo->worker);
    (void)moat_limbo_flush(limbo);
    set_flag(&limbo->used, ENDING);
    while (flag(&limbo->visitors) != 0)
        (void)moat_os_wait(&limbo->stop, 1, moat_os_clock() + MOAT_OS_MS);
    moat_limbo_count(limbo, &sums);
    if (sums.regions == 0)
        set_flag(&limbo->used, UNUSED);
    return sums.regions == 0;
}

void moat_limbo_count(const struct moat_limbo *limbo, struct moat_limbo_sums *sums) {
    *sums = (struct moat_limbo_sums){0, 0, 0, 0};
    for (unsigned at = 0; limbo && at < PARTS; at++) {
        const struct part *part = part_at(limbo, at);
        if (!part)
            continue;
        sums->regions += look(&part->regions);
        sums->bytes += look(&part->bytes);
        sums->flushes += look(&part->flushes);
        sums->stuck += look(&part->stuck);
    }
}

void moat_limbo_in_child(bool forget) {
    for (struct moat_limbo *limbo = first_of_all(); limbo; limbo = limbo->next) {
        set_flag(&limbo->off, 1);
        if (forget)
            set_flag(&limbo->visitors, 0);
        for (unsigned at = 0; forget && at < PARTS; at++) {
            struct part *part = part_at(limbo, at);
            if (!part)
                continue;
            for (uint32_t slot = 0; slot < limbo->terms.regions; slot++)
                (void)swap(&part->words[slot], 0);
            account(part, 0 - look(&part->regions), 0 - look(&part->bytes));
            /* relaxed: there is one thread, and it has none in hand. */
            atomic_store_explicit(&part->hands, 0, memory_order_relaxed);
        }
    }
}
