/* SPDX-License-Identifier: MIT */
/*
 * places within limits: bounds, alignments, the highest room, and what is left alone above it.
 */
#define _GNU_SOURCE
#include "os/linux_internal.h"
#include "support/regions.h"
#include "support/touch.h"

#include <moat/placeholder.h>

#include <criterion/criterion.h>
#include <sys/mman.h>

#define TOP ((uintptr_t)0x7FFFFFFF0000)

static struct moat_manager *manager;

static void start(void) {
    manager = manager_with("");
}

TestSuite(vm_within, .init = start);

static enum moat_status within(size_t size, uint32_t flags, uintptr_t lowest, uintptr_t highest,
                               size_t alignment, uintptr_t *base) {
    const struct moat_address_limits limits = {lowest, highest, alignment};
    void *at = &at;
    enum moat_status status =
        moat_reserve_within(manager, size, MOAT_PAGE_READWRITE, flags, &limits, &at);
    cr_assert(!status == (at != NULL));
    *base = (uintptr_t)at;
    return status;
}

Test(vm_within, limits_that_make_no_sense_are_refused) {
    static const struct moat_address_limits rows[] = {
        {0, 0, 0x8000},         {0, 0, 0x30000},     {0, 0, GRANULE + 1},
        {PAGE, 0, 0},           {GRANULE - 1, 0, 0}, {TOP, 0, 0},
        {0, 0x20001001, 0},     {0, 0x20000FFE, 0},  {0, 0x200007FF, 0},
        {0, TOP + PAGE - 1, 0}, {0, UINTPTR_MAX, 0}, {0x30000000, 0x20000FFF, 0},
        {UINTPTR_MAX, 0, 0},
    };
    uintptr_t base;
    void *at;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert_eq(within(PAGE, 0, rows[i].lowest, rows[i].highest, rows[i].alignment, &base),
                     MOAT_INVALID_ARGUMENT, "row %zu", i);
        cr_assert_neq(moat_last_error_text()[0], '\0');
    }
    const struct moat_address_limits limits = {0, 0, GRANULE};
    cr_assert_eq(moat_placeholder_reserve(manager, (void *)0x20000000, PAGE, 0, &limits, &at),
                 MOAT_INVALID_ARGUMENT, "an address and a limit");
    cr_assert_eq(within(PAGE, 0x80000000, 0, 0, GRANULE, &base), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(within(0, 0, 0, 0, GRANULE, &base), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(within(PAGE, 0, 0, 0x20000FFF, 0x20000000, &base), MOAT_OK, "there is one place");
    cr_assert_eq(base, (uintptr_t)0x20000000);
    cr_assert_eq(within(PAGE, 0, 0, 0x20000FFF, 0x20000000, &base), MOAT_NO_MEMORY, "and only one");
    cr_assert_eq(within(2 * PAGE, 0, 0, 0x10000FFF, 0x10000000, &base), MOAT_NO_MEMORY);
    cr_assert_eq(within(PAGE, 0, 0, 0, (size_t)1 << 62, &base), MOAT_NO_MEMORY);
    cr_assert_eq(within((size_t)1 << 46, 0, 0, 0x20000FFF, 0, &base), MOAT_NO_MEMORY);
}

static void check_region(uintptr_t base, size_t size) {
    struct moat_page_info info = info_of((void *)base);
    cr_assert_eq(info.allocation_base, (void *)base);
    cr_assert_eq(info.size, size);
    cr_assert(page_is((void *)(base - PAGE), false, false), "before %#lx", (unsigned long)base);
    cr_assert(page_is((void *)(base + size), false, false), "behind %#lx", (unsigned long)base);
    cr_assert_eq(info_of((void *)(base - PAGE)).state, MOAT_STATE_RESERVED, "a margin");
}

Test(vm_within, bases_are_aligned_and_guarded) {
    for (size_t alignment = GRANULE; alignment <= (size_t)1 << 34; alignment *= 4)
        for (unsigned top_down = 0; top_down < 2; top_down++)
            for (size_t size = PAGE; size < 16 * BLOCK; size = size * 16 + PAGE) {
                uintptr_t base;
                cr_assert_eq(
                    within(size, top_down ? MOAT_RESERVE_TOP_DOWN : 0, 0, 0, alignment, &base),
                    MOAT_OK, "%s", moat_last_error_text());
                cr_assert_eq(base % alignment, (uintptr_t)0);
                if (alignment > GRANULE || top_down)
                    check_region(base, size);
                cr_assert_eq(moat_release(manager, (void *)base), MOAT_OK);
            }
    cr_assert_eq(stats_of(manager).stranded_bytes, 0);
}

Test(vm_within, all_zero_limits_are_none) {
    uintptr_t base;
    cr_assert_eq(within(PAGE, MOAT_RESERVE_COMMIT, 0, 0, 0, &base), MOAT_OK);
    cr_assert(page_is((void *)base, true, true));
}

/* Take a page's mapping at a place that the test wants to be somebody else's. */
static void fence(uintptr_t at) {
    cr_assert_neq(mmap((void *)at, GRANULE, PROT_READ,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
                  MAP_FAILED);
}

/* Room is used up from the top, with guards as long as there is room for them; nothing reaches out
 * of the window. */
Test(vm_within, a_window_is_filled_and_not_left) {
    enum { WINDOW = 17 };
    uintptr_t window = (uintptr_t)hole((WINDOW + 2) * GRANULE, GRANULE) + GRANULE;
    uintptr_t last = window + WINDOW * GRANULE - 1;
    uintptr_t base = 0, before = UINTPTR_MAX;
    size_t guarded = 0, count = 0;
    fence(window - GRANULE);
    fence(last + 1);
    while (within(GRANULE, 0, window, last, 0, &base) == MOAT_OK) {
        cr_assert(base >= window && base + GRANULE - 1 <= last);
        if (stats_of(manager).guards_yielded == 0) {
            cr_assert_lt(base, before);
            check_region(base, GRANULE);
            guarded++;
        }
        before = base;
        count++;
    }
    cr_assert_eq(guarded, WINDOW / 3, "%zu", guarded);
    cr_assert_eq(count, WINDOW / 3 + WINDOW % 3, "%zu", count);
}

/* A page between two mappings of others is room enough, if nothing else is allowed. */
Test(vm_within, the_last_room_is_taken_without_guards) {
    unsigned char *window = hole(3 * GRANULE, GRANULE);
    uintptr_t base, at = (uintptr_t)window + GRANULE;
    fence(at - GRANULE);
    fence(at + GRANULE);
    cr_assert_eq(within(PAGE, MOAT_RESERVE_COMMIT, at, at + PAGE - 1, 0, &base), MOAT_OK);
    cr_assert_eq(base, at);
    cr_assert(page_is((void *)base, true, true) && page_is((void *)(base + PAGE), false, false));
    cr_assert_eq(stats_of(manager).guards_yielded, 1);
    cr_assert_eq(moat_release(manager, (void *)base), MOAT_OK);
    cr_assert_eq(within(GRANULE, 0, at, 0, 0, &base), MOAT_OK, "above is more");
    cr_assert_gt(base, at);
}

static unsigned char deepest(size_t depth) {
    volatile unsigned char page[PAGE];
    page[0] = (unsigned char)depth;
    return depth == 0 ? page[0] : (unsigned char)(deepest(depth - 1) + page[0]);
}

/* From the top down: each lies below the one before, and none below a hole that would do. */
Test(vm_within, top_down_takes_the_highest_room) {
    unsigned char *low = hole(BLOCK + 2 * GRANULE, GRANULE);
    uintptr_t base, before = TOP;
    for (int i = 0; i < 50; i++) {
        cr_assert_eq(within(BLOCK, MOAT_RESERVE_TOP_DOWN, 0, 0, 0, &base), MOAT_OK);
        cr_assert_lt(base, before);
        cr_assert_gt(base, (uintptr_t)low, "there was room at %p", (void *)low);
        check_region(base, BLOCK);
        before = base;
    }
    void *again;
    cr_assert_eq(
        moat_reserve(manager, NULL, BLOCK, MOAT_PAGE_READWRITE, MOAT_RESERVE_TOP_DOWN, &again),
        MOAT_OK);
    cr_assert_lt((uintptr_t)again, before);
}

/* What is right below the stack is free, but the stack may grow into it; and it can, afterwards. */
Test(vm_within, the_stack_keeps_its_room) {
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    uintptr_t base, highest = (here - BLOCK) / PAGE * PAGE - 1;
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(
            within(BLOCK, 0, here / BLOCK * BLOCK - ((uintptr_t)256 << 30), highest, 0, &base),
            MOAT_OK);
        cr_assert_gt(here - base, (uintptr_t)100 << 20);
    }
    (void)deepest(1200); /* of 8 MiB */
}

/* The text of /proc/self/maps tells the same as asking does. */
static size_t visited;
static uintptr_t last_end;

static bool visit(const struct moat_os_mapping *mapping, void *limit) {
    cr_assert_geq(mapping->start, last_end);
    last_end = mapping->end;
    visited++;
    return visited != *(size_t *)limit;
}

Test(vm_within, the_text_is_read_in_order_and_until_enough) {
    size_t limit = 3;
    int maps = moat_linux_maps_open();
    cr_assert_geq(maps, 0);
    cr_assert_eq(moat_linux_maps_each(maps, visit, &limit), 0);
    cr_assert_eq(visited, 3);
    limit = 0;
    visited = last_end = 0;
    maps = moat_linux_maps_open();
    cr_assert_eq(moat_linux_maps_each(maps, visit, &limit), 0);
    cr_assert_gt(visited, 10);
    int empty = memfd_create("empty", 0);
    cr_assert_eq(moat_linux_maps_each(empty, visit, &limit), ENOSYS);
}
