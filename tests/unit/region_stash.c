/* SPDX-License-Identifier: MIT */
/*
 * stash: memory of large regions that moves on to those that come, whatever a program did to its
 * pages on its own, and whichever limits it has or gets.
 *
 * Each test first uses regions up until memory moves, and is a process of its own. Whether memory
 * can move here the kernel is asked: a Moat that moves none fails.
 */
#define _GNU_SOURCE
#include "region/arena.h"
#include "region/pages.h"
#include "region/stash.h"
#include "support/keeps.h"
#include "support/regions.h"
#include "support/touch.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum { SIZE = 3 << 20, OFTEN = 40, RW = MOAT_PAGE_READWRITE };

static struct moat_manager *manager;

static unsigned char *filled(size_t size) {
    unsigned char *base = reserved(manager, size, true);
    cr_assert(touch_all_bytes(base, size, 0), "content is seen again");
    memset(base, 0xA5, size);
    return base;
}

static void release(void *base) {
    cr_assert_eq(moat_release(manager, base), MOAT_OK, "%s", moat_last_error_text());
}

static void start(void) {
    stay_on_one_processor();
    manager = manager_with("");
    for (unsigned i = 0; i < OFTEN; i++)
        release(filled(SIZE));
    if (!memory_can_move())
        cr_skip("nothing moves on this kernel");
    cr_assert_gt(moat_stash_mend(), 0);
}

TestSuite(region_stash, .init = start);

/* Whoever reserves parts of them by name finds a byte a page: nobody makes them beside him. */
Test(region_stash, blocks_that_may_be_shared_have_a_byte_a_page) {
    unsigned char *base = filled(SIZE);
    struct moat_space *arena = moat_arena_of((uintptr_t)base);

    for (unsigned keep = 0; keep < 2; keep++) {
        if (keep) /* without a move */
            cr_assert_eq(moat_decommit(manager, base, PAGE), MOAT_OK);
        release(base);
        for (uintptr_t at = (uintptr_t)base; at < (uintptr_t)base + SIZE; at += BLOCK) {
            size_t block = moat_space_block(arena, at);
            cr_assert(moat_pages_block(arena, block) == MOAT_BLOCK_CLOSED ||
                          moat_pages_mixed(arena, block),
                      "block %zu", block);
        }
        base = filled(SIZE);
        arena = moat_arena_of((uintptr_t)base);
    }
}

Test(region_stash, memory_that_cannot_be_written_any_more_is_dropped) {
    static const int rights[] = {PROT_READ, PROT_NONE};

    for (unsigned i = 0; i < 2; i++) {
        unsigned char *base = filled(SIZE);
        cr_assert_eq(mprotect(base, SIZE, rights[i]), 0);
        release(base);
        for (unsigned cycle = 0; cycle < 3; cycle++)
            release(filled(SIZE));
    }
}

static int set_limit(bool data, const struct rlimit *to) {
    return data ? setrlimit(RLIMIT_DATA, to) : setrlimit(RLIMIT_AS, to);
}

/* The kernel asks for room when it has already taken away what was there. */
static void limit(bool data) {
    unsigned char *before = filled(SIZE), *after = NULL;
    struct rlimit was, now = {0};

    cr_assert_eq(data ? getrlimit(RLIMIT_DATA, &was) : getrlimit(RLIMIT_AS, &was), 0);
    now = (struct rlimit){.rlim_cur = (rlim_t)1 << 20, .rlim_max = was.rlim_max};
    cr_assert_eq(set_limit(data, &now), 0);
    enum moat_status gone = moat_release(manager, before);
    enum moat_status come =
        moat_reserve(manager, NULL, SIZE, RW, MOAT_RESERVE_COMMIT, (void **)&after);
    cr_assert_eq(set_limit(data, &was), 0);
    cr_assert_eq(gone, MOAT_OK);
    cr_assert(come == MOAT_OK || come == MOAT_NO_MEMORY || come == MOAT_COMMIT_LIMIT, "%d", come);
    cr_assert(come == MOAT_OK || data, "rights cost no address space");
    if (after)
        release(after);
    for (unsigned cycle = 0; cycle < 3; cycle++)
        release(filled(SIZE));
}

Test(region_stash, no_hole_is_left_where_address_space_is_limited) {
    limit(false);
}

Test(region_stash, no_hole_is_left_where_data_is_limited) {
    limit(true);
}
