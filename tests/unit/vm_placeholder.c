/* SPDX-License-Identifier: MIT */
/*
 * placeholders: which ranges each call takes and what is refused, what queries say in between, what
 * is given back, and whose margins go when.
 */
#include "support/regions.h"
#include "support/touch.h"

#include <moat/heap.h>
#include <moat/lock.h>
#include <moat/placeholder.h>

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

static struct moat_manager *manager;

static void start(void) {
    manager = manager_with("");
}

TestSuite(vm_placeholder, .init = start);

static unsigned char *placeholder(size_t size) {
    void *base;
    cr_assert_eq(moat_placeholder_reserve(manager, NULL, size, 0, NULL, &base), MOAT_OK, "%s",
                 moat_last_error_text());
    return base;
}

static enum moat_status explained(enum moat_status status) {
    if (status)
        cr_assert_neq(moat_last_error_text()[0], '\0', "a failure is explained");
    return status;
}

static enum moat_status preserve(const void *address, size_t size) {
    return explained(moat_placeholder_preserve(manager, (void *)(uintptr_t)address, size));
}

static enum moat_status coalesce(const void *address, size_t size) {
    return explained(moat_placeholder_coalesce(manager, (void *)(uintptr_t)address, size));
}

static enum moat_status replace(void *address, size_t size, uint32_t flags) {
    void *base = &base;
    enum moat_status status = explained(
        moat_placeholder_replace(manager, address, size, MOAT_PAGE_READWRITE, flags, &base));
    cr_assert(status ? base == NULL : base == address, "got %p", base);
    return status;
}

/* Whether a query of every page of the range says: reserved, a part from `base` to `end`. */
static void is_part(const unsigned char *base, const unsigned char *end, uint32_t protection) {
    for (const unsigned char *page = base; page < end; page += PAGE) {
        struct moat_page_info info = info_of(page);
        cr_assert_eq(info.state, MOAT_STATE_RESERVED);
        cr_assert_eq(info.allocation_base, base);
        cr_assert_eq(info.allocation_protection, protection);
        cr_assert_eq(info.size, (size_t)(end - page));
        cr_assert_eq(info.owner, manager);
        cr_assert_eq(info.protection, 0);
    }
}

Test(vm_placeholder, looks_reserved_and_takes_no_pages) {
    unsigned char *base = placeholder(3 * PAGE + 1);
    is_part(base, base + 4 * PAGE, MOAT_PAGE_NOACCESS);
    cr_assert_eq(moat_commit(manager, base, PAGE, MOAT_PAGE_READWRITE, NULL), MOAT_INVALID_ADDRESS);
    cr_assert_eq(moat_reset(manager, base, PAGE, MOAT_PAGE_READWRITE, NULL), MOAT_INVALID_ADDRESS);
    cr_assert_eq(moat_decommit(manager, base, PAGE), MOAT_INVALID_ADDRESS);
    uint32_t old;
    cr_assert_eq(moat_protect(manager, base, PAGE, MOAT_PAGE_READONLY, &old), MOAT_INVALID_ADDRESS);
    void *again;
    cr_assert_eq(moat_reserve(manager, base, PAGE, MOAT_PAGE_READWRITE, 0, &again),
                 MOAT_INVALID_ADDRESS);
    cr_assert_eq(moat_placeholder_reserve(manager, base, PAGE, 0, NULL, &again),
                 MOAT_INVALID_ADDRESS);
    is_part(base, base + 4 * PAGE, MOAT_PAGE_NOACCESS);
    cr_assert(page_is(base, false, false) && page_is(base - PAGE, false, false));
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    cr_assert_eq(info_of(base).state, MOAT_STATE_FREE);
}

