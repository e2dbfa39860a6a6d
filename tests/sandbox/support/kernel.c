/* SPDX-License-Identifier: MIT */
/*
 * kernel: run a program as an older kernel would, as far as system calls and their arguments go.
 *
 *     kernel VERSION PROGRAM [ARGUMENT...]
 *
 * What came after that version is refused with the errno that it gave: what it had not heard of.
 * What a filter cannot see stays as this kernel has it: what structs in memory ask for, which
 * mappings take a marker (before 6.15 private ones alone), and how long things take.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { SKIPPED = 77, STEPS_MAX = 128 };

#define VERSION(Major, Minor) ((Major)*1000 + (Minor))

/* The last number of a call that a version knows. Numbers are the same on all machines from 424 on,
 * and each version goes on where the one before ended. */
static const struct {
    int version;
    unsigned last;
} numbers[] = {
    {VERSION(4, 18), SYS_rseq}, {VERSION(5, 4), 435},  {VERSION(5, 10), 440},
    {VERSION(5, 15), 448},      {VERSION(6, 1), 450},  {VERSION(6, 6), 453},
    {VERSION(6, 8), 461},       {VERSION(6, 12), 462}, {VERSION(6, 13), 466},
};

/* What a version brought to a call that was there before it. */
static const struct {
    int since;
    unsigned call;
    int argument;
    bool bits; /* any of these is set; else: it is this */
    unsigned value;
    int error;
} news[] = {
    {VERSION(5, 7), SYS_mremap, 3, true, 4, EINVAL},          /* MREMAP_DONTUNMAP */
    {VERSION(5, 11), SYS_userfaultfd, 0, true, 1, EINVAL},    /* UFFD_USER_MODE_ONLY */
    {VERSION(5, 14), SYS_madvise, 2, false, 22, EINVAL},      /* MADV_POPULATE_READ */
    {VERSION(5, 14), SYS_madvise, 2, false, 23, EINVAL},      /* MADV_POPULATE_WRITE */
    {VERSION(5, 18), SYS_madvise, 2, false, 24, EINVAL},      /* MADV_DONTNEED_LOCKED */
    {VERSION(6, 1), SYS_madvise, 2, false, 25, EINVAL},       /* MADV_COLLAPSE */
    {VERSION(6, 3), SYS_memfd_create, 1, true, 0x18, EINVAL}, /* MFD_NOEXEC_SEAL, MFD_EXEC */
    /* UFFDIO_API: here it always asks for WP_ASYNC, which is what is new. */
    {VERSION(6, 7), SYS_ioctl, 1, false, 0xC018AA3F, EINVAL},
    {VERSION(6, 7), SYS_ioctl, 1, false, 0xC0606610, ENOTTY},  /* PAGEMAP_SCAN */
    {VERSION(6, 11), SYS_ioctl, 1, false, 0xC0686611, ENOTTY}, /* PROCMAP_QUERY */
    {VERSION(6, 13), SYS_madvise, 2, false, 102, EINVAL},      /* MADV_GUARD_INSTALL */
    {VERSION(6, 13), SYS_madvise, 2, false, 103, EINVAL},      /* MADV_GUARD_REMOVE */
};

static struct sock_filter steps[STEPS_MAX];
static unsigned short count;

static void add(struct sock_filter step) {
    steps[count++] = step;
}

static void load(size_t offset) {
    add((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offset));
}

static void refuse(int error) {
    add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error));
}

/* Lower halves of arguments do: none of these has anything above. */
static size_t argument(int at) {
    return offsetof(struct seccomp_data, args) + (size_t)at * sizeof(uint64_t);
}

static void write_filter(int version, unsigned last) {
    const size_t number = offsetof(struct seccomp_data, nr);

    for (size_t i = 0; i < sizeof news / sizeof news[0]; i++) {
        if (news[i].since <= version)
            continue;
        unsigned short test = news[i].bits ? BPF_JSET : BPF_JEQ;
        load(number);
        add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, news[i].call, 0, 3));
        load(argument(news[i].argument));
        add((struct sock_filter)BPF_JUMP(BPF_JMP | test | BPF_K, news[i].value, 0, 1));
        refuse(news[i].error);
    }
    load(number);
    add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, last, 0, 1));
    refuse(ENOSYS);
    add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
}

static int parse(const char *text) {
    int major, minor;
    return sscanf(text, "%d.%d", &major, &minor) == 2 ? VERSION(major, minor) : 0;
}

static unsigned last_number(int version) {
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (numbers[i].version == version)
            return numbers[i].last;
    return 0;
}

int main(int argument_count, char **arguments) {
    struct utsname running;
    int version = argument_count < 3 ? 0 : parse(arguments[1]);
    unsigned last = last_number(version);

    if (last == 0) {
        fputs("kernel VERSION PROGRAM [ARGUMENT...]\n", stderr);
        return 1;
    }
    if (uname(&running) != 0 || parse(running.release) < version) {
        printf("skipped: this kernel is older than %s\n", arguments[1]);
        return SKIPPED;
    }
    write_filter(version, last);
    struct sock_fprog program = {count, steps};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, 2, &program, 0, 0)) {
        puts("skipped: this kernel takes no filter");
        return SKIPPED;
    }
    execv(arguments[2], arguments + 2);
    perror(arguments[2]);
    return 1;
}
