/* SPDX-License-Identifier: MIT */
/*
 * What the dead leave of regions that they had closed, were cutting or had unmapped, and what the
 * forking thread has meanwhile; made by hand (support/dead.h).
 */
#define _GNU_SOURCE
#include "os/os.h"
#include "region/held.h"
#include "region/latch.h"
#include "region/lock.h"
#include "region/parts.h"
#include "region/place.h"
#include "region/quarantine.h"
#include "region/registry.h"
#include "region/resting.h"
#include "support/dead.h"
#include "support/regions.h"
#include "support/touch.h"

#include <criterion/criterion.h>
#include <moat/placeholder.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

TestSuite(region_mend_closed, .timeout = 600);

#define RW MOAT_PAGE_READWRITE

static void close_it(void) {
    struct moat_patience patience = {0};
    EXPECT(moat_region_close(&ref, &patience) == MOAT_OK);
}

/* A region in the place of a placeholder, with something in it. */
static void scene_of_replaced(const char *options, size_t size) {
    void *at;
    manager = manager_with(options);
    EXPECT(moat_placeholder_reserve(manager, NULL, size, 0, NULL, &at) == MOAT_OK);
    EXPECT(moat_placeholder_replace(manager, at, size, RW, MOAT_RESERVE_COMMIT, &at) == MOAT_OK);
    EXPECT(moat_region_find_base((uintptr_t)at, &ref));
    memset(at, 'r', 2 * PAGE);
}

static void take_rights(void) {
    EXPECT(moat_os_protect(base(), PAGE, MOAT_OS_NONE) == 0);
}

static void look_at_replaced(void) {
    expect_nothing_else((struct moat_fork_report){.reopened = 1});
    EXPECT(touch_reads(base()) && touch_all_bytes(base(), 2 * PAGE, 'r'));
    EXPECT(opens(ref.base, ref.base + ref.size));
    EXPECT(moat_release(manager, base()) == MOAT_OK);
}

Test(region_mend_closed, what_took_the_place_of_a_placeholder_keeps_its_content) {
    play(&(struct death){scene_of_replaced, close_it, NULL, take_rights, look_at_replaced},
         16 * GRANULE);
}

/* Three placeholders side by side, of those that were being joined: the joined one is found already
 * where the first was, and the others are not taken away yet. */
static struct moat_region_ref second, third, joined;

static void scene_of_three(const char *options, size_t size) {
    void *at;
    manager = manager_with(options);
    EXPECT(moat_placeholder_reserve(manager, NULL, 4 * size, 0, NULL, &at) == MOAT_OK);
    unsigned char *start = at;
    /* Other regions before and behind it, and the last record dealt first. */
    (void)reserved(manager, GRANULE, true);
    (void)reserved(manager, ALONE, false);
    EXPECT(moat_placeholder_preserve(manager, start + 2 * size, size) == MOAT_OK);
    EXPECT(moat_placeholder_preserve(manager, start, size) == MOAT_OK);
    EXPECT(moat_region_find_base((uintptr_t)start, &ref));
    EXPECT(moat_region_find_base((uintptr_t)start + size, &second));
    EXPECT(moat_region_find_base((uintptr_t)start + 2 * size, &third));
}

static void look_at_second(void) {
    expect_nothing_else((struct moat_fork_report){.reopened = 1});
    struct moat_page_info info;
    EXPECT(moat_query((void *)second.base, &info) == MOAT_OK);
    EXPECT(info.state == MOAT_STATE_RESERVED);
    ref = second;
    EXPECT(opens(ref.base, ref.base + ref.size));
    EXPECT(moat_release(manager, (void *)second.base) == MOAT_OK);
}

static void close_second(void) {
    struct moat_patience patience = {0};
    EXPECT(moat_region_close(&second, &patience) == MOAT_OK);
}

static void close_all(void) {
    struct moat_patience patience = {0};
    close_it();
    close_second();
    EXPECT(moat_region_close(&third, &patience) == MOAT_OK);
}

Test(region_mend_closed, of_placeholders_side_by_side_each_is_reopened) {
    play(&(struct death){scene_of_three, close_second, NULL, NULL, look_at_second}, 4 * GRANULE);
}

