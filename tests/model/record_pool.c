/* SPDX-License-Identifier: MIT */
/*
 * Every interleaving, up to a bound, of threads that take and give indices, all on one stack so
 * that they meet: no index has two owners, none is lost, and a thread parked anywhere stops nobody.
 * A head without its count must be found out.
 */
#include "support/explore.h"

#include "support/pairs.h"

#include "lockfree/shard.h"
#define moat_shard_of_this_thread() 0u

#include "support/plants.h"

#include "lockfree/record_pool.c"

#define INDICES 4u

static struct moat_record_pool pool;
static _Atomic uint32_t links[INDICES + 1];
static bool owned[INDICES + 1];

enum { TAKE, GIVE, EXTEND };

static uint32_t take(void) {
    pairs_begin(TAKE);
    uint32_t index = moat_record_pool_take(&pool);

    pairs_end();
    explore_touch(owned, WRITES);
    if (index > INDICES)
        explore_fail("an index beyond the bound");
    else if (index != 0 && owned[index])
        explore_fail("one index has two owners");
    else
        owned[index] = index != 0;
    return index;
}

static void give(uint32_t index) {
    if (index == 0)
        return;
    explore_touch(owned, WRITES);
    owned[index] = false;
    pairs_begin(GIVE);
    moat_record_pool_give(&pool, index);
    pairs_end();
}

static void reset(void) {
    memset(owned, 0, sizeof(owned));
    moat_record_pool_init(&pool, links, sizeof(links[0]));
    moat_record_pool_extend(&pool, INDICES);
}

/* All indices are on the stack; none is left to deal. */
static void setup_stack(void) {
    uint32_t taken[INDICES];

    reset();
    for (unsigned i = 0; i < INDICES; i++)
        taken[i] = take();
    for (unsigned i = 0; i < INDICES; i++)
        give(taken[i]);
}

static void setup_extend(void) {
    memset(owned, 0, sizeof(owned));
    moat_record_pool_init(&pool, links, sizeof(links[0]));
}

static void setup_some(void) {
    setup_extend();
    moat_record_pool_extend(&pool, 2);
}

static void take_one(void) {
    take();
}
static void take_give(void) {
    give(take());
    take();
}
static void take_two_give_first(void) {
    uint32_t first = take();

    take();
    give(first);
}
static void extend(uint32_t indices) {
    pairs_begin(EXTEND);
    moat_record_pool_extend(&pool, indices);
    pairs_end();
}
static void extend_take(void) {
    extend(2);
    take();
}
static void extend_more_take(void) {
    extend(INDICES);
    take();
    take();
}

/* Every index is owned, on the stack once, or was never dealt. */
static void check(void) {
    bool parked = false;
    unsigned held = 0;

    for (unsigned i = 0; i < explorer.thread_count; i++)
        parked |= explore_is_parked(i);
    while (!explorer.failure && take() != 0)
        continue;
    for (unsigned i = 1; i <= INDICES; i++)
        held += owned[i];
    if (!parked && held != INDICES)
        explore_fail("an index is lost");
    if (held + 2 < INDICES)
        explore_fail("a parked thread holds more than it can");
}

static const struct scenario scenarios[] = {
    {"take against take and give", setup_stack, {take_one, take_two_give_first}, check, 6},
    {"three threads on one stack",
     setup_stack,
     {take_one, take_two_give_first, take_give},
     check,
     3},
    {"from the first index on", reset, {take_give, take_two_give_first}, check, 4},
    {"extend beside a give", setup_some, {extend_more_take, take_give}, check, 4},
    {"extend against extend", setup_extend, {extend_take, extend_more_take, take_give}, check, 4},
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

static bool is_head(const _Atomic uint64_t *at) {
    return at == &pool.shard[0].head;
}

/* Heads are compared and stored without their count. */
static bool cas_no_count(_Atomic uint64_t *at, uint64_t *expected, uint64_t desired, bool *result) {
    if (!is_head(at))
        return false;
    *expected &= MOAT_RECORD_POOL_INDEX_MAX;
    *result = real_cas(at, expected, desired & MOAT_RECORD_POOL_INDEX_MAX);
    return true;
}

/* A fresh index is dealt without looking whether another thread was faster. */
static bool cas_blind_deal(_Atomic uint64_t *at, uint64_t *expected, uint64_t desired,
                           bool *result) {
    (void)expected;
    if (at != &pool.dealt)
        return false;
    explore_step(at, true);
    *at = desired;
    *result = true;
    return true;
}

static const struct {
    const char *name;
    bool (*cas)(_Atomic uint64_t *, uint64_t *, uint64_t, bool *);
} plants[] = {
    {"no count in a head", cas_no_count},
    {"fresh index dealt blindly", cas_blind_deal},
};

/* Arguments: explore so many preemptions more; "all": without reduction. */
int main(int argc, char **argv) {
    unsigned more = explore_arguments(argc, argv);
    int bad = 0;

    bad += explore_every(scenarios, SCENARIOS, more, true);
    bad += pairs_report((const char *const[]){"take", "give", "extend"}, EXTEND + 1,
                        (const unsigned[]){0, 0, 0});
    for (unsigned i = 0; i < sizeof(plants) / sizeof(plants[0]); i++) {
        plant.cas = plants[i].cas;
        bad += explore_planted(scenarios, SCENARIOS, plants[i].name);
        plant.cas = NULL;
    }
    return bad != 0;
}
