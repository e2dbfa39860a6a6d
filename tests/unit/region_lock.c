/* SPDX-License-Identifier: MIT */
/*
 * Locks on the record alone: what they wait for, what is undone when they do not come to be, and
 * how they end with their holder, their manager and their region.
 */
#include "region/lock.h"

#include "os/os.h"
#include "region/held.h"
#include "support/records.h"
#include "support/regions.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>

static struct moat_region_ref ref;
static struct moat_waits waits;

static void start(void) {
    cr_assert_eq(moat_region_start(), MOAT_OK);
    ref = published(somewhere, 8 * (size_t)BLOCK);
}

TestSuite(region_lock, .init = start, .timeout = 600);

/* What another thread does: it locks or enters, says so, and goes when it may. */
struct other {
    pthread_t thread;
    uint64_t patience_ms;
    bool enters; /* instead of locking it */
    unsigned locks;
    void (*ends)(struct other *);
    enum moat_status status;
    bool held;
    bool result;
    _Atomic bool done;
    _Atomic bool may_end;
};

static void unlocks(struct other *it) {
    it->result = moat_region_unlock(&ref) == MOAT_OK;
}

static void abandons(struct other *it) {
    it->result = moat_region_abandon(&ref);
}

static void *act(void *argument) {
    struct other *it = argument;
    struct moat_patience patience = moat_patience_of(&waits, it->patience_ms * MS);
    uint32_t stripes;
    if (it->enters) {
        it->status = moat_region_enter(&ref, ref.base, ref.base + PAGE, &patience, &stripes);
        if (!it->status)
            moat_region_leave(&ref, stripes);
    }
    for (unsigned i = 0; i < it->locks; i++)
        it->status = moat_region_lock(&ref, &patience);
    it->held = moat_region_held(&ref);
    atomic_store(&it->done, true);
    while (!atomic_load(&it->may_end))
        pause_ms(1);
    if (it->ends && it->held)
        it->ends(it);
    return NULL;
}

static void begin(struct other *it) {
    cr_assert_eq(pthread_create(&it->thread, NULL, act, it), 0);
}

static void await(const struct other *it) {
    while (!atomic_load(&it->done))
        pause_ms(1);
}

static void finish(struct other *it) {
    atomic_store(&it->may_end, true);
    pthread_join(it->thread, NULL);
}

/* Whether somebody who does not wait gets a stripe that nobody has. */
static bool is_open(void) {
    struct moat_patience none = patience(0);
    uint32_t stripes;
    if (moat_region_enter(&ref, ref.base + BLOCK, ref.base + 2 * BLOCK, &none, &stripes))
        return false;
    moat_region_leave(&ref, stripes);
    return true;
}

static uint32_t abandoned(void) {
    return atomic_load(&moat_region_extra(&ref)->abandoned);
}

Test(region_lock, a_lock_waits_for_work_under_way) {
    struct moat_patience none = patience(0);
    struct other locker = {.patience_ms = 300000, .locks = 1, .ends = unlocks};
    uint32_t stripes;
    cr_assert_eq(moat_region_enter(&ref, ref.base, ref.base + PAGE, &none, &stripes), MOAT_OK);
    begin(&locker);
    await_waiting(&waits, 1);
    cr_assert_not(is_open(), "who comes now waits for the lock");
    pause_ms(20);
    cr_assert_not(atomic_load(&locker.done), "locked while somebody was at work");
    moat_region_leave(&ref, stripes);
    await(&locker);
    cr_assert_eq(locker.status, MOAT_OK);
    cr_assert(locker.held);
    cr_assert_not(is_open());
    finish(&locker);
    cr_assert(locker.result, "its lock was not its own");
    cr_assert(is_open());
}

Test(region_lock, a_lock_that_gives_up_is_undone) {
    struct moat_patience none = patience(0);
    struct other locker = {.patience_ms = 200, .locks = 1};
    struct other waiter = {.patience_ms = 300000, .enters = true};
    uint32_t stripes;
    /* The waiter's stripe is free: what it waits for is the lock. */
    cr_assert_eq(
        moat_region_enter(&ref, ref.base + 2 * BLOCK, ref.base + 3 * BLOCK, &none, &stripes),
        MOAT_OK);
    begin(&locker);
    while (is_open() && !atomic_load(&locker.done))
        pause_ms(1);
    begin(&waiter);
    await(&locker);
    cr_assert_eq(locker.status, MOAT_TIMEOUT);
    cr_assert_not(locker.held);
    await(&waiter);
    cr_assert_eq(waiter.status, MOAT_OK, "it was not woken");
    finish(&locker);
    finish(&waiter);
    moat_region_leave(&ref, stripes);
    cr_assert(is_open());
}

