/* SPDX-License-Identifier: MIT */
/*
 * What the dead leave of pages, made by hand (support/dead.h): rights and markers that the books do
 * not tell of, in blocks that a region has to itself and in those that it shares.
 */
#define _GNU_SOURCE
#include "os/os.h"
#include "region/lock.h"
#include "region/pages.h"
#include "support/dead.h"
#include "support/regions.h"
#include "support/touch.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>

TestSuite(region_mend_pages, .timeout = 600);

#define RW   MOAT_PAGE_READWRITE
#define OPEN (MOAT_OS_READ | MOAT_OS_WRITE)

static void take_second_block(void) {
    take_pages(BLOCK, BLOCK);
}

static void take_all(void) {
    take_pages(0, ref.size);
}

/* As if a decommit was cut off behind the markers, whose pages are empty from then on. */
static void mark_committed(void) {
    if (ref.space->markers)
        EXPECT(moat_os_guard_install(base() + BLOCK, 2 * PAGE) == 0);
}

static void look_at_committed(void) {
    expect_nothing_else((struct moat_fork_report){0});
    EXPECT(page_is(base() + BLOCK, true, true) && page_is(base() + BLOCK + PAGE, true, true));
    EXPECT(touch_all_bytes(base() + BLOCK, 2 * PAGE, 0) || !ref.space->markers);
}

Test(region_mend_pages, what_is_committed_carries_no_marker) {
    const struct death death = {scene, take_second_block, NULL, mark_committed, look_at_committed};
    play(&death, IN_ARENA);
    play(&death, ALONE);
}

/* As if a commit of pages to be read was cut off before the books told of it. */
static void give_fewer_rights(void) {
    unsigned char *page = base() + BLOCK + BLOCK / 2;
    if (ref.space->markers)
        EXPECT(moat_os_guard_remove(page, PAGE) == 0);
    EXPECT(moat_os_protect(page, PAGE, MOAT_OS_READ) == 0);
}

static void look_at_rights(void) {
    unsigned char *page = base() + BLOCK + BLOCK / 2;
    expect_nothing_else((struct moat_fork_report){0});
    EXPECT(page_is(page, false, false));
    EXPECT(moat_commit(manager, page, PAGE, RW, NULL) == MOAT_OK);
    EXPECT(page_is(page, true, true));
}

Test(region_mend_pages, what_is_not_committed_has_the_rights_that_the_books_have_on_record) {
    const struct death death = {scene, take_second_block, NULL, give_fewer_rights, look_at_rights};
    play(&death, IN_ARENA);
    play(&death, ALONE);
}

/* What was mended costs no memory until it is used. */
static void look_at_residents(void) {
    unsigned char *page = base() + ref.size - 2 * PAGE;
    unsigned char residents[2] = {1, 1};
    EXPECT(moat_commit(manager, page, 2 * PAGE, RW, NULL) == MOAT_OK);
    EXPECT(mincore(page, 2 * PAGE, residents) == 0);
    EXPECT(!(residents[0] & 1) && !(residents[1] & 1));
}

static void take_last_page(void) {
    take_pages(ref.size - PAGE, PAGE);
}

static void write_to_last_pages(void) {
    unsigned char *page = base() + ref.size - 2 * PAGE;
    EXPECT(moat_os_protect(page, 2 * PAGE, OPEN) == 0);
    memset(page, 'x', 2 * PAGE);
}

Test(region_mend_pages, what_traps_again_is_not_resident) {
    const struct death death = {scene, take_last_page, NULL, write_to_last_pages,
                                look_at_residents};
    play(&death, IN_ARENA);
    play(&death, ALONE);
}

/* Behind a region that stands alone, in the last block that it has a part of, is somebody else. */
static unsigned char *stranger;

static void scene_by_name(const char *options, size_t size) {
    void *start = hole(size + GRANULE, BLOCK);
    manager = manager_with(options);
    EXPECT(moat_reserve(manager, start, size, RW, 0, &start) == MOAT_OK);
    EXPECT(moat_region_find_base((uintptr_t)start, &ref));
}

