/* SPDX-License-Identifier: MIT */
/* calls: the table. */
#define _GNU_SOURCE
#include "calls.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* Headers may be older than the kernel. */
enum {
    NOREPLACE = 0x100000,
    GUARD_INSTALL = 102,
    GUARD_REMOVE = 103,
    POPULATE_WRITE = 23,
    DONTNEED_LOCKED = 24,
    NUMBER_OF_MSEAL = 462,
    PROCMAP = 17, /* the number of PROCMAP_QUERY among the requests to files of /proc */
    SCAN = 16,    /* of PAGEMAP_SCAN */
    REQUEST = 0xFFFF,
    PROC_FILES = 'f' << 8,
};

#define HALF    (1u << WAY_HALF)
#define DONE    (1u << WAY_DONE)
#define HOLE    (1u << WAY_HOLE)
#define SHORT   (1u << WAY_SHORT)
#define NOTHING (1u << WAY_NOTHING)

#define ADVICE(name) #name, -1, name
#define NUMBER(name) #name, -1, name

const struct call_row call_rows[] = {
    {CALL_mmap, "MAP_HUGETLB", MAP_HUGETLB, MAP_HUGETLB, 0, {ENOMEM, EINVAL}, {0}},
    {CALL_mmap,
     "MAP_FIXED_NOREPLACE",
     NOREPLACE,
     NOREPLACE,
     0,
     {ENOMEM, EEXIST, EAGAIN, EPERM},
     {0}},
    {CALL_mmap, "MAP_SHARED", MAP_SHARED, MAP_SHARED, HOLE, {ENOMEM, EAGAIN, ENODEV, EPERM}, {0}},
    {CALL_mmap, "MAP_FIXED", MAP_FIXED, MAP_FIXED, 0, {ENOMEM, EAGAIN, EPERM}, {0}},
    {CALL_mmap, NULL, 0, 0, 0, {ENOMEM, EAGAIN, EPERM}, {0}},
    {CALL_munmap, NULL, 0, 0, 0, {ENOMEM, EINVAL, EPERM}, {0}},
    {CALL_mprotect, NULL, 0, 0, HALF, {ENOMEM, EACCES, EPERM, EINVAL}, {0}},
    {CALL_madvise, ADVICE(GUARD_INSTALL), HALF, {ENOMEM, EINVAL, EPERM, EAGAIN}, {EINTR, EAGAIN}},
    {CALL_madvise, ADVICE(GUARD_REMOVE), HALF, {ENOMEM, EINVAL, EPERM, EAGAIN}, {EINTR, EAGAIN}},
    {CALL_madvise, ADVICE(MADV_DONTNEED), HALF, {EINVAL, ENOMEM, EPERM}, {0}},
    {CALL_madvise, ADVICE(DONTNEED_LOCKED), HALF, {EINVAL, ENOMEM}, {0}},
    {CALL_madvise, ADVICE(MADV_FREE), HALF, {EINVAL, ENOMEM}, {0}},
    {CALL_madvise, ADVICE(MADV_DONTDUMP), HALF, {EAGAIN, ENOMEM, EINVAL}, {0}},
    {CALL_madvise, ADVICE(MADV_DODUMP), HALF, {EAGAIN, ENOMEM, EINVAL}, {0}},
    {CALL_madvise, ADVICE(MADV_RANDOM), HALF, {EAGAIN, ENOMEM, EINVAL}, {0}},
    {CALL_madvise, ADVICE(MADV_NORMAL), HALF, {EAGAIN, ENOMEM, EINVAL}, {0}},
    {CALL_madvise, ADVICE(MADV_WIPEONFORK), HALF, {EAGAIN, EINVAL, ENOMEM}, {0}},
    {CALL_madvise, ADVICE(MADV_DONTFORK), HALF, {EAGAIN, EINVAL, ENOMEM}, {0}},
    {CALL_madvise, ADVICE(MADV_HUGEPAGE), HALF, {EINVAL, EAGAIN, ENOMEM}, {0}},
    {CALL_madvise, ADVICE(MADV_NOHUGEPAGE), HALF, {EINVAL, EAGAIN, ENOMEM}, {0}},
    {CALL_madvise, ADVICE(POPULATE_WRITE), HALF, {ENOMEM, EFAULT, EINVAL, EHWPOISON, EAGAIN}, {0}},
    {CALL_madvise, ADVICE(MADV_REMOVE), HALF, {EINVAL, EACCES, ENOMEM, ENOSPC}, {0}},
    {CALL_mremap, NULL, 0, 0, HOLE, {ENOMEM, EFAULT, EAGAIN, EINVAL}, {0}},
    {CALL_mlock, NULL, 0, 0, HALF, {ENOMEM, EAGAIN, EPERM, EINVAL}, {0}},
    {CALL_munlock, NULL, 0, 0, HALF, {ENOMEM, EPERM, EINVAL}, {0}},
    {CALL_open, NULL, 0, 0, 0, {EMFILE, ENOENT, EACCES, ENFILE, ENOMEM, EPERM, ENOSYS}, {0}},
    {CALL_close, NULL, 0, 0, DONE, {EIO, EINTR, EBADF}, {0}},
    {CALL_read, NULL, 0, 0, SHORT | NOTHING, {EIO, EACCES, ENOMEM, EPERM}, {EINTR}},
    {CALL_pread, NULL, 0, 0, SHORT | NOTHING, {EIO, ENOMEM, EPERM}, {EINTR}},
    {CALL_pwrite, NULL, 0, 0, SHORT | NOTHING, {EIO, EPERM, ENOMEM}, {EINTR}},
    {CALL_write, NULL, 0, 0, SHORT | NOTHING, {EPIPE, EAGAIN, EIO, EBADF, ENOSPC}, {EINTR}},
    {CALL_lseek, NULL, 0, 0, 0, {EINVAL, ESPIPE, EPERM}, {0}},
    {CALL_fstat, NULL, 0, 0, 0, {EBADF, ENOMEM, EOVERFLOW, EPERM}, {0}},
    {CALL_ftruncate, NULL, 0, 0, 0, {EFBIG, ENOMEM, EINVAL, EPERM, EINTR}, {0}},
    {CALL_fcntl, NULL, 0, 0, 0, {EPERM, EINVAL, EBUSY}, {0}},
    {CALL_ioctl,
     "PROCMAP_QUERY",
     REQUEST,
     PROC_FILES | PROCMAP,
     0,
     {ENOTTY, EINVAL, EPERM, ENOSYS, ENOMEM, ENAMETOOLONG},
     {0}},
    {CALL_ioctl,
     "PAGEMAP_SCAN",
     REQUEST,
     PROC_FILES | SCAN,
     0,
     {ENOTTY, EINVAL, EFAULT, EPERM, ENOMEM},
     {EINTR}},
    {CALL_ioctl, "UFFDIO_API", REQUEST, UFFDIO_API &REQUEST, 0, {EINVAL, EFAULT, EPERM}, {0}},
    {CALL_ioctl,
     "UFFDIO_REGISTER",
     REQUEST,
     UFFDIO_REGISTER &REQUEST,
     HALF,
     {EBUSY, ENOMEM, EINVAL, EPERM},
     {0}},
    {CALL_ioctl,
     "UFFDIO_UNREGISTER",
     REQUEST,
     UFFDIO_UNREGISTER &REQUEST,
     0,
     {EINVAL, ENOMEM},
     {0}},
    {CALL_ioctl,
     "UFFDIO_WRITEPROTECT",
     REQUEST,
     UFFDIO_WRITEPROTECT &REQUEST,
     0,
     {EINVAL, ENOENT, EFAULT, EAGAIN},
     {0}},
    {CALL_syscall, NUMBER(SYS_futex), 0, {EINVAL, ENOSYS}, {EAGAIN, EINTR}},
    {CALL_syscall, NUMBER(SYS_getrandom), SHORT, {ENOSYS, EAGAIN, EPERM}, {EINTR}},
    {CALL_syscall, "SYS_mseal", -1, NUMBER_OF_MSEAL, 0, {ENOSYS, ENOMEM, EPERM, EINVAL}, {0}},
    {CALL_syscall,
     NUMBER(SYS_memfd_create),
     0,
     {EMFILE, ENFILE, ENOMEM, EINVAL, EACCES, ENOSYS},
     {0}},
    {CALL_syscall, NUMBER(SYS_mbind), 0, {ENOMEM, EINVAL, EPERM, EIO, ENOSYS}, {0}},
    {CALL_syscall, NUMBER(SYS_get_mempolicy), 0, {ENOSYS, EINVAL, EPERM}, {0}},
    {CALL_syscall,
     NUMBER(SYS_userfaultfd),
     0,
     {EPERM, ENOSYS, EMFILE, ENFILE, ENOMEM, EINVAL},
     {0}},
    {CALL_syscall, NUMBER(SYS_rt_sigprocmask), 0, {EPERM, ENOSYS}, {0}},
    {CALL_syscall, NUMBER(SYS_clock_gettime), 0, {EPERM, ENOSYS}, {0}},
    {CALL_syscall, NUMBER(SYS_rt_tgsigqueueinfo), 0, {EPERM, EAGAIN}, {0}},
    {CALL_poll, NULL, 0, 0, NOTHING, {EINTR, ENOMEM, EINVAL}, {0}},
    {CALL_eventfd, NULL, 0, 0, 0, {EMFILE, ENFILE, ENOMEM, ENODEV}, {0}},
    {CALL_sysinfo, NULL, 0, 0, 0, {EPERM, EFAULT}, {0}},
    {CALL_sysconf, NULL, 0, 0, 0, {EINVAL}, {0}},
    {CALL_getrlimit, NULL, 0, 0, 0, {EPERM, EINVAL}, {0}},
    {CALL_sigaction, NULL, 0, 0, 0, {EINVAL, EPERM}, {0}},
    {CALL_sigpending, NULL, 0, 0, 0, {EPERM, ENOSYS}, {0}},
    {CALL_sigtimedwait, NULL, 0, 0, 0, {EAGAIN, ENOSYS}, {EINTR}},
    {CALL_pthread_sigmask, NULL, 0, 0, 0, {EPERM, EINVAL}, {0}},
    {CALL_pthread_create, NULL, 0, 0, 0, {EAGAIN, ENOMEM, EPERM}, {EINVAL}},
    {CALL_pthread_setspecific, NULL, 0, 0, 0, {ENOMEM}, {0}},
    {CALL_pthread_key_create, NULL, 0, 0, 0, {EAGAIN, ENOMEM}, {0}},
    {CALL_pthread_setname_np, NULL, 0, 0, 0, {EPERM, ERANGE}, {0}},
};
const size_t call_row_count = sizeof call_rows / sizeof call_rows[0];