static void show_joined(void) {
    const struct moat_region_terms terms = {
        .owner = manager, .protection = MOAT_PAGE_NOACCESS, .flags = MOAT_REGION_PLACEHOLDER};
    struct moat_place place = moat_region_place(&ref);

    close_all();
    place.size += second.size + third.size;
    place.space = moat_parts_join(ref.space, third.space);
    EXPECT(place.space);
    EXPECT(moat_region_prepare(&place, &terms, &joined) == MOAT_OK);
    moat_region_supersede(&ref, &joined);
}

static void look_at_joined(void) {
    uintptr_t bases[] = {ref.base, second.base, third.base};
    struct moat_region_ref it;
    expect_nothing_else((struct moat_fork_report){.reopened = 1, .discarded = 2});
    EXPECT(!moat_region_lives(&ref) && !moat_region_lives(&second) && !moat_region_lives(&third));
    EXPECT(moat_region_find(third.base, &it) && it.base == joined.base);
    EXPECT(moat_region_find(third.base + third.size, &it) && it.base != joined.base);
    for (unsigned i = 0; i < 2; i++) /* it can be cut where it was put together */
        EXPECT(moat_placeholder_preserve(manager, (void *)bases[i], ref.size) == MOAT_OK);
    for (unsigned i = 0; i < 3; i++) {
        EXPECT(moat_region_find(bases[i] + PAGE, &it) && it.base == bases[i]);
        EXPECT(moat_release(manager, (void *)bases[i]) == MOAT_OK);
    }
}

Test(region_mend_closed, what_was_being_joined_is_one_or_two_and_not_both) {
    play(&(struct death){scene_of_three, show_joined, NULL, NULL, look_at_joined}, 4 * GRANULE);
}

/* A record that nobody finds yet lies where a placeholder is found that it is to be cut from. */
static void prepare_part(size_t offset) {
    const struct moat_region_terms terms = {
        .owner = manager, .protection = MOAT_PAGE_NOACCESS, .flags = MOAT_REGION_PLACEHOLDER};
    struct moat_place place = moat_region_place(&ref);

    close_it();
    place.base += offset;
    place.size -= offset;
    EXPECT(moat_region_prepare(&place, &terms, &joined) == MOAT_OK);
}

static void prepare_second_half(void) {
    prepare_part(2 * GRANULE);
}

static void prepare_all(void) {
    prepare_part(0);
}

static void look_at_uncut(void) {
    expect_nothing_else((struct moat_fork_report){.reopened = 1, .discarded = 1});
    EXPECT(!moat_region_lives(&joined));
    EXPECT(moat_region_lives(&ref) && opens(ref.base, ref.base + ref.size));
    EXPECT(info_of(base() + 2 * GRANULE).state == MOAT_STATE_RESERVED);
    EXPECT(moat_release(manager, base()) == MOAT_OK);
}

Test(region_mend_closed, what_was_to_be_cut_is_whole) {
    play(&(struct death){scene_of_three, prepare_second_half, NULL, NULL, look_at_uncut},
         4 * GRANULE);
    play(&(struct death){scene_of_three, prepare_all, NULL, NULL, look_at_uncut}, 4 * GRANULE);
}

/* Whoever closes waits for the forking thread, and has changed nothing. */
static void take_first_page(void) {
    take_pages(0, PAGE);
}

static void begin_to_close(void) {
    uint32_t seen;
    EXPECT(moat_life_close(&ref.region->life, ref.generation, false, &seen) == MOAT_LIFE_BUSY);
}

static void look_at_worker(void) {
    expect_nothing_else((struct moat_fork_report){0});
    EXPECT(moat_region_lives(&ref) && touch_all_bytes(base(), PAGE, 'p'));
    moat_region_leave(&ref, taken);
    EXPECT(opens(ref.base, ref.base + ref.size));
}

Test(region_mend_closed, whoever_waited_to_close_is_forgotten) {
    play(&(struct death){scene, NULL, take_first_page, begin_to_close, look_at_worker}, IN_ARENA);
}

