/* SPDX-License-Identifier: MIT */
/*
 * linux_object: memory that is mapped more than once, by memfd_create.
 *
 * Its descriptor lives for as long as the mappings are made and no longer: a program that closes
 * what it does not know, or a forked child, could do worse with it than lose it. Hence the content
 * is dropped through a mapping that can be written. For the moment of its life nothing but its
 * content can be changed: it is sealed, and, where the kernel knows the flag, not a program.
 */
#define _GNU_SOURCE
#include "os/linux_internal.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* Growing a file past this limit kills by default. */
static bool is_allowed(size_t size) {
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur >= size;
}

static long create(unsigned flags) {
    return syscall(SYS_memfd_create, "moat-code", flags);
}

int moat_os_object_create(size_t size, int *object) {
    int saved = errno;
    if (!is_allowed(size))
        return EFBIG;
    long file = create(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (file < 0 && errno == EINVAL) /* before Linux 6.3 */
        file = create(MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (file < 0)
        return moat_linux_result(-1, saved);
    if (ftruncate((int)file, (off_t)size) != 0) {
        int error = errno;
        close((int)file);
        errno = saved;
        return error;
    }
    /* Refused, a forked child could cut it, if it went for it. */
    (void)fcntl((int)file, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
    *object = (int)file;
    errno = saved;
    return 0;
}

int moat_os_object_map(int object, void *start, size_t size) {
    int saved = errno;
    void *mapped = mmap(start, size, PROT_NONE, MAP_SHARED | MAP_FIXED, object, 0);
    return moat_linux_result(mapped == MAP_FAILED ? -1 : 0, saved);
}

void moat_os_object_close(int object) {
    int saved = errno;
    close(object);
    errno = saved;
}

int moat_os_object_drop(void *start, size_t size) {
    int saved = errno;
    return moat_linux_result(madvise(start, size, MADV_REMOVE), saved);
}

int moat_os_populate(void *start, size_t size) {
    int saved = errno;
    int outcome = madvise(start, size, MADV_POPULATE_WRITE);
    int error = moat_linux_result(outcome, saved);
    return error == EFAULT ? ENOMEM : error;
}
