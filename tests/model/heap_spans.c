/* SPDX-License-Identifier: MIT */
/*
 * Every interleaving, up to a bound, of threads that allocate, free, free twice and trim: the real
 * span.c, stock.c and alloc.c, over regions that are four words. Spans have two slots, so that they
 * fill up, are left, found again, emptied, closed and born again within a few calls.
 *
 * After each execution every header is where its phase says, once; no room is lost; what is counted
 * as kept is what is idle; and of each block as many frees succeeded as allocations, but for those
 * that are live.
 */
#include "support/explore.h"

#include "support/plants.h"

#include "heap/alloc.c"
#include "heap/span.c"
#include "heap/stock.c"

#include "support/heap_world.h"

static struct moat_heap heap;
static void *block[BLOCKS];
/* Of each slot: allocations less frees, known only when calls return; and frees under way. */
static struct {
    int live;
    int freeing;
} ledger[REGIONS][2];
static unsigned wins;
static uint64_t place_seen[HEADERS]; /* by a planted fault */
static uint64_t kept_elsewhere;      /* counted for no span here */

#define LEDGER(address)                                                                            \
    ledger[((uintptr_t)(address) >> 24) - 1][(uintptr_t)(address) % (2 * SLOT) / SLOT]

static void *take_one(void) {
    void *got;
    if (moat_heap_alloc(&heap, SLOT, &got))
        return NULL;
    if (++LEDGER(got).live > 1 + LEDGER(got).freeing)
        explore_fail("a block was handed out twice");
    return got;
}

static void give_one(void *what) {
    if (!what)
        return;
    LEDGER(what).freeing++;
    if (moat_heap_free(&heap, what) == MOAT_OK) {
        LEDGER(what).live--;
        wins++;
    }
    LEDGER(what).freeing--;
}

static void clear(unsigned blocks, unsigned most) {
    memset(&heap, 0, sizeof(heap));
    memset(place_seen, 0, sizeof(place_seen));
    clear_world(most);
    memset(ledger, 0, sizeof(ledger));
    heap.manager = &manager;
    kept_elsewhere = 0;
    wins = 0;
    for (unsigned i = 0; i < BLOCKS; i++)
        block[i] = i < blocks ? take_one() : NULL;
}

static void empty_heap(void) {
    clear(0, REGIONS);
}
static void one_block(void) {
    clear(1, REGIONS);
}
static void full_span(void) {
    clear(2, REGIONS);
}
static void empty_lane(void) {
    clear(1, 2);
    give_one(block[0]);
    block[0] = NULL;
}
static void two_spans(void) {
    clear(4, REGIONS);
}
static void two_spans_none_kept(void) {
    clear(4, REGIONS);
    kept_elsewhere = KEPT_MAX;
    heap.kept = kept_elsewhere;
}
static void two_spans_release_fails(void) {
    two_spans_none_kept();
    stubborn = true;
}
static void one_region(void) {
    clear(2, 1);
}
/* The first two of three spans are on the stack, the second on top. */
static void two_stocked(void) {
    clear(6, REGIONS);
    give_one(block[0]);
    give_one(block[2]);
    block[0] = block[2] = NULL;
}
static void one_kept(void) {
    clear(4, 2);
    give_one(block[0]);
    give_one(block[1]);
    block[0] = block[1] = NULL;
    wins = 0;
}

static void take_and_give(void) {
    give_one(take_one());
}
static void take_twice(void) {
    (void)take_one();
    (void)take_one();
}
static void give_first(void) {
    give_one(block[0]);
}
static void give_second(void) {
    give_one(block[1]);
}
static void give_both(void) {
    give_one(block[0]);
    give_one(block[1]);
}
static void give_all(void) {
    for (unsigned i = 0; i < BLOCKS; i++)
        give_one(block[i]);
}
static void give_both_and_take(void) {
    give_both();
    (void)take_one();
    (void)take_one();
    (void)take_one();
}
static void take_twice_and_give(void) {
    (void)take_one();
    (void)take_one();
    give_one(block[3]);
}
static void take_once(void) {
    (void)take_one();
}
static void trim(void) {
    (void)moat_heap_trim(&heap);
}