/* The forking thread is in the middle of a release of its own. */
static void look_at_own_close(void) {
    expect_nothing_else((struct moat_fork_report){0});
    EXPECT(moat_region_lives(&ref) && touch_all_bytes(base(), PAGE, 'p'));
    EXPECT(!opens(ref.base, ref.base + PAGE));
    moat_region_reopen(&ref);
    EXPECT(opens(ref.base, ref.base + ref.size));
}

Test(region_mend_closed, what_the_forking_thread_closes_is_left_to_it) {
    play(&(struct death){scene, NULL, close_it, NULL, look_at_own_close}, IN_ARENA);
}

/* The forking thread is in the middle of placing: what nobody finds may be its own. */
static void close_and_hide(void) {
    close_it();
    moat_registry_erase(moat_registry(), ref.base, ref.handle);
}

static void begin_to_place(void) {
    moat_held_begin(MOAT_HELD_PLACE);
}

static void look_at_placing(void) {
    expect_nothing_else((struct moat_fork_report){0});
    EXPECT(moat_region_lives(&ref));
}

Test(region_mend_closed, what_may_be_the_forking_threads_is_left_to_it) {
    play(&(struct death){scene, close_and_hide, begin_to_place, NULL, look_at_placing}, IN_ARENA);
    play(&(struct death){scene, NULL, close_and_hide, NULL, look_at_placing}, IN_ARENA);
}

/* And what it has claimed. */
static void claim_place(void) {
    const struct moat_place_wish wish = {
        .size = 3 * GRANULE, .markers = true, .backend = moat_backend_os()};
    struct moat_place place;

    begin_to_place();
    EXPECT(moat_place_anywhere(&wish, &place) == MOAT_OK);
}

Test(region_mend_closed, what_the_forking_thread_has_claimed_is_its_own) {
    play(&(struct death){scene, NULL, claim_place, NULL, look_at_placing}, IN_ARENA);
}

/* The books were written to: what is not found may be hidden by that alone. */
static void lock_it(void) {
    struct moat_patience patience = {0};
    EXPECT(moat_region_lock(&ref, &patience) == MOAT_OK);
}

static void write_to_books(void) {
    atomic_fetch_add(&second.region->size, PAGE);
}

static void look_at_books(void) {
    expect_nothing_else((struct moat_fork_report){0});
    EXPECT(moat_life_locked(&ref.region->life));
    EXPECT(moat_latched());
}

Test(region_mend_closed, where_the_books_are_damaged_nothing_is_mended) {
    play(&(struct death){scene_of_three, lock_it, NULL, write_to_books, look_at_books},
         4 * GRANULE);
}

/* A mapping that was being given back, of a region that stood alone and was never used. */
static void scene_of_unused(const char *options, size_t size) {
    manager = manager_with(options);
    unsigned char *start = reserved(manager, size, false);
    EXPECT(moat_region_find_base((uintptr_t)start, &ref) && !ref.space->arena);
}

static void unmap(void) {
    struct moat_place place = moat_region_place(&ref);
    close_and_hide();
    EXPECT(moat_place_unmap(&place, NULL) == 0);
}

/* What somebody else has there by now, that is not quite what was there before. */
struct other {
    size_t before, behind; /* bytes that it leaves out */
    int access;
    int flags;
    bool file;
};

static const struct other *other;
static uintptr_t others_start, others_end;

static void let_other_in(void) {
    int file = -1;

    others_start = ref.space->start + other->before;
    others_end = ref.space->end - other->behind;
    size_t size = others_end - others_start;
    if (other->file)
        EXPECT((file = memfd_create("other", 0)) >= 0 && ftruncate(file, (off_t)size) == 0);
    EXPECT(mmap((void *)others_start, size, other->access,
                other->flags | MAP_FIXED_NOREPLACE | MAP_NORESERVE, file,
                0) == (void *)others_start);
}

static void look_at_other(void) {
    struct moat_os_mapping mapping;

    expect_nothing_else((struct moat_fork_report){.discarded = 1});
    EXPECT(!moat_region_lives(&ref));
    for (uintptr_t at = others_start; at < others_end; at = mapping.end) {
        EXPECT(moat_os_query(at, &mapping) == 0);
        EXPECT(mapping.mapped);
    }
}

