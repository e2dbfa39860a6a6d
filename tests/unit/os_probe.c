/* SPDX-License-Identifier: MIT */
/*
 * The probe must say what a plain attempt shows, and leave no trace. What it says of kernels that
 * lie is tested by injected failures (fault/os_calls).
 */
#define _GNU_SOURCE
#include "os/os.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct moat_os_powers probed(void) {
    struct moat_os_powers powers;
    errno = 4711;
    moat_os_probe(&powers, true);
    cr_assert_eq(errno, 4711);
    return powers;
}

static unsigned long long setting(const char *path) {
    unsigned long long value = 0;
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    cr_assert_eq(fscanf(file, "%llu", &value), 1);
    fclose(file);
    return value;
}

Test(os_probe, settings_are_those_of_the_kernel) {
    cr_assert_eq(moat_os_map_limit(), setting("/proc/sys/vm/max_map_count"));
    cr_assert_eq(moat_os_strict_overcommit(), setting("/proc/sys/vm/overcommit_memory") == 2);
}

/* Length 0 asks whether advice is known at all: a kernel that knows markers must pass the probe. */
Test(os_probe, markers_are_found_where_the_kernel_knows_them) {
    cr_assert_eq(probed().guard_markers, madvise(NULL, 0, 102) == 0);
}

Test(os_probe, discarding_zeroes_on_any_real_kernel) {
    cr_assert(probed().discard_zeroes);
}

Test(os_probe, leaves_no_mapping_and_no_file_behind) {
    struct moat_os_powers powers = probed();
    uint64_t mappings = moat_os_map_count();
    int before = dup(0);
    close(before);
    for (int i = 0; i < 10; i++)
        powers = probed();
    int after = dup(0);
    close(after);
    cr_assert_eq(moat_os_map_count(), mappings);
    cr_assert_eq(after, before);
    (void)powers;
}

/* Everything is locked from now on, which takes no markers: a power of the process, not only of the
 * kernel. */
Test(os_probe, a_process_that_locks_all_memory_has_no_markers) {
    if (syscall(SYS_mlockall, MCL_FUTURE) != 0) /* sanitizers make libc's do nothing */
        cr_skip_test("no right to lock memory");
    struct moat_os_powers powers = probed();
    cr_assert_not(powers.guard_markers);
    cr_assert(powers.discard_zeroes);
}
