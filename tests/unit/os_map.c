/* SPDX-License-Identifier: MIT */
/*
 * Reserving, protecting, dropping and giving back, each looked at from outside: by the maps of the
 * process and by whether a page can be touched.
 */
#define _GNU_SOURCE
#include "os/os.h"
#include "support/smaps.h"
#include "support/touch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE = MOAT_PAGE_BYTES, READ_WRITE = MOAT_OS_READ | MOAT_OS_WRITE };

static char *reserved(size_t size, size_t alignment) {
    void *base = NULL;
    errno = 4711;
    cr_assert_eq(moat_os_reserve(size, alignment, &base), 0);
    cr_assert_eq(errno, 4711, "errno of the caller is preserved");
    return base;
}

static struct moat_os_mapping mapping_at(const void *address) {
    struct moat_os_mapping mapping;
    cr_assert_eq(moat_os_query((uintptr_t)address, &mapping), 0);
    return mapping;
}

static bool covers(const void *start, size_t size) {
    struct moat_os_mapping mapping = mapping_at(start);
    return mapping.mapped && mapping.end >= (uintptr_t)start + size;
}

Test(os_map, reserved_pages_cannot_be_touched) {
    char *base = reserved(16 * PAGE, PAGE);
    cr_assert(covers(base, 16 * PAGE));
    cr_assert_eq(mapping_at(base).access, MOAT_OS_NONE);
    cr_assert_not(touch_reads(base));
    cr_assert_not(touch_writes(base + 16 * PAGE - 1));
    cr_assert(touch_kills(base));
    cr_assert_eq(moat_os_unreserve(base, 16 * PAGE), 0);
}

/* Page-sized blocks in between keep the kernel's own choice from being aligned by luck. */
Test(os_map, every_alignment_is_met_and_nothing_else_is_kept) {
    for (size_t alignment = PAGE; alignment <= (size_t)1 << 30; alignment *= 2) {
        char *filler = reserved(PAGE, PAGE);
        cr_assert_eq(moat_os_protect(filler, PAGE, MOAT_OS_READ), 0);
        char *base = reserved(3 * PAGE, alignment);
        cr_assert_eq((uintptr_t)base % alignment, 0, "alignment %zu", alignment);
        /* Access of its own, so that the range does not merge with what is around it. */
        cr_assert_eq(moat_os_protect(base, 3 * PAGE, MOAT_OS_READ | MOAT_OS_EXECUTE), 0);
        struct moat_os_mapping mapping = mapping_at(base);
        cr_assert_eq(mapping.start, (uintptr_t)base);
        cr_assert_eq(mapping.end, (uintptr_t)base + 3 * PAGE);
        struct moat_os_mapping after = mapping_at(base + 3 * PAGE);
        cr_assert(!after.mapped || after.access != MOAT_OS_NONE || alignment <= PAGE,
                  "alignment %zu left its slack behind", alignment);
        cr_assert_eq(moat_os_unreserve(base, 3 * PAGE), 0);
    }
}

Test(os_map, impossible_sizes_are_refused) {
    void *base = &base;
    cr_assert_eq(moat_os_reserve(SIZE_MAX - PAGE + 1, (size_t)1 << 20, &base), ENOMEM);
    cr_assert_eq(moat_os_reserve((size_t)1 << 50, PAGE, &base), ENOMEM);
    cr_assert_eq(base, &base, "a refusal changes nothing");
}

Test(os_map, reserve_at_takes_exactly_the_range_asked_for) {
    char *base = reserved(8 * PAGE, PAGE);
    cr_assert_eq(moat_os_unreserve(base, 8 * PAGE), 0);
    cr_assert_eq(moat_os_reserve_at(base + PAGE, 2 * PAGE), 0);
    cr_assert(covers(base + PAGE, 2 * PAGE));
    cr_assert_not(touch_reads(base + PAGE));
    cr_assert_eq(moat_os_unreserve(base + PAGE, 2 * PAGE), 0);
}

Test(os_map, reserve_at_refuses_any_overlap_and_keeps_what_is_there) {
    char *base = reserved(4 * PAGE, PAGE);
    cr_assert_eq(moat_os_protect(base, 4 * PAGE, READ_WRITE), 0);
    memset(base, 'x', 4 * PAGE);
    errno = 4711;
    cr_assert_eq(moat_os_reserve_at(base, 4 * PAGE), EEXIST);
    cr_assert_eq(moat_os_reserve_at(base + 3 * PAGE, 4 * PAGE), EEXIST);
    cr_assert_eq(moat_os_reserve_at(base - 3 * PAGE, 4 * PAGE), EEXIST);
    cr_assert_eq(errno, 4711);
    cr_assert(touch_all_bytes(base, 4 * PAGE, 'x'));
}

Test(os_map, reserve_at_refuses_where_no_process_may_map) {
    cr_assert_neq(moat_os_reserve_at((void *)0x7FFFFFFFF000, 2 * PAGE), 0);
    cr_assert_neq(moat_os_reserve_at((void *)0xFFFF800000000000, PAGE), 0);
}

Test(os_map, unreserve_leaves_a_hole) {
    char *base = reserved(64 * PAGE, (size_t)1 << 21);
    cr_assert_eq(moat_os_protect(base, 64 * PAGE, READ_WRITE), 0);
    cr_assert(covers(base, 64 * PAGE));
    cr_assert_eq(moat_os_unreserve(base, 64 * PAGE), 0);
    struct moat_os_mapping mapping = mapping_at(base);
    cr_assert_not(mapping.mapped);
    cr_assert_geq(mapping.end, (uintptr_t)base + 64 * PAGE);
    cr_assert_not(touch_reads(base));
}

