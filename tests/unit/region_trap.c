/* SPDX-License-Identifier: MIT */
/*
 * trap and access: what pages can do, against an array that says what they should.
 *
 * Every page of a small place is asked through the kernel whether it can be read and written, and
 * committed ones must hold what was last written. Locked memory is in it because the kernel refuses
 * markers there: the ladder must then go on, and the way back must not forget which rung it was.
 */
#define _GNU_SOURCE
#include "os/os.h"
#include "region/access.h"
#include "region/place.h"
#include "region/powers.h"
#include "region/region.h"
#include "region/trap.h"
#include "support/regions.h"
#include "support/touch.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGES_MAX = 3 * 512 + 20 };

struct model {
    struct moat_place place;
    size_t pages;
    uint8_t states[PAGES_MAX]; /* committed states, or 0 */
    uint8_t content[PAGES_MAX];
};

static struct model model;

static struct moat_place placed(size_t size, int rung, const struct moat_backend_ops *backend) {
    struct moat_place place;
    cr_assert_eq(moat_region_start(), MOAT_OK);
    struct moat_place_wish wish = {
        .size = size,
        .markers = rung == 0 && moat_powers()->guard_markers,
        .backend = backend,
    };
    cr_assert_eq(moat_place_anywhere(&wish, &place), MOAT_OK);
    return place;
}

static void begin(size_t pages, int rung, const struct moat_backend_ops *backend) {
    memset(&model, 0, sizeof model);
    model.pages = pages;
    model.place = placed(pages * PAGE, rung, backend);
}

static unsigned char *page_at(size_t page) {
    return (unsigned char *)model.place.base + page * PAGE;
}

static size_t commit(size_t first, size_t end, uint32_t protection) {
    struct moat_access_report report = {0};
    uint8_t state = moat_page_state(protection);
    int error = moat_access_grant(model.place.space, (uintptr_t)page_at(first),
                                  (uintptr_t)page_at(end), state, 0xDB, MOAT_MEMORY_LATER, &report);
    cr_assert_eq(error, 0, "pages %zu to %zu: errno %d", first, end, error);
    cr_assert_eq(report.damage.pieces, (size_t)0);
    for (size_t page = first; page < end; page++) {
        if (!model.states[page])
            model.content[page] = 0;
        model.states[page] = state;
    }
    return report.bytes_committed;
}

static size_t decommit(size_t first, size_t end) {
    struct moat_trap_report report = {0};
    int error = moat_trap_pages(model.place.space, (uintptr_t)page_at(first),
                                (uintptr_t)page_at(end), 0xDB, &report);
    cr_assert_eq(error, 0, "pages %zu to %zu: errno %d", first, end, error);
    memset(&model.states[first], 0, end - first);
    return report.bytes_trapped;
}

static void check_page(size_t page) {
    uint8_t state = model.states[page];
    unsigned access = state ? moat_page_access(state, true) : (unsigned)MOAT_OS_NONE;
    bool readable = (access & MOAT_OS_READ) != 0;
    bool writable = (access & MOAT_OS_WRITE) != 0;

    cr_assert_eq(touch_reads(page_at(page)), readable, "page %zu, state %#x", page, state);
    if (readable)
        cr_assert(touch_all_bytes(page_at(page), PAGE, model.content[page]),
                  "page %zu holds %#x, not %#x", page, *page_at(page), model.content[page]);
    cr_assert_eq(touch_writes(page_at(page)), writable, "page %zu, state %#x", page, state);
    if (writable)
        memset(page_at(page), model.content[page] = (uint8_t)(page * 7 + 1), PAGE);
}

static void end_model(void) {
    struct moat_place *place = &model.place;
    if (!place->space->backend->accessible)
        (void)decommit(0, model.pages);
    moat_trap_normalise(place->space, place->base, place->base + place->size);
    cr_assert_eq(moat_place_vacate(place, NULL), 0);
}

static size_t some_page(uint64_t *seed) {
    size_t page = next_random(seed) % (model.pages + 1);
    switch (next_random(seed) % 4) {
    case 0:
        return page / 512 * 512;
    case 1:
        return model.pages;
    default:
        return page;
    }
}

