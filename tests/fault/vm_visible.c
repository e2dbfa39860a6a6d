/* SPDX-License-Identifier: MIT */
/*
 * vm_visible: for tools that believe /proc/self/maps. With trap=protect it says of each page of a
 * region, and of its guards, what the books say; with markers it does not, and this test notices.
 */
#define _GNU_SOURCE
#include <moat/moat.h>

#include "support/inject.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = MOAT_PAGE_BYTES, GRANULE = 65536, REGIONS = 40, ROUNDS = 3000, LINES = 20000 };
enum { GUARD_INSTALL = 102, GUARD_REMOVE = 103 };

struct line {
    unsigned long start;
    unsigned long end;
    char rights[5];
};

static struct line lines[LINES];
static size_t line_count;
static struct {
    char *base;
    size_t size;
} regions[REGIONS];
static struct moat_manager *manager;
static uint32_t seed = 1;

static uint32_t draw(uint32_t below) {
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static void read_maps(void) {
    FILE *file = fopen("/proc/self/maps", "r");
    char text[512];

    cr_assert_not_null(file);
    for (line_count = 0; fgets(text, sizeof text, file); line_count++) {
        struct line *line = &lines[line_count];
        cr_assert_lt(line_count, LINES);
        cr_assert_eq(sscanf(text, "%lx-%lx %4s", &line->start, &line->end, line->rights), 3);
    }
    (void)fclose(file);
}

/* The rights of a page by the text; "---p" where nothing is mapped, which traps as well. */
static const char *rights_at(const char *page) {
    unsigned long address = (unsigned long)(uintptr_t)page;
    for (size_t i = 0; i < line_count; i++)
        if (address >= lines[i].start && address < lines[i].end)
            return lines[i].rights;
    return "---p";
}

static const char *rights_in_books(const char *page) {
    struct moat_page_info info;

    cr_assert_eq(moat_query(page, &info), MOAT_OK);
    if (info.state != MOAT_STATE_COMMITTED || info.protection & MOAT_PAGE_GUARD)
        return "---p";
    switch (info.protection) {
    case MOAT_PAGE_READONLY:
        return "r--p";
    case MOAT_PAGE_READWRITE:
        return "rw-p";
    case MOAT_PAGE_EXECUTE_READ:
        return "r-xp";
    default:
        return "---p";
    }
}

/* How many pages of regions and guards the text has wrong. */
static unsigned count_wrong(unsigned *pages) {
    unsigned wrong = 0;

    read_maps();
    for (unsigned i = 0; i < REGIONS; i++) {
        const char *base = regions[i].base;
        if (!base)
            continue;
        for (size_t at = 0; at < regions[i].size; at += PAGE, ++*pages)
            wrong += strcmp(rights_at(base + at), rights_in_books(base + at)) != 0;
        wrong += strcmp(rights_at(base - PAGE), "---p") != 0;
        wrong += strcmp(rights_at(base + regions[i].size), "---p") != 0;
        *pages += 2;
    }
    return wrong;
}

static void change_one(unsigned i) {
    static const uint32_t protections[] = {MOAT_PAGE_READWRITE, MOAT_PAGE_READONLY,
                                           MOAT_PAGE_EXECUTE_READ, MOAT_PAGE_NOACCESS,
                                           MOAT_PAGE_READWRITE | MOAT_PAGE_GUARD};
    uint32_t protection = protections[draw(5)];
    size_t pages = regions[i].size / PAGE;
    size_t first = draw((uint32_t)pages);
    size_t size = (draw((uint32_t)(pages - first)) + 1) * PAGE;
    char *start = regions[i].base + first * PAGE;
    enum moat_status status = MOAT_OK;
    void *base;

    if (!regions[i].base) {
        regions[i].size = (draw(4) == 0 ? 1 + draw(700) : 1 + draw(20)) * (size_t)PAGE;
        status = moat_reserve(manager, NULL, regions[i].size, MOAT_PAGE_READWRITE,
                              draw(2) ? MOAT_RESERVE_COMMIT : 0, &base);
        regions[i].base = base;
    } else if (draw(6) == 0) {
        status = moat_release(manager, regions[i].base);
        regions[i].base = NULL;
    } else if (draw(2)) {
        status = moat_commit(manager, start, size, protection, NULL);
    } else {
        status = moat_decommit(manager, start, size);
    }
    cr_assert_eq(status, MOAT_OK, "%s", moat_last_error_text());
}

static void run(enum moat_trap trap, unsigned *pages, unsigned *wrong) {
    struct moat_options options;

    moat_options_init(&options);
    options.trap = trap;
    cr_assert_eq(moat_manager_create(&options, &manager), MOAT_OK);
    for (unsigned i = 0; i < REGIONS; i++)
        regions[i].size = PAGE;
    for (unsigned round = 0; round < ROUNDS; round++) {
        change_one(draw(REGIONS));
        if (round % 150 == 0)
            *wrong += count_wrong(pages);
    }
    printf("%u pages compared, %u wrong, %zu mappings\n", *pages, *wrong, line_count);
}

Test(vm_visible, with_protect_the_maps_say_what_the_books_say) {
    unsigned pages = 0, wrong = 0;
    run(MOAT_TRAP_PROTECT, &pages, &wrong);
    cr_assert_gt(pages, 10000);
    cr_assert_eq(wrong, 0);
}

Test(vm_visible, with_markers_they_do_not) {
    unsigned pages = 0, wrong = 0;
    if (madvise(NULL, 0, GUARD_INSTALL) != 0)
        cr_skip_test("this kernel has no markers");
    run(MOAT_TRAP_MARKERS, &pages, &wrong);
    cr_assert_gt(wrong, 0);
}

/* There are tools that end a program which gives advice unknown to them, also if it only tries. */
static void expect_none(int advice) {
    unsigned pages = 0, wrong = 0;

    cr_assert_eq(setenv("MOAT_OPTIONS", "trap=protect", 1), 0);
    inject_only(INJECT_MADVISE, advice);
    inject_fail(INJECT_MADVISE, 1 << 30, ENOMEM); /* never: to count */
    run(MOAT_TRAP_AUTO, &pages, &wrong);
    cr_assert_eq(wrong, 0);
    cr_assert_eq(inject_count(INJECT_MADVISE), 0);
    cr_assert_eq(moat_manager_options(manager)->trap, MOAT_TRAP_PROTECT);
}

Test(vm_visible, the_environment_has_no_marker_installed) {
    expect_none(GUARD_INSTALL);
}

Test(vm_visible, the_environment_has_no_marker_removed) {
    expect_none(GUARD_REMOVE);
}

Test(vm_visible, a_manager_alone_does_not) {
    unsigned pages = 0, wrong = 0;

    inject_only(INJECT_MADVISE, GUARD_INSTALL);
    inject_fail(INJECT_MADVISE, 1 << 30, ENOMEM);
    run(MOAT_TRAP_PROTECT, &pages, &wrong); /* tried once, for those to come */
    cr_assert_gt(inject_count(INJECT_MADVISE), 0);
}
