/* SPDX-License-Identifier: MIT */
/*
 * region_mend: what the kernel refuses while a child mends what the dead left. It is counted; no
 * page is accessible that is not committed; and what is committed later is usable and empty.
 */
#define _GNU_SOURCE
#include "os/os.h"
#include "region/access.h"
#include "region/lock.h"
#include "region/place.h"
#include "region/powers.h"
#include "support/dead.h"
#include "support/inject.h"
#include "support/regions.h"
#include "support/touch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

TestSuite(region_mend_calls, .timeout = 600);

#define RW MOAT_PAGE_READWRITE

enum { MARK = 102, UNMARK = 103, OPEN = MOAT_OS_READ | MOAT_OS_WRITE };

static void refuse(enum inject_kind kind) {
    inject_fail_from(kind, 1, ENOMEM);
}

static void refuse_advice(int advice) {
    inject_only(INJECT_MADVISE, advice);
    refuse(INJECT_MADVISE);
}

static void expect_refusals(uint32_t refusals) {
    inject_clear();
    expect_nothing_else((struct moat_fork_report){.refusals = refusals});
    EXPECT(opens(ref.base, ref.base + ref.size));
}

static void expect_fresh(unsigned char *start, size_t size) {
    EXPECT(!touch_reads(start));
    EXPECT(moat_commit(manager, start, size, RW, NULL) == MOAT_OK);
    EXPECT(touch_all_bytes(start, size, 0));
    for (size_t page = 0; page < size; page += PAGE)
        EXPECT(page_is(start + page, true, true));
}

static void take_second_block(void) {
    take_pages(BLOCK, BLOCK);
}

static unsigned char *half_block(void) {
    return base() + BLOCK + BLOCK / 2;
}

/* A page has fewer rights on record than the books say, and keeps them. */
static void refuse_rights(void) {
    if (ref.space->markers)
        EXPECT(moat_os_guard_remove(half_block(), PAGE) == 0);
    EXPECT(moat_os_protect(half_block(), PAGE, ref.space->markers ? MOAT_OS_READ : 0) == 0);
    refuse(INJECT_MPROTECT);
}

static void look_at_refused_rights(void) {
    /* Of what is committed, and without markers of what is not. */
    expect_refusals(ref.space->markers ? 1 : 2);
    expect_fresh(half_block(), 2 * PAGE);
    EXPECT(touch_all_bytes(base() + BLOCK, PAGE, 'p'));
}

Test(region_mend_calls, rights_that_cannot_be_set_are_told) {
    play(&(struct death){scene, take_second_block, NULL, refuse_rights, look_at_refused_rights},
         IN_ARENA);
}

/* A page that was being committed cannot be marked again. */
static void refuse_markers(void) {
    if (ref.space->markers)
        EXPECT(moat_os_guard_remove(half_block(), PAGE) == 0);
    EXPECT(moat_os_protect(half_block(), PAGE, OPEN) == 0);
    memset(half_block(), 'x', PAGE);
    refuse_advice(MARK);
}

static void look_at_unmarked(void) {
    expect_refusals(0);
    EXPECT(!touch_reads(half_block() + PAGE));
    expect_fresh(half_block(), 2 * PAGE);
}

Test(region_mend_calls, pages_that_take_no_marker_trap_all_the_same) {
    play(&(struct death){scene, take_second_block, NULL, refuse_markers, look_at_unmarked},
         IN_ARENA);
}

static void take_last_page(void) {
    take_pages(ref.size - PAGE, PAGE);
}

static unsigned char *last_page(void) {
    return base() + ref.size - PAGE;
}

static void write_to_last_page(void) {
    EXPECT(moat_os_protect(last_page(), PAGE, OPEN) == 0);
    memset(last_page(), 'x', PAGE);
}

static void refuse_to_empty(void) {
    write_to_last_page();
    refuse_advice(MADV_DONTNEED);
}

static void look_at_last_page(void) {
    expect_refusals(0);
    expect_fresh(last_page(), PAGE);
}

Test(region_mend_calls, what_cannot_be_emptied_is_zeroed_later) {
    play(&(struct death){scene, take_last_page, NULL, refuse_to_empty, look_at_last_page},
         IN_ARENA);
}

static void refuse_to_unmark(void) {
    if (ref.space->markers)
        EXPECT(moat_os_guard_install(last_page() - PAGE, 2 * PAGE) == 0);
    refuse_advice(UNMARK);
}

Test(region_mend_calls, what_cannot_be_unmarked_is_unmarked_later) {
    play(&(struct death){scene, take_last_page, NULL, refuse_to_unmark, look_at_last_page},
         IN_ARENA);
}

/* Nothing makes a page trap that was committed, though it may get other rights. */
static void refuse_to_trap(void) {
    inject_only(INJECT_MPROTECT, PROT_NONE);
    refuse(INJECT_MPROTECT);
    refuse_advice(MARK);
}

static void close_it(void) {
    struct moat_patience patience = {0};
    EXPECT(moat_region_close(&ref, &patience) == MOAT_OK);
}

static void look_at_stuck(void) {
    inject_clear();
    expect_nothing_else((struct moat_fork_report){.reopened = 1, .refusals = 1});
    EXPECT(touch_all_bytes(base(), PAGE, 'p'));
    EXPECT(moat_release(manager, base()) == MOAT_OK);
    EXPECT(!touch_reads(base()));
}

Test(region_mend_calls, a_release_that_cannot_go_on_did_not_happen) {
    play(&(struct death){scene, close_it, NULL, refuse_to_trap, look_at_stuck}, IN_ARENA);
    play(&(struct death){scene, close_it, NULL, refuse_to_trap, look_at_stuck}, ALONE);
}

/* A place that no region stands for, with pages that cannot be made to trap: nobody gets it. */
static struct moat_place place;

static void take_place(void) {
    struct moat_access_report report = {0};
    const struct moat_place_wish wish = {
        .size = 5 * GRANULE - PAGE, .markers = ref.space->markers, .backend = moat_backend_os()};

    EXPECT(moat_place_anywhere(&wish, &place) == MOAT_OK);
    EXPECT(moat_access_grant(place.space, place.base, place.base + place.size, moat_page_state(RW),
                             0, MOAT_MEMORY_LATER, &report) == 0);
}

static void look_at_stuck_place(void) {
    void *at = (void *)place.base;
    inject_clear();
    expect_nothing_else((struct moat_fork_report){.granules = 5, .refusals = 1});
    EXPECT(moat_reserve(manager, at, GRANULE, RW, 0, &at) != MOAT_OK);
}

Test(region_mend_calls, granules_that_do_not_trap_stay_claimed) {
    const struct death death = {scene, take_place, NULL, refuse_to_trap, look_at_stuck_place};
    play_with(&death, "trap=auto,timeout=20", IN_ARENA);
    play_with(&death, "trap=protect,timeout=20", IN_ARENA);
}
