/* SPDX-License-Identifier: MIT */
/*
 * Every system call under every os call fails once: the errno comes back as the result, that of the
 * caller is untouched, and the state is what the contract says.
 */
#define _GNU_SOURCE
#include "os/linux_internal.h"
#include "support/inject.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_mseal
#define SYS_mseal 462
#endif

enum { PAGE = MOAT_PAGE_BYTES, READ_WRITE = MOAT_OS_READ | MOAT_OS_WRITE };
enum { DONTNEED_LOCKED = 24, GUARD_INSTALL = 102, GUARD_REMOVE = 103 };

/* The call must end with this result and leave errno alone. */
#define ENDS(result, call)                                                                         \
    do {                                                                                           \
        errno = 4711;                                                                              \
        cr_assert_eq((call), (result), #call);                                                     \
        cr_assert_eq(errno, 4711, "errno after " #call);                                           \
    } while (0)

/* Pages of 'x'. */
static char *filled(size_t count) {
    void *base;
    ENDS(0, moat_os_reserve(count * PAGE, PAGE, &base));
    ENDS(0, moat_os_protect(base, count * PAGE, READ_WRITE));
    memset(base, 'x', count * PAGE);
    return base;
}

static bool mapped(const void *address) {
    struct moat_os_mapping mapping;
    cr_assert_eq(moat_os_query((uintptr_t)address, &mapping), 0);
    return mapping.mapped;
}

static bool all(const char *bytes, size_t size, char value) {
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != value)
            return false;
    return true;
}

TestSuite(os_calls, .fini = inject_clear);

Test(os_calls, reserve_that_cannot_map_changes_nothing) {
    void *base = &base;
    inject_fail(INJECT_MMAP, 1, ENOMEM);
    ENDS(ENOMEM, moat_os_reserve(PAGE, PAGE, &base));
    inject_fail(INJECT_MMAP, 1, EPERM);
    ENDS(EPERM, moat_os_reserve(PAGE, (size_t)1 << 20, &base));
    cr_assert_eq(base, &base);
}

/* Trimming to an alignment unmaps twice; both can run into the mapping limit. */
Test(os_calls, reserve_that_cannot_trim_leaves_nothing_mapped) {
    /* Less than a huge page, to which kernels align by themselves. */
    enum { ALIGNMENT = 1 << 20 };
    for (int nth = 1; nth <= 2; nth++) {
        uint64_t before = 0;
        void *base = &base;
        for (int attempt = 0;; attempt++) {
            cr_assert_lt(attempt, 50);
            before = moat_os_map_count();
            inject_fail(INJECT_MUNMAP, nth, ENOMEM);
            errno = 4711;
            int error = moat_os_reserve(PAGE, ALIGNMENT, &base);
            cr_assert_eq(errno, 4711);
            int calls = inject_count(INJECT_MUNMAP);
            inject_clear();
            if (error != 0) {
                cr_assert_eq(error, ENOMEM);
                cr_assert_eq(calls, nth + 1, "all of it is unmapped after the failure");
                break;
            }
            /* Aligned by luck, with one side to trim: stay, and have the next a page further on. */
            (void)moat_os_reserve_at((char *)base - PAGE, PAGE);
            base = &base;
        }
        cr_assert_eq(base, &base);
        cr_assert_eq(moat_os_map_count(), before);
    }
}

Test(os_calls, reserve_that_can_neither_trim_nor_undo_still_fails_cleanly) {
    void *base = &base;
    uint64_t before = moat_os_lost();
    int error = ENOMEM, times = 0;
    inject_fail_from(INJECT_MUNMAP, 1, ENOMEM);
    for (; times < 4 && base == &base; times++)
        error = moat_os_reserve(PAGE, (size_t)1 << 30, &base);
    inject_clear();
    cr_assert_eq(error, ENOMEM);
    cr_assert_eq(base, &base);
    cr_assert_eq(moat_os_lost() - before, (uint64_t)times << 30);
}

Test(os_calls, reserve_at_reports_why) {
    char *base = filled(1);
    ENDS(0, moat_os_unreserve(base, PAGE));
    inject_fail(INJECT_MMAP, 1, ENOMEM);
    ENDS(ENOMEM, moat_os_reserve_at(base, PAGE));
    inject_fail(INJECT_MMAP, 1, EEXIST);
    ENDS(EEXIST, moat_os_reserve_at(base, PAGE));
    cr_assert_not(mapped(base));
}

Test(os_calls, unreserve_that_fails_leaves_it_mapped) {
    char *base = filled(2);
    inject_fail(INJECT_MUNMAP, 1, ENOMEM);
    ENDS(ENOMEM, moat_os_unreserve(base, 2 * PAGE));
    cr_assert(all(base, 2 * PAGE, 'x'));
    ENDS(0, moat_os_unreserve(base, 2 * PAGE));
}

Test(os_calls, protect_that_fails_keeps_rights_and_content) {
    char *base = filled(1);
    inject_fail(INJECT_MPROTECT, 1, ENOMEM);
    ENDS(ENOMEM, moat_os_protect(base, PAGE, MOAT_OS_NONE));
    inject_fail(INJECT_MPROTECT, 1, EACCES);
    ENDS(EACCES, moat_os_protect(base, PAGE, MOAT_OS_READ | MOAT_OS_EXECUTE));
    cr_assert(all(base, PAGE, 'x'));
    base[0] = 'y';
}

Test(os_calls, markers_that_fail_keep_the_content) {
    char *base = filled(1);
    static const int errors[] = {EINVAL, ENOMEM, EPERM, ENOSYS};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        inject_fail(INJECT_MADVISE, 1, errors[i]);
        ENDS(errors[i], moat_os_guard_install(base, PAGE));
        cr_assert_eq(inject_count(INJECT_MADVISE), 1, "no retry of what will not change");
        inject_fail(INJECT_MADVISE, 1, errors[i]);
        ENDS(errors[i], moat_os_guard_remove(base, PAGE));
    }
    cr_assert(all(base, PAGE, 'x'));
}