Test(region_lock, a_lock_waits_for_how_a_close_ends) {
    for (int reopened = 0; reopened < 2; reopened++) {
        struct moat_patience none = patience(0);
        struct other locker = {.patience_ms = 300000, .locks = 1, .ends = unlocks};
        cr_assert_eq(moat_region_close(&ref, &none), MOAT_OK);
        begin(&locker);
        await_waiting(&waits, 1);
        pause_ms(20);
        cr_assert_not(atomic_load(&locker.done));
        if (reopened)
            moat_region_reopen(&ref);
        else
            moat_region_retire(&ref);
        await(&locker);
        cr_assert_eq(locker.status, reopened ? MOAT_OK : MOAT_NOT_OURS);
        cr_assert_eq(locker.held, reopened);
        cr_assert(!reopened || !is_open());
        finish(&locker);
        if (!reopened)
            ref = published(somewhere, 8 * (size_t)BLOCK);
        cr_assert(is_open());
    }
    cr_assert_eq((uint32_t)atomic_load(&waits.waiting), 0u);
}

/* Who is counted among those that wait has noted before how many holders had ended. */
Test(region_lock, who_waits_for_a_holder_that_ends_is_told_so) {
    struct other holder = {.locks = 1, .ends = abandons};
    struct other waiter = {.patience_ms = 300000, .enters = true};
    uint32_t before = abandoned();
    begin(&holder);
    await(&holder);
    begin(&waiter);
    await_waiting(&waits, 1);
    pause_ms(20);
    finish(&holder);
    cr_assert(holder.result);
    await(&waiter);
    cr_assert_eq(waiter.status, MOAT_ABANDONED);
    finish(&waiter);
    cr_assert_eq(abandoned(), before + 1);
    cr_assert(is_open());
    /* Of the next holder that is no news. */
    struct other next = {.locks = 1, .ends = unlocks};
    struct moat_patience none = patience(0);
    uint32_t stripes;
    begin(&next);
    await(&next);
    cr_assert_eq(moat_region_enter(&ref, ref.base, ref.base + PAGE, &none, &stripes), MOAT_TIMEOUT);
    finish(&next);
    cr_assert(is_open());
}

Test(region_lock, a_lock_that_is_taken_from_its_holder_is_no_longer_its_own) {
    struct other holder = {.locks = 3, .ends = abandons};
    struct other waiter = {.patience_ms = 300000, .enters = true};
    uint32_t before = abandoned();
    begin(&holder);
    await(&holder);
    begin(&waiter);
    await_waiting(&waits, 1);
    moat_region_take_lock(&ref);
    cr_assert_eq(abandoned(), before + 1);
    cr_assert(is_open());
    await(&waiter);
    cr_assert_eq(waiter.status, MOAT_ABANDONED);
    finish(&waiter);
    finish(&holder);
    cr_assert_not(holder.result, "it was undone twice");
    moat_region_take_lock(&ref);
    cr_assert_eq(abandoned(), before + 1, "there was no lock to take");
}

/* Three locks of a holder that is gone must not count for the next. */
Test(region_lock, depth_ends_with_the_holder_and_with_the_region) {
    for (int way = 0; way < 3; way++) {
        struct moat_patience none = patience(0);
        struct other holder = {.locks = 3, .ends = way == 0 ? abandons : NULL};
        begin(&holder);
        await(&holder);
        if (way == 1)
            moat_region_take_lock(&ref);
        finish(&holder);
        if (way == 2) {
            /* By the holder itself, which is this thread. */
            moat_region_take_lock(&ref);
            for (int i = 0; i < 3; i++)
                cr_assert_eq(moat_region_lock(&ref, &none), MOAT_OK);
            retire(&ref);
            ref = published(somewhere, 8 * (size_t)BLOCK);
        }
        cr_assert_not(moat_region_held(&ref), "way %d", way);
        cr_assert_eq(moat_region_unlock(&ref), MOAT_NOT_OWNER, "way %d", way);
        cr_assert_eq(moat_region_lock(&ref, &none), MOAT_OK, "way %d", way);
        cr_assert_eq(moat_region_unlock(&ref), MOAT_OK, "way %d", way);
        cr_assert_eq(moat_region_unlock(&ref), MOAT_NOT_OWNER, "way %d", way);
        cr_assert(is_open(), "way %d", way);
    }
}

/* What is noted for handlers and forked children lasts as long as the call. */
Test(region_lock, a_lock_is_not_noted_as_work_in_hand) {
    struct moat_patience none = patience(0);
    struct moat_held held;
    uint32_t bits;
    cr_assert_eq(moat_region_lock(&ref, &none), MOAT_OK);
    moat_held_look(&held);
    cr_assert_not(moat_held_by(&held, ref.region, &bits));
    cr_assert_eq(moat_region_unlock(&ref), MOAT_OK);
}
