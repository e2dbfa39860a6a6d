/* SPDX-License-Identifier: MIT */
/*
 * refuse: run programs while one system call is refused, with EPERM as filters do it and with
 * ENOSYS as older kernels do.
 *
 *     refuse LIBRARY CALL PROGRAM...
 *
 * LIBRARY is what deny.c makes. A program has passed when it ends with 0, or 77 for skipped.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int run(const char *library, const char *program, int number, int error) {
    char wanted[32];
    int state = 0;
    pid_t child = fork();
    if (child == 0) {
        (void)snprintf(wanted, sizeof wanted, "%d %d", number, error);
        setenv("SANDBOX_DENY", wanted, 1);
        setenv("LD_PRELOAD", library, 1);
        execl(program, program, (char *)NULL);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &state, 0) != child)
        return 1;
    if (WIFEXITED(state) && (WEXITSTATUS(state) == 0 || WEXITSTATUS(state) == 77))
        return 0;
    fprintf(stderr, "refuse: %s ended with %#x while call %d failed with errno %d\n", program,
            (unsigned)state, number, error);
    return 1;
}

int main(int count, char **arguments) {
    if (count < 4) {
        fputs("refuse LIBRARY CALL PROGRAM...\n", stderr);
        return 1;
    }
    int number = seccomp_syscall_resolve_name(arguments[2]);
    int failed = 0;
    if (number == __NR_SCMP_ERROR && sscanf(arguments[2], "%d", &number) != 1)
        return 1;
    if (number < 0)
        return 77; /* not on this machine */
    for (int i = 3; i < count; i++) {
        failed += run(arguments[1], arguments[i], number, EPERM);
        failed += run(arguments[1], arguments[i], number, ENOSYS);
    }
    return failed != 0;
}