Test(os_calls, markers_are_asked_for_again_when_the_kernel_says_so) {
    char *base = filled(1);
    if (madvise(NULL, 0, GUARD_INSTALL) != 0)
        cr_skip_test("this kernel has no guard markers");
    inject_fail(INJECT_MADVISE, 1, EAGAIN);
    ENDS(0, moat_os_guard_install(base, PAGE));
    cr_assert_eq(inject_count(INJECT_MADVISE), 2);
    inject_fail(INJECT_MADVISE, 1, EINTR);
    ENDS(0, moat_os_guard_remove(base, PAGE));
    cr_assert_eq(inject_count(INJECT_MADVISE), 2);
}

Test(os_calls, markers_are_not_asked_for_for_ever, .timeout = 600) {
    char *base = filled(1);
    inject_fail_from(INJECT_MADVISE, 1, EAGAIN);
    ENDS(EAGAIN, moat_os_guard_install(base, PAGE));
    cr_assert_leq(inject_count(INJECT_MADVISE), 100);
    inject_fail_from(INJECT_MADVISE, 1, EINTR);
    ENDS(EINTR, moat_os_guard_remove(base, PAGE));
    cr_assert_leq(inject_count(INJECT_MADVISE), 100);
}

Test(os_calls, discard_that_fails_keeps_the_content) {
    char *base = filled(1);
    inject_fail(INJECT_MADVISE, 1, ENOMEM);
    ENDS(ENOMEM, moat_os_discard(base, PAGE));
    cr_assert_eq(inject_count(INJECT_MADVISE), 1);
    inject_fail_from(INJECT_MADVISE, 1, EINVAL);
    ENDS(EINVAL, moat_os_discard(base, PAGE));
    cr_assert_eq(inject_count(INJECT_MADVISE), 2, "the second is for locked memory");
    cr_assert(all(base, PAGE, 'x'));
}

Test(os_calls, discard_of_locked_memory_asks_in_the_other_way) {
    char *base = filled(1);
    inject_only(INJECT_MADVISE, DONTNEED_LOCKED);
    ENDS(0, moat_os_discard(base, PAGE));
    cr_assert_eq(inject_count(INJECT_MADVISE), 0, "only when the usual way is refused");
    inject_clear();
    inject_fail(INJECT_MADVISE, 1, EINVAL);
    ENDS(0, moat_os_discard(base, PAGE));
    cr_assert(all(base, PAGE, 0));
}

