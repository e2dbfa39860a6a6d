/* SPDX-License-Identifier: MIT */
/*
 * linux_look: does a page trap? Asked of the kernel, which reads it and has no signal to send.
 *
 * rt_sigprocmask with a number that is no operation reads the new mask first, which is EFAULT where
 * it cannot, and then refuses the operation: nothing is changed, no file is opened, handlers of
 * signals may do it, and no filter forbids it. Where the operation is looked at first (emulators do
 * that) every page seems readable; moat_os_probe finds that out.
 */
#define _GNU_SOURCE
#include "os/annotate.h"
#include "os/linux_internal.h"

#include <sys/syscall.h>
#include <unistd.h>

enum { NO_OPERATION = 0x4D6F, MASK_SIZE = 8 };

enum moat_os_look moat_os_look(const void *page) {
    int saved = errno;
    if (moat_annotated()) /* memcheck makes the call itself, and warns of it */
        return MOAT_OS_LOOK_UNKNOWN;
    long outcome = syscall(SYS_rt_sigprocmask, NO_OPERATION, page, NULL, MASK_SIZE);
    int error = moat_linux_result(outcome, saved);

    if (error == EFAULT)
        return MOAT_OS_LOOK_TRAPS;
    return error == EINVAL ? MOAT_OS_LOOK_READABLE : MOAT_OS_LOOK_UNKNOWN;
}

bool moat_os_writable(void *page) {
    int saved = errno;
    return moat_linux_result(syscall(SYS_rt_sigprocmask, 0, NULL, page, MASK_SIZE), saved) == 0;
}
