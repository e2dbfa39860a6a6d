/* SPDX-License-Identifier: MIT */
/* What the dead leave of regions, made by hand (support/dead.h). */
#define _GNU_SOURCE
#include "os/os.h"
#include "region/access.h"
#include "region/lock.h"
#include "region/place.h"
#include "region/powers.h"
#include "region/region.h"
#include "region/registry.h"
#include "support/dead.h"
#include "support/regions.h"
#include "support/touch.h"

#include <criterion/criterion.h>
#include <moat/placeholder.h>
#include <string.h>
#include <sys/mman.h>

TestSuite(region_mend, .timeout = 600);

#define RW MOAT_PAGE_READWRITE

static struct moat_place place;

static struct moat_patience none(void) {
    return (struct moat_patience){0};
}

static void take_second_block(void) {
    take_pages(BLOCK, BLOCK);
}

/* As if a decommit had begun with what is committed, and a commit with what is not. */
static void damage_block(size_t number) {
    unsigned char *block = base() + number * BLOCK;
    EXPECT(moat_os_protect(block, PAGE, MOAT_OS_NONE) == 0);
    if (moat_powers()->guard_markers)
        EXPECT(moat_os_guard_remove(block + BLOCK / 2, PAGE) == 0);
    EXPECT(moat_os_protect(block + BLOCK / 2, PAGE, MOAT_OS_READ | MOAT_OS_WRITE) == 0);
}

static void damage_two_blocks(void) {
    damage_block(1);
    damage_block(3);
}

static void look_at_stripes(void) {
    expect_nothing_else((struct moat_fork_report){0});
    EXPECT(opens(ref.base, ref.base + ref.size));
    EXPECT(touch_all_bytes(base() + BLOCK, PAGE, 'p'));
    EXPECT(page_is(base() + BLOCK, true, true));
    EXPECT(!touch_reads(base() + BLOCK + BLOCK / 2));
    EXPECT(page_is(base() + BLOCK / 2 - PAGE, true, true));
    /* Nobody was at work there: that it is broken is not asked. */
    EXPECT(!touch_reads(base() + 3 * BLOCK));
    EXPECT(touch_reads(base() + 3 * BLOCK + BLOCK / 2));
}

Test(region_mend, pages_under_a_stripe_of_the_dead_are_what_the_books_say) {
    const struct death death = {scene, take_second_block, NULL, damage_two_blocks, look_at_stripes};
    play(&death, IN_ARENA);
    play(&death, ALONE);
}

static void take_last_block(void) {
    take_pages(ref.size - PAGE, PAGE);
}

/* As if a commit had begun with two pages of it, one of which somebody wrote to. */
static void damage_last_block(void) {
    unsigned char *page = base() + ref.size - 2 * PAGE;
    EXPECT(moat_os_protect(page, 2 * PAGE, MOAT_OS_READ | MOAT_OS_WRITE) == 0);
    memset(page, 'x', PAGE);
}

static void look_at_last_block(void) {
    unsigned char *page = base() + ref.size - 2 * PAGE;
    expect_nothing_else((struct moat_fork_report){0});
    EXPECT(!touch_reads(page) && !touch_reads(page + PAGE));
    EXPECT(moat_commit(manager, page, 2 * PAGE, RW, NULL) == MOAT_OK);
    EXPECT(touch_all_bytes(page, 2 * PAGE, 0));
    EXPECT(page_is(page, true, true) && page_is(page + PAGE, true, true));
    EXPECT(!touch_reads(page - PAGE));
}

Test(region_mend, pages_of_a_block_that_nobody_had_used_trap_and_are_empty) {
    const struct death death = {scene, take_last_block, NULL, damage_last_block,
                                look_at_last_block};
    play(&death, IN_ARENA);
    play(&death, ALONE);
}

/* What the forking thread works on it goes on with. */
static void look_at_own_stripe(void) {
    expect_nothing_else((struct moat_fork_report){0});
    EXPECT(!opens(ref.base + BLOCK, ref.base + 2 * BLOCK));
    EXPECT(opens(ref.base, ref.base + PAGE));
    EXPECT(!touch_reads(base() + BLOCK));
    moat_region_leave(&ref, taken);
    EXPECT(opens(ref.base + BLOCK, ref.base + 2 * BLOCK));
}

