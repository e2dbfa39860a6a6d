/* SPDX-License-Identifier: MIT */
/*
 * inject: make the nth system call of a kind fail.
 *
 * Fault programs are linked with --wrap for these calls, so every use of them in the library and in
 * the test comes here first; libc's own do not. Plans hold for the whole process. Everything may be
 * called from any thread, but a plan should be made while the code under test is quiet.
 *
 *     inject_only(INJECT_MADVISE, MADV_DONTNEED);   other advice is neither counted nor failed
 *     inject_fail(INJECT_MADVISE, 2, ENOMEM);       the second such call from now fails
 */
#ifndef MOAT_TESTS_FAULT_INJECT_H
#define MOAT_TESTS_FAULT_INJECT_H

/* The argument that inject_only compares is named at each. */
enum inject_kind {
    INJECT_MMAP,      /* protection */
    INJECT_MUNMAP,    /* none */
    INJECT_MPROTECT,  /* protection */
    INJECT_MADVISE,   /* advice */
    INJECT_MREMAP,    /* flags */
    INJECT_OPEN,      /* none */
    INJECT_READ,      /* none */
    INJECT_CLOSE,     /* none; the file is closed also when the call fails */
    INJECT_IOCTL,     /* request */
    INJECT_SYSCALL,   /* number */
    INJECT_MLOCK,     /* none */
    INJECT_FTRUNCATE, /* none */
    INJECT_FCNTL,     /* command */
    /* The program must be linked with --wrap for these itself: */
    INJECT_DLOPEN,    /* none */
    INJECT_SIGACTION, /* signal */
    INJECT_MUNLOCK,   /* none */
    INJECT_KIND_COUNT
};

/* The nth call of the kind from now (1: the next) is not made and fails with `error`. With error 0
 * it is not made and answers 0: success that does nothing, or the end of a file. Replaces an
 * earlier plan for the kind and sets its count to 0. */
void inject_fail(enum inject_kind kind, int nth, int error);

/* The same for the nth call and all that follow. */
void inject_fail_from(enum inject_kind kind, int nth, int error);

/* From now, only calls of the kind with this argument count. */
void inject_only(enum inject_kind kind, long argument);

/* Calls of the kind since its plan was made, those that failed included. */
int inject_count(enum inject_kind kind);

/* Forget all plans, filters and counts. */
void inject_clear(void);

#endif