Test(os_calls, other_advice_that_fails_is_reported) {
    char *base = filled(1);
    inject_fail_from(INJECT_MADVISE, 1, EAGAIN);
    ENDS(EAGAIN, moat_os_reset(base, PAGE));
    ENDS(EAGAIN, moat_os_dump_exclude(base, PAGE));
    ENDS(EAGAIN, moat_os_dump_include(base, PAGE));
    cr_assert_eq(inject_count(INJECT_MADVISE), 3, "no retry");
    cr_assert(all(base, PAGE, 'x'));
}

Test(os_calls, query_without_proc_is_not_supported) {
    struct moat_os_mapping mapping;
    inject_fail_from(INJECT_OPEN, 1, ENOENT);
    ENDS(ENOSYS, moat_os_query((uintptr_t)&mapping, &mapping));
    cr_assert_eq(inject_count(INJECT_OPEN), 2, "both names are tried");
    inject_fail_from(INJECT_OPEN, 1, ENOENT);
    ENDS(0, moat_os_map_count());
}

Test(os_calls, query_tries_the_older_name) {
    struct moat_os_mapping mapping;
    inject_fail(INJECT_OPEN, 1, ENOENT);
    ENDS(0, moat_os_query((uintptr_t)&mapping, &mapping));
    cr_assert(mapping.mapped);
}

Test(os_calls, query_without_a_file_to_spare_says_so) {
    struct moat_os_mapping mapping;
    inject_fail(INJECT_OPEN, 1, EMFILE);
    ENDS(EMFILE, moat_os_query((uintptr_t)&mapping, &mapping));
}

Test(os_calls, query_reads_the_text_when_the_kernel_cannot_be_asked) {
    struct moat_os_mapping mapping;
    static const int errors[] = {ENOTTY, EINVAL, ENOSYS, EPERM, EFAULT};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        inject_fail(INJECT_IOCTL, 1, errors[i]);
        inject_fail(INJECT_READ, 0, 0);
        memset(&mapping, 0xFF, sizeof mapping);
        ENDS(0, moat_os_query((uintptr_t)&mapping, &mapping));
        cr_assert(mapping.mapped);
        cr_assert_leq(mapping.start, (uintptr_t)&mapping);
        cr_assert_gt(mapping.end, (uintptr_t)&mapping);
        cr_assert_eq(inject_count(INJECT_IOCTL), 1);
        cr_assert_geq(inject_count(INJECT_READ), 1);
    }
}

Test(os_calls, query_that_can_neither_ask_nor_read_says_why) {
    struct moat_os_mapping mapping;
    inject_fail_from(INJECT_IOCTL, 1, ENOTTY);
    inject_fail(INJECT_READ, 1, EIO);
    ENDS(EIO, moat_os_query((uintptr_t)&mapping, &mapping));
    inject_fail(INJECT_READ, 1, EACCES);
    ENDS(EACCES, moat_os_query(0, &mapping));
    inject_fail(INJECT_READ, 1, 0);
    ENDS(ENOSYS, moat_os_query((uintptr_t)&mapping, &mapping));
}

Test(os_calls, reading_goes_on_after_a_signal) {
    struct moat_os_mapping mapping;
    inject_fail_from(INJECT_IOCTL, 1, ENOTTY);
    inject_fail(INJECT_READ, 1, EINTR);
    ENDS(0, moat_os_query((uintptr_t)&mapping, &mapping));
    cr_assert(mapping.mapped);
    uint64_t count = moat_os_map_count();
    inject_fail(INJECT_READ, 1, EINTR);
    ENDS(count, moat_os_map_count());
}

Test(os_calls, query_closes_its_file_whatever_happens) {
    struct moat_os_mapping mapping;
    int before = dup(0);
    close(before);
    inject_fail_from(INJECT_IOCTL, 1, ENOTTY);
    inject_fail(INJECT_READ, 1, EIO);
    ENDS(EIO, moat_os_query((uintptr_t)&mapping, &mapping));
    inject_fail(INJECT_CLOSE, 1, EINTR);
    ENDS(0, moat_os_query((uintptr_t)&mapping, &mapping));
    int after = dup(0);
    close(after);
    cr_assert_eq(after, before);
}

