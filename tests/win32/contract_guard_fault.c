/* SPDX-License-Identifier: MIT */
/*
 * contract_guard_fault: what the first access to a guard page does, and the second.
 *
 * Could fail by a guard that goes off for its neighbours too, that survives its access, or that is
 * told of when VirtualProtect or MEM_DECOMMIT has taken it away.
 */
#include "support/guard.h"

#include <stdatomic.h>

#define GUARDED (PAGE_READWRITE | PAGE_GUARD)

static void accesses(void) {
    BYTE *base = reserve_commit(8 * PAGE, PAGE_READWRITE);
    struct touched touched;
    DWORD old = 0;

    base[3 * PAGE + 5] = 0x42;
    row("fault_arm", true, !!VirtualProtect(base + 2 * PAGE, 4 * PAGE, GUARDED, &old));
    touched = touch_read(base + 3 * PAGE + 5);
    row("fault_read_is_told", 1, touched.guards);
    row("fault_read_access", ACCESS_READ, touched.access);
    row("fault_read_address", 3 * PAGE + 5, offset_of(base, (void *)touched.guard));
    row("fault_read_goes_on", false, touched.violated);
    row("fault_read_content", 0x42, base[3 * PAGE + 5]);
    row("fault_drops_the_guard", PAGE_READWRITE, protect_of(base + 3 * PAGE));
    row("fault_of_that_page_only", PAGE, run_of(base + 3 * PAGE));
    row("fault_keeps_the_one_before", GUARDED, protect_of(base + 2 * PAGE));
    row("fault_keeps_the_one_behind", GUARDED, protect_of(base + 4 * PAGE));
    row("fault_allocation_protect", PAGE_READWRITE, query(base + 3 * PAGE).AllocationProtect);
    row("fault_once_only", 0, touch_read(base + 3 * PAGE).guards);

    touched = touch_write(base + 5 * PAGE - 1);
    row("fault_write_is_told", 1, touched.guards);
    row("fault_write_access", ACCESS_WRITE, touched.access);
    row("fault_write_address", 5 * PAGE - 1, offset_of(base, (void *)touched.guard));
    row("fault_write_goes_on", 0xA5, base[5 * PAGE - 1]);

    row("fault_rearm", true, !!VirtualProtect(base + 3 * PAGE, PAGE, GUARDED, &old));
    row("fault_rearm_old", PAGE_READWRITE, old);
    row("fault_again", 1, touch_write(base + 3 * PAGE).guards);
    release(base);
}

static void after_the_guard(void) {
    BYTE *base = reserve_commit(3 * PAGE, PAGE_READONLY | PAGE_GUARD);
    struct touched touched = touch_write(base);

    row("fault_read_only_guard_first", 1, touched.guards);
    row("fault_read_only_then_violation", true, touched.violated);
    touched = touch_write(base);
    row("fault_read_only_second_no_guard", 0, touched.guards);
    row("fault_read_only_second_violation", true, touched.violated);
    touched = touch_read(base + PAGE);
    row("fault_read_only_read", 1, touched.guards);
    row("fault_read_only_read_goes_on", false, touched.violated);
    row("fault_read_only_reported", PAGE_READONLY, protect_of(base + PAGE));
    row("fault_alloc_protect_keeps_guard", PAGE_READONLY | PAGE_GUARD,
        query(base).AllocationProtect);
    release(base);
}

static void taken_away(void) {
    BYTE *base = reserve_commit(4 * PAGE, GUARDED);
    DWORD old = 0;

    row("fault_protect_old", true, !!VirtualProtect(base, PAGE, PAGE_READWRITE, &old));
    row("fault_protect_reports_guard", GUARDED, old);
    row("fault_protected_away", 0, touch_write(base).guards);
    row("fault_decommit", 0, free_error(base + PAGE, PAGE, MEM_DECOMMIT));
    row("fault_decommitted_no_guard", 0, touch_read(base + PAGE).guards);
    row("fault_decommitted_violation", true, touch_read(base + PAGE).violated);
    commit(base + PAGE, PAGE, PAGE_READWRITE);
    row("fault_recommitted_no_guard", 0, touch_write(base + PAGE).guards);
    (void)query(base + 2 * PAGE);
    row("fault_query_leaves_it", GUARDED, protect_of(base + 2 * PAGE));
    row("fault_query_left_it_armed", 1, touch_read(base + 2 * PAGE).guards);

    /* Locking counts as an access, and tells by its error. */
    SetLastError(0);
    row("fault_lock_fails", false, !!VirtualLock(base + 3 * PAGE, PAGE));
    row("fault_lock_err", STATUS_GUARD_PAGE_VIOLATION, GetLastError());
    row("fault_lock_drops_it", PAGE_READWRITE, protect_of(base + 3 * PAGE));
    row("fault_lock_again", true, !!VirtualLock(base + 3 * PAGE, PAGE));
    release(base);
}

#define RACERS 4
#define PAGES  32

static void touch_all(void *argument) {
    BYTE *base = *(BYTE **)argument;
    for (SIZE_T page = 0; page < PAGES; page++)
        (void)touch_write(base + page * PAGE);
}

static void races(void) {
    for (unsigned round = 0; round < 20; round++) {
        BYTE *base = reserve_commit(PAGES * PAGE, GUARDED);
        unsigned before = guard_count();
        run_threads(RACERS, NULL, touch_all, &base, 0);
        row("fault_race_each_guard_once", PAGES, guard_count() - before);
        release(base);
    }
}

int main(void) {
    guard_start();
    accesses();
    after_the_guard();
    taken_away();
    races();
    return contract_end();
}
