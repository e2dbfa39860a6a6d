/* SPDX-License-Identifier: MIT */
/* The transitions of a life word, one by one. */
#include "lockfree/region_life.h"

#include <criterion/criterion.h>

static _Atomic uint64_t life;
static uint32_t generation;
static uint32_t seen;

static void born(void) {
    life = 0;
    moat_life_birth(&life, &generation);
}

TestSuite(region_life, .init = born);

Test(region_life, generations_are_odd_while_alive) {
    cr_assert_eq(generation, 1u);
    cr_assert_eq(moat_life_generation(&life), 1u);
    cr_assert_eq(moat_life_close(&life, generation, false, &seen), MOAT_LIFE_OK);
    cr_assert_not(moat_life_death(&life));
    cr_assert_eq(moat_life_generation(&life), 2u);
    moat_life_birth(&life, &generation);
    cr_assert_eq(generation, 3u);
}

Test(region_life, stripes_are_taken_all_or_none) {
    uint64_t before;

    cr_assert_eq(moat_life_enter(&life, generation, 6, false, &seen), MOAT_LIFE_OK);
    cr_assert_eq(moat_life_enter(&life, generation, 3, false, &seen), MOAT_LIFE_BUSY);
    cr_assert_eq(seen, 6u | MOAT_LIFE_WAITERS_BIT);
    cr_assert_eq(seen, (uint32_t)life, "a sleeper would compare with something else");
    cr_assert_eq(moat_life_enter(&life, generation, 1, false, &seen), MOAT_LIFE_OK);
    cr_assert(moat_life_leave(&life, 6), "somebody waits");
    before = life;
    cr_assert_not(moat_life_leave(&life, 1), "nobody waits any more");
    cr_assert_eq((uint32_t)before, 1u);
    cr_assert_eq((uint32_t)life, 0u);
}

Test(region_life, nobody_enters_a_life_that_is_over) {
    cr_assert_eq(moat_life_enter(&life, generation + 2, 1, false, &seen), MOAT_LIFE_GONE);
    cr_assert_eq(moat_life_close(&life, generation, false, &seen), MOAT_LIFE_OK);
    moat_life_death(&life);
    const uint64_t over = life;

    cr_assert_eq(over & ~(uint64_t)MOAT_LIFE_TICK_BITS, UINT64_C(2) << 32);
    cr_assert_eq(moat_life_enter(&life, generation, 1, false, &seen), MOAT_LIFE_GONE);
    cr_assert_eq(moat_life_close(&life, generation, false, &seen), MOAT_LIFE_GONE);
    /* The generation of a free record is no life, though it compares equal. */
    cr_assert_eq(moat_life_enter(&life, generation + 1, 1, false, &seen), MOAT_LIFE_GONE);
    cr_assert_eq(life, over, "a refused step changed the word");
    moat_life_birth(&life, &generation);
    cr_assert_eq(moat_life_enter(&life, 1, 1, false, &seen), MOAT_LIFE_GONE);
}

Test(region_life, one_closer_goes_on_and_the_other_waits) {
    uint32_t other;

    cr_assert_eq(moat_life_enter(&life, generation, 1, false, &seen), MOAT_LIFE_OK);
    cr_assert_eq(moat_life_close(&life, generation, false, &seen), MOAT_LIFE_BUSY);
    cr_assert_eq(seen, 1 | MOAT_LIFE_CLOSING_BIT | MOAT_LIFE_WAITERS_BIT);
    cr_assert_eq(moat_life_close(&life, generation, false, &other), MOAT_LIFE_CLOSING);
    cr_assert_eq(moat_life_enter(&life, generation, 2, false, &other), MOAT_LIFE_CLOSING);
    cr_assert_eq(moat_life_drained(&life, &seen), MOAT_LIFE_BUSY);
    cr_assert(moat_life_leave(&life, 1));
    cr_assert_eq(moat_life_drained(&life, &seen), MOAT_LIFE_OK);
    cr_assert_eq(moat_life_enter(&life, generation, 2, false, &other), MOAT_LIFE_CLOSING);
    cr_assert(moat_life_death(&life), "somebody waits for the outcome");
}

Test(region_life, a_close_can_be_rolled_back) {
    cr_assert_eq(moat_life_enter(&life, generation, 1, false, &seen), MOAT_LIFE_OK);
    cr_assert_eq(moat_life_close(&life, generation, false, &seen), MOAT_LIFE_BUSY);
    cr_assert(moat_life_reopen(&life));
    cr_assert_eq(moat_life_enter(&life, generation, 2, false, &seen), MOAT_LIFE_OK);
    cr_assert_not(moat_life_leave(&life, 3));
    cr_assert_eq(life, (uint64_t)generation << 32);
}

Test(region_life, generations_wrap_without_touching_the_low_word) {
    life = UINT64_C(0xfffffffe) << 32;
    moat_life_birth(&life, &generation);
    cr_assert_eq(generation, UINT32_MAX);
    cr_assert_eq(moat_life_close(&life, generation, false, &seen), MOAT_LIFE_OK);
    moat_life_death(&life);
    cr_assert_eq(life, MOAT_LIFE_TICK_ONE);
}

Test(region_life, all_stripes_together) {
    cr_assert_eq(moat_life_enter(&life, generation, MOAT_LIFE_STRIPES_ALL, false, &seen),
                 MOAT_LIFE_OK);
    for (unsigned i = 0; i < MOAT_LIFE_STRIPES; i++)
        cr_assert_eq(moat_life_enter(&life, generation, UINT32_C(1) << i, false, &seen),
                     MOAT_LIFE_BUSY);
    cr_assert(moat_life_leave(&life, MOAT_LIFE_STRIPES_ALL));
    cr_assert_eq(moat_life_generation(&life), generation);
}