const char *const way_names[WAYS] = {
    "not done", "half done", "all done", "its goal gone", "short", "nothing", "a lie",
};

static const char *const call_names[CALLS] = {
#define NAME(name) #name,
    EVERY_CALL(NAME)
#undef NAME
};

const char *call_row_name(const struct call_row *row) {
    static char name[64];
    snprintf(name, sizeof name, "%s%s%s", call_names[row->call], row->which ? " " : "",
             row->which ? row->which : "");
    return name;
}

const struct call_row *call_row_of(enum call call, long argument) {
    for (size_t i = 0; i < call_row_count; i++)
        if (call_rows[i].call == call && (argument & call_rows[i].mask) == call_rows[i].value)
            return &call_rows[i];
    return NULL;
}

const char *errno_name(int error) {
    static const struct {
        int error;
        const char *name;
    } names[] = {
#define NAME(error) {error, #error}
        NAME(EACCES),    NAME(EAGAIN), NAME(EBADF),        NAME(EBUSY),  NAME(EEXIST),
        NAME(EFAULT),    NAME(EFBIG),  NAME(EHWPOISON),    NAME(EINTR),  NAME(EINVAL),
        NAME(EIO),       NAME(EMFILE), NAME(ENAMETOOLONG), NAME(ENFILE), NAME(ENODEV),
        NAME(ENOENT),    NAME(ENOMEM), NAME(ENOSPC),       NAME(ENOSYS), NAME(ENOTTY),
        NAME(EOVERFLOW), NAME(EPERM),  NAME(EPIPE),        NAME(ERANGE), NAME(ESPIPE),
#undef NAME
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].error == error)
            return names[i].name;
    return "another errno";
}
