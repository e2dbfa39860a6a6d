/* SPDX-License-Identifier: MIT */
/*
 * Once corruption was found, every call that takes memory or changes some says so and does nothing.
 * A call that forgot to ask would follow books that are known to be wrong, so each stands here; the
 * ones that vm_latch tries after each of its causes are not repeated.
 */
#define _GNU_SOURCE
#include "support/regions.h"

#include <moat/code.h>
#include <moat/describe.h>
#include <moat/heap.h>
#include <moat/numa.h>
#include <moat/placeholder.h>
#include <moat/placement.h>
#include <moat/residency.h>
#include <moat/space.h>
#include <moat/watch.h>

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <string.h>
#include <sys/mman.h>

TestSuite(vm_latch_calls, .init = cr_redirect_stderr, .timeout = 600);

static struct moat_manager *manager;
static struct moat_heap *heap;
static struct moat_code_heap *code_heap;
static struct moat_code_block code;
static unsigned char *base;
static void *block, *large_block, *foreign;

/* Whatever the calls need, made before; then pages are taken away behind Moat's back. */
static void scene(void) {
    manager = manager_with("");
    base = reserved(manager, 16 * PAGE, true);
    foreign = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(foreign, MAP_FAILED);
    cr_assert_eq(moat_heap_create(manager, 0, &heap), MOAT_OK);
    cr_assert_eq(moat_heap_alloc(heap, 100, &block), MOAT_OK);
    cr_assert_eq(moat_heap_alloc(heap, 4 * GRANULE, &large_block), MOAT_OK);
    cr_assert_eq(moat_code_heap_create(manager, BLOCK, NULL, &code_heap), MOAT_OK);
    cr_assert_eq(moat_code_alloc(code_heap, PAGE, &code), MOAT_OK);

    unsigned char *broken = reserved(manager, 16 * PAGE, true);
    cr_assert_eq(munmap(broken + 4 * PAGE, PAGE), 0);
    cr_assert_eq(moat_release(manager, broken), MOAT_CORRUPT);
    memset(base, 42, 16 * PAGE);
}

static void is_refused(enum moat_status status, const char *call) {
    cr_assert_eq(status, MOAT_UNAVAILABLE, "%s: %s", call, moat_status_describe(status)->name);
    cr_assert(strstr(moat_last_error_text(), "corruption was found before"), "%s: %s", call,
              moat_last_error_text());
}

Test(vm_latch_calls, heaps_hand_out_and_take_back_nothing) {
    void *other = NULL;

    scene();
    is_refused(moat_heap_alloc(heap, 100, &other), "a small block");
    cr_assert_null(other);
    is_refused(moat_heap_alloc(heap, BLOCK, &other), "a large block");
    is_refused(moat_heap_free(heap, block), "free");
    is_refused(moat_heap_free(heap, large_block), "free of a large block");
}

Test(vm_latch_calls, code_heaps_do_nothing) {
    struct moat_code_heap *second = NULL;
    struct moat_code_block other;

    scene();
    is_refused(moat_code_heap_create(manager, BLOCK, NULL, &second), "code heap create");
    cr_assert_null(second);
    is_refused(moat_code_alloc(code_heap, PAGE, &other), "code alloc");
    is_refused(moat_code_publish(code_heap, code.execute), "code publish");
    is_refused(moat_code_seal(code_heap, code.execute), "code seal");
    is_refused(moat_code_free(code_heap, code.execute), "code free");
}

Test(vm_latch_calls, regions_are_left_as_they_are) {
    void *start = base, *pages[1];
    size_t count = 1, before = 1, after = 1;

    scene();
    is_refused(moat_reserve_near(manager, NULL, PAGE, MOAT_PAGE_READWRITE, 0, 0, &start), "near");
    is_refused(moat_reserve(manager, NULL, BLOCK, MOAT_PAGE_READWRITE,
                            MOAT_RESERVE_COMMIT | MOAT_RESERVE_LARGE_PAGES, &start),
               "large pages");
    cr_assert_null(start);
    is_refused(moat_watch_get(manager, 0, base, PAGE, pages, &count), "watch");
    is_refused(moat_watch_reset(manager, base, PAGE), "watch reset");
    is_refused(moat_reset_undo(manager, base, PAGE, MOAT_PAGE_READWRITE, NULL), "reset undo");
    is_refused(moat_discard(manager, base, PAGE), "discard");
    is_refused(moat_lock_pages(manager, base, PAGE), "lock pages");
    is_refused(moat_unlock_pages(manager, base, PAGE), "unlock pages");
    is_refused(moat_guard_verify(manager, base, &before, &after), "guard verify");
    for (unsigned i = 0; i < 16 * PAGE; i++)
        cr_assert_eq(base[i], 42);
}

Test(vm_latch_calls, address_space_stays_whose_it_is) {
    struct moat_description told;
    void *start = base;

    scene();
    is_refused(moat_placeholder_reserve(manager, NULL, GRANULE, 0, NULL, &start), "placeholder");
    is_refused(moat_placeholder_replace(manager, base, GRANULE, MOAT_PAGE_READWRITE, 0, &start),
               "replace");
    is_refused(moat_placeholder_preserve(manager, base, GRANULE), "preserve");
    is_refused(moat_placeholder_coalesce(manager, base, GRANULE), "coalesce");
    is_refused(moat_adopt(manager, foreign, PAGE), "adopt");
    is_refused(moat_disown(manager, foreign), "disown");
    is_refused(moat_trim(NULL, 0, NULL), "trim");
    is_refused(moat_flush(manager), "flush");
    cr_assert_eq(moat_describe_address(base, &told), MOAT_UNAVAILABLE, "it leaves no text");
}