static unsigned on_stack(const struct moat_span_stack *stack, const struct moat_span *span) {
    unsigned times = 0, steps = 0;
    uint64_t number = stack->head & NUMBER_MASK;
    while (number != 0 && ++steps <= HEADERS) {
        const struct moat_span *at = span_of(number);
        times += at == span;
        number = at->next;
    }
    if (steps > HEADERS)
        explore_fail("a stack is a circle");
    return times;
}

static void check_header(const struct moat_span *span, uint64_t *kept) {
    uint64_t word = span->word[0];
    unsigned ready = on_stack(&heap.stocks[0].ready, span);
    unsigned hollow = on_stack(&heap.stocks[0].hollow, span);
    bool current = heap.shards[0].lanes[0].span == (uint64_t)(uintptr_t)span;

    uint64_t phase = span->phase;

    switch (phase) {
    case MOAT_SPAN_BUSY:
        if (!current || ready + hollow != 0)
            explore_fail("a busy span is not in its lane");
        break;
    case MOAT_SPAN_LOOSE:
        if (current || ready + hollow != 0)
            explore_fail("a loose span is somewhere");
        if ((word & 3) != 3)
            explore_fail("the room of a loose span is lost");
        break;
    case MOAT_SPAN_IDLE:
        *kept += SPAN_SIZE; /* fall through */
    case MOAT_SPAN_READY:
        if (current || ready != 1 || hollow != 0)
            explore_fail("a ready span is not on its stack once");
        break;
    case MOAT_SPAN_HOLLOW:
        if (current || ready + hollow != 1)
            explore_fail("a hollow header is not on a stack once");
        if (!(word & CLOSED) || (word & SLOTS) != 0)
            explore_fail("a hollow header is open");
        break;
    default:
        explore_fail("somebody is still closing when all is quiet");
    }
}

static bool anybody_parked(void) {
    for (unsigned i = 0; i < explorer.thread_count; i++)
        if (explore_is_parked(i))
            return true;
    return false;
}

static void check(void) {
    uint64_t kept = kept_elsewhere;
    unsigned bits = 0, lives = 0;
    int blocks = 0;

    if (anybody_parked())
        return;
    for (unsigned i = 0; i < REGIONS; i++) {
        blocks += ledger[i][0].live + ledger[i][1].live;
        lives += (unsigned)(regions[i].life % 2);
        if (ledger[i][0].live < 0 || ledger[i][1].live < 0)
            explore_fail("more frees than allocations succeeded");
    }
    for (struct moat_span *span = moat_heap_spans(&heap); span; span = span->older) {
        check_header(span, &kept);
        bits += (unsigned)__builtin_popcountll(span->word[0] & SLOTS);
        lives -= span->base != 0;
    }
    if (bits != (unsigned)blocks)
        explore_fail("the bits are not the live blocks");
    if (lives != 0)
        explore_fail("a region is nobody's, or a span has none");
    if (heap.kept != kept)
        explore_fail("what is counted as kept is not what is idle");
}

static void check_one_win(void) {
    check();
    if (wins != 1 && !anybody_parked())
        explore_fail("not exactly one of racing frees won");
}

