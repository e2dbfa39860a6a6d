/* SPDX-License-Identifier: MIT */
/*
 * stash: slots and what is paid for them, with places of the test's own. What is held must at every
 * step be what was put there and not taken, and so must what was paid.
 */
#define _GNU_SOURCE
#include "region/access.h"
#include "region/habit.h"
#include "region/place.h"
#include "region/powers.h"
#include "region/region.h"
#include "region/retain_budget.h"
#include "region/stash.h"
#include "region/trap.h"
#include "support/keeps.h"
#include "support/regions.h"
#include "support/touch.h"

#include <moat/options.h>

#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>

enum { SLOTS = 16, MORE = SLOTS + 5, SIZE = 1 << 20, TAUGHT = 64 };

static size_t held; /* by this test's books */

static void begin(void) {
    stay_on_one_processor();
    cr_assert_eq(moat_region_start(), MOAT_OK);
    if (!memory_can_move())
        cr_skip("nothing moves on this kernel");
}

TestSuite(region_stash_slots, .init = begin);

static void check_held(void) {
    cr_assert_eq(moat_stash_mend(), held, "%zu, not %zu", moat_stash_mend(), held);
    cr_assert_eq(moat_retained_bytes(), (uint64_t)held, "%ju, not %zu",
                 (uintmax_t)moat_retained_bytes(), held);
}

/* Have regions of a size be taken for ones that are touched as a rule. */
static void teach(size_t size) {
    unsigned char *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq((void *)memory, MAP_FAILED);
    memset(memory, 1, size);
    for (unsigned i = 0; i < TAUGHT && moat_habit_of(size) != MOAT_HABIT_DENSE; i++)
        (void)moat_habit_judge((uintptr_t)memory, (uintptr_t)memory + size);
    cr_assert_eq(moat_habit_of(size), MOAT_HABIT_DENSE);
    munmap(memory, size);
}

static struct moat_place placed(const struct moat_place_wish *wish) {
    struct moat_place place;
    cr_assert_eq(moat_place_anywhere(wish, &place), MOAT_OK);
    return place;
}

static struct moat_place alone_in_its_blocks(size_t size) {
    const struct moat_place_wish wish = {
        .size = size, .markers = true, .at_once = true, .backend = moat_backend_os()};
    teach(size);
    return placed(&wish);
}

static void commit(const struct moat_place *place, size_t offset, size_t size, uint32_t rights) {
    struct moat_access_report report = {0};
    uintptr_t start = place->base + offset;
    cr_assert_eq(moat_access_grant(place->space, start, start + size, moat_page_state(rights), 0,
                                   MOAT_MEMORY_LATER, &report),
                 0);
}

static void fill(const struct moat_place *place) {
    commit(place, 0, place->size, MOAT_PAGE_READWRITE);
    memset((void *)place->base, 0xA5, place->size);
}

static bool put(const struct moat_place *place, uint64_t most) {
    return moat_stash_put(place->space, place->base, place->base + place->size, most);
}

/* Once in a while fresh memory is taken, but never twice in a row. */
static bool take(const struct moat_place *place) {
    uintptr_t end = place->base + place->size;
    return moat_stash_take(place->space, place->base, end) ||
           moat_stash_take(place->space, place->base, end);
}

static struct moat_place put_one(size_t size, uint64_t most) {
    struct moat_place place = alone_in_its_blocks(size);
    fill(&place);
    cr_assert(put(&place, most), "%zu bytes", size);
    return place;
}

static bool all_pages(const struct moat_place *place, bool readable, bool writable) {
    for (uintptr_t at = place->base; at < place->base + place->size; at += PAGE)
        if (!page_is((void *)at, readable, writable))
            return false;
    return true;
}

static bool all_bytes(const struct moat_place *place, int value) {
    return touch_all_bytes((void *)place->base, place->size, value);
}

/* What a place was is said by the books of its blocks and pages: closed, and nothing committed. */
static void check_gone(const struct moat_place *place) {
    uintptr_t end = place->base + place->size;

    cr_assert(all_pages(place, false, false));
    for (uintptr_t at = place->base; at < end;) {
        struct moat_run run = moat_pages_run(place->space, at, end);
        cr_assert_not(run.open, "a block without rights is called open");
        cr_assert_eq(run.state, 0);
        at = run.end;
    }
}

Test(region_stash_slots, bodies_of_each_size_move_and_come_back_zeroed) {
    static const size_t sizes[] = {MOAT_STASH_SIZE_MIN, MOAT_STASH_SIZE_MIN + GRANULE, BLOCK,
                                   BLOCK + SIZE, MOAT_STASH_SIZE_MAX};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct moat_place from = put_one(sizes[i], UINT64_MAX);
        struct moat_place to = alone_in_its_blocks(sizes[i]);
        held = sizes[i];
        check_held();
        check_gone(&from);
        cr_assert(take(&to), "%zu bytes", sizes[i]);
        held = 0;
        check_held();
        cr_assert(all_pages(&to, true, true));
        cr_assert(all_bytes(&to, 0));
        cr_assert_not(take(&from), "there is no other");
    }
    struct moat_place larger = alone_in_its_blocks(MOAT_STASH_SIZE_MAX + BLOCK);
    fill(&larger);
    cr_assert_not(put(&larger, UINT64_MAX), "there is no room for it in a slot");
    cr_assert(all_bytes(&larger, 0xA5));
    check_held();
}