Test(os_calls, a_count_cut_short_is_unknown) {
    inject_fail(INJECT_READ, 2, EIO);
    ENDS(0, moat_os_map_count());
}

Test(os_calls, entropy_comes_from_the_device_when_the_call_has_none) {
    static const int errors[] = {ENOSYS, EAGAIN, EPERM};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        unsigned char bytes[64] = {0};
        inject_only(INJECT_SYSCALL, SYS_getrandom);
        inject_fail_from(INJECT_SYSCALL, 1, errors[i]);
        inject_fail(INJECT_OPEN, 0, 0);
        ENDS(0, moat_os_entropy(bytes, sizeof bytes));
        cr_assert_eq(inject_count(INJECT_OPEN), 1);
        cr_assert_not(all((char *)bytes, sizeof bytes, 0));
    }
}

Test(os_calls, entropy_that_is_interrupted_goes_on) {
    unsigned char bytes[64] = {0};
    inject_fail(INJECT_SYSCALL, 1, EINTR);
    inject_fail(INJECT_OPEN, 0, 0);
    ENDS(0, moat_os_entropy(bytes, sizeof bytes));
    cr_assert_eq(inject_count(INJECT_OPEN), 0, "the device is not needed");
    inject_fail(INJECT_SYSCALL, 1, ENOSYS);
    inject_fail(INJECT_READ, 1, EINTR);
    ENDS(0, moat_os_entropy(bytes, sizeof bytes));
    cr_assert_eq(inject_count(INJECT_READ), 2);
}

Test(os_calls, entropy_that_is_not_to_be_had_is_an_error) {
    unsigned char bytes[64];
    inject_fail_from(INJECT_SYSCALL, 1, ENOSYS);
    inject_fail_from(INJECT_OPEN, 1, ENOENT);
    ENDS(EIO, moat_os_entropy(bytes, sizeof bytes));
    inject_fail(INJECT_OPEN, 0, 0);
    inject_fail_from(INJECT_READ, 1, EIO);
    ENDS(EIO, moat_os_entropy(bytes, sizeof bytes));
    inject_fail_from(INJECT_READ, 1, 0);
    ENDS(EIO, moat_os_entropy(bytes, sizeof bytes));
    inject_fail_from(INJECT_SYSCALL, 1, 0);
    ENDS(EIO, moat_os_entropy(bytes, sizeof bytes));
}

Test(os_calls, entropy_closes_the_device_whatever_happens) {
    unsigned char bytes[64];
    int before = dup(0);
    close(before);
    inject_fail_from(INJECT_SYSCALL, 1, ENOSYS);
    ENDS(0, moat_os_entropy(bytes, sizeof bytes));
    inject_fail(INJECT_READ, 1, EIO);
    ENDS(EIO, moat_os_entropy(bytes, sizeof bytes));
    int after = dup(0);
    close(after);
    cr_assert_eq(after, before);
}

Test(os_calls, waiting_ends_as_the_kernel_says) {
    uint32_t word = 0;
    inject_fail(INJECT_SYSCALL, 1, EINTR);
    ENDS(0, moat_os_wait(&word, 0, UINT64_MAX));
    inject_fail(INJECT_SYSCALL, 1, EAGAIN);
    ENDS(0, moat_os_wait(&word, 0, UINT64_MAX));
    inject_fail(INJECT_SYSCALL, 1, ETIMEDOUT);
    ENDS(ETIMEDOUT, moat_os_wait(&word, 0, UINT64_MAX));
    inject_fail(INJECT_SYSCALL, 1, ENOSYS);
    ENDS(ENOSYS, moat_os_wait(&word, 0, UINT64_MAX));
    inject_fail(INJECT_SYSCALL, 1, ENOSYS);
    errno = 4711;
    moat_os_wake(&word);
    cr_assert_eq(errno, 4711);
}

static struct moat_os_powers probed(void) {
    struct moat_os_powers powers;
    memset(&powers, 0xFF, sizeof powers);
    errno = 4711;
    moat_os_probe(&powers, true);
    cr_assert_eq(errno, 4711);
    return powers;
}