Test(vm_placeholder, is_reserved_where_the_caller_says) {
    unsigned char *at = hole(2 * GRANULE, GRANULE);
    void *base;
    cr_assert_eq(moat_placeholder_reserve(manager, at + 17, PAGE, 0, NULL, &base), MOAT_OK);
    cr_assert_eq(base, at);
    is_part(at, at + 2 * PAGE, MOAT_PAGE_NOACCESS);
    cr_assert_eq(preserve(at, PAGE), MOAT_OK);
    is_part(at, at + PAGE, MOAT_PAGE_NOACCESS);
    is_part(at + PAGE, at + 2 * PAGE, MOAT_PAGE_NOACCESS);
    cr_assert_eq(moat_placeholder_reserve(manager, at, PAGE, MOAT_RESERVE_COMMIT, NULL, &base),
                 MOAT_INVALID_ARGUMENT);
    cr_assert_null(base);
    /* In an arena, which shows as free. */
    unsigned char *small = reserved(manager, GRANULE, false);
    cr_assert_eq(moat_release(manager, small), MOAT_OK);
    cr_assert_eq(moat_placeholder_reserve(manager, small, PAGE, 0, NULL, &base),
                 MOAT_INVALID_ADDRESS);
}

Test(vm_placeholder, is_split_at_any_page) {
    unsigned char *base = placeholder(16 * PAGE);
    uint64_t live = stats_of(manager).regions_live;
    cr_assert_eq(preserve(base + 3 * PAGE + 5, PAGE), MOAT_OK); /* two pages are touched */
    is_part(base, base + 3 * PAGE, MOAT_PAGE_NOACCESS);
    is_part(base + 3 * PAGE, base + 5 * PAGE, MOAT_PAGE_NOACCESS);
    is_part(base + 5 * PAGE, base + 16 * PAGE, MOAT_PAGE_NOACCESS);
    cr_assert_eq(preserve(base, PAGE), MOAT_OK);
    is_part(base, base + PAGE, MOAT_PAGE_NOACCESS);
    cr_assert_eq(preserve(base + 10 * PAGE, 6 * PAGE), MOAT_OK);
    is_part(base + 5 * PAGE, base + 10 * PAGE, MOAT_PAGE_NOACCESS);
    is_part(base + 10 * PAGE, base + 16 * PAGE, MOAT_PAGE_NOACCESS);
    cr_assert_eq(stats_of(manager).regions_live, live + 4);
    cr_assert_eq(stats_of(manager).bytes_reserved, 16 * PAGE);
}