Test(region_mend, what_the_forking_thread_holds_is_left_to_it) {
    const struct death death = {scene, NULL, take_second_block, damage_two_blocks,
                                look_at_own_stripe};
    play(&death, IN_ARENA);
    play(&death, ALONE);
}

static void take_lock(void) {
    struct moat_patience patience = none();
    cr_assert_eq(moat_region_lock(&ref, &patience), MOAT_OK);
}

static void look_at_lock(void) {
    expect_nothing_else((struct moat_fork_report){.locks = 1});
    EXPECT(opens(ref.base, ref.base + PAGE));
    EXPECT(!moat_life_locked(&ref.region->life));
}

static void look_at_own_lock(void) {
    expect_nothing_else((struct moat_fork_report){0});
    EXPECT(moat_life_locked(&ref.region->life));
    EXPECT(moat_region_unlock(&ref) == MOAT_OK);
}

Test(region_mend, a_lock_of_the_dead_is_undone_and_that_of_the_forking_thread_is_not) {
    play(&(struct death){scene, take_lock, NULL, NULL, look_at_lock}, IN_ARENA);
    play(&(struct death){scene, NULL, take_lock, NULL, look_at_own_lock}, IN_ARENA);
}

static void close_it(void) {
    struct moat_patience patience = none();
    cr_assert_eq(moat_region_close(&ref, &patience), MOAT_OK);
}

static void damage_all(void) {
    for (size_t block = 0; block < 3; block++)
        damage_block(block);
}

static void expect_gone(void) {
    struct moat_region_ref other;
    void *at = base();
    EXPECT(!moat_region_lives(&ref));
    EXPECT(!moat_region_find(ref.base, &other));
    for (size_t block = 0; block < 3; block++) {
        EXPECT(!touch_reads(base() + block * BLOCK));
        EXPECT(!touch_reads(base() + block * BLOCK + BLOCK / 2));
    }
    EXPECT(moat_reserve(manager, at, ref.size, RW, MOAT_RESERVE_COMMIT, &at) == MOAT_OK);
    EXPECT(touch_all_bytes(at, ref.size < 4 * BLOCK ? ref.size : 4 * BLOCK, 0));
}

static void look_at_release(void) {
    expect_nothing_else((struct moat_fork_report){.released = 1});
    expect_gone();
}

Test(region_mend, a_release_that_had_begun_goes_on_to_its_end) {
    const struct death death = {scene, close_it, NULL, damage_all, look_at_release};
    play(&death, IN_ARENA);
    play(&death, ALONE);
}

static void close_and_hide(void) {
    close_it();
    moat_registry_erase(moat_registry(), ref.base, ref.handle);
}

static void look_at_hidden(void) {
    expect_nothing_else((struct moat_fork_report){.discarded = 1});
    expect_gone();
}

Test(region_mend, a_record_that_nobody_finds_goes_with_its_place) {
    const struct death death = {scene, close_and_hide, NULL, damage_all, look_at_hidden};
    play(&death, IN_ARENA);
    play(&death, ALONE);
}

/* The mapping of what stands alone is gone, and its record is still there. */
static void unmap(void) {
    struct moat_place of = moat_region_place(&ref);
    close_it();
    moat_registry_erase(moat_registry(), ref.base, ref.handle);
    cr_assert_eq(moat_place_unmap(&of, NULL), 0);
}

/* Somebody else is there now: in the body, and where the guards were. */
static unsigned char *strangers[2];

