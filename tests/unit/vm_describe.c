/* SPDX-License-Identifier: MIT */
/*
 * describe: each kind of address, who is told to have reserved and freed it, and the words.
 */
#define _GNU_SOURCE
#include "support/regions.h"

#include "os/os.h"

#include <moat/describe.h>
#include <moat/heap.h>
#include <moat/placeholder.h>

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define RW MOAT_PAGE_READWRITE

TestSuite(vm_describe, .timeout = 600);

static struct moat_description describe(const void *address) {
    struct moat_description told;
    cr_assert_eq(moat_describe_address(address, &told), MOAT_OK, "%p", address);
    cr_assert_eq(told.address, address);
    return told;
}

static bool is_me(const struct moat_event *event) {
    const uint64_t hour = UINT64_C(3600) * 1000000000;
    return event->thread == moat_os_thread() && event->site && event->age_ns < hour;
}

static void expect_region(const struct moat_description *told, const struct moat_manager *manager,
                          const unsigned char *base, size_t size) {
    cr_assert_eq(told->base, base);
    cr_assert_eq(told->size, size);
    cr_assert_eq(told->owner, manager);
    cr_assert_eq(told->offset, (const unsigned char *)told->address - base);
    cr_assert(is_me(&told->reserved));
}

static void in_a_region(const char *options) {
    struct moat_manager *manager = manager_with(options);
    if (!manager)
        return;
    unsigned char *base = reserved(manager, 4 * GRANULE, false);
    uint32_t old;
    struct moat_description told = describe(base + 5);
    cr_assert_eq(told.kind, MOAT_ADDRESS_RESERVED);
    cr_assert_eq(told.protection, 0u);
    cr_assert_eq(told.reserved_protection, RW);
    cr_assert_eq(told.freed.thread, 0u);
    expect_region(&told, manager, base, 4 * GRANULE);

    cr_assert_eq(moat_commit(manager, base, 3 * GRANULE, RW, NULL), MOAT_OK);
    told = describe(base + 3 * GRANULE - 1);
    cr_assert_eq(told.kind, MOAT_ADDRESS_COMMITTED);
    cr_assert_eq(told.protection, RW);
    expect_region(&told, manager, base, 4 * GRANULE);

    cr_assert_eq(moat_protect(manager, base, PAGE, RW | MOAT_PAGE_GUARD, &old), MOAT_OK);
    told = describe(base + 7);
    cr_assert_eq(told.kind, MOAT_ADDRESS_GUARD_PAGE);
    cr_assert_eq(told.protection, RW | MOAT_PAGE_GUARD);

    cr_assert_eq(moat_decommit(manager, base + GRANULE, GRANULE), MOAT_OK);
    told = describe(base + GRANULE + 8);
    cr_assert_eq(told.kind, MOAT_ADDRESS_DECOMMITTED);
    cr_assert_eq(told.freed_base, base + GRANULE);
    cr_assert_eq(told.freed_size, (size_t)GRANULE);
    cr_assert(is_me(&told.freed));
    expect_region(&told, manager, base, 4 * GRANULE);
    cr_assert_eq(describe(base + 3 * GRANULE).kind, MOAT_ADDRESS_RESERVED, "it never was");

    cr_assert_eq(moat_commit(manager, base + GRANULE, PAGE, RW, NULL), MOAT_OK);
    cr_assert_eq(describe(base + GRANULE).kind, MOAT_ADDRESS_COMMITTED, "it is again");
    cr_assert_eq(describe(base + GRANULE + PAGE).kind, MOAT_ADDRESS_DECOMMITTED);
    moat_manager_destroy(manager);
}

Test(vm_describe, pages_of_a_region) {
    for (unsigned rung = 0; rung < RUNGS; rung++)
        in_a_region(rungs[rung]);
    in_a_region("backend=mimalloc");
}

/* Of any size: in an arena, across blocks, and with a mapping of its own. */
Test(vm_describe, a_released_region_is_explained) {
    static const size_t sizes[] = {PAGE, 5 * PAGE, GRANULE, 3 * BLOCK, (size_t)1 << 30};
    for (unsigned rung = 0; rung < RUNGS; rung++)
        for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            struct moat_manager *manager = manager_with(rungs[rung]);
            size_t size = sizes[i];
            unsigned char *base = reserved(manager, size, false);
            cr_assert_eq(moat_release(manager, base), MOAT_OK);
            for (size_t at = 0; at < size; at += size / 3 + 1) {
                struct moat_description told = describe(base + at);
                cr_assert_eq(told.kind, MOAT_ADDRESS_RELEASED, "%zu of %zu: %d", at, size,
                             told.kind);
                expect_region(&told, manager, base, size);
                cr_assert_eq(told.freed_base, base);
                cr_assert_eq(told.freed_size, size);
                cr_assert(is_me(&told.freed));
            }
            moat_manager_destroy(manager);
        }
}