/* More often than there are slots, and without a look at them, which would empty those between. */
Test(region_stash_slots, slots_are_used_again) {
    struct moat_place places[] = {alone_in_its_blocks(SIZE), alone_in_its_blocks(SIZE)};

    fill(&places[0]);
    for (unsigned i = 0; i < 2 * MORE; i++) {
        const struct moat_place *from = &places[i % 2], *to = &places[(i + 1) % 2];
        cr_assert(put(from, UINT64_MAX), "time %u", i);
        cr_assert(take(to), "time %u", i);
        moat_pages_set(to->space, to->base, to->base + to->size,
                       moat_page_state(MOAT_PAGE_READWRITE));
        cr_assert(all_bytes(to, 0));
        memset((void *)to->base, 0xA5, to->size);
    }
    check_held();
}

Test(region_stash_slots, the_oldest_makes_way) {
    struct moat_place places[MORE];

    for (unsigned i = 0; i < MORE; i++) {
        places[i] = put_one(MOAT_STASH_SIZE_MIN + i * GRANULE, UINT64_MAX);
        held += places[i].size - (i < SLOTS ? 0 : places[i - SLOTS].size);
        check_held();
    }
    for (unsigned i = 0; i < MORE - SLOTS; i++)
        cr_assert_not(take(&places[i]), "body %u", i);
    cr_assert(take(&places[MORE - SLOTS]), "the oldest that is left");
    cr_assert(take(&places[MORE - 1]), "the youngest");
    held -= places[MORE - SLOTS].size + places[MORE - 1].size;
    check_held();
    cr_assert_eq(moat_stash_empty(), held);
    held = 0;
    check_held();
    cr_assert_eq(moat_stash_empty(), 0);
}

Test(region_stash_slots, no_more_is_held_than_was_allowed) {
    const uint64_t most = 3 * SIZE;
    struct moat_place places[MORE];

    for (unsigned i = 0; i < MORE; i++) {
        places[i] = alone_in_its_blocks(SIZE);
        fill(&places[i]);
    }
    for (unsigned i = 0; i < MORE - 1; i++) {
        cr_assert(put(&places[i], most), "body %u", i);
        held = moat_stash_mend();
        cr_assert(held >= SIZE && held <= most, "%zu after body %u", held, i);
        check_held();
    }
    cr_assert_geq(held, 2 * (size_t)SIZE);
    for (unsigned i = 0; i < MORE; i++)
        cr_assert_not(put(&places[MORE - 1], 0), "others make way, in vain");
    cr_assert(all_bytes(&places[MORE - 1], 0xA5));
    /* No slot was lost. */
    for (unsigned i = 0; i < SLOTS; i++)
        fill(&places[i]);
    for (unsigned i = 0; i < SLOTS; i++)
        cr_assert(put(&places[i], UINT64_MAX));
    held = SLOTS * (size_t)SIZE;
    check_held();
}

static void stays(const struct moat_place *place, const char *what) {
    cr_assert_not(put(place, UINT64_MAX), "%s", what);
    check_held();
    cr_assert_eq(((unsigned char *)place->base)[0], 0xA5, "%s", what);
}

Test(region_stash_slots, what_is_not_to_be_read_and_written_throughout_stays) {
    static const uint32_t rights[] = {MOAT_PAGE_READONLY, MOAT_PAGE_NOACCESS,
                                      MOAT_PAGE_READWRITE | MOAT_PAGE_GUARD};
    struct moat_place place = alone_in_its_blocks(BLOCK + SIZE);
    struct moat_trap_report report = {0};
    size_t last = place.size - PAGE;

    fill(&place);
    for (unsigned i = 0; i < sizeof rights / sizeof rights[0]; i++) {
        commit(&place, 40 * PAGE, PAGE, rights[i]);
        stays(&place, "in the midst");
        commit(&place, 40 * PAGE, PAGE, MOAT_PAGE_READWRITE);
        commit(&place, last, PAGE, rights[i]);
        stays(&place, "at the end");
        commit(&place, last, PAGE, MOAT_PAGE_READWRITE);
    }
    cr_assert_eq(
        moat_trap_pages(place.space, place.base + last, place.base + place.size, 0, &report), 0);
    stays(&place, "without its last page");
    commit(&place, last, PAGE, MOAT_PAGE_READWRITE);
    cr_assert(put(&place, UINT64_MAX), "the control");
}

/* Of which the kernel was told something, or that others lie beside. */
Test(region_stash_slots, memory_of_other_kinds_stays) {
    const struct moat_place_wish wishes[] = {
        {.size = SIZE, .markers = true},
        {.size = BLOCK, .at_once = true},
        {.size = BLOCK, .at_once = true, .markers = true, .alone = true},
        {.size = BLOCK, .at_once = true, .markers = true, .undumped = true},
        {.size = BLOCK, .at_once = true, .markers = true, .fork = MOAT_FORK_WIPE},
        {.size = BLOCK, .at_once = true, .markers = true, .fork = MOAT_FORK_DONTFORK},
        {.size = BLOCK, .at_once = true, .markers = true, .supply.huge = true},
    };
    (void)put_one(BLOCK, UINT64_MAX);
    (void)put_one(SIZE, UINT64_MAX);
    held = BLOCK + SIZE;
    for (unsigned i = 0; i < sizeof wishes / sizeof wishes[0]; i++) {
        struct moat_place_wish wish = wishes[i];
        wish.backend = moat_backend_os();
        struct moat_place place = placed(&wish);
        if (i > 0)
            cr_assert_not(take(&place), "wish %u", i);
        fill(&place);
        stays(&place, "another kind");
    }
    struct moat_place control = alone_in_its_blocks(BLOCK);
    cr_assert(take(&control), "the control");
}

/* Whose limits leave less than Moat would like: that is not spent on slots. */
Test(region_stash_slots, a_process_that_lacks_something_has_no_slots) {
    struct moat_place place = alone_in_its_blocks(BLOCK);

    fill(&place);
    moat_powers_lack(MOAT_LACKS_BOOKS);
    stays(&place, "there is no room");
}
