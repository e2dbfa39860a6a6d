/* SPDX-License-Identifier: MIT */
/*
 * query: the whole address space, told as Win32 tells it.
 */
#define _GNU_SOURCE
#include "os/os.h"
#include "region/arena.h"
#include "support/regions.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RW  MOAT_PAGE_READWRITE
#define TOP ((uintptr_t)0x7FFFFFFF0000)

static struct moat_manager *manager;

static void start(void) {
    manager = manager_with("");
}

TestSuite(vm_query, .init = start);

static void check_free(const void *address) {
    struct moat_page_info info = info_of(address);
    cr_assert_eq(info.state, MOAT_STATE_FREE, "%p", address);
    cr_assert_eq(info.kind, MOAT_KIND_NONE);
    cr_assert_eq(info.protection, MOAT_PAGE_NOACCESS);
    cr_assert_eq(info.allocation_protection, 0u);
    cr_assert_null(info.allocation_base);
    cr_assert_null(info.owner);
}

Test(vm_query, bad_arguments) {
    struct moat_page_info info = {0};
    cr_assert_eq(moat_query(&info, NULL), MOAT_NO_ACCESS);
    /* Without address randomisation the stack lies there, and is answered for. */
    if ((uintptr_t)__builtin_frame_address(0) < TOP)
        cr_assert_eq(moat_query((void *)TOP, &info), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_query((void *)UINT64_C(0x0000800000000000), &info), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_query((void *)UINT64_C(0xFFFF800000000000), &info), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_query((void *)UINTPTR_MAX, &info), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_query((void *)(TOP - 1), &info), MOAT_OK);
    cr_assert_eq(moat_query(NULL, &info), MOAT_OK);
    cr_assert_eq(info.state, MOAT_STATE_FREE);
}

Test(vm_query, a_region_page_by_page) {
    for (int rung = 0; rung < RUNGS; rung++) {
        manager = manager_with(rungs[rung]);
        unsigned char *base = reserved(manager, 5 * BLOCK, false);
        cr_assert_eq(moat_commit(manager, base + PAGE, 2 * BLOCK, MOAT_PAGE_READONLY, NULL), 0);
        struct moat_page_info info = info_of(base + 100);
        cr_assert_eq(info.base, base);
        cr_assert_eq(info.size, (size_t)PAGE);
        cr_assert_eq(info.state, MOAT_STATE_RESERVED);
        cr_assert_eq(info.kind, MOAT_KIND_PRIVATE);
        cr_assert_eq(info.protection, 0u);
        cr_assert_eq(info.allocation_protection, RW);
        cr_assert_eq(info.allocation_base, base);
        cr_assert_eq(info.owner, manager);
        info = info_of(base + BLOCK);
        cr_assert_eq(info.base, base + BLOCK, "counts from the queried page on");
        cr_assert_eq(info.size, (size_t)BLOCK + PAGE);
        cr_assert_eq(info.state, MOAT_STATE_COMMITTED);
        cr_assert_eq(info.protection, MOAT_PAGE_READONLY);
        cr_assert_eq(info.allocation_base, base);
        info = info_of(base + 2 * BLOCK + PAGE);
        cr_assert_eq(info.state, MOAT_STATE_RESERVED);
        cr_assert_eq(info.size, (size_t)3 * BLOCK - PAGE);
    }
}

Test(vm_query, decommitted_and_never_committed_pages_are_one_run) {
    for (int rung = 0; rung < RUNGS; rung++) {
        manager = manager_with(rungs[rung]);
        unsigned char *base = reserved(manager, 5 * BLOCK, false);
        cr_assert_eq(moat_commit(manager, base + BLOCK / 2, 2 * BLOCK, RW, NULL), MOAT_OK);
        cr_assert_eq(moat_commit(manager, base + PAGE, PAGE, MOAT_PAGE_EXECUTE_READ, NULL), 0);
        cr_assert_eq(moat_decommit(manager, base, 5 * BLOCK), MOAT_OK);
        cr_assert_eq(info_of(base).size, (size_t)5 * BLOCK);
    }
}

Test(vm_query, neighbouring_regions_never_merge) {
    unsigned char *free = hole(2 * GRANULE, GRANULE);
    void *left, *right;
    cr_assert_eq(moat_reserve(manager, free, GRANULE, RW, 0, &left), MOAT_OK);
    cr_assert_eq(moat_reserve(manager, free + GRANULE, GRANULE, RW, 0, &right), MOAT_OK);
    cr_assert_eq(info_of(left).size, (size_t)GRANULE);
    cr_assert_eq(info_of(right).allocation_base, right);
}

Test(vm_query, what_belongs_to_no_region_of_an_arena_is_free) {
    unsigned char *base = reserved(manager, 3 * PAGE, true);
    base = reserved(manager, 3 * PAGE, true); /* the first may lie at the border of the arena */
    check_free(base - PAGE);
    check_free(base + 3 * PAGE);
    check_free(base + GRANULE - 1);
    unsigned char *next = info_of(base + 3 * PAGE).base;
    next += info_of(base + 3 * PAGE).size;
    cr_assert_geq(next, base + GRANULE);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    check_free(base);
}

Test(vm_query, a_free_run_ends_where_the_next_region_begins) {
    unsigned char *room = reserved(manager, 20 * GRANULE, false);
    void *low, *high;
    cr_assert_eq(moat_release(manager, room), MOAT_OK);
    cr_assert_eq(moat_reserve(manager, room, GRANULE, RW, 0, &low), MOAT_OK);
    cr_assert_eq(moat_reserve(manager, room + 9 * GRANULE, GRANULE, RW, 0, &high), MOAT_OK);
    cr_assert_eq(info_of(room + GRANULE).size, (size_t)8 * GRANULE);
    cr_assert_eq(info_of(room + 3 * GRANULE + 5).size, (size_t)6 * GRANULE);
}