static void shuffle(unsigned steps, bool locks) {
    static const uint32_t protections[] = {MOAT_PAGE_READWRITE,
                                           MOAT_PAGE_READWRITE,
                                           MOAT_PAGE_READWRITE,
                                           MOAT_PAGE_READONLY,
                                           MOAT_PAGE_NOACCESS,
                                           MOAT_PAGE_EXECUTE,
                                           MOAT_PAGE_READWRITE | MOAT_PAGE_GUARD};
    uint64_t seed = 5;
    for (unsigned step = 0; step < steps; step++) {
        size_t first = some_page(&seed), end = some_page(&seed);
        if (first >= end)
            continue;
        uint32_t kind = next_random(&seed) % 8;
        if (kind < 4)
            (void)commit(first, end, protections[next_random(&seed) % 7]);
        else if (kind < 7 || !locks)
            (void)decommit(first, end);
        else if (next_random(&seed) % 2)
            (void)mlock(page_at(first), (end - first > 8 ? 8 : end - first) * PAGE);
        else
            (void)munlock(page_at(first), (end - first) * PAGE);
        for (unsigned look = 0; look < 40; look++)
            check_page(next_random(&seed) % model.pages);
    }
    for (size_t page = 0; page < model.pages; page++)
        check_page(page);
}

Test(region_trap, random_commits_and_decommits_with_markers, .timeout = 600) {
    begin(PAGES_MAX, 0, moat_backend_os());
    shuffle(2500, false);
    end_model();
}

Test(region_trap, random_commits_and_decommits_without, .timeout = 600) {
    begin(PAGES_MAX, 1, moat_backend_os());
    shuffle(2500, false);
    end_model();
}

Test(region_trap, a_stand_alone_place_that_starts_inside_a_block, .timeout = 600) {
    for (int rung = 0; rung < RUNGS; rung++) {
        memset(&model, 0, sizeof model);
        model.pages = 700;
        struct moat_place_wish wish = {
            .size = model.pages * PAGE, .markers = rung == 0, .backend = moat_backend_os()};
        uintptr_t conflict;
        cr_assert_eq(moat_region_start(), MOAT_OK);
        wish.markers = wish.markers && moat_powers()->guard_markers;
        uintptr_t base = (uintptr_t)hole(4 * BLOCK, BLOCK) + 7 * GRANULE;
        cr_assert_eq(moat_place_at(&wish, base, &model.place, &conflict), MOAT_OK);
        shuffle(800, false);
        end_model();
    }
}

Test(region_trap, random_commits_and_decommits_of_mimalloc, .timeout = 600) {
    const struct moat_backend_ops *backend = moat_backend_mimalloc();
    if (!backend)
        cr_skip_test("libmimalloc.so.2 is not installed");
    begin(700, 1, backend);
    shuffle(800, false);
    end_model();
}

Test(region_trap, locked_pages_trap_all_the_same, .timeout = 600) {
    for (int rung = 0; rung < RUNGS; rung++) {
        begin(200, rung, moat_backend_os());
        shuffle(1500, true);
    }
}

/* The kernel refuses a marker, so the pages trap by protection; the place must not become usable
 * again on its way back to free space. */
Test(region_trap, a_place_that_held_locked_pages_still_traps_when_it_is_free) {
    for (int rung = 0; rung < RUNGS; rung++) {
        begin(8, rung, moat_backend_os());
        struct moat_place *place = &model.place;
        (void)commit(0, 8, MOAT_PAGE_READWRITE);
        if (mlock(page_at(2), 2 * PAGE) != 0)
            cr_skip_test("memory cannot be locked here");
        cr_assert_eq(decommit(0, 8), (size_t)8 * PAGE);
        moat_trap_normalise(place->space, place->base, place->base + place->size);
        cr_assert_eq(moat_place_vacate(place, NULL), 0);
        for (size_t page = 0; page < 8; page++)
            cr_assert_not(touch_reads(page_at(page)), "page %zu", page);
    }
}

Test(region_trap, reports_count_what_changed_and_no_more) {
    for (int rung = 0; rung < RUNGS; rung++) {
        begin(600, rung, moat_backend_os());
        cr_assert_eq(commit(10, 20, MOAT_PAGE_READWRITE), (size_t)10 * PAGE);
        cr_assert_eq(commit(0, 600, MOAT_PAGE_READONLY), (size_t)590 * PAGE);
        cr_assert_eq(commit(0, 600, MOAT_PAGE_READWRITE), (size_t)0);
        cr_assert_eq(decommit(5, 6), (size_t)1 * PAGE);
        cr_assert_eq(decommit(0, 600), (size_t)599 * PAGE);
        cr_assert_eq(decommit(0, 600), (size_t)0);
        end_model();
    }
}

static bool is_open(size_t block) {
    struct moat_space *space = model.place.space;
    return space->opened[moat_space_block(space, model.place.base) + block] != 0;
}

static bool with_markers(void) {
    cr_assert_eq(moat_region_start(), MOAT_OK);
    return moat_powers()->guard_markers;
}

