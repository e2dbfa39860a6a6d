/* SPDX-License-Identifier: MIT */
/*
 * linux_large: pages of 2 MiB from what the machine's owner has set aside (hugetlb).
 *
 * A mapping reserves its pages when it is made, but a control group may still refuse them when they
 * are touched, by SIGBUS. So they are fetched at once, where the kernel can be asked to.
 */
#define _GNU_SOURCE
#include "os/linux_internal.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MAP_HUGE_2MB
#define MAP_HUGE_2MB (21 << 26)
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define FOLDER "/sys/kernel/mm/hugepages/hugepages-2048kB/"

/* The first digit of a file, or -1 when it cannot be read; numbers here have no leading zeroes. */
static int first_digit(const char *path) {
    char text[4];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return -1;
    ssize_t length = read(file, text, sizeof text);
    close(file);
    return length > 0 && text[0] >= '0' && text[0] <= '9' ? text[0] - '0' : -1;
}

bool moat_os_large_pages_exist(void) {
    int saved = errno;
    bool exist = first_digit(FOLDER "nr_hugepages") >= 0;
    errno = saved;
    return exist;
}

bool moat_os_large_pages_set_aside(void) {
    int saved = errno;
    bool any =
        first_digit(FOLDER "nr_hugepages") > 0 || first_digit(FOLDER "nr_overcommit_hugepages") > 0;
    errno = saved;
    return any;
}

int moat_os_reserve_large(void *base, size_t size) {
    int saved = errno;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB | MAP_FIXED_NOREPLACE;
    void *start = mmap(base, size, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (start == MAP_FAILED)
        return moat_linux_result(-1, saved);
    int error = start == base ? 0 : EEXIST; /* before Linux 4.17: a hint that was not taken */
    /* EINVAL: before Linux 5.14 there is no such advice, and the reservation has to do. */
    if (error == 0 && madvise(start, size, MADV_POPULATE_WRITE) != 0 && errno != EINVAL)
        error = ENOMEM;
    if (error == 0 && mprotect(start, size, PROT_NONE) != 0)
        error = errno;
    if (error != 0)
        moat_os_give_up(start, size);
    errno = saved;
    return error;
}