static void at_the_ends(const char *options) {
    static const size_t sizes[] = {PAGE,  15 * PAGE,        GRANULE,
                                   BLOCK, 2 * BLOCK + PAGE, (size_t)300 << 20};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct moat_manager *manager = manager_with(options);
        size_t size = sizes[i];
        unsigned char *base = reserved(manager, size, false);
        for (size_t n = 1; n <= PAGE; n += PAGE - 1) {
            struct moat_description told = describe(base + size - 1 + n);
            cr_assert_eq(told.kind, MOAT_ADDRESS_PAST_END, "%zu of %zu: %d", n, size, told.kind);
            cr_assert_eq(told.distance, n);
            expect_region(&told, manager, base, size);
            told = describe(base - n);
            cr_assert_eq(told.kind, MOAT_ADDRESS_BEFORE_START, "%zu of %zu: %d", n, size,
                         told.kind);
            cr_assert_eq(told.distance, n);
            expect_region(&told, manager, base, size);
        }
        moat_manager_destroy(manager);
    }
}

Test(vm_describe, overflow_and_underflow_are_measured) {
    for (unsigned rung = 0; rung < RUNGS; rung++)
        at_the_ends(rungs[rung]);
}

/* The granule that a region ends in is its own, whatever lay there before. */
Test(vm_describe, the_tail_of_a_reused_place_belongs_to_the_new_region) {
    struct moat_manager *manager = manager_with("");
    unsigned char *base = reserved(manager, 2 * GRANULE, false);
    void *again;
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    cr_assert_eq(moat_reserve(manager, base, GRANULE + PAGE, RW, 0, &again), MOAT_OK);
    struct moat_description told = describe(base + GRANULE + PAGE + 99);
    cr_assert_eq(told.kind, MOAT_ADDRESS_PAST_END);
    cr_assert_eq(told.distance, 100u);
    expect_region(&told, manager, base, GRANULE + PAGE);
    cr_assert_eq(told.earlier_base, base, "a stale pointer may be meant as well");
    cr_assert_eq(told.earlier_size, 2u * GRANULE);
    cr_assert(is_me(&told.earlier_freed));
    told = describe(base + 3);
    cr_assert_eq(told.kind, MOAT_ADDRESS_RESERVED);
    cr_assert_eq(told.earlier_base, base);
    cr_assert_eq(told.earlier_size, 2u * GRANULE);
    cr_assert(is_me(&told.earlier_freed));
}