static void let_strangers_in(void) {
    strangers[0] = base() + BLOCK;
    strangers[1] = base() - PAGE;
    for (unsigned i = 0; i < 2; i++) {
        void *at = mmap(strangers[i], PAGE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        EXPECT(at == strangers[i]);
        memset(at, 's', PAGE);
    }
}

static void look_at_strangers(void) {
    expect_nothing_else((struct moat_fork_report){.discarded = 1});
    EXPECT(!moat_region_lives(&ref));
    for (unsigned i = 0; i < 2; i++)
        EXPECT(touch_all_bytes(strangers[i], PAGE, 's') && touch_writes(strangers[i]));
}

static void look_at_nobody(void) {
    expect_nothing_else((struct moat_fork_report){.discarded = 1});
    EXPECT(!moat_region_lives(&ref));
    void *at = base();
    EXPECT(info_of(at).state == MOAT_STATE_FREE);
    EXPECT(moat_reserve(manager, at, ref.size, RW, MOAT_RESERVE_COMMIT, &at) == MOAT_OK);
}

Test(region_mend, what_was_unmapped_already_is_not_unmapped_again) {
    play(&(struct death){scene, unmap, NULL, let_strangers_in, look_at_strangers}, ALONE);
    play(&(struct death){scene, unmap, NULL, NULL, look_at_nobody}, ALONE);
}

/* A region that can be cut or replaced is what it was: nobody asked for its end. */
static void look_at_placeholder(void) {
    struct moat_page_info info;
    expect_nothing_else((struct moat_fork_report){.reopened = 1});
    EXPECT(moat_query(base(), &info) == MOAT_OK && info.state == MOAT_STATE_RESERVED);
    EXPECT(!touch_reads(base()));
    EXPECT(opens(ref.base, ref.base + ref.size));
    EXPECT(moat_release(manager, base()) == MOAT_OK);
}

static void commit_behind_its_back(void) {
    EXPECT(moat_os_protect(base(), PAGE, MOAT_OS_READ | MOAT_OS_WRITE) == 0);
    if (moat_powers()->guard_markers)
        (void)moat_os_guard_remove(base(), PAGE);
}

static void placeholder(const char *options, size_t size) {
    void *at;
    manager = manager_with(options);
    cr_assert_eq(moat_placeholder_reserve(manager, NULL, size, 0, NULL, &at), MOAT_OK);
    cr_assert(moat_region_find_base((uintptr_t)at, &ref));
}

Test(region_mend, a_placeholder_that_was_being_cut_is_reopened) {
    play(&(struct death){placeholder, close_it, NULL, commit_behind_its_back, look_at_placeholder},
         IN_ARENA);
}

/* A place with pages in it that no region stands for yet: five granules. */
static void take_place(void) {
    struct moat_access_report report = {0};
    struct moat_place_wish wish = {
        .size = 5 * GRANULE - PAGE,
        .markers = ref.space->markers,
        .backend = moat_backend_os(),
    };
    cr_assert_eq(moat_place_anywhere(&wish, &place), MOAT_OK);
    cr_assert_eq(moat_access_grant(place.space, place.base, place.base + place.size,
                                   moat_page_state(RW), 0, MOAT_MEMORY_LATER, &report),
                 0);
    memset((void *)place.base, 'x', place.size);
}

static void look_at_place(void) {
    void *at = (void *)place.base;
    expect_nothing_else((struct moat_fork_report){.granules = 5});
    for (size_t page = 0; page < place.size; page += PAGE)
        EXPECT(!touch_reads((unsigned char *)at + page));
    EXPECT(moat_reserve(manager, at, place.size, RW, MOAT_RESERVE_COMMIT, &at) == MOAT_OK);
    EXPECT(touch_all_bytes(at, place.size, 0));
    EXPECT(touch_all_bytes(base(), PAGE, 'p'));
    EXPECT(page_is(base(), true, true));
}

static void crowd(const char *options, size_t size) {
    scene(options, 2 * size);
    for (unsigned n = 0; n < 40; n++)
        (void)reserved(manager, (n % 5 + 1) * GRANULE - PAGE, n % 2);
}

Test(region_mend, granules_that_no_region_has_are_freed) {
    play(&(struct death){crowd, take_place, NULL, NULL, look_at_place}, BLOCK);
}

static void look_at_nothing(void) {
    expect_nothing_else((struct moat_fork_report){0});
    EXPECT(opens(ref.base, ref.base + ref.size));
}

Test(region_mend, what_is_whole_is_left_alone) {
    const struct death death = {scene, NULL, NULL, NULL, look_at_nothing};
    play(&death, IN_ARENA);
    play(&death, ALONE);
}