Test(os_calls, a_probe_without_memory_finds_no_powers) {
    inject_fail(INJECT_MMAP, 1, ENOMEM);
    struct moat_os_powers powers = probed();
    cr_assert_not(powers.guard_markers);
    cr_assert_not(powers.discard_zeroes);
}

/* Whatever fails or lies, a power is found missing: nothing crashes and nothing is left behind. */
Test(os_calls, a_probe_survives_the_failure_of_every_call) {
    static const enum inject_kind kinds[] = {INJECT_MMAP, INJECT_MPROTECT, INJECT_MADVISE,
                                             INJECT_SYSCALL};
    struct moat_os_powers best = probed();
    uint64_t mappings = moat_os_map_count();
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        inject_fail(kinds[i], 0, 0);
        (void)probed();
        int calls = inject_count(kinds[i]);
        cr_assert_gt(calls, 0, "kind %zu is never called", i);
        for (int nth = 1; nth <= calls; nth++) {
            for (int lie = 0; lie <= (kinds[i] == INJECT_MMAP ? 0 : 1); lie++) {
                inject_fail(kinds[i], nth, lie ? 0 : EINVAL);
                struct moat_os_powers powers = probed();
                inject_clear();
                cr_assert_leq(powers.guard_markers, best.guard_markers);
                cr_assert_leq(powers.discard_zeroes, best.discard_zeroes);
                cr_assert_eq(moat_os_map_count(), mappings, "kind %zu, call %d", i, nth);
            }
        }
    }
}

Test(os_calls, a_probe_reports_each_missing_power_alone) {
    struct moat_os_powers best = probed();
    inject_only(INJECT_MADVISE, GUARD_INSTALL);
    inject_fail_from(INJECT_MADVISE, 1, EINVAL);
    struct moat_os_powers powers = probed();
    cr_assert_not(powers.guard_markers);
    cr_assert_eq(powers.discard_zeroes, best.discard_zeroes);
    cr_assert_eq(powers.look_tells, best.look_tells);
    inject_clear();

    inject_only(INJECT_SYSCALL, SYS_mseal);
    inject_fail_from(INJECT_SYSCALL, 1, ENOSYS);
    powers = probed();
    cr_assert_not(powers.seal);
    cr_assert_eq(powers.guard_markers, best.guard_markers);
}

/* It comes before everything else, in each process that uses Moat. */
Test(os_calls, a_probe_opens_no_file) {
    inject_fail(INJECT_OPEN, 0, 0);
    (void)probed();
    cr_assert_eq(inject_count(INJECT_OPEN), 0);
}

/* An emulator that answers 0 to advice it ignores. */
Test(os_calls, a_probe_is_not_taken_in_by_advice_that_does_nothing) {
    inject_fail_from(INJECT_MADVISE, 1, 0);
    struct moat_os_powers powers = probed();
    cr_assert_not(powers.guard_markers);
    cr_assert_not(powers.discard_zeroes);
}

/* Markers that are accepted on one kind of page only (Linux 6.13 and 6.14) are not enough. */
Test(os_calls, a_probe_wants_markers_on_inaccessible_pages_too) {
    inject_only(INJECT_MADVISE, GUARD_INSTALL);
    inject_fail(INJECT_MADVISE, 2, EINVAL);
    cr_assert_not(probed().guard_markers);
}

/* Set in word only, or never taken away, on either kind of page. */
Test(os_calls, a_probe_wants_markers_that_come_and_go) {
    static const int steps[] = {GUARD_INSTALL, GUARD_REMOVE};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        for (int nth = 1; nth <= 2; nth++) {
            inject_only(INJECT_MADVISE, steps[i]);
            inject_fail(INJECT_MADVISE, nth, 0);
            cr_assert_not(probed().guard_markers, "step %zu, call %d", i, nth);
            inject_clear();
        }
    }
}

Test(os_calls, settings_that_cannot_be_read_are_the_usual_ones) {
    inject_fail_from(INJECT_OPEN, 1, EACCES);
    cr_assert_eq(moat_os_map_limit(), 65530);
    cr_assert_not(moat_os_strict_overcommit());
    inject_clear();
    inject_fail_from(INJECT_READ, 1, 0);
    cr_assert_eq(moat_os_map_limit(), 65530);
    cr_assert_not(moat_os_strict_overcommit());
}