Test(os_map, protect_gives_exactly_the_rights_asked_for) {
    char *base = reserved(PAGE, PAGE);
    static const unsigned rights[] = {READ_WRITE,
                                      MOAT_OS_READ,
                                      MOAT_OS_READ | MOAT_OS_EXECUTE,
                                      MOAT_OS_EXECUTE,
                                      READ_WRITE | MOAT_OS_EXECUTE,
                                      MOAT_OS_NONE};
    for (size_t i = 0; i < sizeof rights / sizeof rights[0]; i++) {
        errno = 4711;
        cr_assert_eq(moat_os_protect(base, PAGE, rights[i]), 0);
        cr_assert_eq(errno, 4711);
        cr_assert_eq(mapping_at(base).access, rights[i], "rights %u", rights[i]);
        cr_assert_eq(touch_writes(base), (rights[i] & MOAT_OS_WRITE) != 0, "rights %u", rights[i]);
        if (rights[i] != MOAT_OS_EXECUTE) /* without protection keys, that reads as well */
            cr_assert_eq(touch_reads(base), (rights[i] & MOAT_OS_READ) != 0, "rights %u",
                         rights[i]);
    }
}

Test(os_map, protect_keeps_content) {
    char *base = reserved(2 * PAGE, PAGE);
    cr_assert_eq(moat_os_protect(base, 2 * PAGE, READ_WRITE), 0);
    memset(base, 'x', 2 * PAGE);
    cr_assert_eq(moat_os_protect(base, 2 * PAGE, MOAT_OS_NONE), 0);
    cr_assert_eq(moat_os_protect(base, 2 * PAGE, MOAT_OS_READ), 0);
    cr_assert(touch_all_bytes(base, 2 * PAGE, 'x'));
}

Test(os_map, protect_of_a_hole_is_no_memory) {
    char *base = reserved(PAGE, PAGE);
    cr_assert_eq(moat_os_unreserve(base, PAGE), 0);
    errno = 4711;
    cr_assert_eq(moat_os_protect(base, PAGE, MOAT_OS_READ), ENOMEM);
    cr_assert_eq(errno, 4711);
}

Test(os_map, discard_zeroes_and_leaves_the_neighbours_alone) {
    char *base = reserved(4 * PAGE, PAGE);
    cr_assert_eq(moat_os_protect(base, 4 * PAGE, READ_WRITE), 0);
    memset(base, 'x', 4 * PAGE);
    cr_assert_eq(moat_os_discard(base + PAGE, 2 * PAGE), 0);
    cr_assert(touch_all_bytes(base, PAGE, 'x'));
    cr_assert(touch_all_bytes(base + PAGE, 2 * PAGE, 0));
    cr_assert(touch_all_bytes(base + 3 * PAGE, PAGE, 'x'));
}

Test(os_map, discard_works_under_no_access) {
    char *base = reserved(PAGE, PAGE);
    cr_assert_eq(moat_os_protect(base, PAGE, READ_WRITE), 0);
    memset(base, 'x', PAGE);
    cr_assert_eq(moat_os_protect(base, PAGE, MOAT_OS_NONE), 0);
    cr_assert_eq(moat_os_discard(base, PAGE), 0);
    cr_assert_eq(moat_os_protect(base, PAGE, MOAT_OS_READ), 0);
    cr_assert(touch_all_bytes(base, PAGE, 0));
}

Test(os_map, discard_works_on_locked_memory) {
    char *base = reserved(PAGE, PAGE);
    cr_assert_eq(moat_os_protect(base, PAGE, READ_WRITE), 0);
    if (syscall(SYS_mlock, base, PAGE) != 0) /* sanitizers make libc's do nothing */
        cr_skip_test("no right to lock memory");
    memset(base, 'x', PAGE);
    errno = 4711;
    cr_assert_eq(moat_os_discard(base, PAGE), 0);
    cr_assert_eq(errno, 4711);
    cr_assert(touch_all_bytes(base, PAGE, 0));
}

Test(os_map, reset_leaves_old_content_or_zeroes_and_new_writes_stay) {
    char *base = reserved(2 * PAGE, PAGE);
    cr_assert_eq(moat_os_protect(base, 2 * PAGE, READ_WRITE), 0);
    memset(base, 'x', 2 * PAGE);
    cr_assert_eq(moat_os_reset(base, 2 * PAGE), 0);
    cr_assert(touch_all_bytes(base, PAGE, 'x') || touch_all_bytes(base, PAGE, 0));
    base[PAGE] = 'y';
    cr_assert_eq(base[PAGE], 'y');
}

Test(os_map, dumps_can_be_switched_off_and_on) {
    char *base = reserved(PAGE, PAGE);
    cr_assert_eq(moat_os_protect(base, PAGE, READ_WRITE), 0);
    cr_assert_not(smaps_flag(base, "dd"));
    cr_assert_eq(moat_os_dump_exclude(base, PAGE), 0);
    cr_assert(smaps_flag(base, "dd"));
    cr_assert_eq(moat_os_dump_include(base, PAGE), 0);
    cr_assert_not(smaps_flag(base, "dd"));
}

/* What can never be backed is refused when it is asked for, not when it is touched. */
Test(os_map, a_commit_beyond_the_machine_is_refused) {
    char mode = '0';
    FILE *file = fopen("/proc/sys/vm/overcommit_memory", "r");
    if (file != NULL) {
        mode = (char)fgetc(file);
        fclose(file);
    }
    if (mode == '1')
        cr_skip_test("this machine overcommits without limit");
    size_t size = (size_t)1 << 45;
    char *base = reserved(size, PAGE);
    cr_assert_eq(moat_os_protect(base, size, READ_WRITE), ENOMEM);
    cr_assert_eq(moat_os_unreserve(base, size), 0);
}