static void let_stranger_in(void) {
    stranger = mmap((void *)ref.space->end, PAGE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    EXPECT(stranger == (unsigned char *)ref.space->end);
    memset(stranger, 's', PAGE);
    write_to_last_pages();
}

static void look_at_stranger(void) {
    expect_nothing_else((struct moat_fork_report){0});
    EXPECT(!touch_reads(base() + ref.size - PAGE));
    EXPECT(touch_reads(stranger) && touch_all_bytes(stranger, PAGE, 's') && touch_writes(stranger));
}

Test(region_mend_pages, what_is_behind_a_region_is_not_touched) {
    play(&(struct death){scene_by_name, take_last_page, NULL, let_stranger_in, look_at_stranger},
         3 * BLOCK + 3 * GRANULE);
}

/* A region that has all granules of its last block, which is closed so far, but not the last page
 * of it. */
static void scene_of_tail(const char *options, size_t size) {
    manager = manager_with(options);
    unsigned char *start = reserved(manager, size, false);
    EXPECT(moat_region_find_base((uintptr_t)start, &ref) && ref.space->arena);
    size_t last = moat_space_block(ref.space, ref.base + size - 1);
    EXPECT(moat_pages_block(ref.space, last) == MOAT_BLOCK_CLOSED);
}

static uintptr_t last_block(void) {
    return moat_round_down(ref.base + ref.size - 1, BLOCK);
}

/* As if it was being opened, all of it. */
static void open_last_block(void) {
    EXPECT(moat_os_protect((void *)last_block(), BLOCK, OPEN) == 0);
}

static void look_at_tail(void) {
    expect_nothing_else((struct moat_fork_report){0});
    for (size_t page = 0; page < BLOCK; page += PAGE)
        EXPECT(!touch_reads((void *)(last_block() + page)));
    EXPECT(moat_commit(manager, base(), ref.size, RW, NULL) == MOAT_OK);
    EXPECT(touch_all_bytes(base() + ref.size - PAGE, PAGE, 0));
    EXPECT(!touch_reads(base() + ref.size));
}

Test(region_mend_pages, a_block_that_was_being_opened_traps_all_of_it) {
    const struct death death = {scene_of_tail, take_all, NULL, open_last_block, look_at_tail};
    play_with(&death, "trap=auto", 2 * BLOCK - PAGE);
    play_with(&death, "trap=auto", (MOAT_LIFE_STRIPES + 2) * (size_t)BLOCK - PAGE);
}

/* Two regions in an open block. */
static struct moat_region_ref neighbour;

static void scene_of_two(const char *options, size_t size) {
    manager = manager_with(options);
    unsigned char *first = reserved(manager, size, false), *next = NULL;
    for (unsigned tries = 0; tries < 1000; tries++) {
        cr_assert_eq(moat_commit(manager, first, PAGE, RW, NULL), MOAT_OK);
        next = reserved(manager, size, false);
        cr_assert_eq(moat_commit(manager, next, PAGE, RW, NULL), MOAT_OK);
        if (next > first &&
            moat_round_down((uintptr_t)next, BLOCK) == moat_round_down((uintptr_t)first, BLOCK))
            break;
        first = next;
    }
    cr_assert(moat_region_find_base((uintptr_t)first, &ref));
    cr_assert(moat_region_find_base((uintptr_t)next, &neighbour));
    cr_assert_eq(moat_round_down(ref.base, BLOCK), moat_round_down(neighbour.base, BLOCK));
}

static void take_neighbour(void) {
    struct moat_patience patience = {0};
    uint32_t stripes;
    cr_assert_eq(
        moat_region_enter(&neighbour, neighbour.base, neighbour.base + PAGE, &patience, &stripes),
        MOAT_OK);
}

static void damage_both(void) {
    EXPECT(moat_os_protect(base(), PAGE, MOAT_OS_NONE) == 0);
    EXPECT(moat_os_protect((void *)neighbour.base, PAGE, MOAT_OS_NONE) == 0);
}

static void look_at_both(void) {
    expect_nothing_else((struct moat_fork_report){0});
    EXPECT(touch_reads(base()));
    EXPECT(!touch_reads((void *)neighbour.base));
}

Test(region_mend_pages, what_the_forking_thread_holds_in_the_same_block_is_left_to_it) {
    play(&(struct death){scene_of_two, take_all, take_neighbour, damage_both, look_at_both},
         3 * GRANULE);
}

static bool is_mixed(void) {
    return moat_pages_mixed(ref.space, moat_space_block(ref.space, ref.base));
}

/* As if whoever opened the block died before it had its byte a page. */
static void unmix(void) {
    uintptr_t block = moat_round_down(ref.base, BLOCK);
    moat_pages_set(ref.space, block, block + BLOCK, MOAT_CODE_READWRITE);
    EXPECT(!is_mixed());
}

static void look_at_mixed(void) {
    expect_nothing_else((struct moat_fork_report){0});
    EXPECT(is_mixed() || !ref.space->markers);
    EXPECT(!touch_reads(base()));
}

Test(region_mend_pages, a_block_that_regions_share_has_a_byte_a_page) {
    play_with(&(struct death){scene_of_two, take_all, NULL, unmix, look_at_mixed}, "trap=auto",
              3 * GRANULE);
}

/* Pages of a backend that keeps them: the pattern that they were filled with is checked when they
 * are used again, unless the dead may have been at work there. */
static void scene_of_backend(const char *options, size_t size) {
    manager = manager_with(options);
    unsigned char *start = reserved(manager, size, true);
    cr_assert_eq(moat_decommit(manager, start + 4 * PAGE, 4 * PAGE), MOAT_OK);
    memset(start, 'p', 4 * PAGE);
    cr_assert(moat_region_find_base((uintptr_t)start, &ref));
}

static void zero_pattern(void) {
    EXPECT(moat_os_protect(base() + 4 * PAGE, 2 * PAGE, OPEN) == 0);
    memset(base() + 4 * PAGE, 0, 2 * PAGE);
}

static void look_at_pattern(void) {
    expect_nothing_else((struct moat_fork_report){0});
    for (size_t page = 4 * PAGE; page < 8 * PAGE; page += PAGE)
        EXPECT(!touch_reads(base() + page));
    EXPECT(moat_commit(manager, base() + 4 * PAGE, 4 * PAGE, RW, NULL) == MOAT_OK);
    EXPECT(touch_all_bytes(base() + 4 * PAGE, 4 * PAGE, 0));
    EXPECT(touch_all_bytes(base(), 4 * PAGE, 'p'));
    EXPECT(stats_of(manager).poison_damage == 0);
}

static void close_it(void) {
    struct moat_patience patience = {0};
    cr_assert_eq(moat_region_close(&ref, &patience), MOAT_OK);
}

static void look_at_release(void) {
    expect_nothing_else((struct moat_fork_report){.released = 1});
    EXPECT(!moat_region_lives(&ref));
    void *at;
    EXPECT(moat_reserve(manager, NULL, ref.size, RW, MOAT_RESERVE_COMMIT, &at) == MOAT_OK);
    EXPECT(touch_all_bytes(at, ref.size, 0) && touch_writes(at));
}

Test(region_mend_pages, pages_of_a_backend_are_mended_as_well) {
    if (!manager_with("backend=mimalloc"))
        cr_skip("libmimalloc.so.2 is not installed");
    play_with(&(struct death){scene_of_backend, take_all, NULL, zero_pattern, look_at_pattern},
              "backend=mimalloc", 16 * PAGE);
    play_with(&(struct death){scene_of_backend, close_it, NULL, NULL, look_at_release},
              "backend=mimalloc", 16 * PAGE);
}