Test(vm_query, borders_of_an_arena_and_books_are_reserved) {
    unsigned char *base = reserved(manager, PAGE, false);
    struct moat_space *arena = moat_arena_of((uintptr_t)base);
    cr_assert_not_null(arena);
    const void *own[] = {(void *)arena->start, (void *)(arena->usable_end), manager, arena};
    for (unsigned i = 0; i < 4; i++) {
        struct moat_page_info info = info_of(own[i]);
        cr_assert_eq(info.state, MOAT_STATE_RESERVED, "%u", i);
        cr_assert_eq(info.kind, MOAT_KIND_PRIVATE);
        cr_assert_eq(info.protection, 0u);
        cr_assert_null(info.owner);
        cr_assert_not_null(info.allocation_base);
    }
    struct moat_page_info last = info_of((void *)(arena->usable_end - PAGE));
    cr_assert_eq(last.state, MOAT_STATE_FREE);
    cr_assert_eq(last.size, (size_t)PAGE, "a free run never leaves its arena");
}

Test(vm_query, margins_of_a_large_region_do_not_swallow_it) {
    for (int rung = 0; rung < RUNGS; rung++) {
        manager = manager_with(rungs[rung]);
        size_t size = ((size_t)257 << 20) + PAGE;
        unsigned char *base = reserved(manager, size, false);
        struct moat_page_info before = info_of(base - PAGE);
        cr_assert_leq((unsigned char *)before.base + before.size, base);
        struct moat_page_info behind = info_of(base + size + GRANULE);
        cr_assert(behind.state == MOAT_STATE_FREE ||
                  (unsigned char *)behind.allocation_base >= base + size);
        check_free(base + size);
        cr_assert_eq(info_of(base).size, size);
    }
}

Test(vm_query, a_tail_is_free) {
    unsigned char *free = hole(4 * GRANULE, GRANULE);
    void *base;
    cr_assert_eq(moat_reserve(manager, free, PAGE, RW, 0, &base), MOAT_OK);
    check_free(free + PAGE);
    check_free(free + GRANULE - 1);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
}

static int initialised = 1;
static const char text[] = "read only";

Test(vm_query, stack_heap_code_and_data) {
    int local = 0;
    void *heap = malloc(100);
    struct moat_page_info info = info_of(&local);
    cr_assert_eq(info.state, MOAT_STATE_COMMITTED);
    cr_assert_eq(info.protection, RW);
    cr_assert_eq(info.kind, MOAT_KIND_PRIVATE);
    cr_assert_null(info.owner);
    cr_assert_leq(info.allocation_base, (void *)&local);
    info = info_of(heap);
    cr_assert_eq(info.state, MOAT_STATE_COMMITTED);
    cr_assert_eq(info.protection, RW);
    info = info_of((void *)(uintptr_t)&check_free);
    cr_assert_eq(info.state, MOAT_STATE_COMMITTED);
    cr_assert_eq(info.protection, MOAT_PAGE_EXECUTE_READ);
    cr_assert_eq(info.kind, MOAT_KIND_IMAGE);
    cr_assert_eq(info_of(text).protection, MOAT_PAGE_READONLY);
    cr_assert_eq(info_of(&initialised).protection, RW);
    free(heap);
}

Test(vm_query, mapped_and_inaccessible_memory_of_others) {
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    void *shared = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, file, 0);
    void *private = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, file, 0);
    void *none = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_eq(info_of(shared).kind, MOAT_KIND_MAPPED);
    cr_assert_eq(info_of(private).kind, MOAT_KIND_IMAGE);
    cr_assert_eq(info_of(shared).protection, MOAT_PAGE_READONLY);
    cr_assert_eq(info_of(none).state, MOAT_STATE_COMMITTED, "its owner may know a content");
    cr_assert_eq(info_of(none).protection, MOAT_PAGE_NOACCESS);
    cr_assert_eq(munmap(none, PAGE), 0);
    unsigned char *free = hole(GRANULE, GRANULE);
    check_free(free);
    check_free((void *)GRANULE);
}

/* A walk from one end to the other meets every region once, and never stands still. */
Test(vm_query, a_walk_over_the_address_space_meets_every_region_once) {
    enum { REGIONS = 200 };
    for (unsigned i = 0; i < REGIONS; i++)
        (void)reserved(manager, (1 + i * 7 % 100) * PAGE, i % 3 == 0);
    size_t met = 0, steps = 0;
    void *last = NULL;
    for (uintptr_t at = 0; at < TOP; steps++) {
        struct moat_page_info info = info_of((void *)at);
        cr_assert_eq(info.base, (void *)at);
        cr_assert_gt(info.size, (size_t)0);
        cr_assert_leq(info.size, UINT64_C(0x7FFFFFFFF000) - at);
        if (info.owner == manager && info.allocation_base != last)
            met++;
        if (info.owner)
            last = info.allocation_base;
        at += info.size;
    }
    cr_assert_eq(met, (size_t)REGIONS);
    cr_assert_lt(steps, (size_t)10000);
}

/* errno belongs to the caller, and no file is left open. */
Test(vm_query, leaves_errno_and_files_alone) {
    int before = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(before);
    errno = 1234;
    (void)info_of(&before);
    (void)info_of(manager);
    (void)info_of(reserved(manager, PAGE, true));
    cr_assert_eq(errno, 1234);
    int after = open("/dev/null", O_RDONLY | O_CLOEXEC);
    cr_assert_eq(before, after);
}