Test(region_life, a_lock_keeps_all_others_out) {
    cr_assert_eq(moat_life_lock(&life, generation, &seen), MOAT_LIFE_OK);
    cr_assert_eq(moat_life_enter(&life, generation, 1, false, &seen), MOAT_LIFE_LOCKED);
    cr_assert_eq(seen, MOAT_LIFE_LOCKED_BIT | MOAT_LIFE_WAITERS_BIT);
    cr_assert_eq(moat_life_lock(&life, generation, &seen), MOAT_LIFE_LOCKED);
    cr_assert(moat_life_unlock(&life), "somebody waits");
    cr_assert_eq(moat_life_enter(&life, generation, 1, false, &seen), MOAT_LIFE_OK);
    cr_assert_not(moat_life_leave(&life, 1));
    cr_assert_eq(life, (uint64_t)generation << 32);
}

Test(region_life, a_locked_region_is_not_closed_by_others) {
    cr_assert_eq(moat_life_lock(&life, generation, &seen), MOAT_LIFE_OK);
    uint64_t before = life;
    cr_assert_eq(moat_life_close(&life, generation, false, &seen), MOAT_LIFE_LOCKED);
    cr_assert_eq(life, before, "a refused step changed the word");
    cr_assert_eq(moat_life_enter(&life, generation, 2, true, &seen), MOAT_LIFE_OK);
    cr_assert_eq(moat_life_close(&life, generation, true, &seen), MOAT_LIFE_BUSY);
    cr_assert_eq(moat_life_close(&life, generation, false, &seen), MOAT_LIFE_CLOSING);
    cr_assert(moat_life_leave(&life, 2));
    cr_assert_eq(moat_life_drained(&life, &seen), MOAT_LIFE_OK);
    moat_life_reopen(&life);
    cr_assert_eq((uint32_t)life, MOAT_LIFE_LOCKED_BIT, "a close given up keeps the lock");
    cr_assert_eq(moat_life_close(&life, generation, true, &seen), MOAT_LIFE_OK);
    moat_life_death(&life);
    cr_assert_eq((uint32_t)life & ~MOAT_LIFE_TICK_BITS, 0u, "a lock outlived the region");
}

Test(region_life, a_lock_waits_for_stripes_and_for_a_close) {
    cr_assert_eq(moat_life_enter(&life, generation, 4, false, &seen), MOAT_LIFE_OK);
    cr_assert_eq(moat_life_lock(&life, generation, &seen), MOAT_LIFE_BUSY);
    cr_assert_eq(seen, 4 | MOAT_LIFE_LOCKED_BIT | MOAT_LIFE_WAITERS_BIT);
    cr_assert_eq(moat_life_enter(&life, generation, 1, false, &seen), MOAT_LIFE_LOCKED);
    cr_assert_eq(moat_life_drained(&life, &seen), MOAT_LIFE_BUSY);
    cr_assert(moat_life_leave(&life, 4));
    cr_assert_eq(moat_life_drained(&life, &seen), MOAT_LIFE_OK);
    moat_life_unlock(&life);
    cr_assert_eq(moat_life_close(&life, generation, false, &seen), MOAT_LIFE_OK);
    cr_assert_eq(moat_life_lock(&life, generation, &seen), MOAT_LIFE_CLOSING);
    cr_assert(moat_life_death(&life));
    cr_assert_eq(moat_life_lock(&life, generation, &seen), MOAT_LIFE_GONE);
}

Test(region_life, a_nudge_is_told_from_one_that_others_wait_after) {
    uint32_t again;

    cr_assert_not(moat_life_nudge(&life));
    cr_assert_eq(moat_life_lock(&life, generation, &seen), MOAT_LIFE_OK);
    cr_assert_eq(moat_life_enter(&life, generation, 1, false, &seen), MOAT_LIFE_LOCKED);
    cr_assert(moat_life_nudge(&life));
    cr_assert_neq((uint32_t)life, seen, "who goes to sleep now would not wake");
    cr_assert_eq((uint32_t)life & ~MOAT_LIFE_TICK_BITS, MOAT_LIFE_LOCKED_BIT);
    cr_assert_eq(moat_life_enter(&life, generation, 1, false, &again), MOAT_LIFE_LOCKED);
    cr_assert_neq(again, seen, "who was called off would sleep because another waits");
}

Test(region_life, what_the_dead_held_is_undone_and_nothing_else) {
    cr_assert_eq(moat_life_enter(&life, generation, 6, false, &seen), MOAT_LIFE_OK);
    cr_assert_eq(moat_life_lock(&life, generation, &seen), MOAT_LIFE_BUSY);
    cr_assert_eq(moat_life_held(&life), 6 | MOAT_LIFE_LOCKED_BIT);
    cr_assert(moat_life_mend(&life, 2 | MOAT_LIFE_LOCKED_BIT), "who sleeps is to be woken");
    cr_assert_eq((uint32_t)life, 4, "what a living thread holds");
    cr_assert_eq(moat_life_generation(&life), generation);
    cr_assert_eq(moat_life_enter(&life, generation, 2, false, &seen), MOAT_LIFE_OK);
    cr_assert_eq(moat_life_close(&life, generation, false, &seen), MOAT_LIFE_BUSY);
    cr_assert(moat_life_mend(&life, MOAT_LIFE_CLOSING_BIT));
    cr_assert_not(moat_life_mend(&life, 6), "nobody sleeps any more");
    cr_assert_eq(moat_life_close(&life, generation, false, &seen), MOAT_LIFE_OK);
}
