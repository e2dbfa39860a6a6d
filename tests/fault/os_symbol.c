/* SPDX-License-Identifier: MIT */
/*
 * os_symbol: every call under the naming of an address fails once. What is found out without it is
 * told, nothing is made up, and no file stays open.
 */
#define _GNU_SOURCE
#include "os/os.h"
#include "support/inject.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* pread and fstat are replaced here: the nth call of one of them, 0: none. */
enum { CUT_SHORT = -1 }; /* half of what was asked for, instead of an error */
static int pread_count, pread_fails, pread_error, fstat_fails, fstat_error;

ssize_t __real_pread(int file, void *bytes, size_t size, off_t offset);
ssize_t __wrap_pread(int file, void *bytes, size_t size, off_t offset);
int __real_close(int file);
int __real_fstat(int file, struct stat *status);
int __wrap_fstat(int file, struct stat *status);

ssize_t __wrap_pread(int file, void *bytes, size_t size, off_t offset) {
    pread_count++;
    if (pread_fails == 0 || pread_count != pread_fails)
        return __real_pread(file, bytes, size, offset);
    if (pread_error == CUT_SHORT)
        return __real_pread(file, bytes, size / 2, offset);
    errno = pread_error;
    return -1;
}

int __wrap_fstat(int file, struct stat *status) {
    int result = __real_fstat(file, status);
    if (fstat_fails == 0)
        return result;
    if (fstat_error == 0) {
        status->st_ino++;
        return result;
    }
    errno = fstat_error;
    return -1;
}

static void clear(void) {
    inject_clear();
    pread_count = pread_fails = fstat_fails = 0;
}

TestSuite(os_symbol, .init = clear, .fini = clear, .timeout = 600);

static __attribute__((noinline)) int somebody(int number) {
    return number * 3 + 1;
}

/* By a call that no plan is made for. */
static int lowest_free_file(void) {
    int file = dup(STDERR_FILENO);
    cr_assert_geq(file, 0);
    __real_close(file);
    return file;
}

/* How much of the name was found: 2 with the function, 1 with the place, 0 the bare address. */
static int detail(void) {
    char text[256];
    int before = lowest_free_file();
    errno = 4711;
    (void)moat_os_symbol((uintptr_t)somebody + 1, text, sizeof text);
    cr_assert_eq(errno, 4711);
    clear();
    cr_assert_eq(lowest_free_file(), before, "a file stayed open");
    cr_assert(somebody(1) == 4);
    if (strncmp(text, "0x", 2) == 0)
        return 0;
    cr_assert_eq(strncmp(text, "fault_os_symbol+0x", 18), 0, "%s", text);
    if (!strchr(text, '('))
        return 1;
    cr_assert(strstr(text, " (somebody)"), "%s", text);
    return 2;
}

Test(os_symbol, all_is_told_when_nothing_fails) {
    cr_assert_eq(detail(), 2);
}

Test(os_symbol, without_the_list_of_mappings_there_is_the_address) {
    inject_fail(INJECT_OPEN, 1, EMFILE);
    cr_assert_eq(detail(), 0);
    inject_fail_from(INJECT_OPEN, 1, ENOENT);
    cr_assert_eq(detail(), 0);
}

Test(os_symbol, a_kernel_that_cannot_be_asked_is_read) {
    inject_fail_from(INJECT_IOCTL, 1, ENOTTY);
    cr_assert_eq(detail(), 2);
    inject_fail_from(INJECT_IOCTL, 1, ENOTTY);
    inject_fail(INJECT_READ, 1, EINTR);
    cr_assert_eq(detail(), 2);
    inject_fail_from(INJECT_IOCTL, 1, ENOTTY);
    inject_fail(INJECT_READ, 1, EIO);
    cr_assert_eq(detail(), 0);
}

Test(os_symbol, without_the_file_there_is_the_place) {
    inject_fail(INJECT_OPEN, 2, EACCES);
    cr_assert_eq(detail(), 1);
    fstat_fails = 1;
    fstat_error = EIO;
    cr_assert_eq(detail(), 1);
}

/* An upgrade has put another file at that path: its names would be wrong ones. */
Test(os_symbol, another_file_is_not_read) {
    fstat_fails = 1;
    fstat_error = 0;
    cr_assert_eq(detail(), 1);
}

Test(os_symbol, a_file_that_cannot_be_read_leaves_the_place) {
    static const int errors[] = {EIO, CUT_SHORT};
    (void)detail();
    pread_count = 0;
    char text[256];
    (void)moat_os_symbol((uintptr_t)somebody + 1, text, sizeof text);
    int calls = pread_count;
    cr_assert_gt(calls, 5);
    for (int nth = 1; nth <= calls; nth++)
        for (unsigned i = 0; i < 2; i++) {
            clear();
            pread_fails = nth;
            pread_error = errors[i];
            int found = detail();
            cr_assert_eq(found, 1, "call %d of %d", nth, calls);
        }
    clear();
    pread_fails = 1;
    pread_error = EINTR;
    cr_assert_eq(detail(), 2);
}

Test(os_symbol, a_close_that_fails_changes_nothing) {
    inject_fail_from(INJECT_CLOSE, 1, EIO);
    cr_assert_eq(detail(), 2);
}