/* As a query has it, also before the books are told. */
Test(vm_describe, what_a_child_is_not_to_have_is_released_there) {
    struct moat_manager *manager = manager_with("fork=dontfork");
    unsigned char *base = reserved(manager, GRANULE, true);
    int status;
    pid_t child = fork();
    if (child == 0) {
        struct moat_description told;
        bool right = moat_describe_address(base + 1, &told) == MOAT_OK &&
                     told.kind == MOAT_ADDRESS_RELEASED && told.base == base &&
                     told.protection == 0;
        _exit(right ? 0 : 1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    cr_assert_eq(describe(base + 1).kind, MOAT_ADDRESS_COMMITTED);
    moat_manager_destroy(manager);
}

Test(vm_describe, a_decommit_of_an_earlier_region_is_not_the_new_one_s) {
    struct moat_manager *manager = manager_with("");
    unsigned char *base = reserved(manager, 2 * GRANULE, true);
    void *again;
    cr_assert_eq(moat_decommit(manager, base, GRANULE), MOAT_OK);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    cr_assert_eq(moat_reserve(manager, base, 2 * GRANULE, RW, 0, &again), MOAT_OK);
    cr_assert_eq(describe(base).kind, MOAT_ADDRESS_RESERVED);
}

struct short_life {
    struct moat_manager *manager;
    void *base;
};

static void *live_shortly(void *argument) {
    struct short_life *life = argument;
    void *base;
    cr_assert_eq(moat_reserve(life->manager, life->base, GRANULE, RW, 0, &base), MOAT_OK);
    cr_assert_eq(moat_release(life->manager, base), MOAT_OK);
    return NULL;
}

/* The clock is coarse, and threads have rings of their own: but what lay there lay there before. */
Test(vm_describe, a_decommit_came_after_what_another_thread_released_before) {
    struct moat_manager *manager = manager_with("");
    struct short_life life = {manager, reserved(manager, GRANULE, false)};
    cr_assert_eq(moat_release(manager, life.base), MOAT_OK);
    for (unsigned round = 0; round < 100; round++) {
        pthread_t thread;
        void *base;
        cr_assert_eq(pthread_create(&thread, NULL, live_shortly, &life), 0);
        cr_assert_eq(pthread_join(thread, NULL), 0);
        cr_assert_eq(moat_reserve(manager, life.base, GRANULE, RW, MOAT_RESERVE_COMMIT, &base),
                     MOAT_OK);
        cr_assert_eq(moat_decommit(manager, base, PAGE), MOAT_OK);
        struct moat_description told = describe(base);
        cr_assert_eq(told.kind, MOAT_ADDRESS_DECOMMITTED, "round %u", round);
        cr_assert(is_me(&told.freed));
        cr_assert_eq(moat_release(manager, base), MOAT_OK);
    }
}

Test(vm_describe, what_is_not_memory_of_a_manager) {
    struct moat_manager *manager = manager_with("");
    void *page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_eq(describe(page).kind, MOAT_ADDRESS_FOREIGN);
    cr_assert_eq(describe(page).protection, MOAT_PAGE_READONLY);
    munmap(page, PAGE);
    cr_assert_eq(describe(NULL).kind, MOAT_ADDRESS_FREE);
    cr_assert_eq(describe((void *)8).kind, MOAT_ADDRESS_FREE);
    cr_assert_eq(describe(&page).kind, MOAT_ADDRESS_FOREIGN);
    cr_assert_eq(describe(manager).kind, MOAT_ADDRESS_BOOKS);
    unsigned char *base = reserved(manager, GRANULE, false);
    struct moat_description told;
    /* The region lies anywhere in its arena of 1 GiB, so one side of it has that much room. */
    const size_t far = (size_t)100 << 20;
    cr_assert(describe(base + far).kind == MOAT_ADDRESS_HELD ||
              describe(base - far).kind == MOAT_ADDRESS_HELD);
    cr_assert_eq(moat_describe_address((void *)(UINTPTR_MAX - 4), &told), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_describe_address(base, NULL), MOAT_NO_ACCESS);
}

/* A stale pointer to a place that somebody else has mapped since. */
Test(vm_describe, a_place_that_others_have_now) {
    struct moat_manager *manager = manager_with("");
    size_t size = (size_t)1 << 30;
    unsigned char *base = reserved(manager, size, false);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    void *page =
        mmap(base, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    cr_assert_eq(page, base);
    struct moat_description told = describe(base + 9);
    cr_assert_eq(told.kind, MOAT_ADDRESS_FOREIGN);
    cr_assert_eq(told.earlier_base, base);
    cr_assert_eq(told.earlier_size, size);
    cr_assert_eq(describe(base + PAGE).kind, MOAT_ADDRESS_RELEASED);
    munmap(page, PAGE);
}

Test(vm_describe, placeholders_and_heaps) {
    struct moat_manager *manager = manager_with("");
    struct moat_heap *heap;
    void *base, *block;
    cr_assert_eq(moat_placeholder_reserve(manager, NULL, 4 * GRANULE, 0, NULL, &base), MOAT_OK);
    cr_assert_eq(describe((char *)base + 1).kind, MOAT_ADDRESS_PLACEHOLDER);
    cr_assert_eq(moat_heap_create(manager, 0, &heap), MOAT_OK);
    cr_assert_eq(moat_heap_alloc(heap, (size_t)1 << 20, &block), MOAT_OK);
    struct moat_description told = describe(block);
    cr_assert_eq(told.kind, MOAT_ADDRESS_COMMITTED);
    cr_assert(told.heap);
    cr_assert(is_me(&told.reserved));
    told = describe((char *)block + ((size_t)1 << 20));
    cr_assert_eq(told.kind, MOAT_ADDRESS_PAST_END);
    cr_assert_eq(told.distance, 1u);
    cr_assert_eq(moat_heap_free(heap, block), MOAT_OK);
    cr_assert_eq(describe(block).kind, MOAT_ADDRESS_RELEASED);
    moat_heap_destroy(heap);
}

static void *release_it(void *base) {
    struct moat_manager *manager;
    cr_assert_eq(moat_manager_default(&manager), MOAT_OK);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    return (void *)(uintptr_t)moat_os_thread();
}

/* A lexical match: '#' is a number in either radix, '*' anything to the end of the line. */
static bool matches(const char *text, const char *pattern) {
    for (; *pattern != '\0'; pattern++) {
        if (*pattern == '#') {
            const char *start = text;
            text += strspn(text, "0123456789abcdefx");
            if (text == start)
                return false;
        } else if (*pattern == '*') {
            text += strcspn(text, "\n");
        } else if (*text++ != *pattern) {
            return false;
        }
    }
    return *text == '\0';
}

static void expect_text(const void *address, const char *pattern) {
    struct moat_description told = describe(address);
    char text[2048], cut[40];
    size_t length = moat_description_print(&told, text, sizeof text);
    cr_assert_eq(length, strlen(text));
    cr_assert(matches(text, pattern), "%s\nis not\n%s", text, pattern);
    cr_assert_eq(moat_description_print(&told, cut, sizeof cut), length);
    cr_assert_eq(strncmp(cut, text, sizeof cut - 1), 0);
    cr_assert_eq(moat_description_print(&told, NULL, 0), length);
}

Test(vm_describe, the_words) {
    struct moat_manager *manager;
    pthread_t thread;
    void *id, *base;
    cr_assert_eq(moat_manager_default(&manager), MOAT_OK);
    cr_assert_eq(moat_reserve(manager, NULL, GRANULE, RW, MOAT_RESERVE_COMMIT, &base), MOAT_OK);
    expect_text((char *)base + 16,
                "  # is in a committed page, at offset 0x10 of a region of 65536 "
                "bytes [#, #)\n"
                "  its page is PAGE_READWRITE\n"
                "  reserved #.# s ago by thread # at unit_vm_describe+# (*\n");
    expect_text((char *)base + GRANULE, "  # is 1 byte past the end of a region of 65536 bytes "
                                        "[#, #)\n"
                                        "  reserved #.# s ago by thread # at *\n");
    expect_text((char *)base - 2, "  # is 2 bytes before the start of a region of 65536 bytes "
                                  "[#, #)\n"
                                  "  reserved #.# s ago by thread # at *\n");
    cr_assert_eq(moat_decommit(manager, base, PAGE), MOAT_OK);
    expect_text(base, "  # is in a page that was decommitted, at offset 0 of a region of 65536 "
                      "bytes [#, #)\n"
                      "  reserved #.# s ago by thread # at *\n"
                      "  decommitted #.# s ago by thread # at unit_vm_describe+# (*\n");
    cr_assert_eq(pthread_create(&thread, NULL, release_it, base), 0);
    cr_assert_eq(pthread_join(thread, &id), 0);
    expect_text(base, "  # is at offset 0 of a region of 65536 bytes [#, #), which was released\n"
                      "  reserved #.# s ago by thread # at *\n"
                      "  released #.# s ago by thread # at unit_vm_describe+# (release_it)\n");
    expect_text(NULL, "  0 is in no mapping, and nothing is known of it\n");
    expect_text(manager, "  # is in Moat's own books or their guards\n");
}

/* Descriptions that Moat did not make are printed, too. */
Test(vm_describe, every_part_of_a_description_has_words) {
    struct moat_description told = {
        .kind = MOAT_ADDRESS_FOREIGN,
        .protection = MOAT_PAGE_GUARD,
        .near_base = (const void *)0x7000,
        .near_size = 4096,
        .near_distance = 1,
        .near_is_behind = true,
    };
    char text[512];
    (void)moat_description_print(&told, text, sizeof text);
    cr_assert_not_null(strstr(text, "its page is no protection, with PAGE_GUARD\n"), "%s", text);
    cr_assert_not_null(strstr(text, "  also 1 byte before the start of a live region of 4096 bytes "
                                    "[0x7000, 0x8000)\n"),
                       "%s", text);
    told.near_distance = 16;
    told.near_is_behind = false;
    (void)moat_description_print(&told, text, sizeof text);
    cr_assert_not_null(strstr(text, "  also 16 bytes past the end of a live region"), "%s", text);
}
