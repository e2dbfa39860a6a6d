/* SPDX-License-Identifier: MIT */
/*
 * reset: content that may go, and its way back. Could fail by an undo that calls lost what is there
 * or whole what is not, and by one after which the kernel still drops pages.
 */
#define _GNU_SOURCE
#include "support/regions.h"
#include "support/touch.h"

#include <moat/residency.h>

#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

enum { RW = MOAT_PAGE_READWRITE, RO = MOAT_PAGE_READONLY, PATTERN = 0x5A };

#define KINDS 3
static const char *const kinds[KINDS] = {"trap=auto", "trap=protect", "backend=mimalloc"};

static void reset(struct moat_manager *manager, void *address, size_t size) {
    cr_assert_eq(moat_reset(manager, address, size, RW, NULL), MOAT_OK, "%s",
                 moat_last_error_text());
}

/* Reclaim now, as a machine short of memory would. False where the kernel does not do so. */
static bool reclaim(void *address, size_t size) {
    return madvise(address, size, MADV_PAGEOUT) == 0;
}

/* Whether reclaim drops pages after a reset here. */
static bool reclaim_drops(struct moat_manager *manager) {
    unsigned char *base = reserved(manager, 16 * PAGE, true);
    memset(base, PATTERN, 16 * PAGE);
    reset(manager, base, 16 * PAGE);
    bool drops = reclaim(base, 16 * PAGE) && base[0] == 0;
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    return drops;
}

Test(vm_reset, undo_finds_everything_where_nothing_was_dropped) {
    for (unsigned kind = 0; kind < KINDS; kind++) {
        struct moat_manager *manager = manager_with(kinds[kind]);
        if (!manager)
            continue;
        unsigned char *base = reserved(manager, 600 * PAGE, true);
        void *start = NULL;
        memset(base, PATTERN, 600 * PAGE);
        memset(base + 7 * PAGE, 0, 2 * PAGE); /* zeroes of its own */
        base[9 * PAGE - 1] = 1;
        memset(base + 599 * PAGE, 0, PAGE);
        reset(manager, base, 600 * PAGE);
        enum moat_status status = moat_reset_undo(manager, base + 9, 600 * PAGE - 9, RW, &start);
        if (base[0] == 0)
            cr_skip_test("this machine dropped pages at once");
        cr_assert_eq(status, MOAT_OK, "%s", moat_last_error_text());
        cr_assert_eq(start, base);
        (void)reclaim(base, 600 * PAGE);
        cr_assert(touch_all_bytes(base, 7 * PAGE, PATTERN), "not dropped after the undo either");
        cr_assert(touch_all_bytes(base + 7 * PAGE, 2 * PAGE - 1, 0));
        cr_assert_eq(base[9 * PAGE - 1], 1);
        cr_assert(touch_all_bytes(base + 9 * PAGE, 590 * PAGE, PATTERN));
        moat_manager_destroy(manager);
    }
}

Test(vm_reset, undo_tells_what_was_dropped) {
    for (unsigned kind = 0; kind < KINDS; kind++) {
        struct moat_manager *manager = manager_with(kinds[kind]);
        if (!manager)
            continue;
        if (!reclaim_drops(manager))
            cr_skip_test("nothing makes this kernel drop pages");
        unsigned char *base = reserved(manager, 64 * PAGE, true);
        memset(base, PATTERN, 64 * PAGE);
        reset(manager, base, 64 * PAGE);
        cr_assert(reclaim(base + 20 * PAGE, PAGE));
        base[40 * PAGE] = 7; /* written again, and so kept */
        cr_assert_eq(moat_reset_undo(manager, base, 64 * PAGE, RW, NULL), MOAT_CONTENT_LOST);
        cr_assert_neq(moat_last_error_text()[0], '\0');
        cr_assert(touch_all_bytes(base + 20 * PAGE, PAGE, 0));
        (void)reclaim(base, 64 * PAGE);
        cr_assert(touch_all_bytes(base, 20 * PAGE, PATTERN), "the others were kept");
        cr_assert_eq(base[40 * PAGE], 7);
        cr_assert(touch_all_bytes(base + 41 * PAGE, 23 * PAGE, PATTERN));
        cr_assert_eq(moat_reset_undo(manager, base, 20 * PAGE, RW, NULL), MOAT_OK);

        static const size_t dropped[] = {0, 63}; /* at either end */
        for (unsigned i = 0; i < 2; i++) {
            memset(base, PATTERN, 64 * PAGE);
            reset(manager, base, 64 * PAGE);
            cr_assert(reclaim(base + dropped[i] * PAGE, PAGE));
            cr_assert_eq(moat_reset_undo(manager, base, 64 * PAGE, RW, NULL), MOAT_CONTENT_LOST);
        }
        moat_manager_destroy(manager);
    }
}

Test(vm_reset, undo_without_a_reset) {
    struct moat_manager *manager = manager_with("trap=auto");
    unsigned char *base = reserved(manager, 8 * PAGE, true);
    base[0] = 1;
    cr_assert_eq(moat_reset_undo(manager, base, PAGE, RW, NULL), MOAT_OK);
    cr_assert_eq(moat_reset_undo(manager, base, 2 * PAGE, RW, NULL), MOAT_CONTENT_LOST,
                 "never written");
    cr_assert_eq(base[PAGE], 0);
    cr_assert_eq(moat_reset_undo(manager, base, 2 * PAGE, RW, NULL), MOAT_CONTENT_LOST,
                 "nor now, though read");
    base[PAGE] = 0;
    cr_assert_eq(moat_reset_undo(manager, base, 2 * PAGE, RW, NULL), MOAT_OK, "zero, but written");
    cr_assert_eq(moat_decommit(manager, base + 2 * PAGE, 6 * PAGE), MOAT_OK);
    cr_assert_eq(moat_reset_undo(manager, base, 8 * PAGE, RW, NULL), MOAT_OK,
                 "uncommitted pages have nothing to lose");
    cr_assert_eq(info_of(base + 2 * PAGE).state, MOAT_STATE_RESERVED);
}

