/* SPDX-License-Identifier: MIT */
/*
 * Guard markers: they trap, take the content along, survive what they must, and split nothing.
 */
#define _GNU_SOURCE
#include "os/os.h"
#include "support/touch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE = MOAT_PAGE_BYTES, READ_WRITE = MOAT_OS_READ | MOAT_OS_WRITE };

/* Pages of 'x', readable and writable, or no test where there are no markers. */
static char *filled(size_t count) {
    struct moat_os_powers powers;
    moat_os_probe(&powers, true);
    if (!powers.guard_markers)
        cr_skip_test("this kernel has no guard markers");
    void *base;
    cr_assert_eq(moat_os_reserve(count * PAGE, PAGE, &base), 0);
    cr_assert_eq(moat_os_protect(base, count * PAGE, READ_WRITE), 0);
    memset(base, 'x', count * PAGE);
    return base;
}

Test(os_guard, a_marker_traps_exactly_its_pages) {
    char *base = filled(4);
    errno = 4711;
    cr_assert_eq(moat_os_guard_install(base + PAGE, 2 * PAGE), 0);
    cr_assert_eq(errno, 4711);
    cr_assert(touch_all_bytes(base, PAGE, 'x'));
    cr_assert_not(touch_reads(base + PAGE));
    cr_assert_not(touch_writes(base + PAGE));
    cr_assert_not(touch_reads(base + 3 * PAGE - 1));
    cr_assert(touch_all_bytes(base + 3 * PAGE, PAGE, 'x'));
    cr_assert(touch_kills(base + PAGE));
}

Test(os_guard, removing_a_marker_gives_zeroes_with_the_old_rights) {
    char *base = filled(2);
    cr_assert_eq(moat_os_guard_install(base, 2 * PAGE), 0);
    errno = 4711;
    cr_assert_eq(moat_os_guard_remove(base, PAGE), 0);
    cr_assert_eq(errno, 4711);
    cr_assert(touch_all_bytes(base, PAGE, 0));
    cr_assert(touch_writes(base));
    cr_assert_not(touch_reads(base + PAGE), "the other marker stays");
}

Test(os_guard, removing_takes_every_marker_of_the_range) {
    char *base = filled(8);
    cr_assert_eq(moat_os_guard_install(base, 8 * PAGE), 0);
    cr_assert_eq(moat_os_guard_remove(base + PAGE, 6 * PAGE), 0);
    cr_assert_not(touch_reads(base));
    cr_assert(touch_all_bytes(base + PAGE, 6 * PAGE, 0));
    cr_assert_not(touch_reads(base + 7 * PAGE));
}

Test(os_guard, markers_split_no_mapping) {
    char *base = filled(64);
    uint64_t count = moat_os_map_count();
    cr_assert_gt(count, 0);
    for (size_t i = 0; i < 64; i += 2)
        cr_assert_eq(moat_os_guard_install(base + i * PAGE, PAGE), 0);
    cr_assert_eq(moat_os_map_count(), count);
}

Test(os_guard, markers_survive_a_change_of_rights_and_a_discard) {
    char *base = filled(1);
    cr_assert_eq(moat_os_guard_install(base, PAGE), 0);
    cr_assert_eq(moat_os_protect(base, PAGE, MOAT_OS_NONE), 0);
    cr_assert_eq(moat_os_protect(base, PAGE, READ_WRITE), 0);
    cr_assert_not(touch_reads(base));
    cr_assert_eq(moat_os_discard(base, PAGE), 0);
    cr_assert_not(touch_reads(base));
}

Test(os_guard, markers_can_be_set_on_inaccessible_pages) {
    char *base = filled(1);
    cr_assert_eq(moat_os_protect(base, PAGE, MOAT_OS_NONE), 0);
    cr_assert_eq(moat_os_guard_install(base, PAGE), 0);
    cr_assert_eq(moat_os_protect(base, PAGE, READ_WRITE), 0);
    cr_assert_not(touch_reads(base));
    cr_assert_eq(moat_os_guard_remove(base, PAGE), 0);
    cr_assert(touch_all_bytes(base, PAGE, 0));
}

Test(os_guard, markers_hold_in_a_forked_child) {
    char *base = filled(1);
    cr_assert_eq(moat_os_guard_install(base, PAGE), 0);
    cr_assert(touch_kills(base), "the child of touch_kills reads it");
}

Test(os_guard, removing_where_there_is_no_marker_changes_nothing) {
    char *base = filled(1);
    cr_assert_eq(moat_os_guard_remove(base, PAGE), 0);
    cr_assert(touch_all_bytes(base, PAGE, 'x'));
}

Test(os_guard, locked_memory_refuses_markers_and_keeps_its_content) {
    char *base = filled(1);
    if (syscall(SYS_mlock, base, PAGE) != 0) /* sanitizers make libc's do nothing */
        cr_skip_test("no right to lock memory");
    errno = 4711;
    cr_assert_eq(moat_os_guard_install(base, PAGE), EINVAL);
    cr_assert_eq(errno, 4711);
    cr_assert(touch_all_bytes(base, PAGE, 'x'));
}

Test(os_guard, a_hole_is_no_memory) {
    char *base = filled(1);
    cr_assert_eq(moat_os_unreserve(base, PAGE), 0);
    cr_assert_eq(moat_os_guard_install(base, PAGE), ENOMEM);
    cr_assert_eq(moat_os_guard_remove(base, PAGE), ENOMEM);
}
