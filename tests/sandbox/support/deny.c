/* SPDX-License-Identifier: MIT */
/*
 * deny: preloaded into a program, refuses one system call from its start on.
 *
 *     SANDBOX_DENY="number errno" LD_PRELOAD=libsandbox_deny.so program
 *
 * The linker is through by then, so calls that it needs itself can be refused as well.
 */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

__attribute__((constructor)) static void deny(void) {
    const char *wanted = getenv("SANDBOX_DENY");
    unsigned number, error;

    if (!wanted || sscanf(wanted, "%u %u", &number, &error) != 2)
        _exit(1);
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof steps / sizeof steps[0], steps};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, 2, &program, 0, 0))
        _exit(77);
}