static const struct scenario scenarios[] = {
    {"racing frees", one_block, {give_first, give_first, give_first}, check_one_win, 3},
    {"late frees meet a new life", two_spans_none_kept, {give_both_and_take, give_first}, check, 3},
    {"a stack is turned over", two_stocked, {take_twice_and_give, take_once}, check, 3},
    {"a span is trimmed", one_kept, {trim, take_twice, trim}, check, 3},
    {"an empty lane is trimmed", empty_lane, {trim, take_twice, trim}, check, 2},
    {"a region that stays",
     two_spans_release_fails,
     {give_both, take_twice, take_and_give},
     check,
     2},
    {"all is freed and trimmed", two_spans, {give_all, trim, take_twice}, check, 2},
    {"allocations and frees", empty_heap, {take_and_give, take_and_give, take_twice}, check, 2},
    {"the last slots", one_region, {take_twice, give_first, give_second}, check, 3},
    {"frees into a full span", full_span, {take_twice, give_first, give_second}, check, 3},
    {"racing frees of a loose span", two_spans, {give_first, give_first, take_twice}, check, 3},
    {"a span is emptied", two_spans, {give_first, give_second, take_twice}, check, 3},
    {"a span is closed", two_spans_none_kept, {give_first, give_second, take_twice}, check, 3},
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

static bool is_word(const _Atomic uint64_t *at) {
    for (unsigned i = 0; i < HEADERS; i++)
        if (at == &header(i)->word[0])
            return true;
    return false;
}

/* The life of a word is not compared: what a bitmap of 64 slots a word would do. */
static bool cas_any_life(_Atomic uint64_t *at, uint64_t *expected, uint64_t desired, bool *result) {
    if (!is_word(at))
        return false;
    uint64_t life = real_load(at) >> LIFE_SHIFT << LIFE_SHIFT;
    uint64_t low = (UINT64_C(1) << LIFE_SHIFT) - 1;
    *expected = life | (*expected & low);
    *result = real_cas(at, expected, life | (desired & low));
    return true;
}

/* A span is closed though a slot was taken meanwhile. */
static bool cas_closes_blindly(_Atomic uint64_t *at, uint64_t *expected, uint64_t desired,
                               bool *result) {
    if (!is_word(at) || !(desired & CLOSED))
        return false;
    *expected = real_load(at);
    *result = real_cas(at, expected, *expected | CLOSED);
    return true;
}

/* A shard leaves a full span without looking again. */
static bool mask_leaves_blindly(_Atomic uint64_t *at, uint64_t value, uint64_t *result) {
    if (value != 0)
        return false;
    (void)at;
    *result = SLOTS;
    return true;
}

/* The stack counts no pushes. */
static bool cas_without_count(_Atomic uint64_t *at, uint64_t *expected, uint64_t desired,
                              bool *result) {
    if (at != &heap.stocks[0].ready.head && at != &heap.stocks[0].hollow.head)
        return false;
    *expected &= NUMBER_MASK;
    *result = real_cas(at, expected, desired & NUMBER_MASK);
    return true;
}

/* A thread goes on from a phase that another has changed. */
static bool cas_any_phase(_Atomic uint64_t *at, uint64_t *expected, uint64_t desired,
                          bool *result) {
    for (unsigned i = 0; i < HEADERS; i++)
        if (at == &header(i)->phase && desired == MOAT_SPAN_HOLLOW) {
            *result = real_exchange(at, desired) <= MOAT_SPAN_HOLLOW;
            (void)expected;
            return true;
        }
    return false;
}

/* Thread 1 does not look at the place of a span again. */
static bool load_place_once(const _Atomic uint64_t *at, bool acquire, uint64_t *result) {
    (void)acquire;
    if (explorer.running != 1)
        return false;
    for (unsigned i = 0; i < HEADERS; i++)
        if (at == &header(i)->base) {
            if (place_seen[i] == 0)
                place_seen[i] = real_load(at);
            *result = place_seen[i];
            return true;
        }
    return false;
}

static const struct {
    const char *name;
    bool (*load)(const _Atomic uint64_t *, bool, uint64_t *);
    bool (*cas)(_Atomic uint64_t *, uint64_t *, uint64_t, bool *);
    bool (*mask)(_Atomic uint64_t *, uint64_t, uint64_t *);
} plants[] = {
    {.name = "life not compared", .cas = cas_any_life},
    {.name = "closed with a slot taken", .cas = cas_closes_blindly},
    {.name = "left without another look", .mask = mask_leaves_blindly},
    {.name = "stack without a count", .cas = cas_without_count},
    {.name = "closed past whoever popped it", .cas = cas_any_phase},
    {.name = "place not looked at again", .load = load_place_once},
};

/* Arguments: explore so many preemptions more; "all": without reduction. */
int main(int argc, char **argv) {
    unsigned more = explore_arguments(argc, argv);
    int bad = 0;

    /* The world below the heap is plain memory, of which no touch is told. */
    explorer.unreduced = true;
    bad += explore_every(scenarios, SCENARIOS, more, true);
    for (unsigned i = 0; i < sizeof(plants) / sizeof(plants[0]); i++) {
        plant.load = plants[i].load;
        plant.cas = plants[i].cas;
        plant.mask = plants[i].mask;
        bad += explore_planted(scenarios, SCENARIOS, plants[i].name);
    }
    return bad != 0;
}