Test(vm_reset, undo_looks_at_pages_of_any_protection) {
    static const uint32_t protections[] = {RO, MOAT_PAGE_EXECUTE_READ, MOAT_PAGE_EXECUTE,
                                           MOAT_PAGE_EXECUTE_READWRITE};
    for (int rung = 0; rung < RUNGS; rung++)
        for (unsigned i = 0; i < sizeof protections / sizeof protections[0]; i++) {
            struct moat_manager *manager = manager_with(rungs[rung]);
            unsigned char *base = reserved(manager, 8 * PAGE, true);
            bool writable = protections[i] == MOAT_PAGE_EXECUTE_READWRITE;
            memset(base, PATTERN, 8 * PAGE);
            cr_assert_eq(moat_commit(manager, base + PAGE, 3 * PAGE, protections[i], NULL),
                         MOAT_OK);
            reset(manager, base, 8 * PAGE);
            cr_assert_eq(moat_reset_undo(manager, base, 8 * PAGE, RW, NULL), MOAT_OK, "%s",
                         moat_last_error_text());
            cr_assert_eq(info_of(base + PAGE).protection, protections[i]);
            cr_assert_eq(touch_writes(base + PAGE), writable, "and the kernel says so, too");
            (void)reclaim(base, 8 * PAGE);
            cr_assert(touch_all_bytes(base + 2 * PAGE, 2 * PAGE, PATTERN));
            moat_manager_destroy(manager);
        }
}

Test(vm_reset, undo_refuses_what_it_cannot_look_at) {
    static const uint32_t closed[] = {MOAT_PAGE_NOACCESS, RW | MOAT_PAGE_GUARD};
    struct moat_manager *manager = manager_with("trap=auto");
    struct moat_manager *other = manager_with("trap=auto");
    unsigned char *base = reserved(manager, 8 * PAGE, true);
    memset(base, PATTERN, 8 * PAGE);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(moat_commit(manager, base + 5 * PAGE, PAGE, closed[i], NULL), MOAT_OK);
        cr_assert_eq(moat_reset_undo(manager, base, 8 * PAGE, RW, NULL), MOAT_NO_ACCESS);
        cr_assert_eq(info_of(base + 5 * PAGE).protection, closed[i]);
        cr_assert_not(touch_reads(base + 5 * PAGE));
    }
    cr_assert_eq(moat_reset_undo(manager, base, 9 * PAGE, RW, NULL), MOAT_INVALID_ADDRESS);
    cr_assert_eq(moat_reset_undo(other, base, PAGE, RW, NULL), MOAT_INVALID_ADDRESS);
    cr_assert_eq(moat_reset_undo(manager, base, 0, RW, NULL), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_reset_undo(manager, base, PAGE, 0, NULL), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_reset_undo(NULL, base, PAGE, RW, NULL), MOAT_NO_ACCESS);
}

Test(vm_reset, discarded_pages_read_as_zero) {
    for (unsigned kind = 0; kind < KINDS; kind++) {
        struct moat_manager *manager = manager_with(kinds[kind]);
        if (!manager)
            continue;
        unsigned char *base = reserved(manager, 8 * PAGE, true);
        memset(base, PATTERN, 8 * PAGE);
        cr_assert_eq(moat_commit(manager, base + 3 * PAGE, PAGE, RO, NULL), MOAT_OK);
        cr_assert_eq(moat_discard(manager, base + 2 * PAGE, 4 * PAGE), MOAT_OK, "%s",
                     moat_last_error_text());
        cr_assert(touch_all_bytes(base + 2 * PAGE, 4 * PAGE, 0));
        cr_assert(touch_all_bytes(base, 2 * PAGE, PATTERN));
        cr_assert(touch_all_bytes(base + 6 * PAGE, 2 * PAGE, PATTERN));
        cr_assert_eq(info_of(base + 3 * PAGE).protection, RO);
        cr_assert(page_is(base + 2 * PAGE, true, true));
        cr_assert_eq(moat_lock_pages(manager, base, 8 * PAGE), MOAT_OK);
        cr_assert_eq(moat_discard(manager, base, 2 * PAGE), MOAT_OK, "locked, too");
        cr_assert(touch_all_bytes(base, 2 * PAGE, 0));
        cr_assert_eq(stats_of(manager).poison_damage, 0);
        moat_manager_destroy(manager);
    }
}

Test(vm_reset, discard_wants_whole_committed_pages) {
    struct moat_manager *manager = manager_with("trap=auto");
    unsigned char *base = reserved(manager, 8 * PAGE, true);
    memset(base, PATTERN, 8 * PAGE);
    cr_assert_eq(moat_decommit(manager, base + 4 * PAGE, PAGE), MOAT_OK);
    cr_assert_eq(moat_discard(manager, base, 6 * PAGE), MOAT_INVALID_ADDRESS);
    cr_assert_eq(moat_discard(manager, base + 6 * PAGE, 3 * PAGE), MOAT_INVALID_ADDRESS);
    cr_assert_eq(moat_discard(manager, base + 1, PAGE), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_discard(manager, base, PAGE + 1), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_discard(manager, base, 0), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_discard(NULL, base, PAGE), MOAT_NO_ACCESS);
    cr_assert(touch_all_bytes(base, 4 * PAGE, PATTERN));
}
