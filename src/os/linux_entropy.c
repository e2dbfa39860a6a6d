/* SPDX-License-Identifier: MIT */
/*
 * linux_entropy: bytes from the kernel's generator, never by waiting for it.
 *
 * Early at boot, and under filters that know no getrandom, /dev/urandom still answers.
 */
#define _GNU_SOURCE
#include "os/linux_internal.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How many bytes the system call gave; fewer than asked for when it failed. */
static size_t from_call(unsigned char *bytes, size_t size) {
    size_t done = 0;
    while (done < size) {
        long got = syscall(SYS_getrandom, bytes + done, size - done, GRND_NONBLOCK);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    return done;
}

static size_t from_device(unsigned char *bytes, size_t size) {
    int device = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    if (device < 0)
        return 0;
    size_t done = 0;
    while (done < size) {
        ssize_t got = read(device, bytes + done, size - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    close(device);
    return done;
}

int moat_os_entropy(void *bytes, size_t size) {
    int saved = errno;
    size_t done = from_call(bytes, size);
    if (done < size)
        done += from_device((unsigned char *)bytes + done, size - done);
    errno = saved;
    return done == size ? 0 : EIO;
}
