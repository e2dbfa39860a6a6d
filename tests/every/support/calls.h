/* SPDX-License-Identifier: MIT */
/*
 * calls: every system call that Moat makes, and each way in which it can fail.
 *
 * One row for what the kernel treats alike: a call, or one advice, request or flag of it. Errnos
 * are those of the manual pages and of mm/ in Linux, with those that filters answer; what a call
 * may have done before it failed stands beside them. A check (tools/check_calls.py) holds the table
 * to the sources: a call, an advice, or an errno that a source names and the table lacks is a
 * finding, and a program that makes a call without a row fails.
 */
#ifndef MOAT_TESTS_EVERY_CALLS_H
#define MOAT_TESTS_EVERY_CALLS_H

#include <stddef.h>

/* The functions of the C library that are replaced, each by __wrap_<name>. */
/* clang-format off */
#define EVERY_CALL(X)                                                                              \
    X(mmap) X(munmap) X(mprotect) X(madvise) X(mremap) X(mlock) X(munlock) X(open) X(close)        \
    X(read) X(pread) X(pwrite) X(write) X(lseek) X(fstat) X(ftruncate) X(fcntl) X(ioctl)           \
    X(syscall) X(poll) X(eventfd) X(sysinfo) X(sysconf) X(getrlimit) X(sigaction) X(sigpending)    \
    X(sigtimedwait) X(pthread_sigmask) X(pthread_create) X(pthread_setspecific)                    \
    X(pthread_key_create) X(pthread_setname_np)
/* clang-format on */

#define CALL_NUMBER(name) CALL_##name,
enum call { EVERY_CALL(CALL_NUMBER) CALLS };

/* How a call fails, or answers less than it was asked for. */
enum way {
    WAY_UNDONE,  /* it fails and has done nothing */
    WAY_HALF,    /* it fails and has done the first half of its range */
    WAY_DONE,    /* it fails and has done all of it */
    WAY_HOLE,    /* it fails, and what was mapped at its goal is gone */
    WAY_SHORT,   /* it succeeds with the least there is: one byte, one entry */
    WAY_NOTHING, /* it succeeds with nothing: the end of a file */
    WAY_LIE,     /* it says that it succeeded and has done nothing: no kernel does that */
    WAYS
};
extern const char *const way_names[WAYS];

enum { ROW_ERRORS_MAX = 8 };

struct call_row {
    enum call call;
    const char *which;          /* NULL: all that no row above it names */
    long mask, value;           /* bits of the argument that tells, and what they are */
    unsigned ways;              /* 1 << way; UNDONE is one for every row with an errno */
    int errors[ROW_ERRORS_MAX]; /* of which the first is the likeliest */
    int passing[3];             /* those that go away when it is asked again */
};

extern const struct call_row call_rows[];
extern const size_t call_row_count;

/* "madvise MADV_FREE". Until the next call. */
const char *call_row_name(const struct call_row *row);

/* The row of a call; NULL: there is none. */
const struct call_row *call_row_of(enum call call, long argument);

/* "ENOMEM" */
const char *errno_name(int error);

#endif
