/* SPDX-License-Identifier: MIT */
/*
 * touch: the copies, through a pipe and from /dev/zero.
 */
#define _GNU_SOURCE
#include "touch.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

bool touch_reads(const void *address) {
    int ends[2];
    if (pipe(ends) != 0)
        abort();
    bool copied = write(ends[1], address, 1) == 1;
    close(ends[0]);
    close(ends[1]);
    return copied;
}

bool touch_writes(void *address) {
    int zeroes = open("/dev/zero", O_RDONLY);
    if (zeroes < 0)
        abort();
    bool copied = read(zeroes, address, 1) == 1;
    close(zeroes);
    return copied;
}

bool touch_all_bytes(const void *start, size_t size, int value) {
    const unsigned char *bytes = start;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != value)
            return false;
    return true;
}

bool touch_kills(const void *address) {
    pid_t child = fork();
    if (child < 0)
        abort();
    if (child == 0) {
        /* Neither a sanitizer nor a test framework is to make something else of it. */
        signal(SIGSEGV, SIG_DFL);
        *(const volatile char *)address;
        _exit(0);
    }
    int status;
    if (waitpid(child, &status, 0) != child)
        abort();
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}