Test(region_trap, a_part_opens_its_block_and_a_whole_decommit_closes_it) {
    if (!with_markers())
        cr_skip_test("this kernel has no guard markers");
    begin(2 * 512, 0, moat_backend_os());
    cr_assert_not(is_open(0));
    (void)commit(5, 6, MOAT_PAGE_READWRITE);
    cr_assert(is_open(0));
    cr_assert_not(is_open(1));
    for (size_t page = 0; page < 1024; page++)
        check_page(page);
    (void)decommit(5, 6);
    cr_assert(is_open(0), "a part does not close it");
    (void)commit(0, 1024, MOAT_PAGE_READWRITE);
    cr_assert(is_open(1));
    (void)decommit(0, 1024);
    cr_assert_not(is_open(0));
    cr_assert_not(is_open(1));
    for (size_t page = 0; page < 1024; page += 100)
        check_page(page);
}

/* Markers cost no mapping: a thousand committed pages with holes between them are few mappings. */
Test(region_trap, holes_cost_mappings_only_without_markers) {
    if (!with_markers())
        cr_skip_test("this kernel has no guard markers");
    for (int rung = 0; rung < RUNGS; rung++) {
        begin(1024, rung, moat_backend_os());
        (void)commit(0, 1, MOAT_PAGE_READWRITE);
        uint64_t before = moat_os_map_count();
        for (size_t page = 2; page < 1024; page += 2)
            (void)commit(page, page + 1, MOAT_PAGE_READWRITE);
        uint64_t grown = moat_os_map_count() - before;
        if (rung == 0)
            cr_assert_lt(grown, UINT64_C(8));
        else
            cr_assert_gt(grown, UINT64_C(500), "the control: this rung does split");
        end_model();
    }
}

static size_t huge_kib(size_t first, size_t end) {
    size_t size = (end - first) * PAGE;
    memset(page_at(first), 1, size);
    return smaps_sum(page_at(first), size, "AnonHugePages:");
}

/* Whether this machine gives huge pages to plain memory that asks for them; the control. */
static bool has_huge_pages(void) {
    unsigned char *plain =
        mmap(NULL, 3 * BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char *block = (unsigned char *)moat_round_up((uintptr_t)plain, BLOCK);
    cr_assert_neq((void *)plain, MAP_FAILED);
    bool advised = madvise(plain, 3 * BLOCK, MADV_HUGEPAGE) == 0;
    memset(block, 1, BLOCK);
    return advised && smaps_sum(block, BLOCK, "AnonHugePages:") >= 2048;
}

Test(region_trap, whole_blocks_that_were_never_open_get_huge_pages) {
    if (!has_huge_pages())
        cr_skip_test("no huge pages here");
    for (int rung = 0; rung < RUNGS; rung++) {
        begin(1024, rung, moat_backend_os());
        cr_assert_eq(model.place.base % BLOCK, (uintptr_t)0);
        (void)commit(0, 1024, MOAT_PAGE_READWRITE);
        cr_assert_eq(madvise(page_at(0), 2 * BLOCK, MADV_HUGEPAGE), 0);
        cr_assert_geq(huge_kib(0, 1024), (size_t)4096, "rung %d", rung);
        (void)decommit(0, 1024);
        cr_assert_eq(smaps_sum(page_at(0), 2 * BLOCK, "Rss:"), (size_t)0);
        (void)commit(0, 1024, MOAT_PAGE_READWRITE);
        cr_assert_geq(huge_kib(0, 1024), (size_t)4096, "again, rung %d", rung);
    }
}

Test(region_trap, a_block_that_held_markers_gets_huge_pages_when_committed_whole) {
    if (!has_huge_pages() || !with_markers())
        cr_skip_test("no huge pages here, or no markers");
    begin(1024, 0, moat_backend_os());
    (void)commit(3, 4, MOAT_PAGE_READWRITE);
    (void)commit(700, 701, MOAT_PAGE_READWRITE);
    (void)decommit(3, 4);
    (void)decommit(700, 701);
    (void)commit(0, 1024, MOAT_PAGE_READWRITE);
    cr_assert_eq(madvise(page_at(0), 2 * BLOCK, MADV_HUGEPAGE), 0);
    cr_assert_geq(huge_kib(0, 1024), (size_t)4096);
}

Test(region_trap, decommitted_pages_are_given_back) {
    for (int rung = 0; rung < RUNGS; rung++) {
        begin(1500, rung, moat_backend_os());
        (void)commit(0, 1500, MOAT_PAGE_READWRITE);
        memset(page_at(0), 1, 1500 * PAGE);
        cr_assert_geq(smaps_sum(page_at(0), 1500 * PAGE, "Rss:"), (size_t)6000);
        (void)decommit(3, 1497);
        cr_assert_leq(smaps_sum(page_at(3), 1494 * PAGE, "Rss:"), (size_t)6 * 4);
        end_model();
    }
}