Test(vm_placeholder, a_preserve_of_anything_else_is_refused) {
    unsigned char *base = placeholder(8 * PAGE);
    unsigned char *plain = reserved(manager, 8 * PAGE, true);
    struct moat_manager *other = manager_with("");
    cr_assert_eq(preserve(base, 8 * PAGE), MOAT_INVALID_ADDRESS, "all of it");
    cr_assert_eq(preserve(base + 100, 8 * PAGE - 100), MOAT_INVALID_ADDRESS, "all, rounded");
    cr_assert_eq(preserve(base, 9 * PAGE), MOAT_INVALID_ADDRESS);
    cr_assert_eq(preserve(base + 7 * PAGE, 2 * PAGE), MOAT_INVALID_ADDRESS);
    cr_assert_eq(preserve(plain, 8 * PAGE), MOAT_INVALID_ADDRESS);
    cr_assert_eq(preserve(plain, PAGE), MOAT_INVALID_ADDRESS);
    cr_assert_eq(preserve(&base, PAGE), MOAT_NOT_OURS);
    cr_assert_eq(preserve(NULL, PAGE), MOAT_NOT_OURS);
    cr_assert_eq(preserve(base, 0), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(preserve(base, SIZE_MAX), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_placeholder_preserve(other, base, PAGE), MOAT_NOT_OURS);
    cr_assert_eq(moat_placeholder_preserve(NULL, base, PAGE), MOAT_NO_ACCESS);
    is_part(base, base + 8 * PAGE, MOAT_PAGE_NOACCESS);
    cr_assert_eq(info_of(plain).state, MOAT_STATE_COMMITTED);
}

Test(vm_placeholder, whole_neighbours_are_joined_and_nothing_else) {
    unsigned char *base = placeholder(8 * PAGE);
    for (size_t page = 0; page + 1 < 8; page++)
        cr_assert_eq(preserve(base + page * PAGE, PAGE), MOAT_OK);
    cr_assert_eq(coalesce(base, PAGE), MOAT_INVALID_ADDRESS, "one");
    cr_assert_eq(coalesce(base, 9 * PAGE), MOAT_INVALID_ADDRESS, "beyond the last");
    cr_assert_eq(coalesce(base - PAGE, 2 * PAGE), MOAT_NOT_OURS, "before the first");
    cr_assert_eq(coalesce(base, 0), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(coalesce(base, 2 * PAGE), MOAT_OK);
    is_part(base, base + 2 * PAGE, MOAT_PAGE_NOACCESS);
    cr_assert_eq(coalesce(base + PAGE, 2 * PAGE), MOAT_INVALID_ADDRESS, "starts inside one");
    cr_assert_eq(coalesce(base + 2 * PAGE, 2 * PAGE), MOAT_OK);
    cr_assert_eq(coalesce(base, 3 * PAGE), MOAT_INVALID_ADDRESS, "ends inside one");
    cr_assert_eq(replace(base + 4 * PAGE, PAGE, 0), MOAT_OK);
    cr_assert_eq(coalesce(base, 8 * PAGE), MOAT_INVALID_ADDRESS, "over a replaced one");
    cr_assert_eq(moat_release(manager, base + 4 * PAGE), MOAT_OK);
    cr_assert_eq(coalesce(base, 8 * PAGE), MOAT_INVALID_ADDRESS, "over a hole");
    cr_assert_eq(coalesce(base, 4 * PAGE), MOAT_OK);
    cr_assert_eq(coalesce(base + 5 * PAGE + 9, 2 * PAGE), MOAT_OK, "rounded");
    is_part(base, base + 4 * PAGE, MOAT_PAGE_NOACCESS);
    is_part(base + 5 * PAGE, base + 8 * PAGE, MOAT_PAGE_NOACCESS);
    cr_assert_eq(stats_of(manager).regions_live, 2);
    cr_assert_eq(stats_of(manager).bytes_reserved, 7 * PAGE);
}

Test(vm_placeholder, an_exact_replacement_is_an_ordinary_region) {
    unsigned char *base = placeholder(6 * PAGE);
    void *at;
    cr_assert_eq(preserve(base + PAGE, 2 * PAGE), MOAT_OK);
    cr_assert_eq(replace(base + PAGE, PAGE, 0), MOAT_INVALID_ADDRESS, "short");
    cr_assert_eq(replace(base + PAGE, 3 * PAGE, 0), MOAT_INVALID_ADDRESS, "long");
    cr_assert_eq(replace(base + 2 * PAGE, PAGE, 0), MOAT_INVALID_ADDRESS, "not the base");
    cr_assert_eq(moat_placeholder_replace(manager, base + PAGE, 2 * PAGE, 0, 0, &at),
                 MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_placeholder_replace(manager, base + PAGE, 2 * PAGE, MOAT_PAGE_READONLY,
                                          MOAT_RESERVE_TOP_DOWN, &at),
                 MOAT_INVALID_ARGUMENT);
    cr_assert_eq(
        moat_placeholder_replace(manager, base + PAGE, 2 * PAGE, MOAT_PAGE_READONLY, 0, NULL),
        MOAT_NO_ACCESS);
    is_part(base + PAGE, base + 3 * PAGE, MOAT_PAGE_NOACCESS);

    cr_assert_eq(replace(base + PAGE, 2 * PAGE, 0), MOAT_OK);
    is_part(base + PAGE, base + 3 * PAGE, MOAT_PAGE_READWRITE);
    cr_assert_eq(replace(base + PAGE, 2 * PAGE, 0), MOAT_INVALID_ADDRESS, "no placeholder now");
    cr_assert_eq(preserve(base + PAGE, PAGE), MOAT_INVALID_ADDRESS, "a part of it");
    cr_assert_eq(moat_commit(manager, base + PAGE, PAGE, MOAT_PAGE_READWRITE, &at), MOAT_OK);
    memset(base + PAGE, 1, PAGE);
    cr_assert_eq(moat_commit(manager, base + PAGE, 3 * PAGE, MOAT_PAGE_READWRITE, &at),
                 MOAT_INVALID_ADDRESS, "into the next placeholder");
    cr_assert_eq(moat_decommit(manager, base + PAGE, 0), MOAT_OK);

    cr_assert_eq(replace(base, PAGE, MOAT_RESERVE_COMMIT), MOAT_OK);
    cr_assert(touch_all_bytes(base, PAGE, 0));
    memset(base, 2, PAGE);
    struct moat_page_info info = info_of(base);
    cr_assert_eq(info.state, MOAT_STATE_COMMITTED);
    cr_assert_eq(info.allocation_protection, MOAT_PAGE_READWRITE);
    cr_assert_eq(info.size, PAGE);
    cr_assert_eq(stats_of(manager).bytes_committed, PAGE);
}

/* What was given back is empty, traps, and is a placeholder in every respect: on both rungs, for
 * single pages as for whole blocks, and for content as for protections. */
Test(vm_placeholder, what_is_given_back_traps_and_is_empty) {
    for (unsigned rung = 0; rung < RUNGS; rung++) {
        manager = manager_with(rungs[rung]);
        unsigned char *base = placeholder(3 * BLOCK);
        const size_t sizes[] = {PAGE, 3 * PAGE, BLOCK, BLOCK + 5 * PAGE};
        uint32_t old;
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            size_t size = sizes[i];
            unsigned char *at = base + 5 * PAGE;
            cr_assert_eq(preserve(at, size), MOAT_OK);
            for (int round = 0; round < 3; round++) {
                cr_assert_eq(replace(at, size, MOAT_RESERVE_COMMIT), MOAT_OK);
                cr_assert(touch_all_bytes(at, size, 0), "fresh");
                memset(at, 7, size);
                if (round == 1)
                    cr_assert_eq(moat_protect(manager, at, PAGE, MOAT_PAGE_READONLY, &old),
                                 MOAT_OK);
                if (round == 2)
                    cr_assert_eq(moat_decommit(manager, at, PAGE), MOAT_OK);
                cr_assert_eq(preserve(at, size), MOAT_OK);
                is_part(at, at + size, MOAT_PAGE_NOACCESS);
                cr_assert(page_is(at, false, false) && page_is(at + size - PAGE, false, false));
                cr_assert_eq(stats_of(manager).bytes_committed, 0);
            }
            cr_assert_eq(coalesce(base, 3 * BLOCK), MOAT_OK);
        }
        is_part(base, base + 3 * BLOCK, MOAT_PAGE_NOACCESS);
        cr_assert_eq(moat_release(manager, base), MOAT_OK);
    }
}

/* Pages of the middle are free again and can be reserved; the margins go with the outer parts. */
Test(vm_placeholder, parts_are_released_alone_and_margins_with_the_last) {
    unsigned char *base = placeholder(3 * GRANULE);
    cr_assert_eq(preserve(base + GRANULE, GRANULE), MOAT_OK);
    cr_assert_eq(moat_release(manager, base + GRANULE + 5), MOAT_OK);
    cr_assert_eq(info_of(base + GRANULE).state, MOAT_STATE_FREE);
    is_part(base, base + GRANULE, MOAT_PAGE_NOACCESS);
    is_part(base + 2 * GRANULE, base + 3 * GRANULE, MOAT_PAGE_NOACCESS);
    cr_assert_eq(info_of(base - PAGE).state, MOAT_STATE_RESERVED, "the margin before");
    cr_assert_eq(info_of(base + 3 * GRANULE).state, MOAT_STATE_RESERVED, "the margin behind");
    void *again;
    cr_assert_eq(moat_reserve(manager, base + GRANULE, GRANULE, MOAT_PAGE_READWRITE,
                              MOAT_RESERVE_COMMIT, &again),
                 MOAT_OK);
    memset(again, 1, GRANULE);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    cr_assert_neq(info_of(base - PAGE).state, MOAT_STATE_RESERVED);
    cr_assert_eq(info_of(base + 3 * GRANULE).state, MOAT_STATE_RESERVED);
    cr_assert_eq(moat_release(manager, base + 2 * GRANULE), MOAT_OK);
    cr_assert_neq(info_of(base + 3 * GRANULE).state, MOAT_STATE_RESERVED);
    cr_assert_eq(moat_release(manager, base), MOAT_NOT_OURS);
    cr_assert_eq(moat_release(manager, again), MOAT_OK);
    cr_assert_eq(stats_of(manager).regions_live, 0);
    cr_assert_eq(stats_of(manager).bytes_reserved, 0);
    cr_assert_eq(stats_of(manager).stranded_bytes, 0);
}

/* Neighbours that were reserved one by one are joined like parts of one. */
Test(vm_placeholder, separate_reservations_side_by_side_are_joined) {
    unsigned char *at = hole(4 * GRANULE, GRANULE);
    void *base;
    for (size_t i = 0; i < 2; i++)
        cr_assert_eq(moat_placeholder_reserve(manager, at + i * GRANULE, GRANULE, 0, NULL, &base),
                     MOAT_OK);
    cr_assert_eq(coalesce(at, 2 * GRANULE), MOAT_OK);
    is_part(at, at + 2 * GRANULE, MOAT_PAGE_NOACCESS);
    cr_assert_eq(replace(at, 2 * GRANULE, MOAT_RESERVE_COMMIT), MOAT_OK);
    memset(at, 1, 2 * GRANULE);
    cr_assert_eq(moat_release(manager, at), MOAT_OK);
    cr_assert_eq(info_of(at + GRANULE).state, MOAT_STATE_FREE);
}

static void *lock_it(void *address) {
    cr_assert_eq(moat_lock(manager, address), MOAT_OK);
    return NULL;
}

enum { CUT, REPLACE, TURN_BACK, JOIN, DEEDS };

static struct deed {
    unsigned char *base;
    enum moat_status status[DEEDS];
} deed;

static void *do_all(void *unused) {
    deed.status[CUT] = preserve(deed.base, PAGE);
    deed.status[REPLACE] = replace(deed.base, 2 * PAGE, 0);
    deed.status[TURN_BACK] = preserve(deed.base + 2 * PAGE, 2 * PAGE);
    deed.status[JOIN] = coalesce(deed.base - 2 * PAGE, 4 * PAGE);
    return unused;
}

/* Nor is anything done to the others that are to be joined. */
Test(vm_placeholder, a_lock_of_another_thread_is_told_at_once) {
    unsigned char *base = placeholder(6 * PAGE);
    pthread_t thread;
    cr_assert_eq(preserve(base, 2 * PAGE), MOAT_OK);
    cr_assert_eq(preserve(base + 2 * PAGE, 2 * PAGE), MOAT_OK);
    cr_assert_eq(replace(base + 4 * PAGE, 2 * PAGE, 0), MOAT_OK);
    deed.base = base + 2 * PAGE;
    cr_assert_eq(moat_lock(manager, base + 2 * PAGE), MOAT_OK);
    cr_assert_eq(moat_lock(manager, base + 4 * PAGE), MOAT_OK);
    cr_assert_eq(pthread_create(&thread, NULL, do_all, NULL), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    for (unsigned i = 0; i < DEEDS; i++)
        cr_assert_eq(deed.status[i], MOAT_NOT_OWNER, "%u", i);
    is_part(base, base + 2 * PAGE, MOAT_PAGE_NOACCESS);
    is_part(base + 2 * PAGE, base + 4 * PAGE, MOAT_PAGE_NOACCESS);
    do_all(NULL);
    cr_assert_eq(deed.status[CUT], MOAT_OK, "the holder goes on");
}

/* The holder may do it, and the lock is gone with the region; others are refused at once. */
Test(vm_placeholder, a_lock_keeps_others_out_and_ends_with_the_region) {
    unsigned char *base = placeholder(4 * PAGE);
    cr_assert_eq(moat_lock(manager, base), MOAT_OK);
    cr_assert_eq(preserve(base, PAGE), MOAT_OK);
    cr_assert_eq(moat_unlock(manager, base), MOAT_NOT_OWNER);
    cr_assert_eq(replace(base, PAGE, MOAT_RESERVE_COMMIT), MOAT_OK);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, lock_it, base), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(preserve(base, PAGE), MOAT_OK, "a lock ends with its thread");
}

/* The manager that has not got the whole of a placeholder any more goes all the same. */
Test(vm_placeholder, a_manager_takes_its_parts_with_it) {
    struct moat_manager *other = manager_with("");
    void *base, *part;
    cr_assert_eq(moat_placeholder_reserve(other, NULL, 8 * PAGE, 0, NULL, &base), MOAT_OK);
    unsigned char *at = base;
    cr_assert_eq(moat_placeholder_preserve(other, at + 2 * PAGE, 3 * PAGE), MOAT_OK);
    cr_assert_eq(moat_placeholder_replace(other, at + 2 * PAGE, 3 * PAGE, MOAT_PAGE_READWRITE,
                                          MOAT_RESERVE_COMMIT, &part),
                 MOAT_OK);
    moat_manager_destroy(other);
    for (size_t page = 0; page < 8; page++)
        cr_assert_null(info_of(at + page * PAGE).owner);
}

static void refuses(struct moat_manager *by, const void *address, const char *because) {
    uint64_t before = stats_of(by).refused;
    cr_assert_eq(moat_placeholder_preserve(by, (void *)(uintptr_t)address, PAGE), MOAT_NOT_OURS);
    cr_assert_not_null(strstr(moat_last_error_text(), because), "%s", moat_last_error_text());
    cr_assert_eq(stats_of(by).refused, before + 1);
}

/* Splitting and turning back are kinds of freeing: whose memory it is comes first. */
Test(vm_placeholder, what_is_not_ours_is_not_cut_joined_or_replaced) {
    struct moat_manager *other = manager_with("");
    unsigned char *base = placeholder(4 * PAGE), *ours = reserved(manager, GRANULE, true);
    struct moat_heap *heap;
    void *block, *at;
    cr_assert_eq(preserve(base, PAGE), MOAT_OK);
    refuses(other, base, "another manager");
    refuses(other, ours, "another manager");
    cr_assert_eq(moat_placeholder_coalesce(other, base, 4 * PAGE), MOAT_NOT_OURS);
    cr_assert_eq(moat_placeholder_replace(other, base, PAGE, MOAT_PAGE_READWRITE, 0, &at),
                 MOAT_INVALID_ADDRESS);
    cr_assert_eq(moat_heap_create(manager, 0, &heap), MOAT_OK);
    cr_assert_eq(moat_heap_alloc(heap, 100000, &block), MOAT_OK);
    memset(block, 'b', 100000);
    refuses(manager, block, "belongs to a heap");
    cr_assert_eq(moat_decommit(manager, block, PAGE), MOAT_NOT_OURS);
    cr_assert_not_null(strstr(moat_last_error_text(), "belongs to a heap"));
    cr_assert_eq(moat_release(manager, block), MOAT_NOT_OURS);
    cr_assert(touch_all_bytes(block, 100000, 'b'));
    is_part(base, base + PAGE, MOAT_PAGE_NOACCESS);
    is_part(base + PAGE, base + 4 * PAGE, MOAT_PAGE_NOACCESS);
    cr_assert_eq(coalesce(base, 4 * PAGE), MOAT_OK);
    moat_heap_destroy(heap);
    moat_manager_destroy(other);
}