Test(region_mend_closed, what_others_have_mapped_where_a_region_was_is_theirs) {
    enum { PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS };
    static const struct other others[] = {
        {0, 0, PROT_READ, PRIVATE, false},
        {0, 0, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, false},
        {0, 0, PROT_NONE, MAP_PRIVATE, true},
        {GRANULE, 0, PROT_NONE, PRIVATE, false},
        {0, GRANULE, PROT_NONE, PRIVATE, false},
        {0, 4 * BLOCK, PROT_NONE, PRIVATE, false},
        {4 * BLOCK, 0, PROT_NONE, PRIVATE, false},
        {BLOCK, BLOCK, PROT_NONE, PRIVATE, false},
    };

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        other = &others[i];
        play(&(struct death){scene_of_unused, unmap, NULL, let_other_in, look_at_other}, ALONE);
    }
    /* Its guards are like those of the region, and what is between them is not. */
    other = &(struct other){0, 0, PROT_NONE, PRIVATE, false};
    play(&(struct death){scene, unmap, NULL, let_other_in, look_at_other}, ALONE);
}

/* It was kept, so that nobody else gets the addresses for a while. */
static void put_to_rest(void) {
    struct moat_place place = moat_region_place(&ref);
    struct moat_quarantine *quarantine = moat_quarantine_take(8, UINT64_MAX);
    EXPECT(quarantine);
    others_start = ref.space->start;
    others_end = ref.space->end;
    close_and_hide();
    EXPECT(moat_place_unmap(&place, quarantine) == 0 && place.rests);
}

static void look_at_rest(void) {
    uintptr_t start, end;
    expect_nothing_else((struct moat_fork_report){.discarded = 1});
    EXPECT(moat_resting_meets(others_start, others_end, &start, &end));
    EXPECT(start == others_start && end == others_end);
    EXPECT(moat_resting_end(start, end) == end - start);
}

Test(region_mend_closed, what_had_come_to_rest_rests_on) {
    play(&(struct death){scene_of_unused, put_to_rest, NULL, NULL, look_at_rest}, ALONE);
}

/* It was about to be unmapped. */
static void about_to_unmap(void) {
    close_and_hide();
    atomic_store(&ref.space->leaving, true);
}

static void look_at_unmapped(void) {
    struct moat_os_mapping mapping;
    uintptr_t start = ref.base - PAGE, end = ref.base + ref.size;
    expect_nothing_else((struct moat_fork_report){.discarded = 1});
    EXPECT(!moat_region_lives(&ref));
    EXPECT(moat_os_query(start, &mapping) == 0 && !mapping.mapped && mapping.end > end);
}

Test(region_mend_closed, what_was_about_to_be_unmapped_is_unmapped) {
    const struct death death = {scene, about_to_unmap, NULL, NULL, look_at_unmapped};
    play(&death, ALONE);
}

/* Memory that a child is not to have. */
static bool is_free(const void *at) {
    struct moat_page_info info;
    return moat_query(at, &info) == MOAT_OK && info.state == MOAT_STATE_FREE;
}

static void look_at_absent(void) {
    expect_nothing_else((struct moat_fork_report){.released = 1});
    EXPECT(!moat_region_lives(&ref) && is_free(base()));
    if (!ref.space->arena)
        EXPECT(mmap(base(), ref.size, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
                    0) == base());
    void *at = NULL;
    EXPECT(moat_reserve(manager, NULL, ref.size, RW, MOAT_RESERVE_COMMIT, &at) == MOAT_OK);
    EXPECT(touch_all_bytes(at, PAGE, 0));
}

static void look_at_absent_of_own(void) {
    expect_nothing_else((struct moat_fork_report){0});
    EXPECT(moat_region_lives(&ref));
    moat_region_leave(&ref, taken);
}

Test(region_mend_closed, what_a_child_is_not_to_have_ends) {
    const struct death death = {scene, NULL, NULL, NULL, look_at_absent};
    play_with(&death, "fork=dontfork", IN_ARENA);
    play_with(&death, "fork=dontfork", ALONE);
    play_with(&death, "fork=dontfork,trap=protect", ALONE);
    play_with(&(struct death){scene, NULL, take_first_page, NULL, look_at_absent_of_own},
              "fork=dontfork", ALONE);
}
